"""The lifting: an image onto the grids of the scale channels. All that is special about sampling happens here.

On self-similar grids a channel of σ₀ smooths the image by κσ₀ and samples it at real positions, σ₀/g apart: one matrix
product per axis, whose rows are a Gaussian about these positions. Behind it all channels run the same discrete network,
so the lifting's error is the only one that scaling sees (`scalegroup.testing.lifting_bound`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalegroup.constants import cast, constant_tensor, known, working_dtype
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_positive
from scalegroup.fields.axis import Axis
from scalegroup.fields.boundary import Boundary
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.lifting_kernels import REACH, BandLimited, LiftingKernel
from scalegroup.fields.window import check_scales

SAMPLES_PER_SIGMA = 2**-0.5
"""The default g, from the table of `python -m benchmarks covariance`."""

_FAR = 1e9  # pixels: no image is so large
_MOST_SAMPLES = 2**27  # of an image, in all channels: 512 MiB of float32 for each image channel
_LEAST_G = 1 / 16
_WEIGHTS_AT_ONCE = 2**20  # of the pixels of an image
_TAPER = 256  # pixels over which tails beyond the image are let run out


class Sampling(Refusing, ABC):
    """Which samples of an image the scale channels are made of."""

    smoothed: float
    """σ of the smoothing that the lifting does, in units of σ₀; the first jet adds the rest of its own."""

    @abstractmethod
    def canvas(self, size: tuple[int, int], sigmas: tuple[float, ...]) -> Grids:
        """The whole image, of rows × columns pixels, on the grids of channels of these σ₀ in pixels."""

    @abstractmethod
    def live(self, grids: Grids) -> Grids:
        """Beyond which samples nothing is seen but the world outside, on grids like these."""

    @abstractmethod
    def matrix(self, axis: Axis, spacing: float, sigma: float, size: int, boundary: Boundary) -> np.ndarray:
        """`[axis.length, size]`: what the samples of an axis are of its pixels, in a channel of σ₀ = `sigma` pixels."""

    def sample(self, images: Tensor, grids: Grids, boundary: Boundary) -> Iterator[Tensor]:
        """`[channels·batch, feature, y, x]` for every run of channels that share a grid; float32 for half precision.

        Raises `ScaleGroupError` if the boundary does not fit the images, or there are far too many samples.
        """
        samples = sum(math.prod(grid.shape) for grid in grids.grids)
        if samples > _MOST_SAMPLES:
            raise ScaleGroupError(
                f"{samples:.3g} samples of an image of {grids.size[0]}×{grids.size[1]}, "
                f"in channels of σ₀ = {grids.sigmas[0]:.4g} to {grids.sigmas[-1]:.4g} pixels",
                expected=f"at most {_MOST_SAMPLES:.2g}",
                mend="use fewer samples_per_sigma, a window of fewer channels, or smaller images",
            )
        constant = boundary.constant(images)
        if constant is not None:
            constant = cast(constant, working_dtype(images))[:, None, None]
        images = cast(images, working_dtype(images))
        rest = (images if constant is None else images - constant).flatten(0, 1)
        with without_autocast(images):
            for start, stop in grids.runs:
                grid, spacings, sigmas = grids.grids[start], grids.spacings[start:stop], grids.sigmas[start:stop]
                along_y, along_x = (
                    # numbers, not the axis: torch.compile can hand these over
                    lifting_matrices(self, axis.first, axis.length, spacings, sigmas, size, boundary, like=images)
                    for axis, size in zip((grid.y, grid.x), grids.size, strict=True)
                )
                count, (rows, columns) = len(sigmas), grid.shape
                vertical = along_y.flatten(0, 1) @ rest  # all channels at once: [batch·feature, …, x]
                vertical = vertical.unflatten(1, (count, rows)).transpose(0, 1).flatten(1, 2)
                maps = (vertical @ along_x.mT).view(-1, images.shape[1], rows, columns)
                yield maps if constant is None else maps + constant


@dataclass(frozen=True)
class SelfSimilar(Sampling):
    """Grids of spacing σ₀/g: every scale channel is the same discrete network.

    Args:
        samples_per_sigma: g. It decides the cost (∝ g²) and the error of translations by fractions of a sample.
        smoothed: κ, of the lifting's smoothing κσ₀.
        kernel: the lifting's.

    Raises `ScaleGroupError` if g is below 1/16, κ not positive, or κ ≥ 1.
    """

    samples_per_sigma: float
    smoothed: float = 0.9
    kernel: LiftingKernel = field(default_factory=BandLimited)

    def __post_init__(self) -> None:
        g = check_positive("samples_per_sigma", self.samples_per_sigma)
        if g < _LEAST_G:
            raise ScaleGroupError(
                f"samples_per_sigma {g:g}",
                expected=f"at least {_LEAST_G:g}: fewer samples see nothing of an object",
                mend=f"leave it at {SAMPLES_PER_SIGMA:.3g}",
            )
        object.__setattr__(self, "samples_per_sigma", g)
        check_instance("kernel", self.kernel, LiftingKernel, mend="pass BandLimited() or SampledLifting()")
        if check_positive("smoothed", self.smoothed) >= 1:
            raise ScaleGroupError(
                f"smoothed {self.smoothed:g}",
                expected="less than 1, the σ of the first layer, which adds the rest",
                mend="leave it at 0.9",
            )

    def canvas(self, size: tuple[int, int], sigmas: tuple[float, ...]) -> Grids:
        check_scales(size, sigmas)
        centre = Grid(Axis.within(0), Axis.within(0), known(self.samples_per_sigma))
        return Grids(size, sigmas, (centre,) * len(sigmas)).canvas()

    def live(self, grids: Grids) -> Grids:
        def of(grid: Grid, spacing: float) -> Grid:
            reach = self.kernel.reach(self.smoothed * grid.samples_per_sigma * spacing)
            halves = [min((length - 1) / 2 + reach, _FAR) / spacing for length in grids.size]
            y, x = (Axis.within(math.ceil(half)) for half in halves)
            return Grid(y, x, grid.samples_per_sigma)

        return replace(grids, grids=tuple(map(of, grids.grids, grids.spacings)))

    def matrix(self, axis: Axis, spacing: float, sigma: float, size: int, boundary: Boundary) -> np.ndarray:
        positions = axis.positions * spacing + (size - 1) / 2
        whole = size + REACH * sigma  # no tail is touched as long as it may be within the image
        low, high = math.floor(positions[0] - whole) - _TAPER, math.ceil(positions[-1] + whole) + _TAPER
        pixels = np.arange(low, high + 1)
        offsets = pixels - positions[:, None]
        ends = np.clip((abs(offsets) - whole) / _TAPER, 0, 1)
        weights = self.kernel.rows(offsets, self.smoothed * sigma) * np.cos(math.pi / 2 * ends) ** 2
        return boundary.fold(np.broadcast_to(pixels, weights.shape), weights, size)


@dataclass(frozen=True)
class ImageGrid(Sampling):
    """Every scale channel on the image's own pixels, as they are: the paper's literal implementation, for reference.

    Two channels then discretise the same network differently, and deep networks with ReLU are only as equivariant as
    that allows.
    """

    smoothed = 0.0

    def canvas(self, size: tuple[int, int], sigmas: tuple[float, ...]) -> Grids:
        check_scales(size, sigmas)
        return Grids.of_pixels(size, sigmas)

    def live(self, grids: Grids) -> Grids:
        return grids.canvas().map(lambda grid: grid.dilated(1))

    def matrix(self, axis: Axis, spacing: float, sigma: float, size: int, boundary: Boundary) -> np.ndarray:
        positions = np.rint(axis.positions * spacing + (size - 1) / 2).astype(int)[:, None]
        return boundary.fold(positions, np.ones(positions.shape), size)


def sampling_of(grid: str, samples_per_sigma: float | None, kernel: LiftingKernel | None) -> Sampling:
    """The sampling of a name, `"self-similar"` or `"image"`.

    Raises `ScaleGroupError` for another name, or for what a grid of pixels does not take.
    """
    if grid == "self-similar":
        g = SAMPLES_PER_SIGMA if samples_per_sigma is None else samples_per_sigma
        return SelfSimilar(g, kernel=BandLimited() if kernel is None else kernel)
    if grid != "image":
        raise ScaleGroupError(f"grid {grid!r}", expected='"self-similar" or "image"', mend="choose one")
    if samples_per_sigma is not None or kernel is not None:
        raise ScaleGroupError(
            'samples_per_sigma= or a lifting kernel with grid="image"',
            expected="neither: there every scale channel has the pixels as they are",
            mend="leave them out, or use self-similar grids",
        )
    return ImageGrid()


@constant_tensor
def lifting_matrices(
    sampling: Sampling,
    first: float,
    length: int,
    spacings: tuple[float, ...],
    sigmas: tuple[float, ...],
    size: int,
    boundary: Boundary,
) -> np.ndarray:
    """`Sampling.matrix` of several channels on one axis, `[channel, length, size]`."""
    matrices = np.empty((len(sigmas), length, size))
    # a few rows at a time: making them takes float64 weights of three images' lengths, several times over
    rows = max(1, _WEIGHTS_AT_ONCE // size)
    for start in range(0, length, rows):
        part = Axis(first + start, min(rows, length - start))
        for matrix, spacing, sigma in zip(matrices, spacings, sigmas, strict=True):
            matrix[start : start + rows] = sampling.matrix(part, spacing, sigma, size, boundary)
    return matrices


def without_autocast(maps: Tensor) -> AbstractContextManager[Any]:
    """Where half precision is too coarse: smoothed maps are differentiated next. Nothing where it is off anyway."""
    device = "cpu" if maps.is_meta else maps.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
