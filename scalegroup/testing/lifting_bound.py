"""A derived bound on the lifting's error, which is all that self-similar grids leave of the error of scaling."""

import math

import numpy as np

from scalegroup.errors import check_instance, check_positive
from scalegroup.fields.lifting import SelfSimilar
from scalegroup.testing.closed_form import Blobs

_NODES = 64  # of Gauss and Legendre for every π of frequency: errors are smooth but at the multiples of π
_FARTHEST = 9.0  # in units of 1/width: beyond, a blob's spectrum is below the rounding of float64


def lifting_bound(images: Blobs, sigma0: float, sampling: SelfSimilar, *, factor: float = 1.0) -> float:
    """How far a lifted sample may be from the smoothed continuous image, at the worst place of the worst image.

    **One wave.** Along one axis a wave of frequency ω errs by at most e(ω) = `sampling.kernel.error(ω, κσ₀)`, wherever
    it is sampled; the derivation stands there. With A = a + (at most e) on both axes and |a| ≤ 1,
    |A(ωx)·A(ωy) - a(ωx)·a(ωy)| ≤ e(ωx)·(1 + e(ωy)) + e(ωy).

    **A blob.** exp(-x²/2w²) is ∫ w/√(2π)·exp(-w²ω²/2)·exp(iωx) dω, waves of amplitudes that add up to one. Both axes
    separate, so a blob of amplitude c and width w errs by at most |c|·(E(1 + E) + E) with the mean error
    E(w) = ∫ w/√(2π)·exp(-w²ω²/2)·e(ω) dω. Images are sums of blobs: their errors add up.

    **Scaling.** A channel of the image and the next one of the scaled image sample one continuous function at the same
    places, so they differ by at most the sum of this bound for both (`factor`: 1, then γ, with σ₀ and γσ₀). A network
    behind them differs by that times its Lipschitz constant.

    It is for images that fade out within the canvas, on their background; what lies outside is not in it.

    Args:
        images: of blobs, widths in pixels.
        sigma0: of the scale channel, in pixels.
        sampling: the lifting.
        factor: by which the images are scaled.

    Raises:
        ScaleGroupError: if an argument cannot be used.

    >>> blob = Blobs(torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1, 1, 2))
    >>> [f"{lifting_bound(blob, sigma0, SelfSimilar(1.0)):.0e}" for sigma0 in (0.5, 1.0, 2.0)]
    ['3e-03', '2e-04', '5e-07']
    """
    check_instance("images", images, Blobs, mend="pass Blobs, whose spectrum is known")
    check_instance("sampling", sampling, SelfSimilar, mend="pass SelfSimilar(g)")
    sigma = sampling.smoothed * check_positive("sigma0", sigma0)
    widths = images.widths.double().numpy() * check_positive("factor", factor)
    ends = np.arange(math.ceil(_FARTHEST / (math.pi * widths.min())) + 1) * math.pi
    ends = np.minimum(ends, _FARTHEST / widths[..., None])
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = np.diff(ends)[..., None] / 2
    frequencies, widths = ends[..., :-1, None] + half * (1 + nodes), widths[..., None, None]
    spectrum = 2 * widths / math.sqrt(2 * math.pi) * np.exp(-((widths * frequencies) ** 2) / 2)  # of ω and -ω
    wrong = np.where(half > 0, sampling.kernel.error(frequencies, sigma), 0.0)  # which may be infinite
    errors = (half * weights * spectrum * wrong).sum((-2, -1))
    return float((abs(images.amplitudes.numpy()) * (errors * (1 + errors) + errors)).sum(-1).max())
