"""What fields are: how their features transform, and which axes they have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scalegroup.algebra.representation import MOST_FEATURES, Representation, trivial
from scalegroup.algebra.rotation import RotationRepresentation
from scalegroup.constants import known
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_integer, check_positive


@dataclass(frozen=True)
class ImageType(Refusing):
    """Plain images `[batch, channel, y, x]`, before lifting."""

    channels: int

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "channels", check_integer("channels", self.channels, at_least=1, at_most=MOST_FEATURES)
        )

    def __repr__(self) -> str:
        return f"images with {self.channels} channel(s)"


@dataclass(frozen=True)
class FieldType(Refusing):
    """What a feature field is: its fibre, and whether it still lives over scale and over the plane.

    Args:
        fibre: how the feature values transform with scale, one dimension per feature.
        over_scale: True for the regular representation along scale; False once pooled (projected to the trivial one).
        over_plane: True for maps; False once read out.
        rotation: how the features transform with rotations C_N; None: nothing is said of it.
        smoothed: σ, in units of σ₀, of the smoothing that the lifting did and that the next jet need not do again.

    Raises `ScaleGroupError` if the parts do not fit together.

    >>> FieldType.scalars(12)
    12 scalar feature(s) over scale and plane
    """

    fibre: Representation
    over_scale: bool = True
    over_plane: bool = True
    rotation: RotationRepresentation | None = None
    smoothed: float = 0.0

    def __post_init__(self) -> None:
        check_instance("fibre", self.fibre, Representation, mend="use FieldType.scalars(size)")
        for name in ("over_scale", "over_plane"):
            check_instance(name, getattr(self, name), bool, mend=f"pass {name}=True or {name}=False")
        if self.smoothed != 0:
            object.__setattr__(self, "smoothed", check_positive("smoothed", self.smoothed))
        if self.rotation is not None:
            check_instance("rotation", self.rotation, RotationRepresentation, mend="pass 4 * RotationGroup(8).regular")
            if self.rotation.dimension != self.fibre.dimension:
                raise ScaleGroupError(
                    f"{self.rotation!r} with {self.rotation.dimension} features on a fibre of {self.fibre.dimension}",
                    expected="as many of both",
                    mend="use FieldType.rotating(rotation)",
                )

    def _parts(self) -> tuple[Any, ...]:
        return self.fibre, self.over_scale, self.over_plane, self.rotation, known(self.smoothed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldType) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    @staticmethod
    def scalars(size: int, *, smoothed: float = 0.0) -> FieldType:
        """`size` features with trivial fibre: what the scale-normalised jet maps to and from."""
        return FieldType(trivial(check_integer("size", size, at_least=1)), smoothed=smoothed)

    @staticmethod
    def rotating(rotation: RotationRepresentation) -> FieldType:
        """Features that scaling leaves alone and rotations mix: a fibre of the product of both groups.

        >>> from scalegroup import RotationGroup
        >>> FieldType.rotating(3 * RotationGroup(4).regular)
        12 scalar feature(s) over scale and plane, 3 regular field(s) of C4
        """
        check_instance("rotation", rotation, RotationRepresentation, mend="pass 4 * RotationGroup(8).regular")
        return FieldType(trivial(rotation.dimension), rotation=rotation)

    @property
    def size(self) -> int:
        """Number of features."""
        return self.fibre.dimension

    @property
    def unsmoothed(self) -> FieldType:
        """The same features, of which nothing is known to be smooth."""
        return replace(self, smoothed=0.0)

    def __repr__(self) -> str:
        kind = "scalar" if self.fibre.is_trivial else f"weight-{self.fibre.weights}"
        axes = {(True, True): "over scale and plane", (True, False): "over scale", (False, True): "over the plane"}
        where = axes.get((self.over_scale, self.over_plane), "with no axes left")
        rotating = "" if self.rotation is None else f", {self.rotation!r}"
        smoothed = f", smoothed by {self.smoothed:g}·σ₀" if self.smoothed else ""
        return f"{self.size} {kind} feature(s) {where}{rotating}{smoothed}"


def orbits_of(type: FieldType) -> tuple[Tensor | None, int]:
    """Of each feature the number of its orbit under rotations, None where every feature is one; and how many there are.

    >>> from scalegroup import RotationGroup
    >>> orbits_of(FieldType.rotating(2 * RotationGroup(2).regular))
    (tensor([0, 0, 1, 1]), 2)
    """
    if type.rotation is None:
        return None, type.size
    orbits = torch.tensor(type.rotation.orbits)
    return orbits, int(orbits.max()) + 1
