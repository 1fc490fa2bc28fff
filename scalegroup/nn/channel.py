"""One scale channel on its way through a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.grid import Grid
from scalegroup.window import ScaleWindow


@dataclass(frozen=True, eq=False)
class Channel:
    """The maps of one scale channel, as `values + constant`.

    Carrying the constant apart saves two passes over the maps per layer: where the world outside the image is known,
    `constant` is its value, and the values continue with zeros.

    Args:
        values: `[batch, feature, y, x]`.
        constant: `[feature]`, or None for zero.
        known: whether the world outside the image is known to be the constant.
        window: of this one channel.
        spacing: as of a `ScaleField`.
        grid: the samples that are held.
    """

    values: Tensor
    constant: Tensor | None
    known: bool
    window: ScaleWindow
    spacing: int
    grid: Grid

    @staticmethod
    def of(field: ScaleField) -> Channel:
        """A field with one scale channel."""
        values = field.channel(0)
        if field.background is None:
            return Channel(values, None, False, field.window, field.spacing, field.held)
        constant = field.background[:, 0]
        return Channel(values - constant[:, None, None], constant, True, field.window, field.spacing, field.held)

    def field(self, type: FieldType) -> ScaleField:
        """The same as a field of that type."""
        background = None
        if self.known:
            constant = self.values.new_zeros(self.values.shape[1]) if self.constant is None else self.constant
            background = constant[:, None]
        return ScaleField(
            self.maps.unsqueeze(2),
            type,
            self.window,
            spacing=self.spacing,
            background=background if type.over_plane else None,
            grid=self.grid if type.over_plane else None,
        )

    @property
    def maps(self) -> Tensor:
        """`values + constant`."""
        return self.values if self.constant is None else self.values + self.constant[:, None, None]

    def relative_to(self, constant: Tensor | None, *, known: bool) -> Channel:
        """The same maps split with another constant (None: zero)."""
        if constant is self.constant:
            return replace(self, known=known)
        values = self.maps if constant is None else self.maps - constant[:, None, None]
        return replace(self, values=values, constant=constant, known=known)

    def shifted(self, scale: Tensor, shift: Tensor) -> Tensor:
        """scale·constant + shift."""
        return shift if self.constant is None else torch.addcmul(shift, self.constant, scale)
