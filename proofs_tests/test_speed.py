"""The speed benchmark: its yardsticks are the same network, its file has every row; no time is asserted."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from subprocess import CompletedProcess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks import allocator, contenders, memory, speed, steps, timing, yardsticks
from benchmarks.__main__ import main
from benchmarks.baseline import Baseline
from benchmarks.baselines import plain_cnn, steerable_cnn
from benchmarks.reports.speed import headlines
from proofs_tests import processes
from scalegroup import DiscreteGaussian, ScaleGroup, ScaleGroupError, ScaleWindow, Zero, functional
from scalegroup.jets import gaussian
from scalegroup.models import gaussian_derivative_net
from scalegroup.nn import BatchNorm, JetConv

WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=2, first=-1)
LAYERS = (yardsticks.TextbookLayer, yardsticks.DenseLayer)
TINY = replace(
    speed.QUICK,
    window=WINDOW,
    widths=(8, 8),
    size=24,
    batch=2,
    turns=1,
    seconds=1e-4,
    slow_seconds=1e-4,
    sizes=(16, 24),
    channels=(1, 2),
    memory_batch=2,
)


@dataclass(frozen=True)
class CutAt(DiscreteGaussian):
    """The discrete Gaussian cut where a yardstick cuts it."""

    radius: float = 4.0

    def build(self, sigma: float, order: int) -> np.ndarray:
        return gaussian.normalised(gaussian.discrete_gaussian(sigma, int(np.ceil(self.radius * sigma))))


# -- yardsticks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.6])
def test_a_layer_of_a_yardstick_is_jet_conv_away_from_the_border(kind, sigma):
    layer = kind(3, 4, beta=1.25).double()
    torch.nn.init.normal_(layer.offset)
    images = torch.randn(2, 3, 33, 30, dtype=torch.float64)
    kernel = CutAt(radius=kind.radius)
    margin = kernel.reach(1.25 * sigma)

    def error(coefficients):
        expected = functional.jet_conv(images, coefficients, layer.offset, sigma=1.25 * sigma, kernel=kernel)
        difference = layer(images, sigma) - expected
        return difference[..., margin:-margin, margin:-margin].abs().max()

    assert error(layer.coefficients) < 1e-12
    without_the_two = layer.coefficients * torch.tensor([1.0, 1.0, 1.0, 0.5, 1.0])  # the control
    assert error(without_the_two) > 1e-3


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("training", "widths"), [(False, (3, 4)), (True, (3,))])
def test_a_yardstick_is_the_network_where_the_border_is_far(kind, training, widths):
    """In training only to the first batch norm: it makes a border, and statistics are of whole maps."""
    kernel = CutAt(radius=kind.radius)
    net = gaussian_derivative_net(widths=widths, window=WINDOW, kernel=kernel, boundary=Zero(), grid="image")
    other = yardsticks.JetNetwork(kind, WINDOW, widths)
    net.double().train(training), other.double().train(training)
    jets = [layer for layer in net.layers if isinstance(layer, JetConv)]
    with torch.no_grad():
        for ours, theirs in zip(jets, other.layers, strict=True):
            theirs.coefficients.copy_(ours.coefficients)
            theirs.offset.copy_(ours.offset)
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            layer.half_width = float("inf")
    images = torch.zeros(2, 1, 65, 65, dtype=torch.float64)
    images[..., 25:40, 25:40].normal_()
    scores = net(images)

    def error():
        return (scores - other(images)).abs().max() / scores.abs().max()

    assert error() < 1e-10
    with torch.no_grad():
        other.layers[0].coefficients[..., 3] *= 2  # the control
    assert error() > 1e-2


def test_baselines_have_the_widths_and_look_at_the_centre():
    net = plain_cnn((4, 6), kernel_size=5).eval()
    assert [tuple(layer.weight.shape[:2]) for layer in net.body[::3]] == [(4, 1), (6, 4), (10, 6)]
    images = torch.randn(2, 1, 31, 31)
    changed = images.clone()
    changed[..., :5] = 0
    assert torch.equal(net(images), net(changed))  # beyond the reach of three layers
    changed[..., 15, 15] += 1
    assert not torch.equal(net(images), net(changed))  # the control
    for wrong in ({"kernel_size": 4}, {"kernel_size": 0}, {"num_classes": 0}, {"in_channels": 1.5}, {"widths": (0,)}):
        with pytest.raises(ScaleGroupError):
            plain_cnn(**wrong)


# -- measuring --------------------------------------------------------------------------------------------------------


def test_exponent_of_a_power_law_is_found():
    values = np.array([1.0, 2.0, 5.0, 12.0])
    for power in (-1.0, 0.5, 1.0, 2.0):
        assert timing.exponent(values, 3 * values**power) == pytest.approx(power)
    assert timing.exponent(values, values**1.1) != pytest.approx(1.0)  # the control


def test_a_timing_is_given_per_image_with_its_spread():
    found = timing.per_image([0.4, 0.8, 0.88, 0.72, 4.0], 8)
    assert found.pop("times_ms") == pytest.approx([50.0, 100.0, 110.0, 90.0, 500.0])
    assert found == pytest.approx({"median_ms": 100.0, "iqr_ms": 20.0, "best_ms": 50.0})


def test_a_row_measured_in_turns_has_the_times_of_all():
    turns = [{"name": "a"} | timing.per_image(times, 1) for times in ([0.1, 0.1], [0.3, 0.3, 0.3], [0.2])]
    assert timing.joined(turns) == {"name": "a"} | timing.per_image([0.1, 0.1, 0.3, 0.3, 0.3, 0.2], 1)
    failed = {"name": "a", "median_ms": None, "error": "out of memory"}
    assert timing.joined([turns[0], failed]) == failed


def test_who_is_compared_takes_turns_but_for_the_slow(monkeypatch):
    bench = speed.Bench(replace(TINY, turns=3), "cpu", 1, Console(quiet=True))
    measured = []

    def time(contender, **_):
        measured.append(contender.name)
        return [{"name": contender.name} | timing.per_image([len(measured)], 1)]

    monkeypatch.setattr(speed.Bench, "time", lambda _, contender, **how: time(contender, **how))
    standard = contenders.ours(WINDOW, (4,))
    chosen = [(replace(standard, name=name, slow=name.startswith("slow")), {}) for name in ("a", "slow b", "c")]
    rows = list(bench._in_turns(chosen, section="networks", passes=("train",)))
    assert measured == ["a", "c", "a", "slow b", "c", "a", "c"]
    assert [(row["name"], len(row["times_ms"])) for row in rows] == [("a", 3), ("slow b", 1), ("c", 3)]


def test_steps_train_and_infer():
    net = plain_cnn((4,))
    images, labels = torch.randn(2, 1, 16, 16), torch.tensor([1, 2])
    steps.training_step(net, contenders.call, images, labels)()
    assert net.training
    assert all(value.grad is not None for value in net.parameters())
    seen = []
    steps.inference(net, lambda net, _: seen.append((torch.is_grad_enabled(), net.training)), images)()
    assert seen == [(False, False)]


def test_memory_of_a_step_grows_with_the_batch(monkeypatch):
    monkeypatch.setattr(memory, "subprocess", SimpleNamespace(run=processes.forked))
    options = {"widths": [4], "samples_per_sigma": 1.0}
    setting = {"size": 112, "device": "cpu", "threads": 1}
    assert memory.measure(options, batch=16, **setting) > memory.measure(options, batch=1, **setting) > 0


def test_a_step_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(memory.subprocess, "run", lambda *_, **__: CompletedProcess([], 1, "", "Traceback\nBad: no"))
    with pytest.raises(ScaleGroupError, match="Bad: no"):
        memory.measure({}, batch=1, size=9, device="cpu", threads=1)
    monkeypatch.setattr(memory.subprocess, "run", lambda *_, **__: CompletedProcess([], -9, "", ""))  # killed
    with pytest.raises(ScaleGroupError, match="exit status -9"):
        memory.measure({}, batch=1, size=9, device="cpu", threads=1)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, tmp_path):
    """`python -m benchmarks speed --quick` in a tiny scope, without starting anew, into a folder of its own."""
    path = tmp_path / "new" / "speed.json"
    monkeypatch.setattr(speed, "QUICK", TINY)
    monkeypatch.setenv(allocator.NAME, "chosen")
    monkeypatch.setattr(memory, "measure", lambda options, **_: 2000 - 1000 * options.get("checkpointing", False))

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "speed", "--quick", "--json", str(path), *more])
        return main()

    run.path = path
    return run


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    """A commit whose larger network is one convolution; it tells how it was called."""
    monkeypatch.setattr(memory, "subprocess", SimpleNamespace(run=processes.forked))
    package = tmp_path / "older" / "scalegroup"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "class Background:\n    def __init__(self, value):\n        self.value = value\n"
    )
    (package / "models.py").write_text(
        "import torch\n\n\ndef gaussian_derivative_net(preset, *, boundary):\n"
        "    assert preset == 'larger' and boundary.value < 0\n"
        "    flat = torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten())\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(1, 10, 3), flat)\n"
    )
    folder = package.parent
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "one convolution"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def no_escnn(monkeypatch):
    for name in ("escnn", "escnn.gspaces", "escnn.nn"):
        monkeypatch.setitem(sys.modules, name, None)


def test_the_file_has_every_row_with_its_setting(command, monkeypatch, capsys, checkout):
    no_escnn(monkeypatch)
    assert command("--threads", "1", "--baseline", str(checkout)) == 0
    text = command.path.read_text()
    assert str(checkout.parent) not in text  # no place on this machine
    content, baseline = json.loads(text), Baseline.of(checkout).name
    sections = {}
    for row in content["rows"]:
        sections.setdefault(row["section"], []).append((row["name"], row["pass"]))
    ours = [f"ours, g {g}" for g in ("0.5", "0.707", "1")]
    kinds = ("CNN 3×3", "CNN 5×5", "halved CNN 3×3")
    cnns = [f"{kind}, {name}" for kind in kinds for name in ("contiguous", "channels-last")]
    escnn = [f"escnn C{order}, equal width" for order in (1, 4, 8)]
    networks = [baseline, *ours, *cnns, *escnn, "grid image", "textbook"]
    assert sections.pop("networks") == [(name, which) for name in networks for which in ("train", "inference")]
    assert sections.pop("batch 1") == [(name, "inference") for name in (baseline, *ours, *cnns)]
    both = [(name, which) for name in (contenders.OURS, "dense kernels") for which in ("train", "inference")]
    assert sections == {f"the scale channel σ₀ = {sigma} alone": both for sigma in ("0.707", "1")}
    for row in content["rows"]:
        assert {"batch", "size", "threads", "device", "boundary"} <= set(row)
        assert {"widths", "kernel"} <= set(row) or row["name"] == baseline
        if row["name"].startswith("escnn"):
            assert "pip install 'scalegroup[escnn]'" in row["error"]
        else:
            assert row["error"] is None
            assert row["median_ms"] > 0
            assert (row["parameters"] == 100) == (row["name"] == baseline)  # its one convolution's: by its own code
        assert ("fraction_of_peak" in row) == row["name"].startswith(("ours", "grid image"))
    over = {sweep["over"]: [row["value"] for row in sweep["rows"]] for sweep in content["sweeps"]}
    assert over == {"pixels": [256, 576], "scale channels": [1, 2], "images a step": [1, 4], "threads": [1, 2]}
    assert all(isinstance(sweep["exponent"], float) for sweep in content["sweeps"])
    *peaks, of_baseline = [row["peak_bytes"] for row in content["memory"]]
    assert peaks == [2000, 1000]
    assert of_baseline > 0
    missing = {line["what"] for line in content["headlines"] if line["ratio"] is None}
    assert missing == {"training, ours / fastest escnn"}
    assert content["machine"]["allocator"] == "chosen"
    assert {"commit", "versions", "machine", "seconds", "convolution_peak_multiply_adds_per_second"} <= set(content)
    said = capsys.readouterr().out
    assert all(word in said for word in ("textbook", "exponent", "peak memory", "in short"))


def test_ratios_are_of_the_rows_that_they_name():
    def row(name, median, section="networks", which="train"):
        return {"name": name, "median_ms": median, "section": section, "pass": which, "error": None}

    ours = contenders.OURS
    rows = [
        row("baseline 17620ef", 3.0),
        row("baseline 17620ef", 9.0, "batch 1", "inference"),
        row(ours, 2.0),
        row(ours, 3.0, "batch 1", "inference"),
        row("ours, g 0.5", 1.0),
        row(f"{ours}, bfloat16", 0.1),
        row("grid image", 10.0),
        row("textbook", 400.0),
        row("CNN 3×3, contiguous", 5.0),
        row("CNN 3×3, channels-last", 4.0),
        row("CNN 3×3, channels-last", 6.0, "batch 1", "inference"),
        row("CNN 5×5, contiguous", 8.0),
        row("halved CNN 3×3, contiguous", 1.0),
        row("escnn C4, equal width", 20.0),
        row("escnn C8, equal width", None) | {"error": "out of memory"},
    ]
    memory = [
        {"name": name, "peak_bytes": peak, "error": None}
        for name, peak in ((ours, 20), (f"{ours}, checkpointing", 10), ("baseline 17620ef", 30))
    ]
    assert [line["ratio"] for line in headlines(rows, memory)] == [1.5, 3.0, 1.5, 200.0, 5.0, 0.5, 2.0, 0.25, 0.1, 0.5]
    assert headlines(rows[:-4], memory)[7]["ratio"] is None
    assert headlines(rows, memory[:2])[2]["ratio"] is None


def test_what_does_not_fit_is_a_row_and_what_is_wrong_is_an_error():
    bench = speed.Bench(TINY, "cpu", 1, Console(quiet=True))

    def rows_where_it_fails(said, kind=RuntimeError):
        def forward(*_):
            raise kind(said)

        textbook = contenders.textbook(WINDOW, (4,))
        return list(bench.time(replace(textbook, forward=forward), section="networks"))

    for said in ("CUDA out of memory. Tried to allocate", "DefaultCPUAllocator: can't allocate memory"):
        rows = rows_where_it_fails(said)
        assert [(row["pass"], row["error"]) for row in rows] == [(p, "out of memory") for p in ("train", "inference")]
    of_the_compiler = type("Unsupported", (RuntimeError,), {"__module__": "torch._dynamo.exc"})
    rows = rows_where_it_fails("frozen dataclass", of_the_compiler)
    assert {row["error"] for row in rows} == {f"torch {torch.__version__} cannot compile it"}
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        rows_where_it_fails("shapes do not fit")


def test_rows_for_accelerators_run_in_half_precision_and_compiled(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda net: compiled.append(net) or net)  # it needs a compiler
    bench = speed.Bench(TINY, "cpu", 1, Console(quiet=True))
    chosen = contenders.on_accelerators(WINDOW, (4, 4))
    rows = [row for contender in chosen for row in bench.time(contender, section="networks")]
    assert len(rows) == 2 * len(chosen) == 12
    assert len({row["name"] for row in rows}) == 6
    assert not [row["error"] for row in rows if row["error"]]
    assert len(compiled) == 4
    image = torch.randn(1, 1, 24, 24)
    assert contenders.bfloat16(plain_cnn((4,)), image).dtype == torch.bfloat16


def test_an_interrupted_run_leaves_the_earlier_file(command, monkeypatch, capsys):
    command.path.parent.mkdir()
    command.path.write_text("earlier")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "measure", interrupted)
    assert command() == 130
    assert command.path.read_text() == "earlier"
    assert str(command.path.parent) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threads", "0"], "threads"),
        (["--json", "/proc/nowhere/x.json"], "pass --json"),
        (["--baseline", "nowhere"], "git worktree add"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(command, monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(steps, "measure", lambda *_, **__: pytest.fail("it began to measure"))
    assert command(*arguments) == 2
    assert said in capsys.readouterr().err


def test_the_command_starts_itself_anew_once_where_the_allocator_is_not_set(monkeypatch, capsys):
    started = []
    monkeypatch.setattr(allocator.os, "execv", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setenv(allocator.NAME, "chosen")
    allocator.keep_memory()
    assert not started
    monkeypatch.delenv(allocator.NAME)
    allocator.keep_memory()
    allocator.keep_memory()
    assert started == [(sys.executable, sys.orig_argv)]
    assert allocator.NAME in capsys.readouterr().out


# -- an older commit ---------------------------------------------------------------------------------------------------


def test_a_baseline_that_fails_is_rows_that_say_so(checkout):
    (checkout / "scalegroup" / "models.py").write_text("raise RuntimeError(f'too old: {__file__}')\n")
    bench = speed.Bench(TINY, "cpu", 1, Console(quiet=True), Baseline.of(checkout))
    rows = bench.time_baseline(bench.baseline, section="networks", passes=("train", "inference"))
    assert [(row["pass"], row["median_ms"], row["error"]) for row in rows] == [
        (which, None, "RuntimeError: too old: CHECKOUT/scalegroup/models.py") for which in ("train", "inference")
    ]
    with pytest.raises(SystemExit, match="from elsewhere"):  # the scalegroup of this process is no other commit's
        steps.of_checkout(checkout=str(checkout), background=-0.8, batch=1, size=8, device="cpu", threads=1, seconds={})


# -- escnn ------------------------------------------------------------------------------------------------------------


def test_without_escnn_the_network_says_how_to_get_it(monkeypatch):
    no_escnn(monkeypatch)
    with pytest.raises(ScaleGroupError, match=r"pip install 'scalegroup\[escnn\]'"):
        steerable_cnn(4)
    with pytest.raises(ScaleGroupError, match="multiples of 8"):
        steerable_cnn(8, (12,))


@pytest.mark.filterwarnings("ignore")  # escnn's own
def test_steerable_networks_are_invariant_under_their_rotations():
    pytest.importorskip("escnn", exc_type=ImportError)
    images = torch.randn(2, 1, 21, 21)

    def change(order):
        net = steerable_cnn(order, (8, 16)).eval()
        return (net(images) - net(images.rot90(1, (2, 3)))).abs().max()

    assert change(4) < 1e-4
    assert change(1) > 1e-2  # the control
