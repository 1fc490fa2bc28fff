"""The one base of all layers: maps from field to field with declared types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from scalegroup.errors import ScaleGroupError
from scalegroup.field import FieldType, ImageType, ScaleField
from scalegroup.grid import Grid


class Layer(nn.Module):
    """A map between fields that says what it takes (`in_type`) and what it gives (`out_type`).

    A layer works on any scale window: its weights are shared by all scale channels, and a channel's σ₀ in samples of
    its grid (`ScaleField.grid_sigmas`) is all it sees of scale.
    """

    def __init__(self, in_type: FieldType | ImageType, out_type: FieldType) -> None:
        super().__init__()
        self.in_type = in_type
        self.out_type = out_type

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """The samples of the input that the samples `wanted` of the output depend on, in a channel of σ₀ samples."""
        return wanted

    def on(self, fields: Sequence[ScaleField], wanted: Sequence[Grid]) -> tuple[ScaleField, ...]:
        """The layer on the scale channels of one field, held apart on grids of their own, for the samples wanted."""
        return tuple(self(field) for field in fields)

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
