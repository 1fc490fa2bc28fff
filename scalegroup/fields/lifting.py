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
from scipy.special import wofz
from torch import Tensor

from scalegroup.constants import cast, constant_tensor, known, working_dtype
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_positive
from scalegroup.fields.boundary import Boundary
from scalegroup.fields.grid import Axis, Grid, Grids
from scalegroup.fields.window import check_scales

SAMPLES_PER_SIGMA = 2**-0.5
"""The default g, from the table of `python -m benchmarks covariance`."""

_REACH = 9.0  # in σ: beyond, a Gaussian is below the rounding of float64
_LEFT = 1e-13  # of a weight: what the sinc's tails may leave, which reach across any image
_NOTHING = 1e-18  # of a weight near one: the rounding of float64 is a hundred times as much
_FAR = 1e9  # pixels: no image is so large
_MOST_SAMPLES = 2**27  # of an image, in all channels: 512 MiB of float32 for each image channel
_LEAST_G = 1 / 16
_WEIGHTS_AT_ONCE = 2**20  # of the pixels of an image
_TAPER = 256  # pixels over which tails beyond the image are let run out


class LiftingKernel(Refusing, ABC):
    """A Gaussian on the pixels, about positions between them."""

    @abstractmethod
    def rows(self, offsets: np.ndarray, sigma: float) -> np.ndarray:
        """The weights of pixels at `offsets` `[rows, pixels]` from the positions; σ in pixels."""

    def reach(self, sigma: float) -> float:
        """How far from a position weights go on, in pixels; σ in pixels as well."""
        return _REACH * sigma

    @abstractmethod
    def error(self, frequency: np.ndarray, sigma: float) -> np.ndarray:
        """A bound on the error at any position for a wave of amplitude 1, in one dimension.

        Through a kernel k on the integers, exp(iωx) is Σₘ k̂(ω + 2πm)·exp(i(ω + 2πm)x), by Poisson's summation.
        The continuous Gaussian gives ĝ(ω)·exp(iωx) with ĝ(ω) = exp(-σ²ω²/2).

        Args:
            frequency: ω, in radians per pixel.
            sigma: of the kernel, in pixels.
        """


@dataclass(frozen=True)
class BandLimited(LiftingKernel):
    """The Gaussian of the band-limited interpolant of the pixels: exact for images without frequencies above π.

    k(x) = (1/2π)∫ exp(-σ²ω²/2) cos ωx dω over [-π, π], in closed form with the Faddeeva function w. From about σ = 1.2
    pixels on it is the sampled Gaussian; below it is far better, and has the tails of a sinc.

    >>> BandLimited().rows(np.array([[-1.0, 0.0, 1.0]]), 0.4).round(3).tolist()
    [[0.119, 0.789, 0.119]]
    """

    def rows(self, offsets: np.ndarray, sigma: float) -> np.ndarray:
        """See `LiftingKernel`; over all integers a row sums to one."""
        check_positive("sigma", sigma)
        a, b = math.pi * sigma / math.sqrt(2), offsets / (math.sqrt(2) * sigma)
        weights = np.exp(-(b**2))
        if math.exp(-(a**2)) > _NOTHING:  # |w| ≤ 1: else what the cut takes away is below rounding
            cut = np.exp(-1j * math.pi * offsets) * wofz(-b + 1j * a)
            weights = weights - math.exp(-(a**2)) * cut.real
        return weights / (math.sqrt(2 * math.pi) * sigma)

    def reach(self, sigma: float) -> float:
        """See `LiftingKernel`."""
        return super().reach(sigma) if math.exp(-((math.pi * sigma) ** 2) / 2) <= _LEFT else math.inf

    def error(self, frequency: np.ndarray, sigma: float) -> np.ndarray:
        """See `LiftingKernel`. Here k̂ is ĝ up to π and 0 above, where ω is taken for its alias.

        So the error is 0 for |ω| < π, and at most ĝ(ω) + ĝ(ω') with ω' = ω - 2π·round(ω/2π) from there on: of the wave
        of frequency π the pixels do not see the sine.
        """
        alias = frequency - 2 * math.pi * np.rint(frequency / (2 * math.pi))
        wrong = _transform(frequency, sigma) + _transform(alias, sigma)
        return np.where(abs(frequency) < math.pi, 0.0, wrong)


@dataclass(frozen=True)
class SampledLifting(LiftingKernel):
    """The Gaussian at the pixels, each row brought to unit mass: to compare.

    >>> SampledLifting().rows(np.array([[-1.0, 0.0, 1.0]]), 0.4).round(3).tolist()
    [[0.04, 0.919, 0.04]]
    """

    def rows(self, offsets: np.ndarray, sigma: float) -> np.ndarray:
        check_positive("sigma", sigma)
        exponents = -(offsets**2) / (2 * sigma**2)
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def error(self, frequency: np.ndarray, sigma: float) -> np.ndarray:
        """See `LiftingKernel`. Here k̂ = ĝ, over the row's mass: the same sum M at ω = 0.

        With T(ω) = Σ_{m≠0} ĝ(ω + 2πm), the sum is within T(ω) of ĝ(ω)·exp(iωx) and M within T(0) of 1, so the quotient
        errs by at most (T(ω) + ĝ(ω)·T(0))/(1 - T(0)): about 4·exp(-2π²σ²) for low frequencies. None where T(0) ≥ 1.
        """
        images = 2 * math.pi * np.concatenate([np.arange(-8, 0), np.arange(1, 9)])
        others = _transform(frequency[..., None] + images, sigma).sum(-1)
        mass = float(_transform(images, sigma).sum())
        bound = (others + _transform(frequency, sigma) * mass) / max(1 - mass, 1e-300)
        return bound if mass < 1 else np.full_like(bound, math.inf)


def _transform(frequency: np.ndarray, sigma: float) -> np.ndarray:
    """Of the continuous Gaussian."""
    return np.exp(-(sigma**2) * frequency**2 / 2)


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
        whole = size + _REACH * sigma  # no tail is touched as long as it may be within the image
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
