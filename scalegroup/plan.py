"""The execution plan: for every scale channel the stride of its grid and the region that each layer has to compute.

*Regions* are exact: a layer is computed only where what comes after it looks. *Strides* are an approximation that is
measured: a channel with σ₀/2^m ≥ `min_grid_sigma` may run on a 2^m times coarser grid, where it is the same network
in a finer channel of a smaller image.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, runtime_checkable

from scalegroup.errors import ScaleGroupWarning
from scalegroup.grid import Grid
from scalegroup.resample import halved_size
from scalegroup.window import ScaleWindow

_SLACK = 1e-9  # σ₀ = 4.000000000000001 is 4


@runtime_checkable
class Stage(Protocol):
    """Anything that can say which samples of its input it needs."""

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """The samples of the input that `wanted` of the output depend on, in a channel of σ₀ samples."""
        ...


@dataclass(frozen=True)
class ChannelPlan:
    """One scale channel: its window, and the grid held at its entry and after each stage."""

    window: ScaleWindow
    sigma0: float
    entry: Grid
    after: tuple[Grid, ...]

    @property
    def stride(self) -> int:
        """How many samples of the image one step of the channel's grid spans."""
        return self.entry.stride


@dataclass(frozen=True)
class Plan:
    """What every scale channel computes for images of `size` (rows, columns). `print(plan)` shows it as a table."""

    size: tuple[int, int]
    channels: tuple[ChannelPlan, ...]

    def __str__(self) -> str:
        rows, columns = self.size
        lines = [f"plan for {rows}×{columns} images: σ₀ | stride | samples held, from entry to read-out"]
        for channel in self.channels:
            shapes = ["×".join(map(str, grid.shape)) for grid in (channel.entry, *channel.after)]
            held = " → ".join(shape for shape, _ in groupby(shapes))
            lines.append(f"{channel.window.sigmas[0]:8.4g} | {channel.stride:3d} | {held}")
        return "\n".join(lines)


def make_plan(
    window: ScaleWindow,
    stages: Sequence[Stage],
    size: tuple[int, int],
    *,
    spacing: int = 0,
    min_grid_sigma: float | None = None,
) -> Plan:
    """Choose strides and regions for a chain of stages that ends in a read-out.

    Args:
        window: the scale channels.
        stages: the layers in order.
        size: (rows, columns) of the images.
        spacing: the pixels have spacing γ^spacing.
        min_grid_sigma: a channel is moved to a grid of twice the spacing while its σ₀ stays at least this many samples;
            None: no strides.

    Warns:
        ScaleGroupWarning: names the channels of which even the first layer reaches beyond an image centred on it.
    """
    channels = tuple(
        _plan_channel(window.select(n, n + 1), stages, size, spacing, min_grid_sigma) for n in range(window.channels)
    )
    _warn_of_small_images(window, spacing, stages, size)
    return Plan(size, channels)


def _plan_channel(
    window: ScaleWindow, stages: Sequence[Stage], size: tuple[int, int], spacing: int, min_grid_sigma: float | None
) -> ChannelPlan:
    whole = Grid.whole(*size)
    for coarser in _halvings(size) if min_grid_sigma is not None else ():
        if window.sigmas_on(spacing=spacing, stride=coarser.stride)[0] < min_grid_sigma * (1 - _SLACK):  # type: ignore[operator]
            break
        whole = coarser
    (sigma0,) = window.sigmas_on(spacing=spacing, stride=whole.stride)
    grids, wanted = [], whole
    for stage in reversed(stages):
        grids.append(wanted)  # of the read-out itself: all of the image, it chooses what it looks at
        wanted = stage.needs(wanted, sigma0)
    return ChannelPlan(window, sigma0, wanted, tuple(reversed(grids)))


def _halvings(size: tuple[int, int]) -> Iterator[Grid]:
    """Coarser and coarser grids of the same image, until halving changes nothing."""
    stride = 1
    while (halved := (halved_size(size[0]), halved_size(size[1]))) != size:
        size, stride = halved, 2 * stride
        yield Grid.whole(*size, stride=stride)


def _warn_of_small_images(window: ScaleWindow, spacing: int, stages: Sequence[Stage], size: tuple[int, int]) -> None:
    """Name the channels whose first filters, centred on the image, leave it."""
    sigmas = zip(window.sigmas, window.sigmas_on(spacing=spacing), strict=True)
    leaving = [f"{name:.3g}" for name, sigma0 in sigmas if 2 * _first_reach(stages, sigma0) + 1 > min(size)]
    if leaving:
        warnings.warn(
            f"images of {size[0]}×{size[1]} pixels are small for the scale channels σ₀ = {', '.join(leaving)}: the "
            "support of their first layer leaves the image, so they see mostly its boundary; use larger images or "
            "fewer channels",
            ScaleGroupWarning,
            stacklevel=4,
        )


def _first_reach(stages: Sequence[Stage], sigma0: float) -> int:
    """How far the first filters reach: on an axis far longer than any filter, by how much they widen a region."""
    point = Grid.whole(2**31 + 1, 2**31 + 1).around(0.5)
    reaches = (point.y.start - stage.needs(point, sigma0).y.start for stage in stages)
    return next((reach for reach in reaches if reach), 0)
