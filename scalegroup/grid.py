"""Where samples lie: an image axis, the part of it that is held, and the stride of the grid.

Everything is centred: the read-out of the paper is the centre of the image, scaling is about the centre, so regions
are centred runs of samples and coarser grids keep the centre where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Axis:
    """An image axis of `size` samples, of which `start` … `stop - 1` are held.

    >>> Axis.whole(9).around(1.0)
    Axis(size=9, start=3, stop=6)
    """

    size: int
    start: int
    stop: int

    @staticmethod
    def whole(size: int) -> Axis:
        """The axis with all of its samples held."""
        return Axis(size, 0, size)

    @property
    def length(self) -> int:
        """How many samples are held."""
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        """Whether all samples are held."""
        return self.length == self.size

    def around(self, half_width: float) -> Axis:
        """The samples within `half_width` of the centre, never fewer than the central one (odd) or two (even)."""
        centre = (self.size - 1) / 2
        reach = min(max(half_width, 0.5), self.size)
        return replace(
            self, start=max(0, math.ceil(centre - reach)), stop=min(self.size, math.floor(centre + reach) + 1)
        )

    def dilated(self, radius: int) -> Axis:
        """The held samples and all within `radius` of them that the image has: regions never leave the image."""
        return replace(self, start=max(0, self.start - radius), stop=min(self.size, self.stop + radius))

    def union(self, other: Axis) -> Axis:
        """The smallest run that contains both."""
        return replace(self, start=min(self.start, other.start), stop=max(self.stop, other.stop))

    def margins(self, start: int, stop: int) -> tuple[int, int]:
        """How many samples have to be put in front and behind (negative: taken off) to hold [start, stop)."""
        return self.start - start, stop - self.stop


@dataclass(frozen=True)
class Grid:
    """The two axes of a sampled map, and its stride: how many samples of the original grid one step spans."""

    y: Axis
    x: Axis
    stride: int = 1

    @staticmethod
    def whole(height: int, width: int, stride: int = 1) -> Grid:
        """A grid with all samples held."""
        return Grid(Axis.whole(height), Axis.whole(width), stride)

    @property
    def is_whole(self) -> bool:
        """Whether all samples are held."""
        return self.y.is_whole and self.x.is_whole

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are held."""
        return self.y.length, self.x.length

    def around(self, half_width: float) -> Grid:
        """The centred square of that half-width (in samples of this grid), cut to the image."""
        return replace(self, y=self.y.around(half_width), x=self.x.around(half_width))

    def dilated(self, radius: int) -> Grid:
        """All samples of the image within `radius` of the held ones."""
        return replace(self, y=self.y.dilated(radius), x=self.x.dilated(radius))

    def union(self, other: Grid) -> Grid:
        """The smallest rectangle that contains both."""
        return replace(self, y=self.y.union(other.y), x=self.x.union(other.x))

    def crop(self, maps: Tensor, part: Grid) -> Tensor:
        """The samples `part` out of a tensor `[..., y, x]` that holds this grid."""
        return pad(maps, self.y.margins(part.y.start, part.y.stop), self.x.margins(part.x.start, part.x.stop))


def pad(maps: Tensor, y: tuple[int, int], x: tuple[int, int]) -> Tensor:
    """`[..., y, x]` with that many zeros in front and behind on each axis; negative numbers crop.

    Crops by padding, because the gradient of a slice forgets the memory format (channels-last) and that of a padding
    does not.
    """
    return F.pad(maps, (*x, *y)) if any(y + x) else maps
