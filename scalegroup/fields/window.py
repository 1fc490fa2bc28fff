"""The finite run of scale channels that a network keeps, by their physical σ₀."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scalegroup.algebra.group import GroupElement, ScaleGroup
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_integer, check_positive

_SMALLEST_SIGMA = 1e-3  # pixels: from ¼ on finer channels see no more
_LARGEST_SIGMA, _LARGEST_ON_ANY = 32, 256  # longer sides of the image, or pixels: from 1 on coarser ones see no more


@dataclass(frozen=True)
class ScaleWindow(Refusing):
    """Scale channels with initial scale levels σ₀ = sigma0·γ^i, i = first … first + channels - 1 (eq 14).

    Args:
        group: the scaling group, which gives γ.
        sigma0: the physical σ (a standard deviation, in pixels of spacing 1) that the label i = 0 stands for.
        channels: how many scale channels there are.
        first: the label of the finest channel.

    Raises `ScaleGroupError` if sigma0 ≤ 0, channels < 1 or > 1000, or a label is no integer.

    >>> window = ScaleWindow(ScaleGroup(2 ** 0.5), sigma0=1.0, channels=4, first=-1)
    >>> window
    4 scale channels with σ₀ from 0.707107 to 2 by powers of 1.41421
    >>> [round(sigma, 3) for sigma in window.sigmas]
    [0.707, 1.0, 1.414, 2.0]
    """

    group: ScaleGroup
    sigma0: float
    channels: int
    first: int = 0

    def __post_init__(self) -> None:
        check_instance("group", self.group, ScaleGroup, mend="build one: ScaleGroup(2 ** 0.5)")
        object.__setattr__(self, "sigma0", check_positive("sigma0", self.sigma0))
        object.__setattr__(self, "channels", check_integer("channels", self.channels, at_least=1, at_most=1000))
        object.__setattr__(self, "first", check_integer("first", self.first))

    @property
    def labels(self) -> range:
        """The group labels i of the channels, finest first."""
        return range(self.first, self.first + self.channels)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The physical σ₀ (standard deviation) of each channel, finest first."""
        return tuple(self.sigma0 * self.group.factor(label) for label in self.labels)

    def transform(self, element: GroupElement) -> ScaleWindow:
        """The window that sees the image after scaling by `element`: every label is shifted by its power. Total."""
        self.group.check_same(element, GroupElement)
        return replace(self, first=self.first + element.power)

    def select(self, start: int, stop: int) -> ScaleWindow:
        """The window of the channels `start` … `stop - 1`. Raises `ScaleGroupError` unless these are of its own."""
        start = check_integer("start", start, at_least=0, at_most=self.channels - 1)
        stop = check_integer("stop", stop, at_most=self.channels)
        return replace(self, channels=stop - start, first=self.first + start)

    def overlap(self, other: ScaleWindow) -> ScaleWindow | None:
        """The window of the channels that both have, or None.

        Raises `ScaleGroupError` if the windows are of different groups, or their σ₀ do not lie on one grid.

        >>> G = ScaleGroup(2)
        >>> ScaleWindow(G, 1.0, 3).overlap(ScaleWindow(G, 2.0, 3))
        2 scale channels with σ₀ from 2 to 4 by powers of 2
        """
        self.group.check_same(other, ScaleWindow)
        offset = self.group.power_of(other.sigma0 / self.sigma0)
        if offset is None:
            raise ScaleGroupError(
                f"a window with σ₀ = {other.sigma0:g}·γ^i",
                expected=f"σ₀ on the grid {self.sigma0:g}·{self.group.ratio:g}^i",
                mend=f"anchor both windows at sigma0={self.sigma0:g} and move them with first=",
            )
        first, stop = max(self.first, other.first + offset), min(self.labels.stop, other.labels.stop + offset)
        return replace(self, first=first, channels=stop - first) if first < stop else None

    def __repr__(self) -> str:
        low, high = (self.group.text(label, self.sigma0) for label in (self.labels[0], self.labels[-1]))
        if self.channels == 1:
            return f"1 scale channel with σ₀ = {low} by powers of {self.group.ratio:g}"
        return f"{self.channels} scale channels with σ₀ from {low} to {high} by powers of {self.group.ratio:g}"


def check_scales(size: tuple[int, int], sigmas: tuple[float, ...]) -> None:
    """Raise `ScaleGroupError` for a σ₀ that has nothing to see in an image: of 1/1000 pixel, or many times its size."""
    largest = max(_LARGEST_SIGMA * max(size), _LARGEST_ON_ANY)
    if other := [sigma for sigma in sigmas if not _SMALLEST_SIGMA <= sigma <= largest]:
        raise ScaleGroupError(
            f"a scale channel of σ₀ = {other[-1]:.4g} pixels for images of {size[0]}×{size[1]}",
            expected=f"σ₀ from {_SMALLEST_SIGMA:g} to {largest:g} pixels, {_LARGEST_SIGMA} times their longer side",
            mend="take a window of fewer channels, or another sigma0: ScaleWindow(group, sigma0=1.0, channels=8)",
        )
