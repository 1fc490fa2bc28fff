"""The execution plan: for every scale channel and layer the stride of the grid and the region that is computed.

*Regions* are exact: a layer is computed only where what comes after it looks. *Strides* are an approximation that is
measured: a layer whose σ is at least `min_grid_sigma` samples of a 2^m times coarser grid may run on that grid. A
scale channel with σ₀ on a grid of stride 2 is then the same network as the channel with σ₀/2 of a smaller image.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

from scalegroup.errors import ScaleGroupWarning
from scalegroup.grid import Grid
from scalegroup.resample import halved_size, reduced_from
from scalegroup.window import ScaleWindow

_SLACK = 1e-9  # σ₀ = 4.000000000000001 is 4
_FAR = 2**24  # samples: strides are chosen on an image far larger than any region


@dataclass(frozen=True)
class Work:
    """What it takes to compute a layer for one image: multiply-adds, bytes of the maps it makes in float32, and how."""

    multiply_adds: int
    bytes: int
    method: str = ""

    @staticmethod
    def of(wanted: Grid, features: int, multiply_adds: int = 0, method: str = "") -> Work:
        """With the bytes of so many features of the samples wanted."""
        return Work(multiply_adds, 4 * features * math.prod(wanted.shape), method)


@runtime_checkable
class Stage(Protocol):
    """Anything that can say which samples of its input it needs, and what computing it takes."""

    @property
    def smoothing(self) -> float:
        """σ of its own smoothing, in units of σ₀; 0: none, and then it cannot move to a coarser grid."""
        ...

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """The samples of the input that `wanted` of the output depend on, in a channel of σ₀ samples."""
        ...

    def gives(self, held: Grid, wanted: Grid) -> Grid:
        """The samples of the output: those wanted, or all those held where nothing is saved by leaving some out."""
        ...

    def work(self, held: Grid, wanted: Grid, sigma0: float) -> Work:
        """What it takes to compute `wanted` from `held`, for one image."""
        ...


@dataclass(frozen=True)
class ChannelPlan:
    """One scale channel: its window, and the grid held at its entry and after each stage, with the work it takes."""

    window: ScaleWindow
    sigma0: float
    entry: Grid
    after: tuple[Grid, ...]
    work: tuple[Work, ...]

    @property
    def stride(self) -> int:
        """How many samples of the image one step of the channel's grid spans at its entry."""
        return self.entry.stride

    def sigma0_on(self, grid: Grid) -> float:
        """σ₀ in samples of a grid."""
        return self.sigma0 * self.stride / grid.stride


@dataclass(frozen=True)
class Plan:
    """What every scale channel computes for images of `size` (rows, columns). `print(plan)` shows it as a table."""

    size: tuple[int, int]
    names: tuple[str, ...]
    channels: tuple[ChannelPlan, ...]
    margin: int = 0

    @property
    def canvas(self) -> tuple[int, int]:
        """Rows and columns of the images with the margin around them."""
        return self.size[0] + 2 * self.margin, self.size[1] + 2 * self.margin

    @property
    def multiply_adds(self) -> int:
        """For one image, forward."""
        return sum(work.multiply_adds for channel in self.channels for work in channel.work)

    @property
    def bytes(self) -> int:
        """Of all maps of one image, in float32."""
        return sum(work.bytes for channel in self.channels for work in channel.work)

    def __str__(self) -> str:
        rows, columns = self.size
        margin = f" with a margin of {self.margin}" if self.margin else ""
        lines = [
            f"plan for {rows}×{columns} images{margin}: {self.multiply_adds / 1e6:.4g} million multiply-adds and "
            f"{self.bytes / 2**20:.4g} MiB of maps for each, forward",
            f"{'σ₀':>8} | stride |    samples | million |      KiB | layer",
        ]
        for channel in self.channels:
            for name, grid, work in zip(self.names, channel.after, channel.work, strict=True):
                samples = "×".join(map(str, grid.shape))
                lines.append(
                    f"{channel.window.sigmas[0]:8.4g} | {grid.stride:6d} | {samples:>10} | "
                    f"{work.multiply_adds / 1e6:7.2f} | {work.bytes / 2**10:8.1f} | {name} {work.method}".rstrip()
                )
        return "\n".join(lines)


def make_plan(
    window: ScaleWindow,
    stages: Sequence[Stage],
    size: tuple[int, int],
    *,
    margin: int = 0,
    spacing: int = 0,
    min_grid_sigma: float | None = None,
) -> Plan:
    """Choose strides and regions for a chain of stages that ends in a read-out.

    Args:
        window: the scale channels.
        stages: the layers in order.
        size: (rows, columns) of the images.
        margin: pixels that are put around them.
        spacing: the pixels have spacing γ^spacing.
        min_grid_sigma: layers run on coarser grids while their σ, and σ₀, stay at least this many samples; None: no
            strides.

    Warns:
        ScaleGroupWarning: names the channels of which even the first layer reaches beyond an image centred on it.
    """
    canvas = (size[0] + 2 * margin, size[1] + 2 * margin)
    channels = tuple(
        _plan_channel(window.select(n, n + 1), stages, canvas, spacing, min_grid_sigma) for n in range(window.channels)
    )
    _warn_of_small_images(window, spacing, stages, size)
    return Plan(size, tuple(type(stage).__name__ for stage in stages), channels, margin)


def _plan_channel(
    window: ScaleWindow, stages: Sequence[Stage], size: tuple[int, int], spacing: int, min_grid_sigma: float | None
) -> ChannelPlan:
    (sigma0,) = window.sigmas_on(spacing=spacing)
    octaves = [0] * (len(stages) + 1)
    if min_grid_sigma is not None:
        octaves = _choose_octaves(stages, sigma0, min_grid_sigma, (size[0] % 2, size[1] % 2))
    canvases = list(whole_grids(size, 2 ** octaves[-1]))
    grids = _regions(stages, sigma0, [canvases[min(octave, len(canvases) - 1)] for octave in octaves])
    work = _work(stages, sigma0, grids)
    return ChannelPlan(window, sigma0 / grids[0].stride, grids[0], tuple(grids[1:]), work)


def _regions(stages: Sequence[Stage], sigma0: float, canvases: Sequence[Grid]) -> list[Grid]:
    """What is held at the entry and after each stage, from the whole grids there; σ₀ in samples of the image."""
    wanted = canvases[-1]  # of the read-out itself: all of the image, it chooses what it looks at
    grids = [wanted]
    for stage, before, after in zip(reversed(stages), reversed(canvases[:-1]), reversed(canvases[1:]), strict=True):
        needed = stage.needs(wanted, sigma0 / after.stride)
        *finer, _ = whole_grids((before.y.size, before.x.size), after.stride // before.stride)
        for grid in reversed(finer):
            needed = reduced_from(needed, grid.shape)
        wanted = needed
        grids.append(wanted)
    grids.reverse()
    for number, stage in enumerate(stages):
        grids[number + 1] = stage.gives(grids[number], grids[number + 1])
    return grids


def whole_grids(size: tuple[int, int], largest_stride: int) -> Iterator[Grid]:
    """Coarser and coarser grids of the same image, up to that stride or until halving changes nothing."""
    stride = 1
    yield Grid.whole(*size)
    while stride < largest_stride and (halved := (halved_size(size[0]), halved_size(size[1]))) != size:
        size, stride = halved, 2 * stride
        yield Grid.whole(*size, stride=stride)


def _choose_octaves(
    stages: Sequence[Stage], sigma0: float, min_grid_sigma: float, parity: tuple[int, int]
) -> list[int]:
    """Octaves of the strides at the entry, where they are as large as allowed, and after each stage: what costs least.

    The choice is made on an image far larger than all regions, so that it depends on σ₀ alone and channels an octave
    apart make the same one on their grids: they stay one network.
    """
    allowed = [_octaves(stage.smoothing * sigma0, min_grid_sigma) if stage.smoothing else math.inf for stage in stages]
    for n in reversed(range(len(allowed) - 1)):
        allowed[n] = min(allowed[n], allowed[n + 1])  # a later layer cannot go back to a finer grid
    entry = int(min(_octaves(sigma0, min_grid_sigma), *allowed))
    stages_that_may = [n for n, stage in enumerate(stages) if stage.smoothing]
    canvases = list(whole_grids((_FAR + parity[0], _FAR + parity[1]), 2 ** (entry + 8)))
    octaves = [entry] * (len(stages) + 1)
    least = _cost(stages, sigma0, canvases, octaves)
    for octave in range(entry + 1, len(canvases)):
        best = None
        for n in stages_that_may:
            if allowed[n] < octave or octaves[n + 1] != octave - 1:
                continue
            tried = octaves[: n + 1] + [octave] * (len(stages) - n)
            if (cost := _cost(stages, sigma0, canvases, tried)) < least:
                least, best = cost, tried
        if best is None:
            break
        octaves = best
    return octaves


def _octaves(sigma: float, least: float) -> int:
    return max(0, math.floor(math.log2(sigma / least) + _SLACK))


def _cost(stages: Sequence[Stage], sigma0: float, canvases: Sequence[Grid], octaves: Sequence[int]) -> int:
    """Multiply-adds of one scale channel."""
    grids = _regions(stages, sigma0, [canvases[octave] for octave in octaves])
    return sum(work.multiply_adds for work in _work(stages, sigma0, grids))


def _work(stages: Sequence[Stage], sigma0: float, grids: Sequence[Grid]) -> tuple[Work, ...]:
    """Of each stage between two of the grids; σ₀ in samples of the image."""
    steps = zip(stages, pairwise(grids), strict=True)
    return tuple(stage.work(held, wanted, sigma0 / wanted.stride) for stage, (held, wanted) in steps)


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
