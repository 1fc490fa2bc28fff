"""Affine Gaussian jets: banks of elongated Gaussians in several directions, their derivatives and how they turn.

Lindeberg, "Normative theory of visual receptive fields" (2021), eq 23 and 31. Directions are θⱼ = jπ/M, from x to y.
Along θⱼ (u) the standard deviation is elongation·σ, across it (v) σ: Σⱼ = R(θⱼ) diag((elongation·σ)², σ²) R(θⱼ)ᵀ.
Arguments are σ across and what is smoothed already (taken off, as a variance), both in samples, and the tail: the mass
that may be lost along an axis.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from scalegroup.constants import cast, constant_result, constant_tensor
from scalegroup.errors import ScaleGroupError, check_integer, refusing
from scalegroup.fields.lifting import without_autocast
from scalegroup.jets.affine_gaussian import discrete_affine_gaussian, oriented_covariance
from scalegroup.jets.blur import channels_last
from scalegroup.jets.gaussian import discrete_tail_bound, normalised, smallest_radius
from scalegroup.jets.jet import TWO_JET, Jet


@constant_result
def affine_reach(sigma: float, smoothed: float, elongation: float, jet: Jet = TWO_JET, tail: float = 5e-3) -> int:
    """How many samples beyond its own place a value of the bank depends on, in all orientations alike.

    The marginals of an affine Gaussian are T(·; Σ₁₁) and T(·; Σ₂₂), and the widest of all is that of θ₀ = 0 along x: so
    the radius of T(·; (elongation·σ)²) does for every one.

    >>> affine_reach(1.0, 0.0, 1.0), affine_reach(1.0, 0.0, 2.0)
    (5, 8)
    """
    longest = math.sqrt((elongation * sigma) ** 2 - smoothed**2)
    return smallest_radius(discrete_tail_bound, longest, tail) + jet.differences.shape[-1] // 2


def affine_jets(
    sigma: float, smoothed: float, elongation: float, orientations: int, jet: Jet = TWO_JET, tail: float = 5e-3
) -> np.ndarray:
    """The bank of correlation kernels `[orientations, jet.size, k, k]`, k = 2·`affine_reach` + 1, of u, v, uu, uv, …

    Each is (elongation·σ)ᵐ σⁿ ∂uᵐ∂vⁿ of its affine Gaussian, times what `Jet.normalisation` has beside powers of σ. The
    Gaussian is cut, brought to unit mass and then differentiated by §5.1's differences in the frame of its direction,
    so that all but the zero-order term annihilate constants.

    >>> affine_jets(1.0, 0.0, 2.0, 4).shape
    (4, 5, 17, 17)
    """
    from scipy.ndimage import convolve  # needed here only, and slow to import

    lost = jet.differences.shape[-1] // 2
    radius = affine_reach(sigma, smoothed, elongation, jet, tail) - lost
    along = np.array([elongation**order for _, order in jet.derivatives])

    def kernels() -> Iterator[np.ndarray]:
        for angle in np.arange(orientations) * math.pi / orientations:
            covariance = oriented_covariance(sigma, elongation, angle, smoothed)
            taps = np.pad(normalised(discrete_affine_gaussian(covariance, radius)), lost)
            by_axes = np.stack([convolve(taps, stencil, mode="constant") for stencil in jet.differences])
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
    """offset[o] + Σ coefficients[o, i, j, c]·(kernel c of direction j ∗ maps[i]), where the kernels fit.

    One convolution, in float32 where maps are of half precision. `coefficients` of fewer inputs than the maps have
    features are those of groups, as in `conv2d`. The other arguments are those of `affine_jets`.

    >>> maps, coefficients = torch.randn(2, 3, 24, 24), torch.randn(5, 3, 4, 2)
    >>> affine_jet_conv(maps, coefficients, torch.zeros(5), sigma=1.0, elongation=2.0, jet=Jet(1)).shape
    torch.Size([2, 5, 8, 8])
    """
    with without_autocast(maps):
        bank = _bank(sigma, smoothed, elongation, coefficients.shape[2], jet, tail, like=coefficients)
        weight = torch.einsum("oijc,jcyx->oiyx", cast(coefficients, bank.dtype), bank)
        groups = maps.shape[1] // coefficients.shape[1]
        result = F.conv2d(cast(maps, bank.dtype), weight, cast(offset, bank.dtype), stride=stride, groups=groups)
    result = cast(result, coefficients.dtype)
    return result if result.dtype == torch.float64 else channels_last(result)


@refusing
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
