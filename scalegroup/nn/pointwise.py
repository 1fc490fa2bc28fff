"""Pointwise non-linearities: they commute with scaling trivially (§4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.nn.channel import Channel
from scalegroup.nn.layer import Layer, check_map_type, check_permuted


class Pointwise(Layer):
    """Any pointwise function of the values, a module's parameters included.

    Args:
        type: scalar features over scale and plane (a character's value may only be scaled, so its fibre is trivial), in
            fields that rotations permute where it says anything of rotations.
        function: a map of tensors that acts on each value alone, such as `torch.relu` or `torch.nn.SiLU()`.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.full((1, 1, 3, 3), -2.0), ScaleWindow(ScaleGroup(2), 1.0, 2))
    >>> Pointwise(field.type, torch.square)(field).tensor.unique().tolist()
    [4.0]
    """

    def __init__(self, type: FieldType, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(check_permuted("type", check_map_type("type", type)), type)
        if not callable(function):
            raise ScaleGroupError(
                f"function {function!r}", expected="a map of tensors", mend="pass a function such as torch.relu"
            )
        self.function = function

    def forward(self, field: ScaleField) -> ScaleField:
        """The function on every value, and on the background."""
        self.check_input(field)
        return field.pointwise(self.function)

    def on(self, channels: Sequence[Channel], steps: Sequence[Any]) -> list[Channel]:
        """See `Layer`."""
        return [self._on(channel) for channel in channels]

    def _on(self, channel: Channel) -> Channel:
        maps = self.function(channel.maps.unsqueeze(2)).squeeze(2)
        if channel.constant is None or not channel.known:
            return replace(channel, values=maps, constant=None)
        constant = self.function(channel.constant[None, :, None, None, None]).flatten()
        return replace(channel, values=maps - constant[:, None, None], constant=constant)

    def extra_repr(self) -> str:
        """The features and the function's name."""
        return f"{self.out_type.size} features, {getattr(self.function, '__name__', self.function)}"


class ReLU(Pointwise):
    """max(0, x), the paper's θ in eq 10."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, torch.relu)
