"""The ways to put binary cross-entropy right do what their names say, and the command tells of each."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from benchmarks import data, losses, networks
from benchmarks.__main__ import main
from benchmarks.losses import VARIANTS, Absolute, RelativeToBlank, RelativeToMean
from scalegroup import Background, ScaleGroup, ScaleWindow
from scalegroup.models import PRESETS, gaussian_derivative_net

WINDOW = ScaleWindow(ScaleGroup(2.0), 1.0, 2)


@pytest.fixture
def net():
    torch.manual_seed(0)
    result = gaussian_derivative_net("multi_scale", window=WINDOW, widths=(3,), boundary=Background(0.5)).eval()
    with torch.no_grad():
        for parameter in result.parameters():  # offsets that are 0 score a blank with nothing
            parameter.add_(torch.rand_like(parameter), alpha=0.1)
    return result


def test_scores_are_relative_to_what_the_name_says(net):
    images = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    absolute, to_mean, to_blank = (kind(net, 0.5) for kind in (Absolute, RelativeToMean, RelativeToBlank))
    torch.testing.assert_close(absolute(images), net(images))
    blank = torch.full((1, 1, 9, 9), 0.5)
    assert to_blank(blank).abs().max() == 0
    assert absolute(blank).abs().max() > 0  # the control
    torch.testing.assert_close(to_blank(images), absolute(images) - absolute(blank))  # all channels score a blank alike
    scores = to_mean.in_each_channel(images)
    expected = (scores - scores.mean(1, keepdim=True)).amax(2)
    torch.testing.assert_close(to_mean(images), expected)
    with torch.no_grad():
        list(net.parameters())[-1].add_(7.0)  # the last offset, which all classes have in common
    torch.testing.assert_close(to_mean(images), expected)
    assert not torch.allclose(absolute(images), expected)  # the control: they see it


def test_blank_pictures_are_of_no_class():
    objects = data.Labelled(torch.rand(10, 1, 5, 5), torch.arange(10))
    both = losses._with_blanks(objects, 0.2, 0.5)
    assert both.labels.tolist() == [*range(10), -1, -1]
    assert both.images[10:].unique().tolist() == [0.5]
    assert len(losses._with_blanks(objects, 0.0, 0.5).labels) == 10


@pytest.fixture
def run(monkeypatch, tmp_path):
    few = replace(data.digits().first(train=10, test=5), name="few")
    monkeypatch.setitem(data.SOURCES, "few", lambda _: few)
    narrow = {name: replace(preset, widths=(2,)) for name, preset in PRESETS.items()}
    monkeypatch.setattr(networks, "PRESETS", narrow)
    command = ["benchmarks", "losses", "--data", "few", "--sizes", "1", "2", "--epochs", "1", "--output", str(tmp_path)]

    def run_it(*more):
        monkeypatch.setattr(sys, "argv", [*command, *more])
        return main()

    return run_it


def test_the_command_tells_of_every_variant_and_seed(run, tmp_path):
    assert run("--seeds", "0", "1") == 0
    content = json.loads((tmp_path / "results.json").read_text())
    assert [row["variant"] for row in content["rows"]] == [variant.name for variant in VARIANTS]
    for row in content["rows"]:
        assert {size: len(of) for size, of in row["accuracy"].items()} == {"1.0000": 2, "2.0000": 2}
    blank = {row["variant"]: row["blank"][0] for row in content["rows"]}
    assert blank["from offset -5"] < -4 < blank["from offset 0, the paper's plain form"]
    assert blank["relative to the blank"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--train-size", "0"], "train size"), (["--seeds", "-1"], "seed"), (["--sizes", "0"], "size")],
)
def test_bad_options_are_refused_before_any_computing(run, monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(losses, "train", lambda *_, **__: pytest.fail("it began to compute"))
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err
