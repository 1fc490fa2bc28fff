"""From one grid to another: samples of maps at real positions, by a Kaiser-windowed sinc. Approximate."""

import math
from dataclasses import replace

import numpy as np
from torch import Tensor

from scalegroup.constants import cast, constant_tensor
from scalegroup.errors import ScaleGroupError
from scalegroup.fields.axis import Axis
from scalegroup.fields.grid import Grid
from scalegroup.fields.lifting import without_autocast

_LOBES = 8  # half-width of the windowed sinc, in samples of the coarser of the two grids
_KAISER_BETA = 8.0


def resample(maps: Tensor, held: Grid, wanted: Grid, factor: float) -> Tensor:
    """`[..., y, x]` that holds the grid `held`, at the samples of `wanted`, whose spacing is `factor` times as large.

    Band-limited where the factor exceeds 1. `held` must contain `support(wanted, factor)`.

    >>> from scalegroup import Axis, Grid
    >>> fine, coarse = (Grid(Axis.within(n), Axis.within(n), 1.0) for n in (20, 2))
    >>> resample(torch.ones(1, 41, 41), fine, coarse, 2.0).mean().round(decimals=6)
    tensor(1.)
    """
    along_y, along_x = (
        resampling_matrix(a.first, a.length, b.first, b.length, factor, like=maps)
        for a, b in ((held.y, wanted.y), (held.x, wanted.x))
    )
    with without_autocast(maps):
        return along_y @ cast(maps, along_y.dtype) @ along_x.mT


def support(wanted: Grid, factor: float, held: Grid) -> Grid:
    """The samples that `resample` looks at, on the grid of `held`."""

    def of(axis: Axis, like: Axis) -> Axis:
        reach, half = _LOBES * max(1.0, factor), like.first % 1
        first = math.ceil(axis.first * factor - reach - half)
        return Axis(first + half, math.floor((axis.stop - 1) * factor + reach - half) - first + 1)

    return replace(held, y=of(wanted.y, held.y), x=of(wanted.x, held.x))


def supported(like: Grid, factor: float, held: Grid) -> Grid:
    """The other way round: the samples, on the grid of `like`, whose `support` is among those of `held`.

    Raises `ScaleGroupError` if there are none.
    """

    def of(axis: Axis, like: Axis) -> Axis:
        reach, half = _LOBES * max(1.0, factor), like.first % 1
        first = math.floor((axis.first - 1 + reach) / factor - half) + 1  # the inverse of `support`: it rounds inwards
        return Axis(first + half, math.ceil((axis.stop - reach) / factor - half) - first)

    result = replace(like, y=of(held.y, like.y), x=of(held.x, like.x))
    if min(result.shape) < 1:
        raise ScaleGroupError(
            f"{held.shape} samples to resample by {factor:.3g}",
            expected=f"more than {2 * _LOBES * max(1.0, factor):.0f} on each axis",
            mend="call the network on images, which lifts as much of their surroundings as is needed",
        )
    return result


@constant_tensor
def resampling_matrix(first: float, length: int, wanted_first: float, wanted_length: int, factor: float) -> np.ndarray:
    """`[wanted_length, length]`, every row of unit mass."""
    held, wanted = Axis(first, length), Axis(wanted_first, wanted_length)
    cutoff = max(1.0, factor)
    offset = (held.positions - factor * wanted.positions[:, None]) / cutoff
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offset / _LOBES) ** 2, 0, None)))
    weights = np.where(abs(offset) <= _LOBES, np.sinc(offset) * window, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)
