"""1-D Gaussian kernels on the integers, as float64 arrays, and the radii at which their tails may be cut.

σ is a standard deviation in samples, s = σ² a variance. Arrays run over n = -radius … radius. A `tail` is the mass that
may be lost on both sides together; every radius below follows from a bound, not from a rule of thumb.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from scipy.special import erfc, ive, ndtr

from scalegroup.errors import ScaleGroupError, check_positive

_LARGEST = 1e4  # samples: σ
_SQRT_2PI = math.sqrt(2 * math.pi)


def check_sigma(sigma: float) -> float:
    """A σ that a kernel can have. Raises `ScaleGroupError` if no image has as many samples, or it is not positive."""
    if check_positive("sigma", sigma) > _LARGEST:
        raise ScaleGroupError(
            f"sigma {sigma:.4g} samples",
            expected=f"at most {_LARGEST:g}: images have fewer",
            mend="use a smaller sigma (samples_per_sigma, beta, r), or a window of finer channels",
        )
    return sigma


def integers(radius: int) -> np.ndarray:
    """-radius … radius."""
    return np.arange(-radius, radius + 1)


def derivatives(x: np.ndarray | float, sigma: float, order: int = 2) -> np.ndarray:
    """The continuous Gaussian g(x; σ) (eq 5 in one dimension), g', g'', … up to `order`, `[order + 1, …]`.

    g⁽ᵏ⁾(x) = (-1/σ)ᵏ Heₖ(x/σ) g(x), with the Hermite polynomials Heₖ of the probabilists.

    >>> derivatives(1.0, 2.0, order=3).round(3).tolist()
    [0.176, -0.044, -0.033, 0.03]
    """
    u = np.asarray(x) / sigma
    g = np.exp(-0.5 * u**2) / (_SQRT_2PI * sigma)
    signs = (-1 / sigma) ** np.arange(order + 1)
    return signs.reshape(-1, *(1,) * u.ndim) * hermeval(u, np.eye(order + 1)) * g


def discrete_gaussian(sigma: float, radius: int) -> np.ndarray:
    """The discrete analogue of the Gaussian, T(n; s) = e^(-s) Iₙ(s) with s = σ² (§5.1), not normalised.

    >>> float(discrete_gaussian(1.0, 12).sum().round(12))
    1.0
    """
    return ive(abs(integers(radius)), sigma**2)


def normalised(kernel: np.ndarray) -> np.ndarray:
    """The kernel with unit mass."""
    return kernel / kernel.sum()


def sampled_derivatives(sigma: float, radius: int, order: int = 2) -> np.ndarray:
    """g, g', … at the integers, `[order + 1, 2·radius + 1]`; not normalised: at small σ the sum of g is not 1."""
    return derivatives(integers(radius), sigma, order)


def integrated_derivatives(sigma: float, radius: int, order: int = 2) -> np.ndarray:
    """g, g', … averaged over each pixel [n - ½, n + ½], `[order + 1, 2·radius + 1]`."""
    upper, lower = integers(radius) + 0.5, integers(radius) - 0.5
    mass = ndtr(upper / sigma) - ndtr(lower / sigma)
    return np.stack([mass, *(derivatives(upper, sigma, order) - derivatives(lower, sigma, order))[:order]])


def discrete_tail_bound(sigma: float, radius: int) -> float:
    """A bound on Σ_{|n|>radius} T(n; s).

    T(·; s) is the law of the difference of two Poisson variables of mean s/2, whose moment generating function is
    exp(s(cosh θ - 1)). Chernoff at the best θ = asinh(M/s), M = radius + 1, gives, for both sides together,
    2·exp(√(M² + s²) - s - M·asinh(M/s)).
    """
    s, m = sigma**2, radius + 1
    return 2 * math.exp(math.hypot(m, s) - s - m * math.asinh(m / s))


def sampled_tail_bound(sigma: float, radius: int) -> float:
    """A bound on Σ_{|n|>radius} g(n; σ): g decreases, so the sum is below 2∫_radius^∞ g = erfc(radius/(σ√2))."""
    return float(erfc(radius / (sigma * math.sqrt(2))))


def derivative_tail_bound(sigma: float, radius: int, order: int = 2) -> float:
    """A bound on Σ_{|n|>radius} |σᵏ g⁽ᵏ⁾(n)| for k = 0 … order ≤ 4, of the samples as well as of the pixel averages.

    |σᵏ g⁽ᵏ⁾(x)| = |Heₖ(u)|·g(x), u = x/σ, is at most p(u)·g(x), p(u) = 1 + u + … + u^order, where u ≥ 2: He₂ = u² - 1
    and He₃ = u³ - 3u lie in [0, uᵏ] there, and He₄ = u⁴ - 6u² + 3 in ±u⁴, as 2u⁴ - 6u² + 3 and 6u² - 3 are positive.
    p(u)·g(x) decreases there, for p' - u·p = 1 + Σ_{j<order} j·uʲ - u^order - u^(order + 1) (order ≥ 1) is negative. So
    each sum is below twice its integral from radius - ½ (where the first left-out pixel begins to matter, ½ further
    than it has to), 2·Σⱼ Iⱼ with Iⱼ = ∫ₐ uʲφ(u) du, a = (radius - ½)/σ: I₀ = Q(a), I₁ = φ(a) and, by parts,
    Iⱼ = aʲ⁻¹φ(a) + (j - 1)·Iⱼ₋₂; φ, Q are the standard normal density and tail. Below 2σ no bound is given.

    >>> [f"{derivative_tail_bound(1.0, 5, order):.0e}" for order in (0, 2, 4)]
    ['7e-06', '2e-04', '4e-03']
    """
    a = (radius - 0.5) / sigma
    if a < 2:
        return math.inf
    density = math.exp(-0.5 * a * a) / _SQRT_2PI
    integrals = [erfc(a / math.sqrt(2)) / 2, density]
    for power in range(2, order + 1):
        integrals.append(a ** (power - 1) * density + (power - 1) * integrals[power - 2])
    return float(2 * sum(integrals[: order + 1]))


def smallest_radius(bound: Callable[[float, int], float], sigma: float, tail: float) -> int:
    """The smallest radius ≥ 1 whose tail bound is at most `tail`. Raises `ScaleGroupError` as `check_sigma` does.

    >>> smallest_radius(discrete_tail_bound, 1.0, 1e-6), smallest_radius(discrete_tail_bound, 8.0, 1e-3)
    (7, 31)
    """
    check_sigma(sigma)
    radius = 1
    while bound(sigma, radius) > tail:
        radius += 1
    return radius
