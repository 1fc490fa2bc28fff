"""Families of closed-form pictures, each of which exposes what others let pass.

Most are symmetric about the centre, with their largest value there: what depends on values alone (pointwise functions,
the centre pixel, a maximum over the picture) is then the same for a picture, the scaled picture and the stretched one,
to rounding. So what a response changes by when the middle of the picture is stretched along one axis is the part of it
that no pointwise function of the input gives, and an error is measured by that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.errors import Refusing, ScaleGroupError, check_integer, check_positive, refusing
from scalegroup.testing.closed_form import Bars, Blobs, Separable, Textures, seeded

COUNT = 4  # pictures of a family
_MOST = 2**22  # values of a family, in the coarsest pictures
_EXTENT = 12.0  # of a symmetric picture, from its centre, in units of its finest detail: 1e-5 of it is left there


@dataclass(frozen=True)
class Family(Refusing):
    """Pictures of one kind.

    Args:
        name: what they are of.
        images: of each picture channel; None where it shows the background only.
        middle: half-width of what is stretched, in pixels.
        peak: the least standard deviation of a maximum, in pixels.
        symmetric: about the centre, with the largest value there.
    """

    name: str
    images: tuple[Separable | None, ...]
    middle: float
    peak: float
    symmetric: bool = True

    @property
    def halves(self) -> tuple[slice, slice]:
        """Which pictures are stretched along x, and which along y."""
        return slice(COUNT // 2), slice(COUNT // 2, None)

    @property
    def alike(self) -> bool:
        """Whether it is one of those by which the structure of a response is measured together."""
        return self.symmetric and None not in self.images

    def peaks_lost(self, resolution: float) -> float:
        """The part of a maximum that is lost where it lies between four pixels; in the centre there is one."""
        return 0.0 if self.symmetric else 1 - math.exp(-1 / (2 * self.peak * resolution) ** 2)

    def sample(
        self, size: int, *, factor: float = 1.0, stretched: bool = False
    ) -> Float[Tensor, "batch channel size size"]:
        """Pixels of the pictures scaled by `factor`, on a background of zero.

        Stretched ones, half of them along x and half along y, show at 2x what they else show at x, for |x| up to
        `middle`; what is beyond makes room.
        """
        factor = check_positive("factor", factor)
        places = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / factor
        moved = torch.where(places.abs() <= 2 * self.middle, places / 2, places - self.middle * places.sign())

        def pictures(image: Separable | None) -> Tensor:
            if image is None:
                return torch.zeros(COUNT, size, size, dtype=torch.float64)
            if not stretched:
                return image.at(places, places)
            along_x, along_y = self.halves
            return torch.cat([image.at(moved, places)[along_x], image.at(places, moved)[along_y]])

        return torch.stack([pictures(image) for image in self.images], dim=1)


def least_size(factor: float) -> int:
    """Rows and columns of a canvas that the pictures fit at both sizes, with details of a pixel at the smaller one.

    >>> least_size(2.0), least_size(0.5)
    (49, 49)
    """
    return 2 * math.ceil(_EXTENT * max(check_positive("factor", factor), 1 / factor)) + 1


@refusing
def families(size: int, factor: float = 1.0, channels: int = 1) -> list[Family]:
    """The families for a canvas of `size` pixels, scaled by `factor`, of so many picture channels.

    Raises:
        ScaleGroupError: if the canvas is too small for the factor, or there are too many values.

    >>> [family.name for family in families(65, 2.0)]
    ['fine blobs', 'edges', 'textures', 'groups off centre']
    """
    if check_integer("size", size, at_least=1) < least_size(factor):
        raise ScaleGroupError(
            f"a canvas of {size} pixels for a factor of {factor:g}",
            expected="details of at least one pixel that fit the canvas at both sizes",
            mend=f"use size={least_size(factor)} or more, or a factor nearer to 1",
        )
    if COUNT * check_integer("in_channels", channels, at_least=1) * size**2 > _MOST:
        raise ScaleGroupError(
            f"a canvas of {size}×{size} pixels with in_channels={channels}",
            expected=f"at most {_MOST} values in {COUNT} pictures, and up to 64 times as many as they are refined",
            mend="use a smaller size, or fewer channels",
        )
    spread, unit = max(factor, 1.0), max(1.0, 1 / factor)  # details are one pixel wide at the smaller of the two sizes
    half = (size - 1) / 2
    seeds = range(channels)
    away = half / spread - 8 * unit  # of the groups: within the canvas at both sizes
    middle = 1.5 * unit
    found = [
        Family("fine blobs", tuple(_blobs(unit, seed) for seed in seeds), middle, unit),
        Family("edges", tuple(_bars(unit, seed) for seed in seeds), middle, unit),
        Family("textures", tuple(_textures(unit, seed) for seed in seeds), middle, unit),
        Family("groups off centre", tuple(_groups(unit, away, seed) for seed in seeds), middle, unit, symmetric=False),
    ]
    alone = range(channels) if channels > 1 else ()
    for shown in alone:
        images = tuple(_blobs(unit, 99) if channel == shown else None for channel in range(channels))
        found.append(Family(f"channel {shown} alone", images, middle, unit))
    return found


def _blobs(unit: float, seed: int) -> Blobs:
    """A blob in the centre and two pairs of weaker ones opposite each other, of one to two units."""
    pairs = Blobs.random(COUNT, 2, widths=(unit, 2 * unit), extent=2.5 * unit, generator=seeded(seed))
    weaker = pairs.amplitudes.abs() / 5
    middle = torch.ones(COUNT, 1, dtype=torch.float64)
    width = pairs.widths.mean(1, keepdim=True)
    return Blobs(
        torch.cat([middle, weaker, weaker], 1),
        torch.cat([width, pairs.widths, pairs.widths], 1),
        torch.cat([0 * pairs.centres[:, :1], pairs.centres, -pairs.centres], 1),
    )


def _bars(unit: float, seed: int) -> Bars:
    """Two rectangles across each other, with edges of 1 to 1.5 units."""
    uniform = torch.rand(COUNT, 2, 4, generator=seeded(seed), dtype=torch.float64)
    amplitude, width = uniform[..., 0] + 0.5, (1 + uniform[..., 1] / 2) * unit
    return Bars(amplitude, width, torch.zeros(COUNT, 2, 2, dtype=torch.float64), (1 + 2 * uniform[..., 2:]) * unit)


def _textures(unit: float, seed: int) -> Textures:
    """Waves of up to 1 radian per unit on each axis, with a crest in the centre, under an envelope."""
    uniform = torch.rand(COUNT, 2, 4, generator=seeded(seed), dtype=torch.float64)
    amplitude, width = uniform[..., 0] + 0.5, (1.5 + uniform[..., 1]) * unit
    envelopes = Blobs(amplitude, width, torch.zeros(COUNT, 2, 2, dtype=torch.float64))
    return Textures(envelopes, (2 * uniform[..., 2:] - 1) / unit)


def _groups(unit: float, away: float, seed: int) -> Blobs:
    """Three blobs, at this distance from the centre in directions all around."""
    blobs = Blobs.random(COUNT, 3, widths=(unit, 1.5 * unit), extent=unit, generator=seeded(seed))
    angles = 2 * torch.pi * (torch.arange(COUNT, dtype=torch.float64) + 0.3) / COUNT
    return replace(blobs, centres=blobs.centres + away * torch.stack([angles.cos(), angles.sin()], -1)[:, None])
