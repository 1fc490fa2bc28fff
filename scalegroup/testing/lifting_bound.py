"""A derived bound on the lifting's error, which is all that self-similar grids leave of the error of scaling."""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from scalegroup.errors import check_instance, check_positive, refusing
from scalegroup.fields.lifting import SelfSimilar
from scalegroup.testing.closed_form import Separable

_NODES = 64  # of Gauss and Legendre for every π of frequency: errors are smooth but at the multiples of π


@refusing
def lifting_bound(images: Separable, sigma0: float, sampling: SelfSimilar, *, factor: float = 1.0) -> float:
    """How far a lifted sample may be from the smoothed continuous image, at the worst place of the worst image.

    **One wave.** Along one axis a wave of frequency ω errs by at most e(ω) = `sampling.kernel.error(ω, κσ₀)`, wherever
    it is sampled; the derivation stands there.

    **A part.** c·a(x)·b(y) with a and b that are integrals of waves, of amplitudes that add up to A and B: these are
    bounds on |a| and |b|. Lifted along its axis a errs by at most E, the integral of e over its spectrum, b by F, so
    the part errs by at most |c|·(E·(B + F) + A·F). Images are sums of parts: their errors add up. For a blob,
    exp(-x²/2w²) = ∫ w/√(2π)·exp(-w²ω²/2)·exp(iωx) dω, A = B = 1 and E = F.

    **Scaling.** A channel of the image and the next one of the scaled image sample one continuous function at the same
    places, so they differ by at most the sum of this bound for both (`factor`: 1, then γ, with σ₀ and γσ₀). A network
    behind them differs by that times its Lipschitz constant.

    It is for images that fade out within the canvas, on their background; what lies outside is not in it.

    Args:
        images: of blobs, bars or textures, in pixels.
        sigma0: of the scale channel, in pixels.
        sampling: the lifting.
        factor: by which the images are scaled.

    Raises:
        ScaleGroupError: if an argument cannot be used.

    >>> from scalegroup.testing import Blobs
    >>> blob = Blobs(torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1, 1, 2))
    >>> [f"{lifting_bound(blob, sigma0, SelfSimilar(1.0)):.0e}" for sigma0 in (0.5, 1.0, 2.0)]
    ['3e-03', '2e-04', '5e-07']
    """
    check_instance("images", images, Separable, mend="pass Blobs, Bars or Textures, whose spectrum is known")
    check_instance("sampling", sampling, SelfSimilar, mend="pass SelfSimilar(g)")
    sigma = sampling.smoothed * check_positive("sigma0", sigma0)
    check_positive("factor", factor)
    (x, wrong_x), (y, wrong_y) = (_along(images, axis, sigma, sampling, factor) for axis in (0, 1))
    return (images.amplitudes.abs() * (wrong_x * (y + wrong_y) + x * wrong_y)).sum(-1).max().item()


def _along(images: Separable, axis: int, sigma: float, sampling: SelfSimilar, factor: float) -> tuple[Tensor, Tensor]:
    """`[batch, part]` each: the amplitudes of a part's waves along an axis, and by how much they err."""
    highest = images.highest(axis).double()[..., None]  # of the image before it is scaled
    step = math.pi * factor
    ends = torch.minimum(step * torch.arange(math.ceil(highest.max() / step) + 1, dtype=torch.float64), highest)
    nodes, weights = _rule()
    half = ends.diff()[..., None] / 2
    frequencies = ends[..., :-1, None] + half * (1 + nodes)
    amplitudes = half * weights * images.spectrum(frequencies.flatten(-2), axis).unflatten(-1, frequencies.shape[-2:])
    errors = torch.from_numpy(sampling.kernel.error(frequencies.numpy() / factor, sigma))  # which may be infinite
    return amplitudes.sum((-2, -1)), torch.where(half > 0, amplitudes * errors, 0.0).sum((-2, -1))


@cache
def _rule() -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre: made once, as they take longer than what they are for."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(_NODES))
    return nodes, weights
