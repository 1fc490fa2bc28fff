"""Continuous images with a closed form, to be sampled on any grid: never interpolated, never white noise.

The sampling grids are centred: sample (0, 0) of the plane is the centre of the image.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.errors import Refusing, ScaleGroupError, check_positive


def seeded(seed: int) -> torch.Generator:
    """To draw the same again."""
    return torch.Generator().manual_seed(seed)


class ContinuousImage(Refusing, ABC):
    """A batch of functions f on the plane."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, (Tensor, ContinuousImage)):
                raise ScaleGroupError(f"{name} {value!r:.60}", expected="a tensor", mend="pass a torch tensor")

    @abstractmethod
    def at(self, x: Float[Tensor, " n"], y: Float[Tensor, " m"]) -> Float[Tensor, "batch m n"]:
        """F on the grid of these coordinates."""

    def sample(self, height: int, width: int, *, factor: float = 1.0) -> Float[Tensor, "batch 1 height width"]:
        """Pixels of spacing 1 of the image scaled by `factor`, f'(x) = f(x / factor) (eq 1), in float64."""
        factor = check_positive("factor", factor)
        x, y = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (width, height))
        return self.at(x / factor, y / factor)[:, None]


@dataclass(frozen=True, eq=False)
class Sinusoids(ContinuousImage):
    """Σ amplitude·cos(ωx·x + ωy·y + phase).

    Args:
        amplitudes, phases: `[batch, waves]`.
        frequencies: `[batch, waves, 2]`, (ωx, ωy) in radians per pixel.

    >>> Sinusoids.random(2, 3, 1.0, torch.Generator()).sample(5, 7).shape
    torch.Size([2, 1, 5, 7])
    """

    amplitudes: Tensor
    frequencies: Tensor
    phases: Tensor

    @staticmethod
    def random(batch: int, waves: int, max_frequency: float, generator: torch.Generator) -> Sinusoids:
        """Uniform frequencies up to `max_frequency` on each axis, uniform phases, amplitudes that sum to one."""
        uniform = torch.rand(batch, waves, 4, generator=generator, dtype=torch.float64)
        amplitudes = uniform[..., 0] + 0.1
        return Sinusoids(
            amplitudes / amplitudes.sum(1, keepdim=True),
            (2 * uniform[..., 1:3] - 1) * max_frequency,
            2 * torch.pi * uniform[..., 3],
        )

    def at(self, x: Float[Tensor, " n"], y: Float[Tensor, " m"]) -> Float[Tensor, "batch m n"]:
        wx, wy = self.frequencies[..., 0, None, None], self.frequencies[..., 1, None, None]
        waves = torch.cos(wx * x + wy * y[:, None] + self.phases[..., None, None])
        return (self.amplitudes[..., None, None] * waves).sum(1)


@dataclass(frozen=True, eq=False)
class Polynomials(ContinuousImage):
    """c₀ + c₁x + c₂y + c₃x² + c₄xy + c₅y²: the images on which a 2-jet is exact.

    Args:
        coefficients: `[batch, 6]`, in that order.

    >>> Polynomials(torch.tensor([[0., 0., 0., 0., 1., 0.]]).double()).sample(3, 3)[0, 0].tolist()
    [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]
    """

    coefficients: Tensor

    @staticmethod
    def random(batch: int, generator: torch.Generator) -> Polynomials:
        """Coefficients in [-1, 1]."""
        return Polynomials(2 * torch.rand(batch, 6, generator=generator, dtype=torch.float64) - 1)

    def at(self, x: Float[Tensor, " n"], y: Float[Tensor, " m"]) -> Float[Tensor, "batch m n"]:
        c0, cx, cy, cxx, cxy, cyy = self.coefficients[:, :, None, None].unbind(1)
        y = y[:, None]
        return c0 + cx * x + cy * y + cxx * x**2 + cxy * x * y + cyy * y**2


class Separable(ContinuousImage):
    """Σ amplitude·a(x)·b(y), with parts a and b that are integrals of waves: what sampling loses has a bound."""

    amplitudes: Float[Tensor, "batch part"]

    @abstractmethod
    def along(self, positions: Float[Tensor, " n"], axis: int) -> Tensor:
        """`[batch, part, n]`: the parts along an axis (0: x, 1: y), real or complex; the image is the real part."""

    @abstractmethod
    def spectrum(self, frequency: Float[Tensor, "batch part n"], axis: int) -> Float[Tensor, "batch part n"]:
        """At most so much per radian is the amplitude of the waves of frequencies ω ≥ 0 and -ω together."""

    @abstractmethod
    def highest(self, axis: int) -> Float[Tensor, "batch part"]:
        """The frequency beyond which a spectrum is below the rounding of float64, in radians per pixel."""

    def at(self, x: Float[Tensor, " n"], y: Float[Tensor, " m"]) -> Float[Tensor, "batch m n"]:
        along_y, along_x = self.along(y, 1), self.along(x, 0)
        return torch.einsum("bk,bkm,bkn->bmn", self.amplitudes.to(along_x.dtype), along_y, along_x).real


@dataclass(frozen=True, eq=False)
class Blobs(Separable):
    """Σ amplitude·exp(-|(x, y) - centre|² / (2·width²)): compact on a background of zero.

    Args:
        amplitudes, widths: `[batch, blobs]`; widths are standard deviations in pixels.
        centres: `[batch, blobs, 2]`, (x, y) in pixels.

    >>> Blobs.random(2, 3, widths=(1.0, 2.0), extent=3.0, generator=torch.Generator()).sample(9, 9).shape
    torch.Size([2, 1, 9, 9])
    """

    amplitudes: Tensor
    widths: Tensor
    centres: Tensor

    @staticmethod
    def random(
        batch: int, blobs: int, *, widths: tuple[float, float], extent: float, generator: torch.Generator
    ) -> Blobs:
        """Amplitudes in [-1, 1], widths in the given range, centres within `extent` of the origin on each axis."""
        uniform = torch.rand(batch, blobs, 4, generator=generator, dtype=torch.float64)
        low, high = widths
        return Blobs(2 * uniform[..., 0] - 1, low + (high - low) * uniform[..., 1], (2 * uniform[..., 2:] - 1) * extent)

    def without_mass(self) -> Blobs:
        """The same with the last amplitude changed so that the integral of the image is zero."""
        mass = self.amplitudes * self.widths**2
        last = -mass[:, :-1].sum(1, keepdim=True) / self.widths[:, -1:] ** 2
        return replace(self, amplitudes=torch.cat([self.amplitudes[:, :-1], last], dim=1))

    def rotated(self, angle: float) -> Blobs:
        """The image turned about the origin by `angle` radians, counter-clockwise as it is shown (y down).

        >>> blob = Blobs(torch.ones(1, 1), torch.ones(1, 1), torch.tensor([[[3.0, 0.0]]]))
        >>> torch.allclose(blob.rotated(torch.pi / 2).sample(9, 9), blob.sample(9, 9).rot90(1, (2, 3)), atol=1e-6)
        True
        """
        c, s = math.cos(angle), math.sin(angle)
        x, y = self.centres.unbind(-1)
        return replace(self, centres=torch.stack([c * x + s * y, c * y - s * x], dim=-1))

    def along(self, positions: Float[Tensor, " n"], axis: int) -> Tensor:
        return torch.exp(-((positions - self.centres[..., axis, None]) ** 2) / (2 * self.widths[..., None] ** 2))

    def spectrum(self, frequency: Float[Tensor, "batch part n"], axis: int) -> Float[Tensor, "batch part n"]:
        return _gaussian(frequency, 1 / self.widths[..., None])

    def highest(self, axis: int) -> Float[Tensor, "batch part"]:
        return _FARTHEST / self.widths


@dataclass(frozen=True, eq=False)
class Bars(Separable):
    """Σ amplitude·b(x)·b(y): rectangles with soft edges, b being the difference of two normal distributions.

    Args:
        amplitudes, widths: `[batch, bars]`; widths are those of the edges, standard deviations in pixels.
        centres, halves: `[batch, bars, 2]`, (x, y) in pixels: half-sizes of the rectangles.

    >>> one = torch.ones(1, 1).double()
    >>> bar = Bars(one, one / 9, torch.zeros(1, 1, 2), torch.tensor([[[1.5, 0.5]]]))
    >>> bar.sample(3, 5).round().int()[0, 0].tolist()
    [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    """

    amplitudes: Tensor
    widths: Tensor
    centres: Tensor
    halves: Tensor

    def along(self, positions: Float[Tensor, " n"], axis: int) -> Tensor:
        root, half = math.sqrt(2) * self.widths[..., None], self.halves[..., axis, None]
        offsets = positions - self.centres[..., axis, None]
        return (torch.erf((offsets + half) / root) - torch.erf((offsets - half) / root)) / 2

    def spectrum(self, frequency: Float[Tensor, "batch part n"], axis: int) -> Float[Tensor, "batch part n"]:
        """Of a box, 2·sin(hω)/ω, at most 2·min(h, 1/ω), times that of its edges."""
        half, inverse = self.halves[..., axis, None].expand(frequency.shape), 1 / self.widths[..., None]
        return _gaussian(frequency, inverse) * math.sqrt(2 / math.pi) * inverse * torch.minimum(half, 1 / frequency)

    def highest(self, axis: int) -> Float[Tensor, "batch part"]:
        return _FARTHEST / self.widths


@dataclass(frozen=True, eq=False)
class Textures(Separable):
    """Blobs of waves: each blob of some `Blobs` times cos(ωx·(x - cx) + ωy·(y - cy)).

    Args:
        blobs: the envelopes.
        frequencies: `[batch, blobs, 2]`, (ωx, ωy) in radians per pixel.

    >>> blob = Blobs(torch.ones(1, 1), torch.full((1, 1), 9.0), torch.zeros(1, 1, 2))
    >>> Textures(blob, torch.tensor([[[torch.pi, 0.0]]])).sample(1, 3).round(decimals=1)[0, 0].tolist()
    [[-1.0, 1.0, -1.0]]
    """

    blobs: Blobs
    frequencies: Tensor

    @property
    def amplitudes(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the blobs."""
        return self.blobs.amplitudes

    def along(self, positions: Float[Tensor, " n"], axis: int) -> Tensor:
        waves = self.frequencies[..., axis, None] * (positions - self.blobs.centres[..., axis, None])
        return torch.polar(self.blobs.along(positions, axis), waves)

    def spectrum(self, frequency: Float[Tensor, "batch part n"], axis: int) -> Float[Tensor, "batch part n"]:
        moved, inverse = self.frequencies[..., axis, None], 1 / self.blobs.widths[..., None]
        return (_gaussian(frequency - moved, inverse) + _gaussian(frequency + moved, inverse)) / 2

    def highest(self, axis: int) -> Float[Tensor, "batch part"]:
        return self.blobs.highest(axis) + self.frequencies[..., axis].abs()


_FARTHEST = 9.0  # in standard deviations: beyond, a Gaussian is below the rounding of float64


def _gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The normal density, of x and -x together: of frequencies, of a blob of width 1/σ and amplitude one."""
    return torch.exp(-((x / sigma) ** 2) / 2) * 2 / (math.sqrt(2 * math.pi) * sigma)
