"""Reading a field out of the plane: strategy objects that say what they look at and what they make of it.

What a read-out looks at decides how far the layers before it have to compute.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import reduce

from torch import Tensor

from scalegroup.constants import remembered
from scalegroup.errors import Refusing
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.resample import resample, support, supported


class ReadOut(Refusing, ABC):
    """A projection along the plane."""

    keeps_plane = False

    at_centre = False
    """Whether it looks at the centre alone, which is a sample of every grid, and never falls between them."""

    @abstractmethod
    def canvas(self, canvas: Grids) -> Grids:
        """Where the values that it gives lie, of a field that is sampled as `canvas` is."""

    @abstractmethod
    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The samples of such a field, whose whole image is `canvas`, that `wanted` of the values depend on."""

    @abstractmethod
    def read(self, field: ScaleField) -> tuple[tuple[Tensor, ...], Grids]:
        """The maps that it gives, and where they lie."""


class _Reduction(ReadOut):
    """One value per feature and scale channel, held as a map of one sample."""

    def canvas(self, canvas: Grids) -> Grids:
        return _one(canvas)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """See `ReadOut`; all of the image."""
        return canvas

    def read(self, field: ScaleField) -> tuple[tuple[Tensor, ...], Grids]:
        seen = field.crop(self.needs(field.grids, field.grids.canvas()))
        return tuple(self.reduce(maps) for maps in seen.maps), _one(seen.grids)

    def reduce(self, maps: Tensor) -> Tensor:
        """`[..., y, x]` to `[..., 1, 1]`; the mean."""
        return maps.mean((-2, -1), keepdim=True)


@remembered
def _one(grids: Grids) -> Grids:
    """The central sample alone, where there is one; else the upper left of the central ones stands for them."""
    return grids.map(lambda grid: grid.on_axes(lambda axis: replace(axis.alike(0.0), length=1)))


@dataclass(frozen=True)
class CentrePixel(_Reduction):
    """The centre of the image (§5): one sample of every scale channel.

    On the image's own grid it is the mean of the central two pixels where a size is even, which costs covariance there.
    """

    at_centre = True

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """See `ReadOut`; the central sample, or the central two on each axis."""
        return canvas.around(0.0)


@dataclass(frozen=True)
class SpatialMax(_Reduction):
    """The maximum over the image, for objects off the centre."""

    def reduce(self, maps: Tensor) -> Tensor:
        return maps.amax((-2, -1), keepdim=True)


@dataclass(frozen=True)
class SpatialMean(_Reduction):
    """The mean over the image.

    Not scale invariant for a compact object on a fixed canvas: the object's share of the area changes.
    """


@dataclass(frozen=True)
class Dense(ReadOut):
    """The whole field, brought back to the pixels of the image by a windowed sinc (`fields.resample`): approximate.

    Without a read-out a field stays a pyramid, every scale channel on the grid it was computed on.
    """

    keeps_plane = True

    def canvas(self, canvas: Grids) -> Grids:
        return canvas.pixels()

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        grids = [
            pixel if _is_pixels(grid, pixel) else support(pixel, _factor(grid, pixel), grid)
            for pixel, grid in zip(wanted.grids, canvas.grids, strict=True)
        ]
        return replace(canvas, grids=tuple(grids))

    def read(self, field: ScaleField) -> tuple[tuple[Tensor, ...], Grids]:
        """See `ReadOut`; the pixels of the image that the samples of all scale channels suffice for."""
        pixels = field.grids.pixels()
        parts = [
            pixel.intersection(grid if _is_pixels(grid, pixel) else supported(pixel, _factor(grid, pixel), grid))
            for grid, pixel in zip(field.grids.grids, pixels.grids, strict=True)
        ]
        shared = reduce(Grid.intersection, parts)
        pixels = pixels.map(lambda pixel: replace(pixel, y=shared.y, x=shared.x))
        maps = []
        for channel, (grid, pixel) in enumerate(zip(field.grids.grids, pixels.grids, strict=True)):
            held = field.channel(channel)
            same = _is_pixels(grid, pixel)
            maps.append(grid.crop(held, pixel) if same else resample(held, grid, pixel, _factor(grid, pixel)))
        return tuple(maps), pixels


def _is_pixels(grid: Grid, pixel: Grid) -> bool:
    return grid.samples_per_sigma == pixel.samples_per_sigma and grid.y.on_integers == pixel.y.on_integers


def _factor(grid: Grid, pixel: Grid) -> float:
    """The size of a pixel, in samples of a channel's grid."""
    return grid.samples_per_sigma / pixel.samples_per_sigma
