"""The one base of all layers: maps from field to field with declared types."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType, ImageType
from scalegroup.grid import Grid
from scalegroup.nn.channel import Channel
from scalegroup.plan import Work


class Layer(nn.Module):
    """A map between fields that says what it takes (`in_type`) and what it gives (`out_type`).

    A layer works on any scale window: its weights are shared by all scale channels, and a channel's σ₀ in samples of
    its grid (`ScaleField.grid_sigmas`) is all it sees of scale.
    """

    def __init__(self, in_type: FieldType | ImageType, out_type: FieldType) -> None:
        super().__init__()
        self.in_type = in_type
        self.out_type = out_type

    @property
    def smoothing(self) -> float:
        """σ of the layer's own smoothing in units of σ₀; 0 for none, and then it cannot move to a coarser grid."""
        return 0.0

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """The samples of the input that the samples `wanted` of the output depend on, in a channel of σ₀ samples."""
        return wanted

    def gives(self, held: Grid, wanted: Grid) -> Grid:
        """The samples of the output, where those held are given and those wanted are wanted."""
        return held

    def work(self, held: Grid, wanted: Grid, sigma0: float) -> Work:
        """What it takes to compute the samples `wanted` from those held, for one image."""
        return Work.of(wanted, self.out_type.size)

    @property
    def settings(self) -> Hashable:
        """All that its steps depend on besides the grids."""
        return None

    def knows_background(self, known: bool) -> bool:
        """Whether the background of what the layer gives is known, if that of what it takes is, or is not."""
        return known

    def step(self, held: Grid, wanted: Grid, sigma0: float, known: bool, like: Tensor) -> Any:
        """Whatever the layer prepares once for one scale channel of a plan; `on` is given it.

        Args:
            held: the samples it is given.
            wanted: those it is to give, on the same grid or a coarser one.
            sigma0: in samples of that grid.
            known: whether the background of what it is given is known.
            like: a tensor of the dtype and on the device of the maps.
        """
        return wanted

    def on(self, channels: Sequence[Channel], steps: Sequence[Any]) -> list[Channel]:
        """The layer on scale channels held apart, each on a grid of its own, by what `step` prepared."""
        return [Channel.of(self(channel.field(self._map_type))) for channel in channels]

    @property
    def _map_type(self) -> FieldType:
        if isinstance(self.in_type, ImageType):
            raise NotImplementedError(f"{type(self).__name__} takes images")
        return self.in_type

    def check_input(self, field: Any) -> None:
        """Raise `ScaleGroupError` unless `field` is a field of this layer's input type."""
        name = type(self).__name__
        if not isinstance(field, ScaleField):
            raise ScaleGroupError(
                f"{name} input of type {type(field).__name__}",
                expected="a ScaleField",
                mend="put nn.Lift(window) in front, or use functional.lift",
            )
        if field.type != self.in_type:
            raise ScaleGroupError(
                f"{name} input of {field.type!r}", expected=repr(self.in_type), mend="lift and compose with these types"
            )

    def extra_repr(self) -> str:
        """The features in and out, for `print(layer)`."""
        size = self.in_type.channels if isinstance(self.in_type, ImageType) else self.in_type.size
        return f"{size} → {self.out_type.size} features"


def check_map_type(name: str, type_: Any) -> FieldType:
    """A type over scale and plane with trivial fibre, which is what 2-jets act on; else a `ScaleGroupError`."""
    if not isinstance(type_, FieldType) or not (type_.over_scale and type_.over_plane and type_.fibre.is_trivial):
        raise ScaleGroupError(
            f"{name} {type_!r}",
            expected="scalar features over scale and plane",
            mend="use FieldType.scalars(group, size), and put read-outs and scale pooling last",
        )
    return type_


def check_permuted(name: str, type_: FieldType) -> FieldType:
    """A type whose features rotations leave alone or permute, as pointwise functions need; else a `ScaleGroupError`."""
    if type_.rotation is not None and type_.rotation.orbits is None:
        raise ScaleGroupError(
            f"{name} {type_!r}",
            expected="features that rotations permute",
            mend="use trivial and regular fields between layers, and others at the end",
        )
    return type_
