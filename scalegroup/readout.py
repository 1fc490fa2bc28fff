"""Reading a field out of the plane: strategy objects that say what they look at and how they reduce it.

What a read-out looks at decides which part of the image the layers before it have to compute (`plan`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from torch import Tensor

from scalegroup.grid import Axis, Grid


class ReadOut(ABC):
    """A reduction of the last two axes."""

    keeps_plane = False

    def region(self, grid: Grid) -> Grid:
        """The samples of the image that are looked at: here all of them."""
        return replace(grid, y=Axis.whole(grid.y.size), x=Axis.whole(grid.x.size))

    @abstractmethod
    def reduce(self, maps: Tensor) -> Tensor:
        """`[..., y, x]`, exactly the samples of `region`, to `[..., 1, 1]` (or as it is for a dense read-out)."""


@dataclass(frozen=True)
class CentrePixel(ReadOut):
    """The centre pixel; the mean of the central two where a size is even (§5), which costs full scale covariance."""

    def region(self, grid: Grid) -> Grid:
        """The central one or two samples on each axis."""
        return grid.around(0.5)

    def reduce(self, maps: Tensor) -> Tensor:
        """See `ReadOut`."""
        return maps.mean((-2, -1), keepdim=True)


@dataclass(frozen=True)
class SpatialMax(ReadOut):
    """The maximum over the image, for objects off the centre."""

    def reduce(self, maps: Tensor) -> Tensor:
        """See `ReadOut`."""
        return maps.amax((-2, -1), keepdim=True)


@dataclass(frozen=True)
class SpatialMean(ReadOut):
    """The mean over the image.

    Not scale invariant for a compact object on a fixed canvas: the object's share of the area changes.
    """

    def reduce(self, maps: Tensor) -> Tensor:
        """See `ReadOut`."""
        return maps.mean((-2, -1), keepdim=True)


@dataclass(frozen=True)
class Dense(ReadOut):
    """The whole field, at every pixel of the image."""

    keeps_plane = True

    def reduce(self, maps: Tensor) -> Tensor:
        """See `ReadOut`."""
        return maps
