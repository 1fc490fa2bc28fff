"""Discretisations of the Gaussian 2-jet as strategy objects, and the filters that they make for one σ.

| strategy | smoothing | derivatives | covariance error of one layer |
|---|---|---|---|
| `DiscreteGaussian` | T(n; s), the paper's (§5.1) | central differences | O(σ⁻²) |
| `SampledGaussian` | g(n), as it is | central differences | O(σ⁻²), worse below σ = 1 |
| `NormalisedSampledGaussian` | g(n) with unit mass | central differences | O(σ⁻²) |
| `IntegratedGaussian` | ∫g over pixels | ∫g', ∫g'' over pixels | O(σ⁻²) |
| `SampledDerivatives` | g(n) | g'(n), g''(n) | exponentially small from σ = 1 |
| `Iso` | g(n) of variance σ² - 1/3, unit mass | isotropic differences | O(σ⁻⁴), σ ≥ 0.8 only |

The first three and the last are *one blur and one small convolution*, whatever the number of features.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F

from scalegroup import gaussian, jet
from scalegroup.boundary import Extension
from scalegroup.errors import ScaleGroupError, check_positive
from scalegroup.grid import Grid
from scalegroup.mixing import Stencils
from scalegroup.planned_jet import ORDERS, PlannedJet, PlannedOrders, PlannedStencils
from scalegroup.smoothing import blur_work, smoothing, smoothing_matrices


class JetFilters(ABC):
    """The 2-jet for one σ: a set of linear filters of common radius, applied where they fit ("valid")."""

    @property
    @abstractmethod
    def radius(self) -> int:
        """How far the filters reach, in samples."""

    @property
    @abstractmethod
    def constant_response(self) -> np.ndarray:
        """`[5]`: the jet of the constant image 1. Computed, not assumed: sampled g'' does not annihilate constants."""

    @abstractmethod
    def maps(self, images: Tensor) -> Tensor:
        """The five derivative maps per pixel, `[batch, in, 5, y - 2·radius, x - 2·radius]`, for inspection."""

    @abstractmethod
    def combine(self, images: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        """bias[o] + Σ weights[o, i, 5]·maps: `[batch, in, y, x]` → `[batch, out, y - 2·radius, x - 2·radius]`."""

    @abstractmethod
    def planned(self, sigma: float, held: Grid, wanted: Grid, extension: Extension, like: Tensor) -> PlannedJet:
        """The same, scale-normalised by σ, prepared for the samples `wanted` from those `held`, on tensors like that.

        `held` may be of a finer grid: the maps are then reduced on the way.
        """

    @abstractmethod
    def work(self, held: Grid, wanted: Grid, inputs: int, outputs: int) -> tuple[int, str]:
        """How many multiply-adds that takes for one image, and the method."""


@dataclass(frozen=True, eq=False)
class BlurThenStencil(JetFilters):
    """One separable blur `[n]`, then one small convolution: a fixed linear function of stencils `[5, k, k]`."""

    blur: np.ndarray
    stencils: np.ndarray

    @property
    def radius(self) -> int:
        """Blur radius + stencil radius."""
        return len(self.blur) // 2 + self.stencils.shape[-1] // 2

    @property
    def constant_response(self) -> np.ndarray:
        """See `JetFilters`."""
        return self.blur.sum() ** 2 * self.stencils.sum(axis=(1, 2))

    def maps(self, images: Tensor) -> Tensor:
        """See `JetFilters`."""
        blurred = _separable(images, self.blur, self.blur)
        stencils = _tensor(self.stencils, images)[:, None]
        return rearrange(
            F.conv2d(rearrange(blurred, "b i y x -> (b i) 1 y x"), stencils), "(b i) j y x -> b i j y x", b=len(images)
        )

    def combine(self, images: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        """See `JetFilters`. No five-fold intermediate is ever built."""
        fused = einsum(weights, _tensor(self.stencils, images), "o i j, j v u -> o i v u")
        result = F.conv2d(_separable(images, self.blur, self.blur), fused, bias)
        return result.contiguous(memory_format=torch.channels_last)  # one input channel is both formats: say which

    def planned(self, sigma: float, held: Grid, wanted: Grid, extension: Extension, like: Tensor) -> PlannedJet:
        """See `JetFilters`."""
        smooth = smoothing(self.blur, held, wanted, self._margin, extension, like)
        return PlannedStencils(smooth, Stencils.of(self.stencils, sigma, like))

    def work(self, held: Grid, wanted: Grid, inputs: int, outputs: int) -> tuple[int, str]:
        """See `JetFilters`."""
        mixing = inputs * outputs * self.stencils.shape[-1] ** 2 * math.prod(wanted.shape)
        blur, method = blur_work(self.blur, held, wanted, self._margin)
        return inputs * blur + mixing, method

    @property
    def _margin(self) -> int:
        return self.stencils.shape[-1] // 2


@dataclass(frozen=True, eq=False)
class SeparableOrders(JetFilters):
    """Separate 1-D kernels `[3, n]` for the derivatives of order 0, 1 and 2."""

    orders: np.ndarray

    @property
    def radius(self) -> int:
        """Half the length of the kernels."""
        return self.orders.shape[1] // 2

    @property
    def constant_response(self) -> np.ndarray:
        """See `JetFilters`."""
        g, g1, g2 = self.orders.sum(axis=1)
        return np.array([g * g1, g1 * g, g * g2, g1 * g1, g2 * g])

    def maps(self, images: Tensor) -> Tensor:
        """See `JetFilters`."""
        return torch.stack([_separable(images, self._taps[n], self._taps[m]) for n, m in ORDERS], dim=2)

    def combine(self, images: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        """See `JetFilters`."""
        return einsum(weights, self.maps(images), "o i j, b i j y x -> b o y x") + bias[:, None, None]

    def planned(self, sigma: float, held: Grid, wanted: Grid, extension: Extension, like: Tensor) -> PlannedJet:
        """See `JetFilters`."""
        orders = (smoothing_matrices(taps, held, wanted, 0, extension, like) for taps in self._taps)
        along_y, along_x = zip(*orders, strict=True)
        return PlannedOrders(along_y, along_x, _tensor(jet.normalisation(sigma), like))

    def work(self, held: Grid, wanted: Grid, inputs: int, outputs: int) -> tuple[int, str]:
        """See `JetFilters`."""
        (height, width), (rows, columns) = held.shape, wanted.shape
        maps = len(self.orders) * rows * width * height + jet.SIZE * rows * columns * width
        return inputs * (maps + jet.SIZE * outputs * rows * columns), "by matrices"

    @property
    def _taps(self) -> np.ndarray:
        """As correlations: f ∗ g needs the taps the other way round."""
        return self.orders[:, ::-1]


def _tensor(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=like.dtype, device=like.device)


def _separable(images: Tensor, along_y: np.ndarray, along_x: np.ndarray) -> Tensor:
    """Depthwise correlation with along_y ⊗ along_x, valid; channels-last: contiguous is several times slower."""
    if images.dtype in (torch.float16, torch.bfloat16):  # too coarse for a blur that is then differentiated
        return _separable(images.float(), along_y, along_x).to(images.dtype)
    if images.dtype == torch.float64:  # no fast depthwise convolution there, while matrix products are
        height, width = images.shape[-2:]
        return _banded(along_y, height, images) @ images @ _banded(along_x, width, images).T
    channels = images.shape[1]
    images = images.contiguous(memory_format=torch.channels_last)
    vertical = _tensor(along_y, images)[:, None].expand(channels, 1, -1, 1)
    horizontal = _tensor(along_x, images)[None, :].expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(images, vertical, groups=channels), horizontal, groups=channels)


def _banded(taps: np.ndarray, size: int, like: Tensor) -> Tensor:
    """The valid correlation with `taps` on an axis of `size` samples, as a matrix `[size - 2·radius, size]`."""
    rows = size - len(taps) + 1
    matrix = np.zeros((rows, size))
    for offset, tap in enumerate(taps):
        np.fill_diagonal(matrix[:, offset:], tap)
    return _tensor(matrix, like)


@dataclass(frozen=True)
class Kernel(ABC):
    """A discretisation of the Gaussian 2-jet.

    Args:
        tail: the mass that truncation may lose, both sides together (for derivatives: of σᵏg⁽ᵏ⁾).

    Raises:
        ScaleGroupError: if the tail does not lie in (0, 1).

    >>> DiscreteGaussian(tail=1e-6).filters(1.0).radius
    8
    """

    tail: float = field(default=1e-6, kw_only=True)

    smallest_sigma = 0.0  # the discretisation exists for σ ≥ this

    def __post_init__(self) -> None:
        tail = check_positive("tail", self.tail)
        if tail >= 1:
            raise ScaleGroupError(f"tail {tail:g}", expected="a mass in (0, 1)", mend="try tail=1e-6")
        object.__setattr__(self, "tail", tail)

    def filters(self, sigma: float) -> JetFilters:
        """The filters for the standard deviation σ in samples.

        Raises:
            ScaleGroupError: if σ ≤ 0, or below what this discretisation exists for.
        """
        sigma = check_positive("sigma", sigma)
        if sigma < self.smallest_sigma:
            raise ScaleGroupError(
                f"σ = {sigma:g} samples",
                expected=f"σ ≥ {self.smallest_sigma:g} for {type(self).__name__}",
                mend="use coarser scale channels, or the kernel DiscreteGaussian, which exists for every σ",
            )
        return _filters(self, sigma)

    @abstractmethod
    def build(self, sigma: float) -> JetFilters:
        """Make the filters; `filters` checks the argument and remembers the result."""


@lru_cache(maxsize=1024)
def _filters(kernel: Kernel, sigma: float) -> JetFilters:
    return kernel.build(sigma)


@dataclass(frozen=True)
class DiscreteGaussian(Kernel):
    """The paper's: T(n; s) = e^(-s) Iₙ(s), cut by its tail bound and brought to unit mass; central differences."""

    def build(self, sigma: float) -> JetFilters:
        """See `Kernel`."""
        radius = gaussian.smallest_radius(gaussian.discrete_tail_bound, sigma, self.tail)
        blur = gaussian.normalised(gaussian.discrete_gaussian(sigma, radius))
        return BlurThenStencil(blur, jet.central_differences())


@dataclass(frozen=True)
class SampledGaussian(Kernel):
    """The Gaussian at the integers as it is (its mass is not 1 at small σ); central differences."""

    def build(self, sigma: float) -> JetFilters:
        """See `Kernel`."""
        radius = gaussian.smallest_radius(gaussian.sampled_tail_bound, sigma, self.tail)
        return BlurThenStencil(gaussian.sampled_gaussian(sigma, radius), jet.central_differences())


@dataclass(frozen=True)
class NormalisedSampledGaussian(Kernel):
    """The Gaussian at the integers, brought to unit mass; central differences."""

    def build(self, sigma: float) -> JetFilters:
        """See `Kernel`."""
        radius = gaussian.smallest_radius(gaussian.sampled_tail_bound, sigma, self.tail)
        return BlurThenStencil(gaussian.normalised(gaussian.sampled_gaussian(sigma, radius)), jet.central_differences())


@dataclass(frozen=True)
class IntegratedGaussian(Kernel):
    """The Gaussian and its derivatives averaged over pixels, one 1-D kernel per order."""

    def build(self, sigma: float) -> JetFilters:
        """See `Kernel`."""
        radius = gaussian.smallest_radius(gaussian.derivative_tail_bound, sigma, self.tail)
        return SeparableOrders(gaussian.integrated_derivatives(sigma, radius))


@dataclass(frozen=True)
class SampledDerivatives(Kernel):
    """The Gaussian and its derivatives at the integers, one 1-D kernel per order, not renormalised: that is worse."""

    def build(self, sigma: float) -> JetFilters:
        """See `Kernel`."""
        radius = gaussian.smallest_radius(gaussian.derivative_tail_bound, sigma, self.tail)
        return SeparableOrders(gaussian.sampled_derivatives(sigma, radius))


@dataclass(frozen=True)
class Iso(Kernel):
    """A normalised sampled Gaussian of variance σ² - 1/3, then isotropic differences; exists for σ ≥ 0.8."""

    smallest_sigma = 0.8

    def build(self, sigma: float) -> JetFilters:
        """See `Kernel`."""
        remaining = math.sqrt(sigma**2 - 1 / 3)  # the stencils bring 1/3 of variance themselves
        radius = gaussian.smallest_radius(gaussian.sampled_tail_bound, remaining, self.tail)
        blur = gaussian.normalised(gaussian.sampled_gaussian(remaining, radius))
        return BlurThenStencil(blur, jet.isotropic_differences())
