"""Derived bounds on the covariance error of one 2-jet layer, and the error itself on images with a closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scalegroup import functional
from scalegroup.boundary import Replicate
from scalegroup.errors import ScaleGroupError, check_positive
from scalegroup.kernels import DiscreteGaussian, Kernel
from scalegroup.testing.closed_form import Sinusoids


def discretisation_constants(max_frequency: float) -> tuple[float, float, float]:
    """(C_ξ, C_ξξ, C_ξη) with |H_discrete - H_continuous| ≤ C/σ² for T(n; σ²) and central differences, at every σ.

    H is the transfer function of a scale-normalised derivative of order (1, 0), (2, 0) or (1, 1) at a frequency of at
    most `max_frequency` ≤ π radians per pixel on each axis. On one axis T has the transfer function exp(-s(1 - cos ω)),
    δx i·sin ω and δxx -(2 - 2·cos ω), against exp(-sω²/2), iω and -ω² of the Gaussian. With
    κ = (sin(ω_m/2)/(ω_m/2))², so that 1 - cos ω ≥ κω²/2, each difference splits into a stencil error (ω - sin ω ≤ ω³/6,
    ω² - (2 - 2·cos ω) ≤ ω⁴/12) times the Gaussian, plus a smoothing error (0 ≤ ω²/2 - (1 - cos ω) ≤ ω⁴/24) times the
    decay exp(-κsω²/2) that both share; the maxima of x^p·exp(-x²/2)-like terms over all ω give the constants, and the
    smoothing error on the axis that is not differentiated adds c₀ = 2/(3e²).

    >>> [round(c, 2) for c in discretisation_constants(math.pi / 2)]
    [0.6, 1.12, 0.66]
    """
    check_positive("max_frequency", max_frequency)
    if max_frequency > math.pi:
        raise ScaleGroupError(
            f"max_frequency {max_frequency:g}", expected="at most π radians per pixel", mend="above, images are aliased"
        )
    half, e = max_frequency / 2, math.e
    k = (math.sin(half) / half) ** 2
    c0 = 2 / (3 * e**2)
    first = 3**1.5 * e**-1.5 / 6 + 5**2.5 * e**-2.5 * k**-2.5 / 24
    return (
        first + e**-0.5 * c0 * k**-2,
        4 / (3 * e**2) + 9 * e**-3 * k**-3 + (2 / e) * c0 * k**-2,
        first * ((k * e) ** -0.5 + e**-0.5),
    )


def covariance_bound(sigma: float, factor: float, max_frequency: float) -> float:
    """A bound on the covariance gap of any 2-jet component, for an image of unit amplitude: C(1 + S⁻²)/σ².

    The jet at σ of an image and the jet at Sσ of the image scaled by S both approximate the same continuous jet
    (eq 15), the first to C/σ² and the second to C/(Sσ)².

    Args:
        sigma: standard deviation on the unscaled image, in pixels.
        factor: S, at least one.
        max_frequency: of the unscaled image on each axis, in radians per pixel.
    """
    check_positive("sigma", sigma)
    return max(discretisation_constants(max_frequency)) * (1 + check_positive("factor", factor) ** -2) / sigma**2


@dataclass(frozen=True)
class CovarianceCheck:
    """The covariance gap of one 2-jet layer: measured, and the bound derived for it."""

    sigma: float
    factor: float
    max_frequency: float
    measured: float
    bound: float

    def __str__(self) -> str:
        return (
            f"2-jet at σ = {self.sigma:g} against σ = {self.factor * self.sigma:g} on the image scaled by "
            f"{self.factor:g}: measured gap {self.measured:.2e} of the amplitude, derived bound {self.bound:.2e}"
        )


def covariance_check(
    sigma: float = 2.0,
    factor: float = 2.0,
    *,
    max_frequency: float = math.pi / 2,
    images: int = 16,
    kernel: Kernel | None = None,
) -> CovarianceCheck:
    """Compare the 2-jet of random sinusoids with that of the same sinusoids scaled, both sampled from the closed form.

    The jets are taken at the centre pixel, which scaling keeps, of images large enough for the filters to fit.

    >>> check = covariance_check(2.0, 2 ** 0.5)
    >>> 0 < check.measured <= check.bound
    True
    """
    kernel = kernel or DiscreteGaussian(tail=1e-12)
    bound = covariance_bound(sigma, factor, max_frequency)
    highest = min(max_frequency, 3 / sigma)  # beyond, the Gaussian leaves nothing to compare
    waves = Sinusoids.random(images, 4, highest, torch.Generator().manual_seed(0))
    jets = []
    for scaling in (1.0, factor):
        radius = kernel.filters(scaling * sigma).radius
        samples = waves.sample(2 * radius + 1, 2 * radius + 1, factor=scaling)
        maps = functional.jet_maps(samples, sigma=scaling * sigma, kernel=kernel, boundary=Replicate())
        jets.append(maps[:, 0, :, radius, radius])
    gap = (jets[0] - jets[1]).abs().max().item()
    return CovarianceCheck(sigma, factor, max_frequency, gap, bound)
