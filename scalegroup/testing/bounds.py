"""Derived bounds on the covariance error of one 2-jet layer, and the error itself on images with a closed form."""

import math
from dataclasses import dataclass

from scalegroup import functional
from scalegroup.errors import ScaleGroupError, check_positive, refusing
from scalegroup.jets.kernel import Kernel
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.testing.closed_form import Sinusoids, seeded


@refusing
def discretisation_constants(max_frequency: float) -> tuple[float, float, float]:
    """(C_ξ, C_ξξ, C_ξη) with |H_discrete - H_continuous| ≤ C/σ² for T(n; σ²) and central differences, at every σ.

    H is the transfer function of a scale-normalised derivative of order (1, 0), (2, 0) or (1, 1) at a frequency ω of
    at most `max_frequency` = ω_m ≤ π radians per pixel on each axis; (0, 1) and (0, 2) are the same by symmetry.

    **Factors.** Both H are products over the two axes. On one axis and for order n = 0, 1, 2, without the factors iⁿ
    that they share, with s = σ² and d = 1 - cos ω, for ω ≥ 0 (both are even or odd together):

    - discrete: A₀ = exp(-s·d), A₁ = σ·sin ω·A₀, A₂ = σ²·2d·A₀: T(n; s) has exp(-s(1 - cos ω)), δx has i·sin ω, and
      δxx has 2·cos ω - 2 = -2d;
    - continuous: a₀ = exp(-sω²/2), a₁ = σω·a₀, a₂ = σ²ω²·a₀.

    **Elementary facts**, for 0 ≤ ω ≤ ω_m ≤ π:

    1. Stencils: 0 ≤ ω - sin ω ≤ ω³/6 and 0 ≤ ω² - 2d ≤ ω⁴/12, from Taylor's series of sin and cos.
    2. Smoothing: 0 ≤ ω²/2 - d ≤ ω⁴/24, which is half of the second.
    3. Decay: d ≥ κω²/2 with κ = (sin(ω_m/2)/(ω_m/2))² ≤ 1, as d = 2·sin²(ω/2) and sin(x)/x falls on [0, π/2].
    4. Maxima: u^p·exp(-cu²/2) ≤ (p/(ce))^(p/2) for u ≥ 0, attained at u² = p/c.

    **Errors on one axis.** Put u = σω. By 2, A₀ ≥ a₀, and 1 - exp(-x) ≤ x gives with 2 and 3
    A₀ - a₀ = A₀·(1 - exp(-s(ω²/2 - d))) ≤ exp(-κu²/2)·s·ω⁴/24 = u⁴·exp(-κu²/2)/(24σ²). Hence, by 4 with p = 4, c = κ,

        |A₀ - a₀| ≤ E₀/σ²,  E₀ = 16·e^-2·κ^-2/24 = c₀κ^-2 with c₀ = 2/(3e²).

    The derivatives err in the stencil, times the continuous a₀, and in the smoothing, times the discrete stencil, which
    is at most the continuous one (1):

        |A₁ - a₁| ≤ σ(ω - sin ω)·a₀ + σ·sin ω·(A₀ - a₀) ≤ [u³·exp(-u²/2)/6 + u⁵·exp(-κu²/2)/24]/σ² ≤ E₁/σ²,
        E₁ = 3^(3/2)·e^(-3/2)/6 + 5^(5/2)·e^(-5/2)·κ^(-5/2)/24  (4 with p = 3, c = 1 and with p = 5, c = κ);

        |A₂ - a₂| ≤ s(ω² - 2d)·a₀ + s·2d·(A₀ - a₀) ≤ [u⁴·exp(-u²/2)/12 + u⁶·exp(-κu²/2)/24]/σ² ≤ E₂/σ²,
        E₂ = 16·e^-2/12 + 216·e^-3·κ^-3/24 = 4/(3e²) + 9·e^-3·κ^-3  (p = 4, c = 1 and p = 6, c = κ).

    **Sizes.** A₀ ≤ 1; by 4, a₁ ≤ e^(-1/2) and a₂ ≤ 2/e; with sin ω ≤ ω and 3, A₁ ≤ u·exp(-κu²/2) ≤ (κe)^(-1/2).

    **Two axes.** |A·B - a·b| ≤ |A - a|·|B| + |a|·|B - b|, with the derivative of order n on the first axis:

        ξ:   A₁(ωx)A₀(ωy):  C_ξ  = E₁·1 + e^(-1/2)·E₀ = E₁ + e^(-1/2)·c₀κ^-2
        ξξ:  A₂(ωx)A₀(ωy):  C_ξξ = E₂·1 + (2/e)·E₀ = E₂ + (2/e)·c₀κ^-2
        ξη:  A₁(ωx)A₁(ωy):  C_ξη = E₁·(κe)^(-1/2) + e^(-1/2)·E₁ = E₁·((κe)^(-1/2) + e^(-1/2))

    Nothing here used that σ is large, so the bound holds at every σ; `proofs_tests/test_bounds.py` checks every step.

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
    e0 = 2 / (3 * e**2) * k**-2
    e1 = 3**1.5 * e**-1.5 / 6 + 5**2.5 * e**-2.5 * k**-2.5 / 24
    e2 = 4 / (3 * e**2) + 9 * e**-3 * k**-3
    return e1 + e**-0.5 * e0, e2 + 2 / e * e0, e1 * ((k * e) ** -0.5 + e**-0.5)


@refusing
def covariance_bound(sigma: float, factor: float, max_frequency: float) -> float:
    """A bound on the covariance gap of any 2-jet component, for an image of unit amplitude: C(1 + S⁻²)/σ².

    The jet at σ of an image and the jet at Sσ of the image scaled by S both approximate the same continuous jet
    (eq 15), the first to C/σ² and the second to C/(Sσ)², as scaling by S ≥ 1 leaves the frequencies below
    `max_frequency`. C is the largest of `discretisation_constants`; amplitudes are those of sinusoids, and add up.

    Args:
        sigma: standard deviation on the unscaled image, in pixels.
        factor: S, at least one.
        max_frequency: of the unscaled image on each axis, in radians per pixel.

    Raises:
        ScaleGroupError: if an argument is out of range.
    """
    check_positive("sigma", sigma)
    factor = check_positive("factor", factor)
    if factor < 1:
        raise ScaleGroupError(
            f"factor {factor:g}",
            expected="at least 1",
            mend="exchange the two images: sigma * factor, 1 / factor, max_frequency / factor",
        )
    return max(discretisation_constants(max_frequency)) * (1 + factor**-2) / sigma**2


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


@refusing
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
    kernel = DiscreteGaussian(tail=1e-12) if kernel is None else kernel
    bound = covariance_bound(sigma, factor, max_frequency)
    highest = min(max_frequency, 3 / sigma)  # beyond, the Gaussian leaves nothing to compare
    waves = Sinusoids.random(images, 4, highest, seeded(0))
    jets = []
    for scaling in (1.0, factor):
        radius = kernel.reach(scaling * sigma)
        samples = waves.sample(2 * radius + 1, 2 * radius + 1, factor=scaling)
        maps = functional.jet_maps(samples, sigma=scaling * sigma, kernel=kernel)
        jets.append(maps[:, 0, :, radius, radius])
    gap = (jets[0] - jets[1]).abs().max().item()
    return CovarianceCheck(sigma, factor, max_frequency, gap, bound)
