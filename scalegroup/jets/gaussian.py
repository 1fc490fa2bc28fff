"""1-D Gaussian kernels on the integers, as float64 arrays, and the radii at which their tails may be cut.

σ is a standard deviation in samples, s = σ² a variance. Arrays run over n = -radius … radius. A `tail` is the mass that
may be lost on both sides together; every radius below follows from a bound, not from a rule of thumb.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfc, ive, ndtr

_SQRT_2PI = math.sqrt(2 * math.pi)


def integers(radius: int) -> np.ndarray:
    """-radius … radius."""
    return np.arange(-radius, radius + 1)


def derivatives(x: np.ndarray, sigma: float) -> np.ndarray:
    """The continuous Gaussian g(x; σ) (eq 5 in one dimension), g' and g'', stacked."""
    g = np.exp(-0.5 * (x / sigma) ** 2) / (_SQRT_2PI * sigma)
    return np.stack([g, -x / sigma**2 * g, ((x / sigma) ** 2 - 1) / sigma**2 * g])


def discrete_gaussian(sigma: float, radius: int) -> np.ndarray:
    """The discrete analogue of the Gaussian, T(n; s) = e^(-s) Iₙ(s) with s = σ² (§5.1), not normalised.

    >>> float(discrete_gaussian(1.0, 12).sum().round(12))
    1.0
    """
    return ive(abs(integers(radius)), sigma**2)


def normalised(kernel: np.ndarray) -> np.ndarray:
    """The kernel with unit mass."""
    return kernel / kernel.sum()


def sampled_derivatives(sigma: float, radius: int) -> np.ndarray:
    """g, g' and g'' at the integers, `[3, 2·radius + 1]`; not normalised: at small σ the sum of g is not 1."""
    return derivatives(integers(radius), sigma)


def integrated_derivatives(sigma: float, radius: int) -> np.ndarray:
    """g, g' and g'' averaged over each pixel [n - ½, n + ½], `[3, 2·radius + 1]`."""
    upper, lower = integers(radius) + 0.5, integers(radius) - 0.5
    mass = ndtr(upper / sigma) - ndtr(lower / sigma)
    return np.stack([mass, *(derivatives(upper, sigma) - derivatives(lower, sigma))[:2]])


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


def derivative_tail_bound(sigma: float, radius: int) -> float:
    """A bound on Σ_{|n|>radius} |σᵏ g⁽ᵏ⁾(n)| for k = 0, 1, 2, of the samples as well as of the pixel averages.

    With a = (radius - ½)/σ and φ, Q the standard normal density and tail: all three are at most (1 + x/σ + x²/σ²)·g(x),
    which decreases where x ≥ 2σ, so each sum is below twice its integral from radius - ½ (where the first left-out
    pixel begins to matter, ½ further than it has to), 2·(2·Q(a) + (1 + a)·φ(a)). Below 2σ no bound is given.
    """
    a = (radius - 0.5) / sigma
    if a < 2:
        return math.inf
    return float(2 * (erfc(a / math.sqrt(2)) + (1 + a) * math.exp(-0.5 * a * a) / _SQRT_2PI))


def smallest_radius(bound: Callable[[float, int], float], sigma: float, tail: float) -> int:
    """The smallest radius ≥ 1 whose tail bound is at most `tail`.

    >>> smallest_radius(discrete_tail_bound, 1.0, 1e-6), smallest_radius(discrete_tail_bound, 8.0, 1e-3)
    (7, 31)
    """
    radius = 1
    while bound(sigma, radius) > tail:
        radius += 1
    return radius
