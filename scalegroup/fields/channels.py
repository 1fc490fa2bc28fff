"""Scale channels folded into the batch axis: one call for all that share a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scalegroup.fields.grid import Grid, Grids


class Run(NamedTuple):
    """Neighbouring scale channels `start` … `stop - 1` that share a grid, folded into the batch axis.

    `maps` is `[channels·batch, feature, y, x]`, all images of the first channel first.
    """

    maps: Tensor
    grid: Grid
    start: int
    stop: int

    @property
    def channels(self) -> Tensor:
        """`[channel, batch, feature, y, x]`."""
        return by_channel(self.maps, self.stop - self.start)


def by_channel(maps: Tensor, count: int) -> Tensor:
    """`[channels·batch, …]` of so many channels as `[channel, batch, …]`: how many images is left to the tensor."""
    return maps.unflatten(0, (count, -1))


def concatenated(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Along an axis; no copy of one that is alone."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)


def folded(channels: Sequence[Tensor], grids: Grids) -> tuple[Tensor, ...]:
    """Maps `[batch, feature, y, x]` of all scale channels, those that share a grid put into one tensor."""
    return tuple(concatenated(channels[start:stop]) for start, stop in grids.runs)
