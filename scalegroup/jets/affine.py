"""Affine Gaussian jets: Gaussians elongated along several directions, discrete ones, their derivatives and steering.

Lindeberg, "Normative theory of visual receptive fields" (2021), eq 23 and 31. Directions are θⱼ = jπ/M, from x to y.
Along θⱼ (u) the standard deviation is elongation·σ, across it (v) σ: Σⱼ = R(θⱼ) diag((elongation·σ)², σ²) R(θⱼ)ᵀ. All
orientations of a bank are kernels of one size, whose radius is that of T(·; (elongation·σ)²): the marginals of an
affine Gaussian are T(·; Σ₁₁) and T(·; Σ₂₂), and the direction θ₀ = 0 has the largest of all.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import convolve
from torch import Tensor
from torch.nn import functional as F

from scalegroup.constants import constant_result, constant_tensor
from scalegroup.errors import ScaleGroupError, check_integer
from scalegroup.fields.lifting import without_autocast
from scalegroup.jets import gaussian
from scalegroup.jets.blur import channels_last
from scalegroup.jets.jet import TWO_JET, Jet

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
    and without Σ₁₂ it is T(·; Σ₁₁) ⊗ T(·; Σ₂₂). It is a low-pass for each positive definite Σ: sᵢ² ≤ 2(1 - cᵢ), hence
    |Σ₁₂s₁s₂| ≤ 2·√(Σ₁₁(1 - c₁)·Σ₂₂(1 - c₂)) ≤ Σ₁₁(1 - c₁) + Σ₂₂(1 - c₂), the geometric mean being the smaller one.
    Beside the long axis taps may fall below zero: at 45°, σ = 1 and elongation 2 by a hundredth of the mass in all.

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


@constant_result
def affine_reach(sigma: float, smoothed: float, elongation: float, jet: Jet, tail: float) -> int:
    """How many samples beyond its own place a value of the bank depends on, in all orientations alike.

    σ and what is smoothed already are in samples; `tail` is the mass that may be lost along an axis.
    """
    return _radius(sigma, smoothed, elongation, tail) + jet.differences.shape[-1] // 2


def _radius(sigma: float, smoothed: float, elongation: float, tail: float) -> int:
    longest = math.sqrt((elongation * sigma) ** 2 - smoothed**2)
    return gaussian.smallest_radius(gaussian.discrete_tail_bound, longest, tail)


def affine_jets(
    sigma: float, smoothed: float, elongation: float, orientations: int, jet: Jet = TWO_JET, tail: float = 5e-3
) -> np.ndarray:
    """The bank of correlation kernels `[orientations, jet.size, k, k]`, k = 2·`affine_reach` + 1.

    That of u, v, uu, uv, … is (elongation·σ)ᵐ σⁿ ∂uᵐ∂vⁿ of the affine Gaussian, times what `Jet.normalisation` has
    beside powers of σ. Smoothing is cut, brought to unit mass and then differentiated by §5.1's differences, so that
    all but the zero-order term annihilate constants.

    Args:
        sigma: across each direction, in samples.
        smoothed: σ of what is smoothed already, in samples: it is taken off, as a variance.
        elongation: how many times longer the Gaussians are along their direction.
        orientations: M.
        jet: the derivatives, x and y standing for u and v.
        tail: the mass that may be lost along an axis.

    >>> affine_jets(1.0, 0.0, 2.0, 4).shape
    (4, 5, 17, 17)
    """
    radius = _radius(sigma, smoothed, elongation, tail)
    along = np.array([elongation**order for _, order in jet.derivatives])

    def kernels() -> Iterator[np.ndarray]:
        for angle in np.arange(orientations) * math.pi / orientations:
            covariance = oriented_covariance(sigma, elongation, angle, smoothed)
            taps = gaussian.normalised(discrete_affine_gaussian(covariance, radius))
            padded = np.pad(taps, jet.differences.shape[-1] // 2)
            by_axes = np.stack([convolve(padded, stencil, mode="constant") for stencil in jet.differences])
            turned = jet.normalisation(sigma)[:, None] * jet.turned(angle) * along
            yield np.einsum("dc,dyx->cyx", turned, by_axes)

    return np.stack(list(kernels()))


_bank = constant_tensor(affine_jets)


def affine_jet_conv(
    maps: Float[Tensor, "b i y x"],
    coefficients: Float[Tensor, "o i_group m {jet.size}"],
    offset: Float[Tensor, " o"],
    *,
    sigma: float,
    elongation: float,
    smoothed: float = 0.0,
    stride: int = 1,
    jet: Jet = TWO_JET,
    tail: float = 5e-3,
) -> Float[Tensor, "b o y_valid x_valid"]:
    """Offset[o] + Σ coefficients[o, i, j, c]·(kernel c of direction j ∗ maps[i]), where the kernels fit.

    One convolution, in float32 where maps are of half precision. `coefficients` of fewer inputs than the maps have
    features are those of groups, as in `conv2d`. The other arguments are those of `affine_jets`.

    >>> maps, coefficients = torch.randn(2, 3, 24, 24), torch.randn(5, 3, 4, 2)
    >>> affine_jet_conv(maps, coefficients, torch.zeros(5), sigma=1.0, elongation=2.0, jet=Jet(1)).shape
    torch.Size([2, 5, 8, 8])
    """
    with without_autocast(maps):
        bank = _bank(sigma, smoothed, elongation, coefficients.shape[2], jet, tail, like=coefficients)
        weight = torch.einsum("oijc,jcyx->oiyx", coefficients.to(bank.dtype), bank)
        groups = maps.shape[1] // coefficients.shape[1]
        result = F.conv2d(maps.to(bank.dtype), weight, offset.to(bank.dtype), stride=stride, groups=groups)
    result = result.to(coefficients.dtype)
    return result if result.dtype == torch.float64 else channels_last(result)


def steer_affine(
    coefficients: Float[Tensor, "*batch m {jet.size}"], steps: int, jet: Jet = TWO_JET
) -> Float[Tensor, "*batch m {jet.size}"]:
    """The coefficients of the same combination of a bank turned by `steps` of its angles π/M, from x to y.

    A layer with steered coefficients sees an image as the layer itself sees the image turned back by that angle, as
    with `steer`. Each direction takes the place of another, and behind the last one, turned by π, the first comes
    again with u and v reversed: derivatives of order k have (-1)ᵏ. So steering is exact, a permutation with signs.

    Raises `ScaleGroupError` unless the last axes are orientations and the components of the jet.

    >>> steer_affine(torch.tensor([[1., 2.], [3., 4.]]), 1, Jet(1)).tolist()
    [[-3.0, -4.0], [1.0, 2.0]]
    """
    steps = check_integer("steps", steps)
    if coefficients.ndim < 2 or coefficients.shape[-1] != jet.size or not coefficients.shape[-2]:
        raise ScaleGroupError(
            f"coefficients of shape {list(coefficients.shape)}",
            expected=f"[…, orientations, {jet.size}]",
            mend="pass those of an nn.AffineJetConv, or say which jet= it is",
        )
    count = coefficients.shape[-2]
    half_turns = np.arange(steps, steps + count) // count  # of each direction, where it goes
    signs = (-1.0) ** np.outer(half_turns % 2, jet.orders)
    return (coefficients * torch.as_tensor(signs).to(coefficients)).roll(steps, dims=-2)
