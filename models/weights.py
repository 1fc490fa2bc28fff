"""Trained networks on disk: safetensors with a description beside them, some of them in the package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from scalegroup.boundary import Background, Boundary, Reflect, Replicate, Zero
from scalegroup.errors import ScaleGroupError
from scalegroup.group import ScaleGroup
from scalegroup.pooling import LogSumExp, Max, Mean, Pooling
from scalegroup.readout import CentrePixel, Dense, ReadOut, SpatialMax, SpatialMean
from scalegroup.whole_file import whole_file
from scalegroup.window import ScaleWindow

PRETRAINED = Path(__file__).resolve().parent / "pretrained"

POOLINGS: dict[str, Pooling] = {"max": Max(), "mean": Mean(), "log-sum-exp": LogSumExp()}
READOUTS: dict[str, ReadOut] = {
    "centre-pixel": CentrePixel(),
    "spatial-max": SpatialMax(),
    "spatial-mean": SpatialMean(),
    "dense": Dense(),
}
_BOUNDARIES: dict[str, Boundary] = {"reflect": Reflect(), "replicate": Replicate(), "zero": Zero()}


@dataclass(frozen=True)
class Setting:
    """What a network needs beside its weights to be the one that was trained; none of it is in its `state_dict`.

    Args:
        preset: of the widths.
        window: the scale channels.
        boundary: what images are outside their border.
        pooling: over scale.
        min_grid_sigma: of the strides; None: full resolution.
        in_channels, num_classes: of the images, and of the scores.
        margin: pixels of background put around the images.
        readout: what is looked at in the plane.

    >>> window = ScaleWindow(ScaleGroup(2), 1.0, 3)
    >>> setting = Setting("larger", window, Background(0.0), Max(), 1.0, in_channels=1, num_classes=10)
    >>> Setting.told(setting.tell()).tell() == setting.tell()
    True
    """

    preset: str
    window: ScaleWindow
    boundary: Boundary
    pooling: Pooling
    min_grid_sigma: float | None
    in_channels: int
    num_classes: int
    margin: int = 0
    readout: ReadOut = field(default_factory=CentrePixel)

    def tell(self) -> dict[str, Any]:
        """As JSON has it. Raises `ScaleGroupError` for a boundary, pooling or read-out that has no name."""
        window = {
            "ratio": self.window.group.ratio,
            "sigma0": self.window.sigma0,
            "first": self.window.first,
            "channels": self.window.channels,
        }
        return {
            "preset": self.preset,
            "window": window,
            "boundary": _tell_boundary(self.boundary),
            "pooling": _name(self.pooling, POOLINGS),
            "min_grid_sigma": self.min_grid_sigma,
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "margin": self.margin,
            "readout": _name(self.readout, READOUTS),
        }

    def check_preset(self, preset: str) -> Setting:
        """Itself. Raises `ScaleGroupError` if the network is of another preset."""
        if preset != self.preset:
            raise ScaleGroupError(
                f"preset {preset!r}", expected=f"{self.preset!r}, which the weights are of", mend="pass that preset"
            )
        return self

    @classmethod
    def told(cls, content: dict[str, Any]) -> Setting:
        """From what `tell` gives. Raises `KeyError`, `TypeError` or `ScaleGroupError` for anything else."""
        window, boundary = content["window"], content["boundary"]
        return cls(
            preset=content["preset"],
            window=ScaleWindow(
                ScaleGroup(window["ratio"]), window["sigma0"], window["channels"], first=window["first"]
            ),
            boundary=Background(boundary["background"]) if isinstance(boundary, dict) else _BOUNDARIES[boundary],
            pooling=POOLINGS[content["pooling"]],
            min_grid_sigma=content["min_grid_sigma"],
            in_channels=content["in_channels"],
            num_classes=content["num_classes"],
            margin=content.get("margin", 0),
            readout=READOUTS[content.get("readout", "centre-pixel")],
        )


@dataclass(frozen=True)
class Trained:
    """Weights and what belongs to them: `NAME.safetensors`, `NAME.json` and, for readers, the model card `NAME.md`.

    Args:
        path: of the safetensors file.
        setting: of the network.
        about: whatever else the description says, such as data and accuracy.
        sha256: of the safetensors file.
    """

    path: Path
    setting: Setting
    about: dict[str, Any]
    sha256: str

    def load_into(self, net: nn.Module) -> None:
        """Raises `ScaleGroupError` if the file is not the one described, or does not fit the network."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ScaleGroupError(f"{self.path} ({error.strerror})", expected="the weights", mend=_FETCH) from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ScaleGroupError(f"{self.path}, changed", expected=f"sha256 {self.sha256}", mend=_FETCH)
        try:
            state = load(content)
        except SafetensorError as error:
            raise ScaleGroupError(f"{self.path} ({error})", expected="safetensors", mend=_FETCH) from None
        shapes, wanted = ({key: list(value.shape) for key, value in of.items()} for of in (state, net.state_dict()))
        if other := sorted(key for key in shapes.keys() | wanted.keys() if shapes.get(key) != wanted.get(key)):
            setting = self.setting
            raise ScaleGroupError(
                f"a network whose {other[0]} has shape {wanted.get(other[0])}",
                expected=f"{shapes.get(other[0])}, as in {self.path.name}",
                mend=f"pass in_channels={setting.in_channels}, num_classes={setting.num_classes} and the widths it was "
                "trained with",
            )
        net.load_state_dict(state)


_FETCH = "install the package again, or write the file again with save_trained"


def find_trained(weights: str | Path) -> Trained:
    """The trained network of a name that comes with the package, or of a safetensors file.

    Raises:
        ScaleGroupError: if there is none of that name, or its description cannot be read.
    """
    if isinstance(weights, Path):
        path, mend = weights, "pass the path of a .safetensors file with its .json beside it"
    else:
        path, mend = PRETRAINED / f"{weights}.safetensors", "choose one of these, or pass a Path"
    description = path.with_suffix(".json")
    if not description.is_file():
        names = sorted(found.stem for found in PRETRAINED.glob("*.json"))
        there = f"one of {names}" if names else "a name, but this package has no trained networks"
        expected = f"{description} beside it" if isinstance(weights, Path) else there
        raise ScaleGroupError(f"weights {str(weights)!r}", expected=expected, mend=mend)
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        return Trained(path, Setting.told(content["network"]), content["about"], content["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScaleGroupError(
            f"{description} ({type(error).__name__}: {error})", expected="the description of a network", mend=_FETCH
        ) from None


def save_trained(net: nn.Module, setting: Setting, path: Path, about: dict[str, Any] | None = None) -> Trained:
    """Write weights and description, the description last, each to a temporary name first.

    Args:
        net: the network.
        setting: of it.
        path: of the safetensors file to write; the description gets the same name with `.json`.
        about: whatever else the description is to say, as JSON has it.

    Returns:
        What `find_trained(path)` finds.
    """
    weights = save({name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()})
    sha256 = hashlib.sha256(weights).hexdigest()
    content = {"network": setting.tell(), "about": about or {}, "sha256": sha256}
    with whole_file(path) as temporary:
        temporary.write_bytes(weights)
    with whole_file(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return Trained(path, setting, content["about"], sha256)


def _tell_boundary(boundary: Boundary) -> Any:
    if not isinstance(boundary, Background):
        return _name(boundary, _BOUNDARIES)
    value = boundary.value
    return {"background": value.tolist() if isinstance(value, Tensor) else value}


def _name(strategy: Any, names: dict[str, Any]) -> str:
    for name, known in names.items():
        if strategy == known:
            return name
    raise ScaleGroupError(f"{strategy!r}", expected=f"one of {list(names.values())}", mend="use one of these")
