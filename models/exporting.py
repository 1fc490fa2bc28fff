"""Trained networks for the world outside PyTorch: one file that gives scores and the selected scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import scalegroup
from scalegroup.errors import ScaleGroupError, check_finite, check_integer, refusing
from scalegroup.models.gaussian_derivative import GaussianDerivativeNet
from scalegroup.whole_file import whole_file

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OUTPUTS = ("scores", "sigma0", "channel_scores")
"""What an exported network gives."""

METADATA = "scalegroup.json"
"""The name of what a .pt2 file says, among its `extra_files`."""


class Predict(nn.Module):
    """What is exported of a network: its `predict_channels`, as a module.

    Args:
        net: a network from images to scores.

    >>> from scalegroup.models import gaussian_derivative_net
    >>> scores, sigma0, channel_scores = Predict(gaussian_derivative_net("single_scale"))(torch.zeros(2, 1, 28, 28))
    >>> scores.shape, sigma0.shape, channel_scores.shape
    (torch.Size([2, 10]), torch.Size([2]), torch.Size([2, 10, 1]))
    """

    def __init__(self, net: GaussianDerivativeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class scores `[batch, classes]`, σ₀ of the winning scale channel `[batch]`, and scores of each channel."""
        return self.net.predict_channels(images)


@refusing
def export(
    net: GaussianDerivativeNet,
    size: int | tuple[int, int],
    path: str | Path,
    *,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a network as one file that needs nothing of this package: ONNX, or a graph of `torch.export`.

    Its input is `images`, float32 `[batch, channel, height, width]` of any number of images. Its outputs are what
    `net.predict_channels` gives: `scores` `[batch, classes]`, `sigma0` `[batch]`, σ₀ of the scale channel that won, in
    pixels, and `channel_scores` `[batch, classes, scale]`; of a dense read-out all for every pixel. The file is there
    whole or not at all.

    What it says of itself is JSON: each part in the `metadata_props` of an ONNX model, all of them in the extra file
    `METADATA` of a .pt2 file, `torch.export.load(path, extra_files={METADATA: ""})`.

    | part | what |
    |---|---|
    | `scalegroup` | the version of this package |
    | `commit` | of what the network was trained with; null where `about` says none |
    | `size` | `[height, width]` of the images |
    | `channels` | of the images |
    | `classes` | their names; numbers where `about` says none |
    | `range` | `[lowest, highest]` value of the images; null where `about` says none |
    | `window` | σ₀ of the scale channels, in pixels, finest first |
    | `about` | all of it |

    What cannot be exported: images of other sizes than this one (grids, regions and the lifting's matrices follow from
    the size, and are constants of the file: write a file for each), another `window=` (make the network with it),
    training mode, half and double precision, networks on the image's own grid, and layers that were put together
    without an `Architecture` (`torch.export.export(net, ...)` takes them). Weights stay as they are: what is trained
    further is to be exported again.

    Args:
        net: of `gaussian_derivative_net` and its kind, in evaluation mode, float32, on the CPU.
        size: height and width in pixels, or one number for both.
        path: `NAME.onnx`, which needs onnx and onnxscript (`pip install 'scalegroup[export]'`), or `NAME.pt2`.
        about: what is known of the network, as `find_trained(weights).about`: of `classes`, `range` and `commit` the
            file tells in these words.

    Returns:
        What the file says of itself.

    Raises:
        ScaleGroupError: for what cannot be exported, another suffix, a folder that is not there, or parts of `about`
            that do not fit the network; nothing is written then.

    >>> import tempfile
    >>> from scalegroup.models import gaussian_derivative_net
    >>> net = gaussian_derivative_net("single_scale", widths=(2,), num_classes=2).eval()
    >>> path = Path(tempfile.mkdtemp()) / "net.pt2"
    >>> said = export(net, 28, path, about={"classes": ["cat", "dog"], "range": [0, 1]})
    >>> said["classes"], said["size"], said["window"]
    (['cat', 'dog'], [28, 28], [0.9])
    >>> scores, sigma0, _ = torch.export.load(path).module()(torch.rand(5, 1, 28, 28))
    >>> scores.shape, sigma0.tolist() == [torch.tensor(0.9)] * 5
    (torch.Size([5, 2]), True)
    """
    _check_net(net)
    size, path = _check_size(size), Path(path)
    write = _writer(path)
    said = _said(net, size, about or {})
    with whole_file(path) as temporary:
        write(_graph(net, size), temporary, {key: json.dumps(value) for key, value in said.items()})
    return said


def _graph(net: GaussianDerivativeNet, size: tuple[int, int]) -> ExportedProgram:
    """Of any number of images of that size."""
    images = torch.zeros(2, net.architecture.in_channels, *size)
    with torch.no_grad():
        return torch.export.export(
            Predict(net).eval(),
            (images,),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            strict=False,
        )


def _write_onnx(graph: ExportedProgram, path: Path, said: Mapping[str, str]) -> None:
    names: dict[str, Any] = {"input_names": ["images"], "output_names": list(OUTPUTS)}
    program: Any = torch.onnx.export(graph, dynamo=True, verbose=False, **names)
    program.model.producer_name, program.model.producer_version = "scalegroup", scalegroup.__version__
    program.model.metadata_props.update(said)
    program.save(path, external_data=False)


def _write_pt2(graph: ExportedProgram, path: Path, said: Mapping[str, str]) -> None:
    parts = ", ".join(f"{json.dumps(key)}: {value}" for key, value in said.items())
    torch.export.save(graph, path, extra_files={METADATA: f"{{{parts}}}"})


_WRITERS: dict[str, tuple[Callable[[ExportedProgram, Path, Mapping[str, str]], None], tuple[str, ...]]] = {
    ".onnx": (_write_onnx, ("onnx", "onnxscript")),
    ".pt2": (_write_pt2, ()),
}
"""Of each suffix what writes the file, and the packages that it takes."""


def _writer(path: Path) -> Callable[[ExportedProgram, Path, Mapping[str, str]], None]:
    if path.suffix not in _WRITERS:
        raise ScaleGroupError(
            f"path {path.name!r}", expected=f"NAME{' or NAME'.join(_WRITERS)}", mend="choose a suffix"
        )
    if not path.parent.is_dir():
        raise ScaleGroupError(f"path {str(path)!r}", expected="a folder that is there", mend=f"make {path.parent}")
    write, packages = _WRITERS[path.suffix]
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ScaleGroupError(
            f"{path.suffix} without {' and '.join(missing)}",
            expected="packages that write it",
            mend="pip install 'scalegroup[export]', or write NAME.pt2",
        )
    return write


def _check_net(net: Any) -> None:
    if not isinstance(net, GaussianDerivativeNet):
        raise ScaleGroupError(
            f"a {type(net).__name__}",
            expected="a network of gaussian_derivative_net and its kind",
            mend="use torch.export.export for other modules, and find_trained for files",
        )
    if net.architecture.grid == "image":
        raise ScaleGroupError(
            'a network with grid="image"',
            expected="self-similar grids, where all scale channels run as one",
            mend="call torch.export.export(net, ...) yourself: it gives a part of the graph for each channel",
        )
    if any(module.training for module in net.modules()):
        raise ScaleGroupError("a network in training mode", expected="evaluation mode", mend="call net.eval() before")
    if other := [p for p in net.state_dict().values() if p.is_floating_point() and p.dtype != torch.float32]:
        raise ScaleGroupError(f"weights of {other[0].dtype}", expected="float32", mend="export net.float()")
    if other := [p for p in net.state_dict().values() if p.device.type != "cpu"]:
        raise ScaleGroupError(f"weights on {other[0].device}", expected="the CPU", mend="export net.cpu()")


def _check_size(size: Any) -> tuple[int, int]:
    lengths = size if isinstance(size, (tuple, list)) else (size, size)
    if len(lengths) != 2:
        raise ScaleGroupError(f"size {size!r}", expected="(height, width), or one number", mend="pass 112")
    height, width = (check_integer("size", length, at_least=1) for length in lengths)
    return height, width


def _said(net: GaussianDerivativeNet, size: tuple[int, int], about: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of itself, as JSON has it."""
    of = net.architecture
    said = {
        "scalegroup": scalegroup.__version__,
        "commit": about.get("commit"),
        "size": list(size),
        "channels": of.in_channels,
        **told_of_images(about, of.num_classes),
        "window": list(of.window.sigmas),
        "about": dict(about),
    }
    try:
        return json.loads(json.dumps(said))
    except (TypeError, ValueError) as error:
        raise ScaleGroupError(f"about ({error})", expected="what JSON can hold", mend="convert it: float(x)") from None


def told_of_images(about: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """`"classes"`, their names, and `"range"`, as an exported file tells them. Raises `ScaleGroupError` for others."""
    return {"classes": _classes(about.get("classes"), classes), "range": _range(about.get("range"))}


def _classes(names: Any, count: int) -> list[str]:
    names = [str(number) for number in range(count)] if names is None else names
    if not isinstance(names, (list, tuple)) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise ScaleGroupError(
            f"classes {names!r:.80}", expected=f"{count} names, as the network has scores", mend="name each of them"
        )
    return list(names)


def _range(ends: Any) -> list[float] | None:
    if ends is None:
        return None
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise ScaleGroupError(f"range {ends!r:.80}", expected="(lowest, highest)", mend="pass (0, 1)")
    lowest, highest = (check_finite("range", end) for end in ends)
    if lowest >= highest:
        raise ScaleGroupError(f"range {ends!r:.80}", expected="(lowest, highest)", mend="turn them round")
    return [lowest, highest]
