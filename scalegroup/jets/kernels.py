"""Discretisations of the Gaussian N-jet as strategy objects. σ is always in samples of the grid they work on.

| strategy | smoothing | derivatives | error of one layer against the continuous one |
|---|---|---|---|
| `DiscreteGaussian` | T(n; s), the paper's (§5.1) | central differences | O(σ⁻²) |
| `SampledGaussian` | g(n), as it is | central differences | O(σ⁻²), worse below σ = 1 |
| `NormalisedSampledGaussian` | g(n) with unit mass | central differences | O(σ⁻²) |
| `IntegratedGaussian` | ∫g over pixels | ∫g', ∫g'', … over pixels | O(σ⁻²) |
| `SampledDerivatives` | g(n) | g'(n), g''(n), … | exponentially small from σ = 1 |
| `Iso` | g(n) of variance σ² - 1/3, unit mass | isotropic differences | O(σ⁻⁴), σ ≥ 0.8 and order ≤ 2 only |

The first three and the last are *one blur and one small convolution*, whatever the number of features.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from scalegroup.jets import gaussian
from scalegroup.jets.jet import ISOTROPIC_DIFFERENCES
from scalegroup.jets.kernel import BlurThenStencil, SeparableOrders

_LEAST_AS_IT_IS = 0.2  # samples: below, the mass of what is sampled is more than twice what it should be


@dataclass(frozen=True)
class DiscreteGaussian(BlurThenStencil):
    """The paper's: T(n; s) = e^(-s) Iₙ(s), cut by its tail bound and brought to unit mass; central differences."""

    def build(self, sigma: float, order: int) -> np.ndarray:
        radius = gaussian.smallest_radius(gaussian.discrete_tail_bound, sigma, self.tail)
        return gaussian.normalised(gaussian.discrete_gaussian(sigma, radius))


@dataclass(frozen=True)
class SampledGaussian(BlurThenStencil):
    """The Gaussian at the integers as it is (its mass is not 1 at small σ); central differences; for σ ≥ 0.2."""

    smallest_sigma = _LEAST_AS_IT_IS

    def build(self, sigma: float, order: int) -> np.ndarray:
        radius = gaussian.smallest_radius(gaussian.sampled_tail_bound, sigma, self.tail)
        return gaussian.sampled_derivatives(sigma, radius, 0)[0]


@dataclass(frozen=True)
class NormalisedSampledGaussian(SampledGaussian):
    """The Gaussian at the integers, brought to unit mass; central differences."""

    smallest_sigma = 0.0

    def build(self, sigma: float, order: int) -> np.ndarray:
        return gaussian.normalised(super().build(sigma, order))


@dataclass(frozen=True)
class IntegratedGaussian(SeparableOrders):
    """The Gaussian and its derivatives averaged over pixels, one 1-D kernel per order."""

    def build(self, sigma: float, order: int) -> np.ndarray:
        bound = partial(gaussian.derivative_tail_bound, order=order)
        return gaussian.integrated_derivatives(sigma, gaussian.smallest_radius(bound, sigma, self.tail), order)


@dataclass(frozen=True)
class SampledDerivatives(SeparableOrders):
    """The Gaussian and its derivatives at the integers, not renormalised: that is worse. One 1-D kernel per order.

    For σ ≥ 0.2.
    """

    smallest_sigma = _LEAST_AS_IT_IS

    def build(self, sigma: float, order: int) -> np.ndarray:
        bound = partial(gaussian.derivative_tail_bound, order=order)
        return gaussian.sampled_derivatives(sigma, gaussian.smallest_radius(bound, sigma, self.tail), order)


@dataclass(frozen=True)
class Iso(NormalisedSampledGaussian):
    """A normalised sampled Gaussian of variance σ² - 1/3, then isotropic differences; for σ ≥ 0.8 and order ≤ 2."""

    smallest_sigma = 0.8
    differences = ISOTROPIC_DIFFERENCES

    def build(self, sigma: float, order: int) -> np.ndarray:
        return super().build(math.sqrt(sigma**2 - 1 / 3), order)  # the stencils bring 1/3 of variance themselves
