"""The Gaussians by which the lifting weighs pixels, about positions between them."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.special import wofz

from scalegroup.errors import Refusing, check_positive

REACH = 9.0  # in σ: beyond, a Gaussian is below the rounding of float64
_LEFT = 1e-13  # of a weight: what the sinc's tails may leave, which reach across any image
_NOTHING = 1e-18  # of a weight near one: the rounding of float64 is a hundred times as much


class LiftingKernel(Refusing, ABC):
    """A Gaussian on the pixels, about positions between them."""

    @abstractmethod
    def rows(self, offsets: np.ndarray, sigma: float) -> np.ndarray:
        """The weights of pixels at `offsets` `[rows, pixels]` from the positions; σ in pixels."""

    def reach(self, sigma: float) -> float:
        """How far from a position weights go on, in pixels; σ in pixels as well."""
        return REACH * sigma

    @abstractmethod
    def error(self, frequency: np.ndarray, sigma: float) -> np.ndarray:
        """A bound on the error at any position for a wave of amplitude 1, in one dimension.

        Through a kernel k on the integers, exp(iωx) is Σₘ k̂(ω + 2πm)·exp(i(ω + 2πm)x), by Poisson's summation.
        The continuous Gaussian gives ĝ(ω)·exp(iωx) with ĝ(ω) = exp(-σ²ω²/2).

        Args:
            frequency: ω, in radians per pixel.
            sigma: of the kernel, in pixels.
        """


@dataclass(frozen=True)
class BandLimited(LiftingKernel):
    """The Gaussian of the band-limited interpolant of the pixels: exact for images without frequencies above π.

    k(x) = (1/2π)∫ exp(-σ²ω²/2) cos ωx dω over [-π, π], in closed form with the Faddeeva function w. From about σ = 1.2
    pixels on it is the sampled Gaussian; below it is far better, and has the tails of a sinc.

    >>> BandLimited().rows(np.array([[-1.0, 0.0, 1.0]]), 0.4).round(3).tolist()
    [[0.119, 0.789, 0.119]]
    """

    def rows(self, offsets: np.ndarray, sigma: float) -> np.ndarray:
        """See `LiftingKernel`; over all integers a row sums to one."""
        check_positive("sigma", sigma)
        a, b = math.pi * sigma / math.sqrt(2), offsets / (math.sqrt(2) * sigma)
        weights = np.exp(-(b**2))
        if math.exp(-(a**2)) > _NOTHING:  # |w| ≤ 1: else what the cut takes away is below rounding
            cut = np.exp(-1j * math.pi * offsets) * wofz(-b + 1j * a)
            weights = weights - math.exp(-(a**2)) * cut.real
        return weights / (math.sqrt(2 * math.pi) * sigma)

    def reach(self, sigma: float) -> float:
        """See `LiftingKernel`."""
        return super().reach(sigma) if math.exp(-((math.pi * sigma) ** 2) / 2) <= _LEFT else math.inf

    def error(self, frequency: np.ndarray, sigma: float) -> np.ndarray:
        """See `LiftingKernel`. Here k̂ is ĝ up to π and 0 above, where ω is taken for its alias.

        So the error is 0 for |ω| < π, and at most ĝ(ω) + ĝ(ω') with ω' = ω - 2π·round(ω/2π) from there on: of the wave
        of frequency π the pixels do not see the sine.
        """
        alias = frequency - 2 * math.pi * np.rint(frequency / (2 * math.pi))
        wrong = _transform(frequency, sigma) + _transform(alias, sigma)
        return np.where(abs(frequency) < math.pi, 0.0, wrong)


@dataclass(frozen=True)
class SampledLifting(LiftingKernel):
    """The Gaussian at the pixels, each row brought to unit mass: to compare.

    >>> SampledLifting().rows(np.array([[-1.0, 0.0, 1.0]]), 0.4).round(3).tolist()
    [[0.04, 0.919, 0.04]]
    """

    def rows(self, offsets: np.ndarray, sigma: float) -> np.ndarray:
        check_positive("sigma", sigma)
        exponents = -(offsets**2) / (2 * sigma**2)
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def error(self, frequency: np.ndarray, sigma: float) -> np.ndarray:
        """See `LiftingKernel`. Here k̂ = ĝ, over the row's mass: the same sum M at ω = 0.

        With T(ω) = Σ_{m≠0} ĝ(ω + 2πm), the sum is within T(ω) of ĝ(ω)·exp(iωx) and M within T(0) of 1, so the quotient
        errs by at most (T(ω) + ĝ(ω)·T(0))/(1 - T(0)): about 4·exp(-2π²σ²) for low frequencies. None where T(0) ≥ 1.
        """
        images = 2 * math.pi * np.concatenate([np.arange(-8, 0), np.arange(1, 9)])
        others = _transform(frequency[..., None] + images, sigma).sum(-1)
        mass = float(_transform(images, sigma).sum())
        bound = (others + _transform(frequency, sigma) * mass) / max(1 - mass, 1e-300)
        return bound if mass < 1 else np.full_like(bound, math.inf)


def _transform(frequency: np.ndarray, sigma: float) -> np.ndarray:
    """Of the continuous Gaussian."""
    return np.exp(-(sigma**2) * frequency**2 / 2)
