"""The comparison: every network is there and runs anywhere, its rows are whole, and what fails is a row, not an end."""

import json
import math
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import costs, data, memory, steps, study
from benchmarks.__main__ import main
from benchmarks.geometry import random_cut, random_scaling, warp
from benchmarks.peers import PARAMETERS, WIDTHS, all_peers, windows
from benchmarks.reports import compare as compare_report
from proofs_tests import processes
from scalegroup import Background, ScaleGroupError, nn
from scalegroup.models import gaussian_derivative_net

SOURCE = data.digits()
REQUIRED = {
    *("plain_cnn_3x3", "plain_cnn_5x5", "plain_cnn_3x3_augmented"),
    *("escnn_trivial", "escnn_c4", "escnn_c8", "escnn_d4"),
    *("scale_channel_cnn", "riesz", "steerable_hermite"),
    *("gaussian_derivative_larger", "gaussian_derivative_default", "rotation_scale"),
}
PEERS = all_peers()
NEED_ESCNN = {name for name in PEERS if name.startswith("escnn")}


def build(name, **options):
    if name in NEED_ESCNN:
        pytest.importorskip("escnn")
    return PEERS[name].build(SOURCE, **options)


# -- the networks ------------------------------------------------------------------------------------------------------


def test_every_row_that_was_asked_for_is_there():
    assert set(PEERS) >= REQUIRED
    assert PEERS["plain_cnn_3x3_augmented"].augmented
    assert not PEERS["plain_cnn_3x3"].augmented


@pytest.mark.parametrize("name", [name for name in PEERS if name not in NEED_ESCNN])  # escnn looks at values itself
def test_no_network_builds_a_tensor_on_another_device(name):
    """A forward pass on the meta device, in training and evaluation: a tensor of the CPU would not mix with it."""
    net = build(name, narrow=True).to("meta")
    images = torch.empty(3, 1, 65, 65, device="meta")
    for mode in (True, False):
        scores = net.train(mode)(images)
        assert scores.device.type == "meta"
        assert scores.shape == (3, 10)
    with pytest.raises((RuntimeError, ScaleGroupError)):  # the control
        net(torch.zeros(3, 1, 65, 65))


@pytest.mark.parametrize("name", [name for name in PEERS if name not in NEED_ESCNN])
def test_scale_channel_dropout_is_of_our_networks_of_several_channels_and_of_training_alone(name):
    """What is measured is the whole network, of which nothing is left to chance."""
    kinds = [
        {type(part) for part in build(name, narrow=True, to_train=to_train).modules()} for to_train in (True, False)
    ]
    several = name in ("gaussian_derivative_larger", "gaussian_derivative_default", "rotation_scale")
    assert [nn.ScaleDropout in of for of in kinds] == [several, False]


def test_equal_parameters_are_equal_and_equal_widths_are_not():
    pytest.importorskip("escnn")
    assert sum(p.numel() for p in gaussian_derivative_net("larger").parameters()) == PARAMETERS
    for name in ("escnn_trivial", "escnn_c4", "escnn_c8", "escnn_d4"):
        same, wide = (
            sum(p.numel() for p in PEERS[of].build(SOURCE).parameters()) for of in (f"{name}_equal_parameters", name)
        )
        assert same == pytest.approx(PARAMETERS, rel=0.04)
        assert wide != pytest.approx(PARAMETERS, rel=0.04)
        assert PEERS[name].widths == WIDTHS


def test_windows_of_other_lengths_are_about_the_same_scales():
    own = SOURCE.window
    for count, window in windows(SOURCE).items():
        assert window.channels == count
        assert abs((window.first + window.labels[-1]) - (own.first + own.labels[-1])) <= 1


# -- scaled and turned images ------------------------------------------------------------------------------------------


def test_warping_back_is_the_identity_away_from_the_border():
    images = SOURCE.draw("test", 1.0).images[:4].double()
    factors, angles = torch.tensor([1.0, 1.5, 2.0, 1.2]).double(), torch.tensor([0.0, 0.4, 1.0, 3.0]).double()
    there = warp(images, factors=factors, angles=angles, boundary=SOURCE.boundary)
    turned_back = warp(there, factors=1 / factors, angles=-angles, boundary=SOURCE.boundary)
    # scaling and turning commute, so the inverse is this; bilinear twice leaves a few percent
    assert (turned_back - images).norm() < 0.15 * (images - SOURCE.background).norm()
    assert (there - images).norm() > 0.3 * (images - SOURCE.background).norm()


@pytest.mark.parametrize("size", [(9, 9), (8, 12)])
def test_half_turns_and_the_identity_are_exact(size):
    images = torch.randn(2, 1, *size, dtype=torch.float64)
    one = torch.ones(2, dtype=torch.float64)
    for angle, expected in ((0.0, images), (math.pi, images.rot90(2, (2, 3)))):
        got = warp(images, factors=one, angles=angle * one, boundary=Background(0.3))
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)


def test_warped_objects_are_those_drawn_at_the_other_size():
    small, large = (SOURCE.draw("test", size).images[:8] for size in (1.0, 2.0))
    factors = torch.full((8,), 2.0)

    def error(factor):
        scaled = warp(small, factors=factor * factors, angles=torch.zeros(8), boundary=SOURCE.boundary)
        return ((scaled - large).norm() / (large - SOURCE.background).norm()).item()

    assert error(1.0) < 0.2  # drawn by bicubic interpolation and smoothed, here bilinear: .15
    assert error(1.2) > 0.4  # the control


def test_augmentation_is_a_function_of_its_generator():
    images = SOURCE.draw("train", 1.0).images[:6]
    augment = random_scaling(0.5, 4.0, SOURCE.boundary)
    first, same, other = (augment(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.allclose(first[..., 0, 0], images[..., 0, 0])  # the background stays


def test_cutting_leaves_a_central_square_of_some_images_and_changes_no_size():
    images = SOURCE.draw("train", 2.0).images[:200]
    unit = 2.0 * SOURCE.unit
    cut = random_cut(0.3, unit, SOURCE.boundary)(images, torch.Generator().manual_seed(0))
    changed = (cut != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.1)
    assert torch.equal(cut[~changed], images[~changed])
    offsets = (torch.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2).abs()
    inner, outer = offsets <= 0.45 * unit / 2, offsets > 0.75 * unit / 2
    assert torch.equal(cut[..., inner, :][..., inner], images[..., inner, :][..., inner])
    assert (cut[changed][..., outer, :] == SOURCE.background).all()
    assert not (images[changed][..., outer, :] == SOURCE.background).all()  # the control


# -- costs -------------------------------------------------------------------------------------------------------------

BENCH = costs.Bench((1, 24, 24), 10, "cpu", 1, costs.Scope(batch=2, memory_batch=2, seconds=1e-4, most_images=8))


def small():
    return PEERS["plain_cnn_3x3"].build(SOURCE, narrow=True)


def test_costs_have_every_way_and_pass():
    rows = BENCH.times(small)
    assert {(row["way"], row["pass"], row["batch"]) for row in rows} == {
        *((way.name, which, 2) for way in costs.CPU_WAYS for which in ("train", "inference")),
        ("as it is", "inference", 1),
    }
    assert all(row["median_ms"] > 0 and not row["error"] for row in rows)
    assert [row["batch"] for row in BENCH.sweep(small)] == [1, 2, 4, 8]


def test_missing_memory_is_a_row_and_ends_the_sweep(monkeypatch):
    measure = steps.measure
    calls = []

    def limited(step, **options):
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 80 GiB")
        return measure(step, **options)

    monkeypatch.setattr(steps, "measure", limited)
    rows = list(BENCH.sweep(small))
    assert [row["error"] for row in rows] == [None, None, "out of memory"]
    monkeypatch.setattr(steps, "measure", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):  # the control: no other fault is hidden
        BENCH.times(small)


# -- the command -------------------------------------------------------------------------------------------------------


def run(monkeypatch, *arguments):
    monkeypatch.setenv("GLIBC_TUNABLES", "as it is")  # the command would start itself anew
    monkeypatch.setattr(sys, "argv", ["benchmarks", "compare", *map(str, arguments)])
    return main()


COSTED = ("rotation_scale", "escnn_c4")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """`compare --quick`, run once; costs of three networks only, as memory is measured in processes of their own."""
    folder = tmp_path_factory.mktemp("compare")
    always = ("--quick", "--threads", 1, "--resume", "--cache", folder / "c")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(memory, "subprocess", SimpleNamespace(run=processes.forked))
        assert run(patch, *always, "--without-costs", "--json", folder / "results.json") == 0
        assert run(patch, *always, "--networks", *COSTED, "--json", folder / "costs.json") == 0
    return folder


def test_the_quick_form_has_every_row_whole(quick):
    content = json.loads((quick / "results.json").read_text())
    assert list(content["rows"]) == list(PEERS)
    for name, row in content["rows"].items():
        if row["error"]:
            assert name in NEED_ESCNN
            assert "pip install 'scalegroup[escnn]'" in row["error"]  # how to have it
            continue
        assert set(row["accuracy"]) == {"0.5000", "1.0000", "2.0000"}
        assert set(row["rotated"]) == {"0", "90"}
        assert set(row["covariance_error"]) == {"1.4142", "2.0000"}
        assert set(row["rotation_error"]) == {"45", "90"}
        assert row["parameters"] > 0
        assert row["commit"]
    larger = content["rows"]["gaussian_derivative_larger"]
    assert larger["setting"]["trained_with"] == {"scale_dropout": 2}
    assert content["rows"]["plain_cnn_3x3"]["setting"]["trained_with"] == {}
    assert set(larger["accuracy_by_channels"]) == {"4", "8", "12"}
    assert larger["accuracy_by_channels"]["8"] == larger["accuracy"]
    assert content["rows"]["rotation_scale"]["rotation_error"]["90"] < 1e-4  # float32
    assert content["rows"]["rotation_scale"]["rotated"]["90"] == content["rows"]["rotation_scale"]["rotated"]["0"]
    assert content["rows"]["plain_cnn_3x3"]["rotation_error"]["90"] > 0.1  # the control
    assert (quick / "results.png").stat().st_size > 10_000
    assert "| rotation_scale |" in (quick / "results.md").read_text()


def test_costs_are_measured_of_every_row_that_is_wanted(quick):
    rows = json.loads((quick / "costs.json").read_text())["rows"]
    assert tuple(rows) == COSTED
    for row in rows.values():
        if not row["error"]:
            assert row["costs"]["construction_seconds"] > 0
            assert row["costs"]["memory"]["peak_bytes"] > 0
            assert {time["error"] for time in row["costs"]["times"]} == {None}
            assert row["costs"]["error"] is None


def test_rows_that_are_done_are_kept_with_resume_and_only_for_the_same_setting(quick, monkeypatch):
    monkeypatch.chdir(quick)
    monkeypatch.setattr(study, "train", lambda *_, **__: pytest.fail("trained again"))
    chosen = ("--networks", "plain_cnn_3x3", "--resume", "--without-costs", "--cache", quick / "c")
    again = quick / "results2.json"
    assert run(monkeypatch, "--quick", *chosen, "--json", again) == 0
    before = json.loads((quick / "results.json").read_text())["rows"]["plain_cnn_3x3"]
    assert json.loads(again.read_text())["rows"] == {"plain_cnn_3x3": before}
    with pytest.raises(pytest.fail.Exception):  # the control: another seed is another row
        run(monkeypatch, "--quick", "--seeds", 1, *chosen, "--json", again)


def test_rows_are_means_over_seeds(quick, monkeypatch):
    monkeypatch.chdir(quick)
    chosen = ("--networks", "plain_cnn_3x3", "--resume", "--without-costs", "--cache", quick / "c", "--threads", 1)
    assert run(monkeypatch, "--quick", *chosen, "--seeds", 0, 1, "--json", quick / "seeds.json") == 0
    content = json.loads((quick / "seeds.json").read_text())
    row, alone = content["rows"]["plain_cnn_3x3"], json.loads((quick / "results.json").read_text())["rows"]
    assert row["by_seed"][0]["accuracy"] == alone["plain_cnn_3x3"]["accuracy"]
    assert row["by_seed"][0]["rotation_error"] != row["by_seed"][1]["rotation_error"]
    for part in ("accuracy", "rotated", "rotation_error"):
        for key, value in row[part].items():
            assert value == pytest.approx(sum(of[part][key] for of in row["by_seed"]) / 2)
    assert "means over seeds 0, 1" in (quick / "seeds.md").read_text()


def test_a_familys_rate_is_the_best_on_images_held_out_of_its_training(quick, monkeypatch):
    monkeypatch.chdir(quick)
    found = iter((0.5, 0.7, 0.6))
    monkeypatch.setattr(study, "accuracy", lambda *_: next(found, 0.0))
    drawn = []
    train = study.train
    monkeypatch.setattr(
        study,
        "train",
        lambda name, net, of, recipe, **how: drawn.append((name, recipe)) or train(name, net, of, recipe, **how),
    )
    chosen = ("--networks", "plain_cnn_5x5", "--without-costs", "--cache", quick / "c", "--threads", 1)
    assert run(monkeypatch, "--quick", *chosen, "--choose", 30, "--json", quick / "chosen" / "results.json") == 0
    assert [recipe.highest_rate for _, recipe in drawn] == [*study.RATES, study.RATES[1]]
    content = json.loads((quick / "chosen" / "results.json").read_text())
    assert content["setting"]["recipes"]["plain_cnn"]["highest_rate"] == study.RATES[1]
    assert content["rows"]["plain_cnn_5x5"]["highest_rate"] == study.RATES[1]
    tried = json.loads((quick / "chosen" / "rows" / "choice-plain_cnn-rate0.01.json").read_text())
    assert tried["setting"]["data"] == "digits-validation"


def test_table_and_figure_come_from_the_file_alone(quick, tmp_path):
    content = json.loads((quick / "results.json").read_text())
    compare_report.write(content, tmp_path / "again.json")
    assert (tmp_path / "again.md").read_text() == (quick / "results.md").read_text()
    content["rows"]["riesz"] = {"error": "no such package"}
    row = next(row for row in compare_report.table(content).rows if row[0] == "riesz")
    assert set(row[1:]) == {"–"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--networks", "resnet"], "network 'resnet'"),
        (["--epochs", "0"], "epochs"),
        (["--train-size", "-1"], "train size"),
        (["--threads", "0"], "threads"),
        (["--device", "cuda"], "device cuda"),
    ],
)
def test_what_cannot_be_is_refused_before_training(monkeypatch, capsys, tmp_path, arguments, said):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is one")
    assert run(monkeypatch, "--json", tmp_path / "r.json", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
