"""Trained networks on disk, found and read: one safetensors file each, with its architecture and a checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from scalegroup.errors import Refusing, ScaleGroupError, refusing
from scalegroup.models.architecture import Architecture
from scalegroup.models.before_grids import read_before_grids

PRETRAINED = Path(__file__).resolve().parent / "pretrained"

METADATA = "scalegroup"
"""The entry of a file's metadata that says all but the weights."""

_AGAIN = "install the package again, or write the file again with save_trained"


@dataclass(frozen=True)
class Trained(Refusing):
    """A network that was trained: `NAME.safetensors` and, for readers, the model card `NAME.md`.

    Args:
        path: of the safetensors file.
        architecture: of the network.
        about: whatever else the file says, such as data and accuracy.
        state: its `state_dict`.
        sha256: of all of it.
    """

    path: Path
    architecture: Architecture
    about: dict[str, Any]
    state: dict[str, Tensor]
    sha256: str

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


@refusing
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
        file = path.read_bytes()  # once: it may be replaced meanwhile
        state = load(file)
        text = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")]).get("__metadata__", {}).get(METADATA)
        if text is None:
            return Trained(path, *read_before_grids(path, grid), state, checksum(state, {}))
        content = json.loads(text)
        sha256, told = content["sha256"], {name: content[name] for name in ("network", "about")}
        # files from before it was of all that is said have that of the network alone
        if sha256 not in (checksum(state, told), checksum(state, content["network"])):
            raise ScaleGroupError(f"{path}, changed", expected=f"sha256 {sha256}", mend=_AGAIN)
        return Trained(path, Architecture.told(content["network"]), content["about"], state, sha256)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, ScaleGroupError):
            raise
        raise ScaleGroupError(
            f"{path} ({type(error).__name__}: {error})", expected="a file of a scalegroup network", mend=_AGAIN
        ) from None


def checksum(state: dict[str, Tensor], told: dict[str, Any]) -> str:
    """Of all weights, their names and shapes, and what is told beside them."""
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, value in sorted(state.items()):
        digest.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
