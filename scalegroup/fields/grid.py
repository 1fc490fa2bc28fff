"""Where samples lie. All positions are relative to the centre of the image, in steps of the grid they belong to.

A scale channel of σ₀ has a grid of its own, of spacing σ₀/g: on it every σ of every layer is the same number of samples
in all channels. `samples_per_sigma` is g; on the image's own grid it is σ₀ in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor
from torch.nn import functional as F

from scalegroup.constants import known, remembered
from scalegroup.errors import Refusing
from scalegroup.fields.axis import Axis, no_grid


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
            raise no_grid(self, "two axes, and σ₀ in samples")

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
            raise no_grid(self, "tuples: rows and columns, σ₀ of each channel, a Grid for each")

    @cached_property
    def _hash(self) -> int:
        return hash((self.size, self.sigmas, self.grids))

    def __hash__(self) -> int:
        """Worked out once: what is `remembered` is found by it."""
        return self._hash

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
        """The same change of every channel's grid, or combination with those of others: `a.map(combine, b)`."""
        each = zip(self.grids, *(other.grids for other in others), strict=True)
        return self._on(change(*grids) for grids in each)

    def _on(self, grids: Iterable[Grid]) -> Grids:
        """Of the same channels on other grids. Equal ones become one object, which is found equal at a glance."""
        equal: dict[Grid, Grid] = {}
        return Grids(self.size, self.sigmas, tuple(equal.setdefault(grid, grid) for grid in grids))

    @remembered
    def dilated(self, radii: tuple[int, ...]) -> Grids:
        """With all samples within a radius of those of each channel; negative ones take samples off."""
        return self._on(grid.dilated(radius) for grid, radius in zip(self.grids, radii, strict=True))

    @remembered
    def union(self, other: Grids) -> Grids:
        """The smallest rectangles that contain both."""
        return self.map(Grid.union, other)

    @remembered
    def intersection(self, other: Grids) -> Grids:
        """The samples that both have."""
        return self.map(Grid.intersection, other)

    @remembered
    def within_reach(self, other: Grids) -> Grids:
        """The samples that both have; along an axis where there are none, the other's nearest."""
        return self.map(Grid.within_reach, other)

    @remembered
    def every_second(self) -> Grids:
        """The samples at even positions, as grids of twice the spacing."""
        return self.map(Grid.every_second)

    @remembered
    def halfway(self) -> Grids:
        """The same samples and those between them, as grids of half the spacing."""
        return self.map(Grid.halfway)

    @remembered
    def around(self, half_width: float) -> Grids:
        """The centred square of that half-width in σ₀ of each channel, never less than the central sample."""
        return self.map(lambda grid: grid.around(half_width * grid.samples_per_sigma))

    @remembered
    def canvas(self) -> Grids:
        """The whole image, sampled as these grids are."""
        rows, columns = ((length - 1) / 2 for length in self.size)
        return self._on(
            Grid(grid.y.alike(rows / spacing), grid.x.alike(columns / spacing), grid.samples_per_sigma)
            for grid, spacing in zip(self.grids, self.spacings, strict=True)
        )

    def pixels(self) -> Grids:
        """The whole image, every channel on the image's own grid."""
        return Grids.of_pixels(self.size, self.sigmas)

    @remembered
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
