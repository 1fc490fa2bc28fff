"""The benchmarks: the recipe of the data, what a run writes, and what an interrupted one leaves."""

import io
import json
import runpy
import sys
from argparse import ArgumentParser
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import data, generalisation, networks, results
from benchmarks.__main__ import main
from benchmarks.data.plain import Plain
from benchmarks.evaluation import evaluate
from benchmarks.reports import generalisation as report
from benchmarks.reports.runs import runs_in
from benchmarks.training import train
from scalegroup import Attention, Background, Mean, SpatialMax, nn
from scalegroup.models import PRESETS, Architecture, find_trained, gaussian_derivative_net, save_trained


@pytest.fixture
def run(monkeypatch):
    """The command on 20 + 10 of the digits and with two features per hidden layer, so that it takes a second."""
    few = replace(data.digits().first(train=20, test=10), name="few")
    monkeypatch.setitem(data.SOURCES, "few", lambda _: few)
    same = {part: getattr(few, part) for part in ("train", "test", "unit")}
    monkeypatch.setitem(data.SOURCES, "plain", lambda _: Plain(name="plain", canvas=few.unit, **same))
    narrow = {name: replace(preset, widths=(2,)) for name, preset in PRESETS.items()}
    monkeypatch.setattr(networks, "PRESETS", narrow)

    def run_it(folder, *more):
        command = ["benchmarks", "generalisation", "--data", "few", "--sizes", "0.7071", "1", "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", [*command, "--output", str(folder), *more])
        return main()

    return run_it


def interrupted(*_, **__):
    raise KeyboardInterrupt


def weights_in(folder):
    return load_file(folder / "multi_scale.safetensors")


def same_weights(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_networks_compared_are_the_preset_and_a_single_scale_one_of_the_training_size():
    parser = ArgumentParser()
    generalisation.add_arguments(parser)
    options = parser.parse_args(["--preset", "larger"])
    nets = {
        name: networks.build(architecture, seed=0)
        for name, architecture in networks.architectures_for(options, data.digits(), [2.0]).items()
    }
    assert {name: net.window.sigmas for name, net in nets.items()} == {
        "multi_scale": data.digits().window.sigmas,
        "single_scale": (2.0,),
    }
    for name, preset in (("multi_scale", "larger"), ("single_scale", "single_scale")):
        assert nets[name].parameter_count == gaussian_derivative_net(preset).parameter_count
        assert nets[name].architecture.boundary == Background(data.BACKGROUND)
    for option, value in (("sigma_single", 0.9), ("grid", "image"), ("pooling", "mean"), ("read_out", "spatial-max")):
        setattr(options, option, value)
    single = networks.architectures_for(options, data.digits(), [2.0])["single_scale"]
    assert (single.window.sigmas, single.grid, single.pooling, single.readout) == (
        (0.9,),
        "image",
        Mean(),
        SpatialMax(),
    )
    options.grid, options.samples_per_sigma, options.pooling = "self-similar", 1.0, "attention"
    assert networks.architectures_for(options, data.digits(), [2.0])["multi_scale"].pooling == Attention()
    assert networks.architectures_for(options, data.digits(), [2.0])["single_scale"].samples_per_sigma == 1.0
    options.read_out, options.field_of_view = "centre-pixel", 16.0
    assert {net.field_of_view for net in networks.architectures_for(options, data.digits(), [2.0]).values()} == {16.0}


def test_the_last_offset_starts_where_the_loss_needs_it_unless_it_is_given():
    parser = ArgumentParser()
    generalisation.add_arguments(parser)
    for more, start in (
        ((), 0.0),
        (("--loss", "binary-cross-entropy"), -5.0),
        (("--loss", "binary-cross-entropy", "--first-offset", "0"), 0.0),  # the paper's plain form
        (("--first-offset", "-2"), -2.0),
    ):
        nets = networks.architectures_for(parser.parse_args(more), data.digits(), [1.0])
        assert [net.first_offset for net in nets.values()] == [start, start]


def test_a_run_writes_what_it_promises_and_repeats_itself(run, tmp_path, capsys):
    for folder in ("first", "second"):
        assert run(tmp_path / folder, "--threads", "1") == 0
    first, second = (json.loads((tmp_path / f / "results.json").read_text()) for f in ("first", "second"))
    assert first["accuracy"] == second["accuracy"]
    assert first["selected_scale"] == second["selected_scale"]
    assert set(first["accuracy"]) == {"multi_scale", "single_scale"}
    assert list(first["accuracy"]["multi_scale"]) == ["0.7071", "1.0000"]
    assert all(0 <= value <= 1 for of in first["accuracy"].values() for value in of.values())
    assert sum(first["selected_scale"]["multi_scale"]["histogram"]["1.0000"]) == first["test_images"] == 10
    assert (first["train_size"], first["train_images"], first["seed"]) == (1.0, 20, 0)
    assert 0 < first["covariance_check"]["measured"] <= first["covariance_check"]["bound"]
    assert {"commit", "versions", "machine", "seconds", "data"} <= set(first)
    for name in ("accuracy.png", "selected_scale.png", "multi_scale.safetensors", "single_scale.safetensors"):
        assert (tmp_path / "first" / name).stat().st_size > 0
    assert same_weights(weights_in(tmp_path / "first"), weights_in(tmp_path / "second"))
    assert "covariance" in capsys.readouterr().out


def test_an_interrupted_run_leaves_earlier_results_whole(run, monkeypatch, tmp_path, capsys):
    assert run(tmp_path) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    monkeypatch.setattr(generalisation, "evaluate", interrupted)
    assert run(tmp_path, "--seed", "5") == 130
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    said = capsys.readouterr().err
    assert "earlier results in" in said
    assert "logs and checkpoints there are of this run" in said
    assert "--resume" in said
    # the checkpoint is of the new seed, which is also the control of runs that repeat themselves
    checkpoint = torch.load(tmp_path / "checkpoints" / "multi_scale.pt", weights_only=True)
    assert not same_weights(checkpoint["parts"]["net"], weights_in(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nothing"], "data set 'nothing'"),
        (["--preset", "huge"], "preset 'huge'"),
        (["--epochs", "0"], "epochs"),
        (["--sizes", "-1"], "size"),
        (["--threads", "0"], "threads"),
        (["--label-smoothing", "1"], "label smoothing"),
        (["--dropped-channels", "-1"], "dropped channels"),
        (["--output", "/proc/nowhere"], "output folder"),
        (["--loss", "none"], "loss 'none'"),
        (["--augment", "flip", "none"], "augmentation 'none'"),
        (["--augment", "colour"], "colour of objects"),
        (["--augment", "scale", "--train-size", "1+2"], "scale with a mixture"),
        (["--cut-share", "0.5", "--train-size", "1+2"], "--cut-share with a mixture"),
        (["--weight-decay", "-1"], "weight decay"),
        (["--batch", "0"], "batch"),
        (["--pooling", "none"], "pooling 'none'"),
        (["--read-out", "dense"], "read-out 'dense'"),
        (["--networks", "none"], "network 'none'"),
        (["--sigma-first", "-1"], "sigma first"),
        (["--sigma-single", "0"], "sigma single"),
        (["--channels", "0"], "channels"),
        (["--finer-channels", "-1"], "finer channels"),
        (["--coarser-channels", "-1"], "coarser channels"),
        (["--grid", "none"], "grid 'none'"),
        (["--samples-per-sigma", "0"], "samples_per_sigma"),
        (["--grid", "image", "--samples-per-sigma", "1"], "samples_per_sigma"),
        (["--sigma-first", "100"], "channels"),
        (["--train-size", "1", "1+0"], "train size"),
        (["--seeds", "0", "-1"], "seed"),
        (["--train-images", "21"], "21 train images"),
        (["--checkpoint-every", "0"], "checkpoint every"),
        (["--data", "mnist"], "'mnist' without a folder"),
        (["--data", "plain", "--sizes", "1", "2"], "size 2 of plain"),
        (["--data", "plain", "--train-size", "2"], "size 2 of plain"),
        (["--sizes", "0.01"], "0 pixels"),
        (["--sizes", "1e9"], "pixels"),
        (["--sizes", "1", "1.00001"], "a size twice"),
        (["--train-size", "1", "1"], "the same experiment twice"),
        (["--seeds", "2", "2"], "the same experiment twice"),
        (["--finer-channels", "300"], "a scale channel of σ₀"),
    ],
)
def test_bad_options_are_refused_before_any_computing(run, monkeypatch, tmp_path, capsys, arguments, said):
    monkeypatch.setattr(generalisation, "train", lambda *_, **__: pytest.fail("it began to compute"))
    assert run(tmp_path, *arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert all(word in message for word in ("got ", "expected ", "mend: "))


def test_the_command_says_that_it_runs_from_a_checkout(monkeypatch, capsys):
    monkeypatch.delitem(
        sys.modules, "benchmarks.__main__"
    )  # or else runpy warns: this is `python -m benchmarks --help`
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("benchmarks", run_name="__main__")
    assert left.value.code == 0
    assert "from a checkout" in capsys.readouterr().out


def test_scale_channel_dropout_trains_without_the_finest_channels_and_leaves_the_window(run, monkeypatch, tmp_path):
    seen = []
    convolve = nn.JetConv.forward

    def watched(layer, field):
        seen.append((layer.training, field.window))
        return convolve(layer, field)

    monkeypatch.setattr(nn.JetConv, "forward", watched)
    assert run(tmp_path, "--epochs", "16", "--dropped-channels", "3") == 0
    whole = data.digits().window
    trained = {window.first for training, window in seen if training and window.channels > 1}
    assert trained == {whole.first + dropped for dropped in range(4)}
    wider = networks.window_for(whole, whole.sigmas[0] / 2**0.5, whole.channels + 1)
    assert wider.sigmas[0] == pytest.approx(networks.FINEST)
    assert {window for training, window in seen if not training and window.channels > 1} == {wider}
    content = json.loads((tmp_path / "results.json").read_text())
    assert {name: of["scale_dropout"] for name, of in content["network"].items()} == {
        "multi_scale": 3,
        "single_scale": 0,
    }
    assert "dropped_channels" not in content["training"]  # it is told once
    assert dict(runs_in(content)[0].setting)["dropped channels"] == "3"
    seen.clear()
    assert run(tmp_path, "--dropped-channels", "0", "--finer-channels", "0") == 0  # the control
    assert {window for _, window in seen if window.channels > 1} == {whole}


def test_channels_are_added_to_what_was_trained_and_change_no_weight(run, tmp_path):
    folders = {count: tmp_path / count for count in ("0", "3")}
    assert run(folders["0"], "--finer-channels", "0") == 0
    assert run(folders["3"], "--finer-channels", "3", "--coarser-channels", "1") == 0
    content = json.loads((folders["3"] / "results.json").read_text())
    assert content["finer_channels"] == {"multi_scale": 3, "single_scale": 0}
    assert content["coarser_channels"] == {"multi_scale": 1, "single_scale": 0}
    few, more = (
        {name: gaussian_derivative_net(weights=folder / f"{name}.safetensors") for name in networks.NETWORKS}
        for folder in folders.values()
    )
    assert same_weights(few["multi_scale"].state_dict(), more["multi_scale"].state_dict())
    assert more["multi_scale"].window.sigmas[3:-1] == few["multi_scale"].window.sigmas
    assert more["single_scale"].window == few["single_scale"].window  # which is compared as what it is
    shared = few["multi_scale"].window
    images = data.digits().draw("test", 1.0).images[:2]
    torch.testing.assert_close(more["multi_scale"](images, window=shared), few["multi_scale"](images))


def test_each_training_size_and_seed_is_an_experiment_of_its_own(run, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "draw", lambda *_: [])  # slow, and not what this is about
    command = ["--train-size", "1", "1+2", "--seeds", "0", "3", "--networks", "multi_scale", "--sizes", "1"]
    assert run(tmp_path, *command) == 0
    found = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/results.json")}
    assert {name: (of["train_size"], of["seed"], of["train_images"]) for name, of in found.items()} == {
        "size1-seed0": (1.0, 0, 20),
        "size1-seed3": (1.0, 3, 20),
        "size1+2-seed0": ([1.0, 2.0], 0, 40),
        "size1+2-seed3": ([1.0, 2.0], 3, 40),
    }
    weights = [weights_in(tmp_path / name) for name in found]
    assert not any(same_weights(weights[0], other) for other in weights[1:])
    # what is done is not done again, what is not done is
    (tmp_path / "size1-seed3" / "results.json").unlink()
    trained = []
    monkeypatch.setattr(
        generalisation,
        "train",
        lambda *arguments, **others: trained.append(others["folder"]) or train(*arguments, **others),
    )
    capsys.readouterr()
    assert run(tmp_path, *command, "--resume") == 0
    assert [folder.name for folder in trained] == ["size1-seed3"]
    assert capsys.readouterr().out.count("done before") == 3
    assert run(tmp_path, *command, "--resume", "--sizes", "2") == 0  # the control: other test sizes
    assert len(trained) == 5


def experiment(folder, options):
    """As `generalisation` makes it, with networks that have no weights."""
    return generalisation.Experiment((1.0,), 0, folder, {}, None), generalisation._told_options(options)


def test_what_was_done_with_any_other_option_was_not_done(tmp_path):
    parser = ArgumentParser()
    generalisation.add_arguments(parser)
    options = parser.parse_args([])
    wanted, told = experiment(tmp_path, options)
    kept = {"options": told, "train_size": 1.0, "seed": 0, "weights": {}}
    results.save_json(kept, tmp_path / "results.json")
    assert wanted.is_done(told)
    assert not replace(wanted, train_sizes=(1.0, 2.0)).is_done(told)
    assert not replace(wanted, seed=1).is_done(told)
    for name in vars(options):
        assert wanted.is_done(told | {name: "other"}) == (name in generalisation._INCIDENTAL)


def test_what_was_done_is_done_again_without_its_weights_or_over_those_of_another_run(
    run, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(report, "draw", lambda *_: [])
    command = (tmp_path, "--networks", "multi_scale", "--sizes", "1", "--resume")
    weights = tmp_path / "multi_scale.safetensors"
    assert run(*command) == 0
    whole = weights.read_bytes()
    changes = (
        (lambda: None, True),
        (weights.unlink, False),
        (lambda: weights.write_bytes(b"damaged"), False),
        (lambda: save_trained(gaussian_derivative_net("single_scale"), weights), False),
        (lambda: weights.write_bytes(whole), True),
    )
    for change, done in changes:
        change()
        capsys.readouterr()
        assert run(*command) == 0
        assert ("done before" in capsys.readouterr().out) == done
        assert weights.read_bytes() == whole


def test_a_second_run_into_a_folder_is_refused_while_the_first_one_runs(run, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(generalisation, "_run", lambda *_: pytest.fail("it began"))
    with results.alone_in(tmp_path / "one"):
        assert run(tmp_path / "one") == 2
        assert "another run" in capsys.readouterr().err
    begun = []
    monkeypatch.setattr(generalisation, "_run", lambda *_: begun.append(1))
    with results.alone_in(tmp_path / "one"):
        assert run(tmp_path / "other") == 0  # the controls: another folder, and after the first one's end
    assert run(tmp_path / "one") == 0
    assert len(begun) == 2
    assert not list(tmp_path.iterdir())  # nothing is left where nothing was written


def test_a_terminal_without_greek_ends_no_run(run, monkeypatch, tmp_path):
    monkeypatch.setattr(generalisation, "train", interrupted)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert run(tmp_path) == 130
    terminal.seek(0)
    assert "8 scale channels with \\u03c3" in terminal.read()


def test_sizes_that_print_alike_have_folders_of_their_own(run, monkeypatch, tmp_path):
    folders = []
    monkeypatch.setattr(generalisation, "_run", lambda experiment, *_: folders.append(experiment.folder.name))
    assert run(tmp_path, "--train-size", "1", "1.0000001", "1.5+2") == 0
    assert folders == ["size1-seed0", "size1.0000001-seed0", "size1.5+2-seed0"]


def test_results_name_no_folder_of_this_machine(run, tmp_path):
    root = tmp_path / "private"
    root.mkdir()
    assert run(tmp_path / "out", "--data-root", str(root), "--networks", "multi_scale", "--cache", "kept/here") == 0
    text = (tmp_path / "out" / "results.json").read_text()
    assert str(tmp_path) not in text
    assert "--output OUTPUT --data-root DATA_ROOT" in text
    assert "--cache kept/here" in text  # the control: a folder that anybody can have


def test_channels_that_are_asked_for_lie_on_the_windows_own_grid():
    window = data.digits().window
    wider = networks.window_for(window, 0.35, 11)
    assert (wider.first, wider.channels) == (-3, 11)
    assert wider.overlap(window) == wider.select(1, 9)
    assert networks.window_for(window, None, None) == window


def test_truncation_is_measured_on_the_weights_of_a_run(run, monkeypatch, tmp_path):
    assert run(tmp_path / "trained") == 0
    weights = tmp_path / "trained" / "multi_scale.safetensors"
    arguments = ["benchmarks", "truncation", "--data", "few", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--weights", str(weights)])
    assert main() == 0
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    reaches = [row["radius at σ = 4, in σ"] for row in rows]
    assert len(set(reaches)) > 3
    assert reaches == sorted(reaches)
    assert all(0 <= row["accuracy at size 1"] <= 1 for row in rows)
    monkeypatch.setattr(sys, "argv", [*arguments, "--weights", str(tmp_path / "nothing")])
    assert main() == 2


def test_a_packed_network_is_the_one_that_was_trained(run, monkeypatch, tmp_path, capsys):
    assert run(tmp_path / "run", "--sigma-first", "0.35", "--channels", "9", "--read-out", "spatial-max") == 0
    command = ["benchmarks", "pack", str(tmp_path / "run"), "--output", str(tmp_path / "packed")]
    monkeypatch.setattr(sys, "argv", [*command, "--name", "few-digits", "--range", "-0.763", "0.763"])
    assert main() == 0
    monkeypatch.setattr("scalegroup.models.weights.PRETRAINED", tmp_path / "packed")
    net = gaussian_derivative_net(weights="few-digits")
    assert find_trained("few-digits").about["range"] == [-0.763, 0.763]
    assert same_weights(net.state_dict(), weights_in(tmp_path / "run"))
    assert (net.window.first, net.window.channels, net.architecture.readout) == (-3, 9, SpatialMax())
    drawn = data.SOURCES["few"](None).draw("test", 1.0)
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    assert Architecture.told(content["network"]["multi_scale"]) == net.architecture
    assert evaluate(net, drawn.images, drawn.labels).accuracy == content["accuracy"]["multi_scale"]["1.0000"]
    card = (tmp_path / "packed" / "few-digits.md").read_text()
    said = ("20 training images", "| 0.7071 | ", "seed 0", content["commit"], "Background(", "dropout of 2 at most")
    assert all(words in card for words in said)
    capsys.readouterr()
    for arguments, said in (
        (["--name", "No Name"], "name 'No Name'"),
        (["--name", "x", "--network", "other"], "other"),
        (["--name", "x", "--range", "1", "0"], "range"),
        (["--name", "x", "--classes", "cat"], "classes"),
    ):
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        assert main() == 2
        assert said in capsys.readouterr().err
    weights = tmp_path / "run" / "multi_scale.safetensors"
    monkeypatch.setattr(sys, "argv", [*command, "--name", "x"])
    save_trained(net, weights, {"data": "something else"})
    for said in ("says nothing of", "multi_scale.safetensors"):
        assert main() == 2
        assert said in capsys.readouterr().err
        weights.write_bytes(b"")
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == ["few-digits.md", "few-digits.safetensors"]
