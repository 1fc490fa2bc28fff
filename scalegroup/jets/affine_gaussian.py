"""Affine Gaussians on the integers: elongated in any direction, the analogue of `gaussian` in two dimensions."""

import math

import numpy as np

from scalegroup.errors import ScaleGroupError
from scalegroup.jets import gaussian

_NOTHING = 1e-20  # of the mass, beyond half a period of the frequencies that are summed


def oriented_covariance(sigma: float, elongation: float, angle: float, smoothed: float = 0.0) -> np.ndarray:
    """Σ = R(angle) diag((elongation·σ)², σ²) R(angle)ᵀ - smoothed²·1, `[2, 2]` over x and y; angle from x to y.

    >>> oriented_covariance(1.0, 2.0, math.pi / 4).round(6).tolist()
    [[2.5, 1.5], [1.5, 2.5]]
    """
    along, across = ((extent * sigma) ** 2 - smoothed**2 for extent in (elongation, 1.0))
    c, s = math.cos(angle), math.sin(angle)
    mixed = (along - across) * c * s  # nothing at all of a round one
    return np.array([[along * c**2 + across * s**2, mixed], [mixed, along * s**2 + across * c**2]])


def discrete_affine_gaussian(covariance: np.ndarray, radius: int) -> np.ndarray:
    """The discrete affine Gaussian, `[y, x]` for -radius … radius: the affine analogue of T(n; s); not normalised.

    The affine diffusion equation with §5.1's differences, ∂L = ½(Σ₁₁δxx + 2Σ₁₂δxδy + Σ₂₂δyy)L (Lindeberg,
    arXiv:1701.02127, its free parameter at zero), has the transfer function exp(-[Σ₁₁(1 - c₁) + Σ₂₂(1 - c₂) +
    Σ₁₂s₁s₂]) with cᵢ = cos ωᵢ and sᵢ = sin ωᵢ. So masses are one, covariances are Σ exactly, Σₐ and Σ_b give Σₐ + Σ_b,
    without Σ₁₂ it is T(·; Σ₁₁) ⊗ T(·; Σ₂₂), and its marginals always are these two. It is a low-pass for each positive
    definite Σ: sᵢ² ≤ 2(1 - cᵢ), hence |Σ₁₂s₁s₂| ≤ 2·√(Σ₁₁(1 - c₁)·Σ₂₂(1 - c₂)) ≤ Σ₁₁(1 - c₁) + Σ₂₂(1 - c₂), twice a
    geometric mean and twice the arithmetic one. Beside the long axis taps may fall below zero: at 45°, σ = 1 and
    elongation 2 by a hundredth of the mass in all.

    Args:
        covariance: Σ over x and y, in samples².
        radius: in samples.

    Raises `ScaleGroupError` if Σ is not symmetric and positive definite.

    >>> taps = discrete_affine_gaussian(oriented_covariance(1.0, 2.0, math.pi / 4), 20)
    >>> float(taps.sum().round(9)), taps[19:22, 19:22].round(3).tolist()
    (1.0, [[0.056, 0.06, 0.033], [0.06, 0.081, 0.06], [0.033, 0.06, 0.056]])
    """
    covariance = np.asarray(covariance, dtype=float)
    square = covariance.shape == (2, 2) and np.array_equal(covariance, covariance.T)
    if not (square and covariance[0, 0] > 0 and np.linalg.det(covariance) > 0):
        raise ScaleGroupError(
            f"covariance {covariance.tolist()}",
            expected="a symmetric positive definite one",
            mend="try oriented_covariance(1.0, 2.0, 0.5)",
        )
    longest = math.sqrt(covariance.diagonal().max())
    far = max(radius, gaussian.smallest_radius(gaussian.discrete_tail_bound, longest, _NOTHING))
    frequencies = 2 * math.pi * np.fft.fftfreq(2 * far + 1)
    (c, s), (c_y, s_y) = ((np.cos(w), np.sin(w)) for w in (frequencies, frequencies[:, None]))
    exponent = covariance[0, 0] * (1 - c) + covariance[1, 1] * (1 - c_y) + covariance[0, 1] * s * s_y
    places = gaussian.integers(radius)  # of one period, negative ones from its end
    return np.fft.ifft2(np.exp(-exponent)).real[np.ix_(places, places)]
