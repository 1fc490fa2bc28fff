"""What fields are: how their features transform, and which axes they have."""

from __future__ import annotations

from dataclasses import dataclass

from scalegroup.errors import ScaleGroupError, check_instance, check_integer
from scalegroup.group import ScaleGroup
from scalegroup.representation import Representation, trivial
from scalegroup.rotation import RotationRepresentation


@dataclass(frozen=True)
class ImageType:
    """Plain images `[batch, channel, y, x]`, before lifting."""

    channels: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", check_integer("channels", self.channels, at_least=1))

    def __repr__(self) -> str:
        return f"images with {self.channels} channel(s)"


@dataclass(frozen=True)
class FieldType:
    """What a feature field is: its fibre, and whether it still lives over scale and over the plane.

    Args:
        fibre: how the feature values transform with scale, one dimension per feature.
        over_scale: True for the regular representation along scale; False once pooled (projected to the trivial one).
        over_plane: True for maps; False once read out.
        rotation: how the features transform with rotations C_N; None: nothing is said of it.

    >>> FieldType.scalars(ScaleGroup(2), 12)
    12 scalar feature(s) over scale and plane of the group of all powers of 2
    """

    fibre: Representation
    over_scale: bool = True
    over_plane: bool = True
    rotation: RotationRepresentation | None = None

    def __post_init__(self) -> None:
        check_instance("fibre", self.fibre, Representation, mend="use FieldType.scalars(group, size)")
        if self.rotation is not None:
            check_instance("rotation", self.rotation, RotationRepresentation, mend="pass 4 * RotationGroup(8).regular")
            if self.rotation.dimension != self.fibre.dimension:
                raise ScaleGroupError(
                    f"{self.rotation!r} with {self.rotation.dimension} features on a fibre of {self.fibre.dimension}",
                    expected="as many of both",
                    mend="use FieldType.rotating(group, rotation)",
                )

    @staticmethod
    def scalars(group: ScaleGroup, size: int) -> FieldType:
        """`size` features with trivial fibre: what the scale-normalised 2-jet maps to and from."""
        return FieldType(trivial(group, check_integer("size", size, at_least=1)))

    @staticmethod
    def rotating(group: ScaleGroup, rotation: RotationRepresentation) -> FieldType:
        """Features that scaling leaves alone and rotations mix: a fibre of the product of both groups.

        >>> from scalegroup import RotationGroup
        >>> FieldType.rotating(ScaleGroup(2), 3 * RotationGroup(4).regular)
        12 scalar feature(s) over scale and plane of the group of all powers of 2, 3 regular field(s) of C4
        """
        check_instance("rotation", rotation, RotationRepresentation, mend="pass 4 * RotationGroup(8).regular")
        return FieldType(trivial(group, rotation.dimension), rotation=rotation)

    @property
    def group(self) -> ScaleGroup:
        """The scaling group."""
        return self.fibre.group

    @property
    def size(self) -> int:
        """Number of features."""
        return self.fibre.dimension

    @property
    def is_vector(self) -> bool:
        """Whether features are all that is left: pooled over scale and read out of the plane, as class scores are."""
        return not (self.over_scale or self.over_plane)

    def __repr__(self) -> str:
        kind = "scalar" if self.fibre.is_trivial else f"weight-{self.fibre.weights}"
        axes = {(True, True): "over scale and plane", (True, False): "over scale", (False, True): "over the plane"}
        where = axes.get((self.over_scale, self.over_plane), "with no axes left")
        rotating = "" if self.rotation is None else f", {self.rotation!r}"
        return f"{self.size} {kind} feature(s) {where} of {self.group!r}{rotating}"
