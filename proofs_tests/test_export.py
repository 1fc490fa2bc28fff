"""Networks in the outside world: any number of images, scores and selected σ₀, in every format and for every kind."""

import json
import math
import re
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from proofs_tests.comparison import ROUNDING
from scalegroup import (
    Attention,
    Background,
    Dense,
    Jet,
    LogSumExp,
    SampledDerivatives,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    TopK,
    __version__,
    nn,
)
from scalegroup.__main__ import main
from scalegroup.models import (
    METADATA,
    RESNET_PRESETS,
    GaussianDerivativeNet,
    export,
    gaussian_derivative_net,
    save_trained,
)
from scalegroup.models.exporting import Predict

WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=0.9, channels=2)
SIZE = (12, 15)
MOST_NODES = 200

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a world outside, rotations": {
        "boundary": Background(0.3), "window": ScaleWindow(ScaleGroup(2.0), 0.9, 3), "rotations": 2, "widths": (2, 4),
    },
    "residual, colour, attention": {
        "residual": True, "field_of_view": 4.0, "in_channels": 3, "mean": (0.5,) * 3, "std": (0.2,) * 3,
        "pooling": Attention(),
    },
    "separable, across scale": {
        "residual": True, "separable": True, "neighbours": 1, "dropout": 0.1, "scale_dropout": 1,
        "pooling": LogSumExp(), "readout": SpatialMax(),
    },
    "dense, separate orders": {
        "readout": Dense(), "kernel": SampledDerivatives(tail=1e-2), "jet": Jet(3, zero=True), "pooling": TopK(2),
        "activation": torch.tanh, "widths": (2,),
    },
}  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS)
needs_onnx = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))),
    reason="ONNX needs onnx, onnxscript and onnxruntime: pip install 'scalegroup[export]'",
)


def network(kind: str = "plain", seed: int = 0) -> GaussianDerivativeNet:
    """With statistics and offsets of a network that was trained."""
    torch.manual_seed(seed)
    net = gaussian_derivative_net(**({"widths": (2, 3), "window": WINDOW, "num_classes": 3} | KINDS[kind])).eval()
    with torch.no_grad():
        for value in net.state_dict().values():
            value.add_(0.2 * torch.rand_like(value))
    return net


def images(net: GaussianDerivativeNet, batch: int, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn(batch, net.architecture.in_channels, *size, generator=torch.Generator().manual_seed(batch))


def graph(net: GaussianDerivativeNet, *, strict: bool = False) -> torch.export.ExportedProgram:
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    return torch.export.export(Predict(net).eval(), (images(net, 2),), dynamic_shapes=shapes, strict=strict)


def steps(program: torch.export.ExportedProgram) -> int:
    return sum(node.op == "call_function" for node in program.graph.nodes)


def gap(run: Any, net: GaussianDerivativeNet, *, batches: tuple[int, ...] = (1, 2, 5)) -> float:
    """max |difference| / max |scores|, of as many images as the graph was made with, and of others; ∞ for other σ₀."""
    worst = 0.0
    for batch in batches:
        with torch.no_grad():
            scores, sigma0, each = run(images(net, batch))
            expected, selected, channels = net.predict_channels(images(net, batch))
        assert (scores.shape, each.shape) == (expected.shape, channels.shape)
        if not torch.equal(torch.as_tensor(sigma0), selected):
            return math.inf
        for found, wanted in ((scores, expected), (each, channels)):
            worst = max(worst, float((torch.as_tensor(found) - wanted).abs().max() / wanted.abs().max()))
    return worst


# -- graphs -----------------------------------------------------------------------------------------------------------


@every_kind
def test_graph_gives_what_the_network_gives_for_any_number_of_images(kind: str) -> None:
    net = network(kind)
    program = graph(net)
    assert gap(program.module(), net) <= ROUNDING[torch.float32]
    assert gap(program.module(), network(kind, seed=1)) > 1e-3  # the control: other weights
    assert steps(program) <= MOST_NODES
    with pytest.raises(Exception, match=r"shape|size|Guard|guard"):  # torch's own words: of one size alone
        program.module()(images(net, 2, (13, 15)))


def test_strict_graph_gives_what_the_network_gives() -> None:
    net = network()
    program = graph(net, strict=True)
    assert gap(program.module(), net) <= ROUNDING[torch.float32]
    assert steps(program) <= MOST_NODES


def test_graph_has_no_step_for_what_follows_from_the_size() -> None:
    """Nothing is cast to what it is, nor computed under a mode, nor made of numbers; channels run as one."""
    names = [str(node.target) for node in graph(network()).graph.nodes if node.op == "call_function"]
    forbidden = ("wrap_with", "aten.to.", "_assert", "lift_fresh", "zeros", "ones", "full", "stack", "cat", "detach")
    assert not [name for name in names if any(part in name for part in forbidden)]
    jets = 3
    assert sum("conv2d" in name for name in names) == 3 * jets  # blurred along both axes, then combined
    assert sum("batch_norm" in name for name in names) == jets - 1


def test_graph_of_the_longest_named_network_is_short() -> None:
    """At two features a layer: widths change none of its steps."""
    preset = RESNET_PRESETS["separable_large"]
    net = GaussianDerivativeNet(preset.changed(widths=(2,) * len(preset.widths))).eval()
    assert steps(graph(net)) <= MOST_NODES


@every_kind
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_trace_gives_what_the_network_gives_for_any_number_of_images(kind: str) -> None:
    net = network(kind)
    with torch.no_grad():
        traced = torch.jit.trace(Predict(net).eval(), (images(net, 2),))
    assert gap(traced, net) <= ROUNDING[torch.float32]


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.skipif(not shutil.which("g++"), reason="ahead-of-time compilation needs a C++ compiler")
def test_ahead_of_time_compiled_network_gives_what_the_network_gives(tmp_path: Path) -> None:
    net = gaussian_derivative_net(widths=(2,), window=WINDOW.select(0, 1)).eval()
    path = torch._inductor.aoti_compile_and_package(graph(net), package_path=str(tmp_path / "net.pt2"))
    assert gap(torch._inductor.aoti_load_package(path), net) <= ROUNDING[torch.float32]


# -- files ------------------------------------------------------------------------------------------------------------

ABOUT = {"classes": ["one", "two", "drei"], "range": [-1, 1.5], "commit": "abc", "accuracy": {"1": 0.5}}
SAID = {
    "scalegroup": __version__,
    "commit": "abc",
    "size": list(SIZE),
    "channels": 1,
    "classes": ["one", "two", "drei"],
    "range": [-1.0, 1.5],
    "window": list(WINDOW.sigmas),
    "about": ABOUT,
}


@needs_onnx
@pytest.mark.parametrize("kind", ["plain", "residual, colour, attention"])
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
def test_onnx_file_gives_what_the_network_gives_and_says_what_it_is(kind: str, tmp_path: Path) -> None:
    import onnxruntime

    net, path = network(kind), tmp_path / "net.onnx"
    said = export(net, SIZE, path, about=ABOUT)
    assert said == SAID | {"channels": net.architecture.in_channels}
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["images"]
    assert [value.name for value in session.get_outputs()] == ["scores", "sigma0", "channel_scores"]
    assert gap(lambda x: session.run(None, {"images": x.numpy()}), net) <= 1e-5
    assert gap(lambda x: session.run(None, {"images": x.numpy()}), network(kind, seed=1)) > 1e-3  # the control
    metadata = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(metadata[key]) for key in said} == said


def test_pt2_file_gives_what_the_network_gives_and_says_what_it_is(tmp_path: Path) -> None:
    net, path = network(), tmp_path / "net.pt2"
    before = {key: value.clone() for key, value in net.state_dict().items()}
    said = export(net, SIZE, path, about=ABOUT)
    assert said == SAID
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt2"]
    extra = {METADATA: ""}
    program = torch.export.load(path, extra_files=extra)
    assert json.loads(extra[METADATA]) == said
    assert gap(program.module(), net) <= ROUNDING[torch.float32]
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())  # nothing is changed


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    said = export(network(), 12, tmp_path / "net.pt2")
    assert (said["size"], said["classes"], said["range"], said["commit"]) == ([12, 12], ["0", "1", "2"], None, None)


def in_training(net: GaussianDerivativeNet) -> GaussianDerivativeNet:
    net[1].train()
    return net


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"net": nn.Sequential(nn.Lift(WINDOW), partial(nn.JetConv, out_type=2))}, "a Sequential"),
        ({"net": torch.nn.ReLU()}, "a ReLU"),
        ({"net": gaussian_derivative_net(widths=(2,), grid="image").eval()}, "self-similar grids"),
        ({"net": in_training(network())}, "training mode"),
        ({"net": network().double()}, "float64"),
        ({"net": network().half()}, "float16"),
        ({"net": network().to("meta")}, "meta"),
        *(({"size": size}, "size") for size in (0, -3, 2.5, None, "12", (12,), (12, 12, 12), (12, 0), True)),
        *(({"path": path}, "NAME.onnx or NAME.pt2") for path in ("net", "net.pt", "net.ONNX", "net.onnx.gz")),
        ({"path": "nowhere/net.pt2"}, "a folder that is there"),
        *(({"about": {"classes": names}}, "3 names") for names in (["a", "b"], "abc", [1, 2, 3], 3)),
        *(({"about": {"range": ends}}, "range") for ends in ((1, 0), (0, 0), (0,), 1, (0, float("nan")), "01")),
        ({"about": {"what": torch.zeros(1)}}, "what JSON can hold"),
    ],
    ids=lambda part: re.sub(r" at 0x\w+", "", str(part)),
)
def test_what_cannot_be_exported_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    arguments = {"net": network(), "size": SIZE, "path": "net.pt2", "about": ABOUT} | change
    with pytest.raises(ScaleGroupError, match=said):
        export(arguments["net"], arguments["size"], tmp_path / arguments["path"], about=arguments["about"])
    assert not list(tmp_path.iterdir())


def test_onnx_without_its_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalegroup.models.exporting.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ScaleGroupError, match=r"without onnxscript.*pip install 'scalegroup\[export\]'"):
        export(network(), SIZE, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_trained(network(), tmp_path / "given.safetensors", {"classes": ["a", "b", "c"]}).path


def test_command_writes_what_the_weights_say_and_what_is_typed(weights: Path, capsys) -> None:
    path = weights.with_name("net.pt2")
    typed = ["export", str(weights), "--size", "12", "15", "--pt2", str(path)]
    assert main([*typed, "--range", "0", "2"]) == 0
    assert f"wrote {path}: 3 classes, images of 1×12×15, 2 scale channels" in capsys.readouterr().out
    extra = {METADATA: ""}
    program = torch.export.load(path, extra_files=extra)
    said = json.loads(extra[METADATA])
    assert (said["classes"], said["range"], said["size"]) == (["a", "b", "c"], [0.0, 2.0], [12, 15])
    assert gap(program.module(), network()) <= ROUNDING[torch.float32]
    assert main([*typed, "--classes", "x", "y", "z"]) == 0
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra[METADATA])["classes"] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--size 12", "pass --onnx PATH"),
        ("--size 12 --pt2 net.onnx.zip", "NAME.onnx or NAME.pt2"),
        ("--size 0 --pt2 net.pt2", "size"),
        ("--size 1 2 3 --pt2 net.pt2", "(height, width)"),
        ("--size 12 --pt2 net.pt2 --classes a", "3 names"),
    ],
)
def test_command_that_cannot_be_run_has_status_2(typed: str, said: str, weights: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(weights.parent)
    assert main(["export", str(weights), *typed.split()]) == 2
    assert said in capsys.readouterr().err
    assert main(["export", "nothing", "--size", "12", "--pt2", "net.pt2"]) == 2
    assert "weights 'nothing'" in capsys.readouterr().err
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]
