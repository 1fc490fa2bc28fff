"""Trained networks on disk: one safetensors file each, with its architecture and a checksum in its metadata."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError
from scalegroup.models.architecture import Architecture
from scalegroup.models.before_grids import read_before_grids
from scalegroup.whole_file import whole_file

PRETRAINED = Path(__file__).resolve().parent / "pretrained"

_KEY = "scalegroup"
_AGAIN = "install the package again, or write the file again with save_trained"


@dataclass(frozen=True)
class Trained:
    """A network that was trained: `NAME.safetensors` and, for readers, the model card `NAME.md`.

    Args:
        path: of the safetensors file.
        architecture: of the network.
        about: whatever else the file says, such as data and accuracy.
        state: its `state_dict`.
    """

    path: Path
    architecture: Architecture
    about: dict[str, Any]
    state: dict[str, Tensor]

    def load_into(self, net: nn.Module) -> None:
        """Weights and their dtype. Raises `ScaleGroupError` if they do not fit the network; it is then as it was."""
        shapes, wanted = (
            {key: list(value.shape) for key, value in of.items()} for of in (self.state, net.state_dict())
        )
        if other := sorted(key for key in shapes.keys() | wanted.keys() if shapes.get(key) != wanted.get(key)):
            saved = self.architecture
            raise ScaleGroupError(
                f"a network whose {other[0]} has shape {wanted.get(other[0])}",
                expected=f"{shapes.get(other[0])}, as in {self.path.name}",
                mend=f"leave widths out, which are {saved.widths}; for other classes or colours load it as it is, and "
                "then scalegroup.models.transfer(net, num_classes=…, in_channels=…)",
            )
        net.to(next(iter(self.state.values())).dtype).load_state_dict(self.state)


def find_trained(weights: str | Path, *, grid: str | None = None) -> Trained:
    """The trained network of a name that comes with the package, or of a safetensors file.

    Args:
        weights: a name, or a path (anything with a suffix or a folder is one).
        grid: `"image"` to read files from before self-similar grids, which were trained on the image's own.

    Raises:
        ScaleGroupError: if there is none, or it cannot be read, or is damaged, or was trained on other grids.
    """
    path = Path(weights)
    if path.name == str(weights) and path.suffix != ".safetensors":
        path = PRETRAINED / f"{weights}.safetensors"
    if not path.is_file():
        names = sorted(found.stem for found in PRETRAINED.glob("*.safetensors"))
        raise ScaleGroupError(
            f"weights {str(weights)!r}",
            expected=f"a safetensors file, or one of {names}",
            mend="check the name, or train one: python -m benchmarks generalisation",
        )
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
        state = load(path.read_bytes())
        if text is None:
            return Trained(path, *read_before_grids(path, grid), state)
        content = json.loads(text)
        if content["sha256"] != checksum(state, content["network"]):
            raise ScaleGroupError(f"{path}, changed", expected=f"sha256 {content['sha256']}", mend=_AGAIN)
        return Trained(path, Architecture.told(content["network"]), content["about"], state)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, ScaleGroupError):
            raise
        raise ScaleGroupError(
            f"{path} ({type(error).__name__}: {error})", expected="a file of a scalegroup network", mend=_AGAIN
        ) from None


def save_trained(net: Any, path: str | Path, about: dict[str, Any] | None = None) -> Trained:
    """Write a network with its architecture, whole or not at all: what was there before is replaced at once.

    Args:
        net: with an `architecture`, as `gaussian_derivative_net` gives it.
        path: of the file, `NAME.safetensors`.
        about: whatever else the file is to say, as JSON has it.

    Returns:
        What `find_trained(path)` finds.

    Raises:
        ScaleGroupError: for another suffix, or for what a file cannot hold; nothing is written then.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ScaleGroupError(f"path {path.name!r}", expected="NAME.safetensors", mend="give it that suffix")
    architecture = getattr(net, "architecture", None)
    if not isinstance(architecture, Architecture):
        raise ScaleGroupError(
            f"a {type(net).__name__}", expected="a network with an architecture", mend="use gaussian_derivative_net"
        )
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    network = architecture.tell()
    try:
        text = json.dumps({"network": network, "about": about or {}, "sha256": checksum(state, network)})
    except (TypeError, ValueError) as error:
        raise ScaleGroupError(f"about ({error})", expected="what JSON can hold", mend="convert it: float(x)") from None
    told = Architecture.told(json.loads(text)["network"])
    with torch.random.fork_rng(devices=[]):
        loaded = type(net)(told)
    if told != architecture or repr(loaded) != repr(net):
        raise ScaleGroupError(
            "a network that is not the one of its architecture",
            expected="layers as they were made",
            mend="make it with other parts: gaussian_derivative_net(...), then load_state_dict",
        )
    content = save(state, metadata={_KEY: text})
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return Trained(path, architecture, about or {}, state)


def checksum(state: dict[str, Tensor], network: dict[str, Any]) -> str:
    """Of all weights, their names and shapes, and the architecture."""
    digest = hashlib.sha256(json.dumps(network, sort_keys=True).encode())
    for name, value in sorted(state.items()):
        digest.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
