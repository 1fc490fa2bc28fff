"""Where samples lie. All positions are relative to the centre of the image, in steps of the grid they belong to.

A scale channel of σ₀ has a grid of its own, of spacing σ₀/g: on it every σ of every layer is the same number of samples
in all channels. `samples_per_sigma` is g; on the image's own grid it is σ₀ in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from scalegroup.constants import known
from scalegroup.errors import Refusing, ScaleGroupError

_ROUNDING = 1e-9  # samples: the border of an image that is 7.9999999999 samples away is 8 away


def _no_grid(got: Any, expected: str) -> ScaleGroupError:
    return ScaleGroupError(repr(got), expected=expected, mend="take it from a field, or sampling.canvas(size, sigmas)")


@dataclass(frozen=True)
class Axis(Refusing):
    """`length` samples at `first`, first + 1, …: integers, or, on the image's grid where its size is even, halves.

    >>> Axis.within(1.7).dilated(2)
    Axis(first=-3, length=7)
    >>> Axis.pixels(4)
    Axis(first=-1.5, length=4)
    """

    first: float
    length: int

    def __post_init__(self) -> None:
        if not (isinstance(self.first, (int, float)) and isinstance(self.length, int)):
            raise _no_grid(self, "a place and a number of samples")

    @staticmethod
    def within(extent: float) -> Axis:
        """All integers up to `extent` from the centre."""
        half = math.floor(extent + _ROUNDING)
        return Axis(-half, 2 * half + 1)

    @staticmethod
    def pixels(size: int) -> Axis:
        """An image axis of that many pixels."""
        return Axis(-(size // 2) if size % 2 else (1 - size) / 2, size)

    @property
    def stop(self) -> float:
        """One step behind the last sample."""
        return self.first + self.length

    @property
    def on_integers(self) -> bool:
        """Whether the centre is a sample."""
        return self.first == math.floor(self.first)

    @property
    def positions(self) -> np.ndarray:
        """Of all samples, in steps from the centre."""
        return self.first + np.arange(self.length)

    def alike(self, extent: float) -> Axis:
        """All samples of this kind (integers or halves) up to `extent` from the centre, never none."""
        if self.on_integers:
            return Axis.within(extent)
        half = max(1, math.floor(extent + 0.5 + _ROUNDING))
        return Axis(0.5 - half, 2 * half)

    def dilated(self, radius: int) -> Axis:
        """With all samples within `radius` of these; a negative one takes samples off."""
        return Axis(self.first - radius, self.length + 2 * radius)

    def union(self, other: Axis) -> Axis:
        """The smallest run that contains both."""
        first = min(self.first, other.first)
        return Axis(first, int(max(self.stop, other.stop) - first))

    def intersection(self, other: Axis) -> Axis:
        """The samples that both have."""
        first = max(self.first, other.first)
        return Axis(first, int(min(self.stop, other.stop) - first))

    def within_reach(self, other: Axis) -> Axis:
        """The samples that both have; where there are none, the other's that is nearest."""
        first = min(max(self.first, other.first), other.stop - 1)
        return Axis(first, int(max(min(self.stop, other.stop), first + 1) - first))

    def contains(self, other: Axis) -> bool:
        """Whether the other's samples are all among these."""
        return self.first <= other.first and other.stop <= self.stop and (self.first - other.first) % 1 == 0

    def every_second(self) -> Axis:
        """Those at even positions, counted in steps of two: the centre stays."""
        first = math.ceil(self.first / 2)
        return Axis(first, math.floor((self.stop - 1) / 2) - first + 1)

    def halfway(self) -> Axis:
        """The same samples counted in steps half as long, with those between them."""
        return Axis(2 * self.first, 2 * self.length - 1)


@dataclass(frozen=True)
class Grid(Refusing):
    """The samples of one scale channel.

    Args:
        y, x: the two axes.
        samples_per_sigma: σ₀ of the channel in samples of this grid, whatever it is in pixels.
    """

    y: Axis
    x: Axis
    samples_per_sigma: float

    def __post_init__(self) -> None:
        if not (
            isinstance(self.y, Axis) and isinstance(self.x, Axis) and isinstance(self.samples_per_sigma, (int, float))
        ):
            raise _no_grid(self, "two axes, and σ₀ in samples")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y.length, self.x.length

    def on_axes(self, change: Callable[[Axis], Axis]) -> Grid:
        """The same change of both axes."""
        return Grid(change(self.y), change(self.x), self.samples_per_sigma)

    def dilated(self, radius: int) -> Grid:
        """With all samples within `radius` of these; a negative one takes samples off."""
        return self.on_axes(lambda axis: axis.dilated(radius))

    def around(self, half_width: float) -> Grid:
        """The centred square of that half-width in samples, never less than the central sample."""
        return self.on_axes(lambda axis: axis.alike(half_width))

    def union(self, other: Grid) -> Grid:
        """The smallest rectangle that contains both."""
        return Grid(self.y.union(other.y), self.x.union(other.x), self.samples_per_sigma)

    def intersection(self, other: Grid) -> Grid:
        """The samples that both have."""
        return Grid(self.y.intersection(other.y), self.x.intersection(other.x), self.samples_per_sigma)

    def within_reach(self, other: Grid) -> Grid:
        """The samples that both have; along an axis where there are none, the other's nearest."""
        return Grid(self.y.within_reach(other.y), self.x.within_reach(other.x), self.samples_per_sigma)

    def contains(self, other: Grid) -> bool:
        """Whether the other's samples are all among these."""
        same = self.samples_per_sigma == other.samples_per_sigma
        return same and self.y.contains(other.y) and self.x.contains(other.x)

    def every_second(self) -> Grid:
        """The samples at even positions, as a grid of twice the spacing."""
        return Grid(self.y.every_second(), self.x.every_second(), self.samples_per_sigma / 2)

    def halfway(self) -> Grid:
        """The same samples and those between them, as a grid of half the spacing."""
        return Grid(self.y.halfway(), self.x.halfway(), self.samples_per_sigma * 2)

    def crop(self, maps: Tensor, part: Grid) -> Tensor:
        """The samples `part` out of a tensor `[..., y, x]` that holds this grid; beyond it what is at its border.

        By padding with negative numbers: the gradient of a slice forgets the memory format (channels-last).
        """
        seen = part.within_reach(self)
        inner, outer = self._margins(seen), seen._margins(part)
        maps = F.pad(maps, inner) if any(inner) else maps
        return F.pad(maps, outer, mode="replicate") if any(outer) else maps

    def place(self, maps: Tensor, part: Grid, values: Tensor) -> None:
        """Write the samples `part` into a tensor `[..., y, x]` that holds this grid."""
        top, left = int(part.y.first - self.y.first), int(part.x.first - self.x.first)
        maps[..., top : top + part.y.length, left : left + part.x.length] = values

    def _margins(self, part: Grid) -> list[int]:
        """How many samples more another grid has, left, right, above and below."""
        return [
            int(margin)
            for held, kept in ((self.x, part.x), (self.y, part.y))
            for margin in (held.first - kept.first, kept.stop - held.stop)
        ]


@dataclass(frozen=True)
class Grids(Refusing):
    """How the scale channels of a field sample an image.

    Relabelling a field (`ScaleField.transform`) changes none of these numbers.

    Args:
        size: rows and columns of the image, in pixels.
        sigmas: σ₀ of each channel, in pixels.
        grids: of each channel.
    """

    size: tuple[int, int]
    sigmas: tuple[float, ...]
    grids: tuple[Grid, ...]

    def __post_init__(self) -> None:
        whole = isinstance(self.size, tuple) and isinstance(self.sigmas, tuple) and isinstance(self.grids, tuple)
        if not whole or [grid for grid in self.grids if not isinstance(grid, Grid)]:
            raise _no_grid(self, "tuples: rows and columns, σ₀ of each channel, a Grid for each")

    @staticmethod
    def of_pixels(size: tuple[int, int], sigmas: Sequence[float]) -> Grids:
        """Every channel on the image's own grid."""
        y, x = (Axis.pixels(length) for length in size)
        sigmas = known(tuple(sigmas))
        return Grids(tuple(size), sigmas, tuple(Grid(y, x, sigma) for sigma in sigmas))  # type: ignore[arg-type]

    @property
    def spacings(self) -> tuple[float, ...]:
        """The distance between neighbouring samples of each channel, in pixels."""
        return tuple(sigma / grid.samples_per_sigma for sigma, grid in zip(self.sigmas, self.grids, strict=True))

    @property
    def runs(self) -> list[tuple[int, int]]:
        """(start, stop) of neighbouring channels that share a grid."""
        runs: list[tuple[int, int]] = []
        for channel, grid in enumerate(self.grids):
            if runs and self.grids[channel - 1] == grid:
                runs[-1] = runs[-1][0], channel + 1
            else:
                runs.append((channel, channel + 1))
        return runs

    def map(self, change: Callable[..., Grid], *others: Grids) -> Grids:
        """The same change of every channel's grid, or combination with those of others: `a.map(Grid.union, b)`.

        Equal ones become one object, so that what all channels share is worked out once.
        """
        made: dict[tuple[int, ...], Grid] = {}
        equal: dict[Grid, Grid] = {}
        result = []
        for grids in zip(self.grids, *(other.grids for other in others), strict=True):
            key = tuple(map(id, grids))
            if key not in made:
                grid = change(*grids)
                made[key] = equal.setdefault(grid, grid)
            result.append(made[key])
        return Grids(self.size, self.sigmas, tuple(result))

    def canvas(self) -> Grids:
        """The whole image, sampled as these grids are."""
        rows, columns = ((length - 1) / 2 for length in self.size)
        grids = [
            Grid(grid.y.alike(rows / spacing), grid.x.alike(columns / spacing), grid.samples_per_sigma)
            for grid, spacing in zip(self.grids, self.spacings, strict=True)
        ]
        return Grids(self.size, self.sigmas, tuple(grids))

    def pixels(self) -> Grids:
        """The whole image, every channel on the image's own grid."""
        return Grids.of_pixels(self.size, self.sigmas)

    def contains(self, other: Grids) -> bool:
        """Whether every channel's samples hold the other's."""
        pairs = {(id(held), id(part)): (held, part) for held, part in zip(self.grids, other.grids, strict=True)}
        return all(held.contains(part) for held, part in pairs.values())

    def among(self, sigmas: Sequence[float]) -> Grids:
        """Of those channels whose σ₀ is among these."""
        kept = [n for n, sigma in enumerate(self.sigmas) if sigma in sigmas]
        if len(kept) == len(self.sigmas):
            return self
        return Grids(self.size, tuple(self.sigmas[n] for n in kept), tuple(self.grids[n] for n in kept))

    def select(self, start: int, stop: int) -> Grids:
        """Of the channels `start` … `stop - 1`."""
        return Grids(self.size, self.sigmas[start:stop], self.grids[start:stop])
