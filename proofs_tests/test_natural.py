"""Natural pictures: every network of the command is what its name says, and the command tells of each."""

import json
import sys
from functools import partial

import pytest
import torch

from benchmarks import natural
from benchmarks.__main__ import main
from benchmarks.baselines import resnet
from benchmarks.data.rescaled import from_pictures
from benchmarks.data.source import Labelled
from benchmarks.kept import Kept
from benchmarks.natural_networks import MAIN, NETWORKS, Setup
from proofs_tests.test_data import pictures
from proofs_tests.test_rescaled import write_folder
from scalegroup import Jet, Max, Mean, ScaleGroup, ScaleWindow, SpatialMax
from scalegroup.models import RESNET_PRESETS, find_trained
from scalegroup.models.exporting import told_of_images

WINDOW = ScaleWindow(ScaleGroup(2**0.5), 1.0, 3)


@pytest.fixture
def setup():
    parts = [Labelled(pictures(4, seed=seed, shape=(3, 8, 8)), torch.arange(4) % 2) for seed in (1, 2)]
    source = from_pictures("noise", *parts, ("left", "right"))
    return Setup(source, WINDOW, 1, source.moments([1.0]), 20.0)


@pytest.fixture
def command(tmp_path, monkeypatch):
    root = write_folder(tmp_path / "tiny")
    tiny = {name: entry for name, entry in NETWORKS.items() if name in ("residual_multi_scale", "resnet_augmented")}
    monkeypatch.setattr(natural, "NETWORKS", tiny)
    monkeypatch.setitem(RESNET_PRESETS, "small", RESNET_PRESETS["small"].changed(widths=(2, 2), field_of_view=4.0))
    few = ["--data", "rescaled-folder", "--data-root", str(root), "--networks", *tiny, "--epochs", "1", "--batch", "3"]

    def run_it(*more):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "natural", *few, "--output", str(tmp_path / "out"), *more])
        return main()

    return run_it


def test_each_network_differs_from_the_residual_one_in_what_its_name_says(setup):
    usual = NETWORKS["residual_multi_scale"].build(setup).architecture
    assert (usual.window, usual.scale_dropout, usual.residual, usual.field_of_view) == (WINDOW, 1, True, 20.0)
    assert (usual.mean, usual.std) == setup.moments
    changed = {
        name: {
            part: value
            for part, value in vars(entry.build(setup).architecture).items()
            if value != getattr(usual, part)
        }
        for name, entry in NETWORKS.items()
        if not name.startswith("resnet")
    }
    assert changed.pop("residual_multi_scale") == {}
    assert changed.pop("maximum_over_scale") == {"pooling": Max()}
    assert changed.pop("mean_over_scale") == {"pooling": Mean()}
    assert changed.pop("spatial_maximum") == {"readout": SpatialMax(), "min_grid_sigma": 1.0, "field_of_view": None}
    assert changed.pop("order_3") == {"jet": Jet(3, zero=True)}
    assert changed.pop("no_zero_order") == {"jet": Jet(2)}
    assert changed.pop("across_scale") == {"neighbours": 1}
    assert changed.pop("separable").keys() == {"separable", "widths"}
    assert changed.pop("plain_multi_scale").keys() == {"residual", "widths", "r", "jet"}
    assert changed.pop("plain_zero_order").keys() == {"residual", "widths", "r"}
    assert changed.pop("residual_single_scale").keys() == {"window", "scale_dropout"}
    assert not changed


def test_the_plain_network_costs_what_the_residual_one_does_and_the_ordinary_one_has_as_many_weights():
    data = from_pictures("noise", *[Labelled(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1))] * 2, "ab")
    setup = Setup(data, data.window, 0, None, 24.0)
    cost = {name: natural.multiply_adds(NETWORKS[name].build(setup), data) for name in MAIN[:2]}
    assert 0.9 < cost["plain_multi_scale"] / cost["residual_multi_scale"] < 1.1
    ours, theirs = (
        sum(value.numel() for value in NETWORKS[name].build(setup).parameters()) for name in (MAIN[0], MAIN[3])
    )
    assert 0.9 < theirs / ours < 1.1


def test_the_ordinary_network_sees_normalised_images(setup):
    torch.manual_seed(0)
    net = NETWORKS["resnet"].build(setup).eval()
    torch.manual_seed(0)
    bare = resnet(num_classes=2).eval()
    images = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(values)[:, None, None] for values in setup.moments)
    torch.testing.assert_close(net(images), bare((images - mean) / std))
    assert not torch.allclose(net(images), bare(images))  # the control


def test_the_command_trains_at_one_size_reads_all_and_its_weights_can_be_packed(command, tmp_path, monkeypatch):
    assert command("--seeds", "0", "1", "--fewer-channels", "1", "1", "--dropped-channels", "1") == 0
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(content["accuracy"]) == {"residual_multi_scale", "resnet_augmented"}
    sizes = [f"{2 ** (k / 4):.4f}" for k in range(-4, 5)]
    assert all(list(of) == sizes for of in content["accuracy"].values())
    ours, *_ = content["rows"]
    assert len(ours["selected_scale"]["sigma0"]) == 7
    assert all(sum(counts) == 6 for counts in ours["selected_scale"]["histogram"].values())
    report = (tmp_path / "out" / "report.md").read_text()
    assert f"| residual_multi_scale | {ours['parameters']} |" in report
    assert all((tmp_path / "out" / name).stat().st_size > 10_000 for name in ("accuracy.png", "selected_scale.png"))
    about = find_trained(tmp_path / "out" / "residual_multi_scale-seed1.safetensors").about
    assert (about["classes"], about["size"], about["colour"]) == (["ape", "cat"], 8, [128, 128, 128])  # for predict.py

    packed = ["pack", str(tmp_path / "out"), "--network", "residual_multi_scale-seed1", "--name", "apes"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *packed, "--output", str(tmp_path)])
    assert main() == 0
    card = (tmp_path / "apes.md").read_text()
    assert "1 finer and 1 coarser" in card
    assert f"| 0.8409 | {about['accuracy']['0.8409']:.1%} |" in card
    assert told_of_images(find_trained(tmp_path / "apes.safetensors").about, 2)["range"] == [0.0, 1.0]


def test_pictures_can_go_on_further_in_testing_than_in_training(command, tmp_path, capsys):
    def row():
        return next(iter(json.loads((tmp_path / "out" / "results.json").read_text())["rows"]))

    assert command() == 0
    here = row()
    assert command("--test-canvas", "24", "--resume") == 0
    wider = row()
    assert (wider["setting"].pop("test_canvas"), wider["train_seconds"]) == (24, here["train_seconds"])  # as trained
    assert wider["setting"] == here["setting"]
    assert command("--test-canvas", "16", "--resume") == 0  # the control: that of training
    assert row()["setting"] == here["setting"]
    for wrong in ("14", "17"):
        assert command("--test-canvas", wrong) == 2
        assert "mend: " in capsys.readouterr().err


def test_costs_are_measured_of_every_network_that_is_wanted(command, tmp_path, monkeypatch):
    monkeypatch.setattr(natural.costs, "Scope", partial(natural.costs.Scope, seconds=1e-4))
    assert command("--costs") == 0
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all(None not in natural.costs.fastest(times) for times in content["costs"].values())
    assert "–" not in (tmp_path / "out" / "report.md").read_text()


def test_rows_are_kept_of_the_same_setting_only(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"value": len(made)}

    for resume, setting, value in (
        (True, {"a": (1, 2)}, 1),
        (True, {"a": [1, 2]}, 1),
        (True, {"a": 2}, 2),
        (False, {"a": 2}, 3),
    ):
        assert Kept(tmp_path, resume).row("one", setting, make)["value"] == value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--networks", "alexnet"], "network 'alexnet'"),
        (["--fewer-channels", "4", "3"], "4 + 3 fewer"),
        (["--dropped-channels", "-1"], "dropped channels"),
        (["--threads", "0"], "threads"),
        (["--augment", "blur"], "augmentation 'blur'"),
    ],
)
def test_what_cannot_be_run_is_refused(command, capsys, arguments, said):
    assert command(*arguments) == 2
    assert said in capsys.readouterr().err
