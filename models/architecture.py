"""The one description of a network: what factories take, what a saved file holds, and what `repr` shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup import nn
from scalegroup.algebra.group import ScaleGroup
from scalegroup.algebra.rotation import RotationGroup
from scalegroup.errors import (
    Refusing,
    ScaleGroupError,
    check_finite,
    check_instance,
    check_integer,
    check_positive,
    check_probability,
)
from scalegroup.fields import attention, boundary, lifting, lifting_kernels, pooling, readout
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.window import ScaleWindow
from scalegroup.jets import kernels
from scalegroup.jets.jet import TWO_JET, Jet
from scalegroup.jets.kernel import Kernel

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "square": torch.square,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
}
"""What a file can name. A network may have another one; it is refused when it is saved."""

_ALIASES = {F.relu: torch.relu, F.tanh: torch.tanh, F.sigmoid: torch.sigmoid}  # two names of one function

_STRATEGIES = {
    kind.__name__: kind
    for kind in (
        *(boundary.Background, boundary.Reflect, boundary.Replicate, boundary.Zero),
        *(kernels.DiscreteGaussian, kernels.SampledGaussian, kernels.NormalisedSampledGaussian),
        *(kernels.IntegratedGaussian, kernels.SampledDerivatives, kernels.Iso, Jet),
        *(lifting_kernels.BandLimited, lifting_kernels.SampledLifting),
        *(pooling.Max, pooling.Mean, pooling.LogSumExp, pooling.TopK, attention.Attention),
        *(readout.CentrePixel, readout.SpatialMax, readout.SpatialMean, readout.Dense),
    )
}

MIN_GRID_SIGMA = 0.55
"""Samples: a little less than σ of the third layer on every second sample at the default g, so that the second gives no
others: that halves the work. On validation digits of MNIST, two seeds, it read what 2/3 reads, but for some points less
at a quarter of the trained size, where finer scale channels in testing help."""

MIN_GRID_SIGMA_ANYWHERE = 1.0
"""Samples: the same where the read-out looks anywhere, at what may fall between samples. STIR's emoji of sizes never
trained on, read at the maximum over the plane: 95 % of the validation pictures, with .55 73 % (one seed)."""

_LATER = (
    *("first_offset", "jet", "residual", "separable", "neighbours", "field_of_view"),
    *("mean", "std", "dropout", "scale_dropout", "extent"),
)
"""Parts that older files do not have: these say what they are by default."""

NOT_GIVEN: Any = type("NotGiven", (), {"__repr__": lambda _: "not given"})()
"""What None cannot say."""


@dataclass(frozen=True)
class Architecture(Refusing):
    """A Gaussian derivative network, all of it but the weights.

    Args:
        widths: of the hidden layers.
        window: the scale channels, by physical σ₀ in pixels.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.
        rotations: N, for regular fields of the rotations C_N in all hidden layers; None: plain features.
        r: the ratio of σ between one layer and the next (eq 13).
        jet: which derivatives the layers combine.
        mean, std: of the images in each channel, which `nn.Normalise` takes off and divides by; None: images as they
            are. One number is for all channels.
        kernel: the discretisation of the jets; the default cuts where 0.5 % of the mass is left.
        activation: a pointwise function of tensors.
        boundary: what images are outside; `Background(value)` where that is known.
        grid: `"self-similar"`, or `"image"` for the image's own pixels (the paper's literal implementation).
        samples_per_sigma: g of self-similar grids; default `SAMPLES_PER_SIGMA`.
        lifting: the kernel of the lifting; default `BandLimited()`.
        min_grid_sigma: late layers run on every second sample where their σ is still so many samples there, by the same
            rule in all scale channels; default `MIN_GRID_SIGMA`, or where the read-out looks beyond the centre
            `MIN_GRID_SIGMA_ANYWHERE`. None: they do not.
        pooling: over scale.
        readout: what is looked at in the plane.
        residual: hidden layers behind the first come as `nn.ResidualBlock`s, of two jet layers for each width.
        separable: hidden jet layers behind the first are `nn.SeparableJetConv`s.
        neighbours: an `nn.ScaleConv` over so many scale channels on either side, in front of the last layer; 0: none.
        field_of_view: an `nn.FieldOfView` of that half-width, in units of σ₀, behind the lifting and every activation;
            None: all that the layers reach, as a read-out that looks anywhere needs.
        first_offset: C₀ of the last layer before training. For binary cross-entropy -5, the log-odds of "nothing here":
            a scale channel that sees nothing of the object answers with C₀ alone, and has to lose the maximum.
        dropout: p of an `nn.Dropout` in front of the last jet layer; 0: none.
        scale_dropout: in training so many of the finest scale channels are left out at most, by an `nn.ScaleDropout`
            behind the lifting; 0: none.
        extent: side of the box around an object, in units of the σ₀ at which it has its maximum, where the network was
            trained with `nn.SceneLoss`, so that `detect` can tell boxes; None: it was not.

    Raises:
        ScaleGroupError: if a part cannot be used.

    >>> plan = Architecture((4, 8), ScaleWindow(ScaleGroup(2), 1.0, 3))
    >>> Architecture.told(plan.tell()) == plan
    True
    """

    widths: tuple[int, ...]
    window: ScaleWindow
    in_channels: int = 1
    num_classes: int = 10
    rotations: int | None = None
    r: float = 1.25
    kernel: Kernel = field(default_factory=lambda: kernels.DiscreteGaussian(tail=5e-3))
    activation: Callable[[Tensor], Tensor] = torch.relu
    boundary: boundary.Boundary = field(default_factory=boundary.Reflect)
    grid: str = "self-similar"
    samples_per_sigma: float | None = None
    lifting: lifting_kernels.LiftingKernel | None = None
    min_grid_sigma: float | Any | None = NOT_GIVEN
    pooling: pooling.Pooling = field(default_factory=pooling.Max)
    readout: readout.ReadOut = field(default_factory=readout.CentrePixel)
    first_offset: float = 0.0
    jet: Jet = TWO_JET
    residual: bool = False
    separable: bool = False
    neighbours: int = 0
    field_of_view: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    dropout: float = 0.0
    scale_dropout: int = 0
    extent: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.widths, (tuple, list)):
            raise ScaleGroupError(f"widths {self.widths!r}", expected="a tuple", mend="pass one per hidden layer")
        check_instance("pooling", self.pooling, pooling.Pooling, mend="pass one of scalegroup, such as Max()")
        check_instance("kernel", self.kernel, Kernel, mend="pass one of scalegroup, such as DiscreteGaussian()")
        check_instance("boundary", self.boundary, boundary.Boundary, mend="pass one of scalegroup, such as Reflect()")
        check_instance("readout", self.readout, readout.ReadOut, mend="pass one of scalegroup, such as CentrePixel()")
        sampling = lifting.sampling_of(self.grid, self.samples_per_sigma, self.lifting)
        view = self.field_of_view
        g, kernel = getattr(sampling, "samples_per_sigma", None), getattr(sampling, "kernel", None)
        least = self.min_grid_sigma
        if least is NOT_GIVEN:
            least = None if g is None else _usual_min_grid_sigma(self.readout)
        if least is not None and g is None:
            raise ScaleGroupError(
                f'min_grid_sigma {least!r} with grid="image"',
                expected="no coarser grids there: it is the reference",
                mend="leave it out, or use self-similar grids",
            )
        parts: dict[str, Any] = {
            "widths": tuple(check_integer("width", width, at_least=1) for width in self.widths),
            "in_channels": check_integer("in_channels", self.in_channels, at_least=1),
            "num_classes": check_integer("num_classes", self.num_classes, at_least=1),
            "rotations": None if self.rotations is None else RotationGroup(self.rotations).order,
            "r": check_positive("r", self.r),
            "activation": next((one for other, one in _ALIASES.items() if other is self.activation), self.activation),
            "first_offset": check_finite("first_offset", self.first_offset),
            "field_of_view": None if view is None else check_positive("field_of_view", view),
            "extent": None if self.extent is None else check_positive("extent", self.extent),
            "neighbours": check_integer("neighbours", self.neighbours, at_least=0),
            "dropout": check_probability("dropout", self.dropout),
            "scale_dropout": check_integer("scale_dropout", self.scale_dropout, at_least=0),
            "samples_per_sigma": g,
            "lifting": kernel,
            "min_grid_sigma": None if least is None else check_positive("min_grid_sigma", least),
        }
        if self.mean is not None or self.std is not None:
            images = nn.Normalise(FieldType.scalars(parts["in_channels"]), self.mean, self.std)  # type: ignore[arg-type]
            parts |= {"mean": images.mean, "std": images.std}
        for name, value in parts.items():
            object.__setattr__(self, name, value)
        check_instance("jet", self.jet, Jet, mend="pass Jet(2)")
        for name in ("residual", "separable"):
            check_instance(name, getattr(self, name), bool, mend=f"pass {name}=True or {name}=False")
        check_instance("window", self.window, ScaleWindow, mend="make one: ScaleWindow(group, 1.0, 8)")
        for name in ("separable", "neighbours"):
            if getattr(self, name) and self.rotations is not None:
                raise ScaleGroupError(
                    f"{name}={getattr(self, name)} with rotations={self.rotations}",
                    expected="features of which nothing is said about rotations",
                    mend="leave one of them out",
                )
        if self.field_of_view is not None and not self.readout.at_centre:
            raise ScaleGroupError(
                f"field_of_view {self.field_of_view:g} with {self.readout!r}",
                expected="a read-out at the centre: of fine scale channels the view leaves nothing else",
                mend="pass field_of_view=None, with the same weights",
            )
        for width in self.widths:
            if width % (self.rotations or 1):
                raise ScaleGroupError(
                    f"width {width} for C{self.rotations}",
                    expected=f"fields × {self.rotations}",
                    mend=f"pass multiples of {self.rotations}",
                )

    def changed(self, **parts: Any) -> Architecture:
        """With other parts, and what follows from them by default; the name of an unknown one is refused."""
        if unknown := sorted(parts.keys() - {part.name for part in fields(self)}):
            known = sorted(part.name for part in fields(self))
            raise ScaleGroupError(f"{unknown[0]}=", expected=f"one of {known}", mend="check the spelling")
        derived: dict[str, Any] = {}
        if not getattr(parts.get("readout"), "at_centre", True):
            derived["field_of_view"] = None
        if parts.get("grid", self.grid) != self.grid:
            derived |= {"samples_per_sigma": None, "lifting": None, "min_grid_sigma": NOT_GIVEN}
        elif "readout" in parts and self.min_grid_sigma == _usual_min_grid_sigma(self.readout):
            derived["min_grid_sigma"] = NOT_GIVEN
        return replace(self, **(derived | parts))

    def tell(self) -> dict[str, Any]:
        """As JSON has it. Raises `ScaleGroupError` for a part that has no name in a file."""
        told = {part.name: _tell(getattr(self, part.name)) for part in fields(self)}
        window = self.window
        told["window"] = {
            "ratio": window.group.ratio,
            "sigma0": window.sigma0,
            "first": window.first,
            "channels": window.channels,
        }
        return told

    @classmethod
    def told(cls, content: dict[str, Any]) -> Architecture:
        """From what `tell` gives. Raises `KeyError`, `TypeError` or `ScaleGroupError` for anything else."""
        parts = {name: _told(value) for name, value in content.items() if name != "window"}
        parts = {part.name: part.default for part in fields(cls) if part.name in _LATER} | parts
        window = content["window"]
        group = ScaleGroup(window["ratio"])
        parts["window"] = ScaleWindow(group, window["sigma0"], window["channels"], first=window["first"])
        parts["activation"] = ACTIVATIONS[content["activation"]]
        if missing := {part.name for part in fields(cls)} - parts.keys():
            raise KeyError(sorted(missing)[0])
        return cls(**parts)


def _usual_min_grid_sigma(of: readout.ReadOut) -> float:
    return MIN_GRID_SIGMA if of.at_centre else MIN_GRID_SIGMA_ANYWHERE


def _tell(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, ScaleWindow):
        name = type(value).__name__
        if _STRATEGIES.get(name) is not type(value):
            raise ScaleGroupError(f"{value!r}", expected=f"one of {sorted(_STRATEGIES)}", mend="use one of these")
        return {"name": name} | {part.name: getattr(value, part.name) for part in fields(value)}
    if callable(value):
        names = [name for name, function in ACTIVATIONS.items() if function is value]
        if not names:
            raise ScaleGroupError(
                f"activation {value!r}",
                expected=f"one that a file can name: {sorted(ACTIVATIONS)}",
                mend="save its state_dict yourself, or use one of these",
            )
        return names[0]
    return value


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        options = {name: _told(part) for name, part in value.items() if name != "name"}
        return _STRATEGIES[value["name"]](**options)
    return tuple(value) if isinstance(value, list) else value
