"""Samples along one axis, at places relative to the centre of the image, in steps of the grid they belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scalegroup.errors import Refusing, ScaleGroupError

_ROUNDING = 1e-9  # samples: the border of an image that is 7.9999999999 samples away is 8 away


def no_grid(got: Any, expected: str) -> ScaleGroupError:
    """The refusal of what cannot be a grid, or a part of one."""
    return ScaleGroupError(repr(got), expected=expected, mend="take it from a field, or sampling.canvas(size, sigmas)")


@dataclass(frozen=True)
class Axis(Refusing):
    """`length` samples at `first`, first + 1, …: integers, or, on the image's grid where its size is even, halves.

    >>> Axis.within(1.7).dilated(2)
    Axis(first=-3, length=7)
    >>> Axis.pixels(4)
    Axis(first=-1.5, length=4)
    """

    first: float
    length: int

    def __post_init__(self) -> None:
        if not (isinstance(self.first, (int, float)) and isinstance(self.length, int)):
            raise no_grid(self, "a place and a number of samples")

    @staticmethod
    def within(extent: float) -> Axis:
        """All integers up to `extent` from the centre."""
        half = math.floor(extent + _ROUNDING)
        return Axis(-half, 2 * half + 1)

    @staticmethod
    def pixels(size: int) -> Axis:
        """An image axis of that many pixels."""
        return Axis(-(size // 2) if size % 2 else (1 - size) / 2, size)

    @property
    def stop(self) -> float:
        """One step behind the last sample."""
        return self.first + self.length

    @property
    def on_integers(self) -> bool:
        """Whether the centre is a sample."""
        return self.first == math.floor(self.first)

    @property
    def positions(self) -> np.ndarray:
        """Of all samples, in steps from the centre."""
        return self.first + np.arange(self.length)

    def alike(self, extent: float) -> Axis:
        """All samples of this kind (integers or halves) up to `extent` from the centre, never none."""
        if self.on_integers:
            return Axis.within(extent)
        half = max(1, math.floor(extent + 0.5 + _ROUNDING))
        return Axis(0.5 - half, 2 * half)

    def dilated(self, radius: int) -> Axis:
        """With all samples within `radius` of these; a negative one takes samples off."""
        return Axis(self.first - radius, self.length + 2 * radius)

    def union(self, other: Axis) -> Axis:
        """The smallest run that contains both."""
        first = min(self.first, other.first)
        return Axis(first, int(max(self.stop, other.stop) - first))

    def intersection(self, other: Axis) -> Axis:
        """The samples that both have."""
        first = max(self.first, other.first)
        return Axis(first, int(min(self.stop, other.stop) - first))

    def within_reach(self, other: Axis) -> Axis:
        """The samples that both have; where there are none, the other's that is nearest."""
        first = min(max(self.first, other.first), other.stop - 1)
        return Axis(first, int(max(min(self.stop, other.stop), first + 1) - first))

    def contains(self, other: Axis) -> bool:
        """Whether the other's samples are all among these."""
        return self.first <= other.first and other.stop <= self.stop and (self.first - other.first) % 1 == 0

    def every_second(self) -> Axis:
        """Those at even positions, counted in steps of two: the centre stays."""
        first = math.ceil(self.first / 2)
        return Axis(first, math.floor((self.stop - 1) / 2) - first + 1)

    def halfway(self) -> Axis:
        """The same samples counted in steps half as long, with those between them."""
        return Axis(2 * self.first, 2 * self.length - 1)
