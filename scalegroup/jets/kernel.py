"""What a discretisation of the Gaussian N-jet is, and the two shapes that they have: strategy objects.

Either one blur and one small convolution, or a kernel for each order of differentiation. Both work on maps `[batch,
feature, y, x]` where they fit ("valid"), with ordinary convolutions and matrix products only.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from operator import index
from typing import ClassVar

import numpy as np
import torch
from scipy.linalg import convolution_matrix
from torch import Tensor
from torch.nn import functional as F

from scalegroup.constants import cast, constant_result, constant_tensor
from scalegroup.errors import Refusing, ScaleGroupError, check_integer, check_positive
from scalegroup.fields.lifting import without_autocast
from scalegroup.jets.blur import blur, channels_last
from scalegroup.jets.gaussian import check_sigma
from scalegroup.jets.jet import CENTRAL_DIFFERENCES, HIGHEST_ORDER, TWO_JET, Jet

_LEAST_TAIL = 1e-16


@dataclass(frozen=True)
class Kernel(Refusing, ABC):
    """A discretisation of the Gaussian N-jet: of every `Jet` for which there are `stencils`.

    Args:
        tail: the mass that truncation may lose, both sides together (for derivatives: of σᵏg⁽ᵏ⁾).

    Raises `ScaleGroupError` if the tail is not below 1, or below 1e-16, the rounding of float64.

    >>> from scalegroup import DiscreteGaussian
    >>> DiscreteGaussian(tail=1e-6).reach(1.0)
    8
    """

    tail: float = field(default=1e-6, kw_only=True)

    smallest_sigma = 0.0
    """What is left to be smoothed must be at least this many samples."""

    differences: ClassVar[tuple[np.ndarray, ...]] = (np.ones(1),) * (HIGHEST_ORDER + 1)
    """Behind the taps: the 1-D stencil of each order of differentiation, as far as there are any."""

    def __post_init__(self) -> None:
        tail = check_positive("tail", self.tail)
        if not _LEAST_TAIL <= tail < 1:
            raise ScaleGroupError(f"tail {tail:g}", expected=f"a mass in [{_LEAST_TAIL:g}, 1)", mend="try tail=1e-6")
        object.__setattr__(self, "tail", tail)

    @lru_cache(maxsize=1024)  # noqa: B019 (kernels are settings, a handful)
    def taps(self, sigma: float, smoothed: float = 0.0, jet: Jet = TWO_JET) -> np.ndarray:
        """The 1-D kernels, of odd length along the last axis, for maps that a Gaussian of `smoothed` has smoothed.

        Raises `ScaleGroupError` if nothing is left to be smoothed, or less than this discretisation exists for, or if
        σ is so large that no image has as many samples.
        """
        check_sigma(sigma)
        left = math.sqrt(max(0.0, sigma**2 - smoothed**2))
        if left <= self.smallest_sigma * (1 - 1e-12):
            name = type(self).__name__
            raise ScaleGroupError(
                f"σ = {sigma:.4g} samples" + (f", of which {smoothed:.4g} are smoothed already" if smoothed else ""),
                expected=f"at least {self.smallest_sigma:g} samples left for {name}, and more than 0",
                mend="use more samples_per_sigma, or the kernel DiscreteGaussian, which exists for every σ",
            )
        return self.build(left, jet.order)

    @lru_cache(maxsize=64)  # noqa: B019 (as above)
    def stencils(self, jet: Jet = TWO_JET) -> np.ndarray:
        """What follows the taps for each derivative, `[jet.size, k, k]`, as correlations.

        Raises `ScaleGroupError` if this discretisation has none of that order.
        """
        if jet.order >= len(self.differences):
            raise ScaleGroupError(
                f"{jet!r} with {type(self).__name__}",
                expected=f"an order of {len(self.differences) - 1} at most, up to which it has stencils",
                mend="use the kernel DiscreteGaussian or SampledDerivatives, which have all orders",
            )
        return jet.stencils(self.differences)

    @constant_result
    def reach(self, sigma: float, smoothed: float = 0.0, jet: Jet = TWO_JET) -> int:
        """How many samples beyond its own place a value of the jet depends on."""
        return self.stencils(jet).shape[-1] // 2 + self.taps(sigma, smoothed, jet).shape[-1] // 2

    @abstractmethod
    def build(self, sigma: float, order: int) -> np.ndarray:
        """Make the taps for derivatives up to that order; `taps` checks the arguments and remembers the result."""

    def maps(self, images: Tensor, sigma: float, jet: Jet = TWO_JET) -> Tensor:
        """The derivative maps per pixel, `[batch, in, jet.size, y - 2·reach, x - 2·reach]`, for inspection."""
        alone = images.flatten(0, 1)[:, None]
        each = torch.diag(1 / torch.as_tensor(jet.normalisation(sigma)))[:, None].to(images)
        maps = self.combine(alone, each, each.new_zeros(jet.size), sigma=sigma, jet=jet)
        return maps.unflatten(0, images.shape[:2])

    @abstractmethod
    def combine(
        self,
        maps: Tensor,
        coefficients: Tensor,
        offset: Tensor,
        sigma: float,
        smoothed: float = 0.0,
        stride: int = 1,
        jet: Jet = TWO_JET,
    ) -> Tensor:
        """offset[o] + Σ coefficients[o, i, j]·(j-th derivative, eq 6): `[b, o, y - 2·reach, x - 2·reach]`.

        With `stride` every so many samples of that, from the first on. Half-precision maps are smoothed in float32.
        `coefficients` of fewer inputs than the maps have features are those of groups, as in `conv2d`.
        """

    @abstractmethod
    def multiply_adds(
        self,
        sigma: float,
        smoothed: float,
        inputs: int,
        outputs: int,
        shape: tuple[int, int],
        stride: int,
        jet: Jet = TWO_JET,
        groups: int = 1,
    ) -> int:
        """Of `combine`, for one image whose result has that shape."""


@constant_tensor
def _taps_like(kernel: Kernel, sigma: float, smoothed: float, features: int, axis: int) -> np.ndarray:
    """As correlations of every feature along an axis, 2 or 3: f ∗ g needs the taps the other way round."""
    taps = np.tile(kernel.taps(sigma, smoothed)[::-1], (features, 1, 1, 1))
    return np.swapaxes(taps, axis, 3)


@constant_tensor
def _banded(kernel: Kernel, sigma: float, smoothed: float, size: int, jet: Jet = TWO_JET) -> np.ndarray:
    """Matrices `[…, size - 2·radius, size]` that convolve an axis of that size with the taps, where they fit."""
    taps = kernel.taps(sigma, smoothed, jet)
    return np.apply_along_axis(convolution_matrix, -1, taps, size, "valid")


@constant_tensor
def _normalised_stencils(kernel: Kernel, sigma: float, jet: Jet) -> np.ndarray:
    return jet.normalisation(sigma)[:, None, None] * kernel.stencils(jet)


@dataclass(frozen=True)
class BlurThenStencil(Kernel):
    """One separable blur `[n]`, the same for every jet, then one small convolution: a linear function of stencils."""

    differences = CENTRAL_DIFFERENCES

    def combine(
        self,
        maps: Tensor,
        coefficients: Tensor,
        offset: Tensor,
        sigma: float,
        smoothed: float = 0.0,
        stride: int = 1,
        jet: Jet = TWO_JET,
    ) -> Tensor:
        """See `Kernel`. No map for each derivative is ever built."""
        if coefficients.device.type != maps.device.type:  # of the meta device torch would take whatever is in memory
            raise ScaleGroupError(
                f"maps on {maps.device.type} with coefficients on {coefficients.device.type}",
                expected="one device",
                mend="move one of them: coefficients.to(maps.device)",
            )
        with without_autocast(maps):
            stencils = cast(_normalised_stencils(self, sigma, jet, like=coefficients), coefficients.dtype)
            blurred = self._blur(maps, sigma, smoothed)
            fused = torch.tensordot(coefficients, stencils, dims=1)  # which is less to do than einsum
        if maps.is_meta or not torch.is_autocast_enabled(maps.device.type):
            blurred = cast(blurred, coefficients.dtype)
        result = F.conv2d(blurred, fused, offset, stride=stride, groups=maps.shape[1] // coefficients.shape[1])
        # of a single input it comes in the other format, and would be kept in both
        return result if result.dtype == torch.float64 else channels_last(result)

    def multiply_adds(
        self,
        sigma: float,
        smoothed: float,
        inputs: int,
        outputs: int,
        shape: tuple[int, int],
        stride: int,
        jet: Jet = TWO_JET,
        groups: int = 1,
    ) -> int:
        groups = check_integer("groups", groups, at_least=1)
        width = self.stencils(jet).shape[-1]
        rows, columns = (stride * (length - 1) + width for length in shape)
        taps = len(self.taps(sigma, smoothed))
        blur = taps * rows * (columns + taps - 1) + taps * rows * columns
        return inputs * (blur + outputs // groups * width**2 * math.prod(shape))

    def _blur(self, maps: Tensor, sigma: float, smoothed: float) -> Tensor:
        if maps.dtype == torch.float64:  # no fast depthwise convolution there, while matrix products are
            along_y, along_x = (_banded(self, sigma, smoothed, index(size), like=maps) for size in maps.shape[-2:])
            return along_y @ maps @ along_x.mT
        features = index(maps.shape[1])
        along_y, along_x = (_taps_like(self, sigma, smoothed, features, axis, like=maps) for axis in (2, 3))
        return blur(cast(maps, along_x.dtype), along_y, along_x)


@dataclass(frozen=True)
class SeparableOrders(Kernel):
    """Separate 1-D kernels `[jet.order + 1, n]` for the derivatives of order 0, 1, …"""

    def combine(
        self,
        maps: Tensor,
        coefficients: Tensor,
        offset: Tensor,
        sigma: float,
        smoothed: float = 0.0,
        stride: int = 1,
        jet: Jet = TWO_JET,
    ) -> Tensor:
        with without_autocast(maps):
            each = self._derivatives(maps, sigma, smoothed, jet)[..., ::stride, ::stride]
            each = cast(each, coefficients.dtype)
            factors = cast(_normalised_stencils(self, sigma, jet, like=coefficients), coefficients.dtype).flatten()
            groups = maps.shape[1] // coefficients.shape[1]
            weights = (coefficients * factors).unflatten(0, (groups, -1))
            mixed = torch.einsum("goij,bgijyx->bgoyx", weights, each.unflatten(1, (groups, -1))).flatten(1, 2)
            return mixed + offset[:, None, None]

    def multiply_adds(
        self,
        sigma: float,
        smoothed: float,
        inputs: int,
        outputs: int,
        shape: tuple[int, int],
        stride: int,
        jet: Jet = TWO_JET,
        groups: int = 1,
    ) -> int:
        groups = check_integer("groups", groups, at_least=1)
        rows, columns = (stride * (length - 1) + 1 for length in shape)
        orders, taps = self.taps(sigma, smoothed, jet).shape
        maps = rows * (orders * taps * (columns + taps - 1) + jet.size * columns * taps)
        return inputs * (maps + jet.size * (outputs // groups) * math.prod(shape))

    def _derivatives(self, maps: Tensor, sigma: float, smoothed: float, jet: Jet = TWO_JET) -> Tensor:
        """`[batch, feature, jet.size, y, x]`, per sample."""
        along_y, along_x = (_banded(self, sigma, smoothed, index(size), jet, like=maps) for size in maps.shape[-2:])
        maps = cast(maps, along_y.dtype)
        vertical, columns = [matrix @ maps for matrix in along_y], along_x.mT.unbind()
        return torch.stack([vertical[n] @ columns[m] for n, m in jet.derivatives], dim=2)
