"""Smoothing as the plan runs it: from the samples that a layer holds to those it needs, in one separable linear map.

Boundary, reduction to a coarser grid and blur are one matrix per axis, so none of them takes a pass of its own. Where
the grid stays the same and the kernel is short, a depthwise convolution does with fewer multiplications; a cost model
of two measured rates chooses between the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from scalegroup.boundary import Extension, Zero
from scalegroup.grid import Axis, Grid
from scalegroup.resample import fold, halved_size, halving_matrix

# A multiply-add of a depthwise channels-last convolution costs this many of a matrix product, measured on one core by
# `python -m benchmarks rates`. Double precision has no fast depthwise convolution.
_DEPTHWISE_COST = {torch.float32: 1.9}
_NEVER = float("inf")


def is_autocast(maps: Tensor) -> bool:
    """Whether autocast is on where the maps are."""
    return not maps.is_meta and torch.is_autocast_enabled(maps.device.type)


def without_autocast(maps: Tensor) -> AbstractContextManager[Any]:
    """Where half precision is too coarse: smoothed maps are differentiated next."""
    return torch.autocast(maps.device.type, enabled=False) if is_autocast(maps) else nullcontext()


class Smoothing(ABC):
    """A separable linear map `[batch, channel, y, x]` → `[batch, channel, y', x']`, channels-last."""

    @abstractmethod
    def __call__(self, maps: Tensor) -> Tensor:
        """Apply it; half-precision maps are smoothed in float32, under autocast too, and come back in float32."""


@dataclass(frozen=True, eq=False)
class Banded(Smoothing):
    """One matrix per axis, `[y', y]` and `[x', x]`: any boundary, any reduction."""

    along_y: Tensor
    along_x: Tensor

    def __call__(self, maps: Tensor) -> Tensor:
        """See `Smoothing`."""
        with without_autocast(maps):
            maps = maps.to(self.along_y.dtype)
            batch, channels, height, width = maps.shape
            rows, columns = len(self.along_y), len(self.along_x)
            if channels == 1:  # one channel is contiguous as well, and products of whole matrices are faster
                return self.along_y @ maps @ self.along_x.T
            pixels = maps.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
            vertical = (self.along_y @ pixels).view(batch * rows, width, channels)
            return (self.along_x @ vertical).view(batch, rows, columns, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Depthwise(Smoothing):
    """Two one-dimensional depthwise convolutions of the same symmetric taps `[n]`; `extend` brings what they need."""

    taps: Tensor
    extend: Callable[[Tensor], Tensor]
    padding: tuple[int, int]

    def __call__(self, maps: Tensor) -> Tensor:
        """See `Smoothing`."""
        with without_autocast(maps):
            maps = self.extend(maps.to(self.taps.dtype))
            return (_DepthwiseBlur.apply if torch.is_grad_enabled() else _blur)(maps, self.taps, self.padding)


class _DepthwiseBlur(torch.autograd.Function):
    """The gradient of a symmetric blur is the same blur, which is faster than the convolution's own backward pass."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, taps: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(taps)
        ctx.padding = padding
        return _blur(maps, taps, padding)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the name of ctx)
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = grad_outputs
        (taps,) = ctx.saved_tensors
        rows, columns = (len(taps) - 1 - amount for amount in ctx.padding)
        with without_autocast(gradient):  # backward may be called within it
            return _blur(gradient, taps, (rows, columns)), None, None


def _blur(maps: Tensor, taps: Tensor, padding: tuple[int, int]) -> Tensor:
    channels = maps.shape[1]
    maps = maps.contiguous(memory_format=torch.channels_last)  # contiguous is several times slower
    vertical = taps[:, None].expand(channels, 1, -1, 1)
    horizontal = taps.expand(channels, 1, 1, -1)
    rows = F.conv2d(maps, vertical, padding=(padding[0], 0), groups=channels)
    return F.conv2d(rows, horizontal, padding=(0, padding[1]), groups=channels)


def smoothing(taps: np.ndarray, held: Grid, wanted: Grid, margin: int, extension: Extension, like: Tensor) -> Smoothing:
    """The blur with symmetric `taps` on the grid `wanted`, from samples `held` of it or of a finer grid.

    Args:
        taps: `[2·radius + 1]`, on the grid of `wanted`.
        held: what the maps hold.
        wanted: the samples that are needed, and `margin` more on every side, inside the image or not.
        margin: the radius of the stencils that come next.
        extension: what the maps are outside the image.
        like: of the dtype and on the device of the maps; half precision is smoothed in float32.
    """
    by_matrices, _ = _cheapest(taps, held, wanted, margin, _at_least_float32(like))
    if by_matrices:
        return Banded(*smoothing_matrices(taps, held, wanted, margin, extension, like))
    tensor = torch.as_tensor(taps, dtype=torch.float32, device=like.device)
    reach = len(taps) // 2 + margin
    if not isinstance(extension, Zero):
        return Depthwise(tensor, partial(extension.extend, held=held, wanted=wanted, radius=reach), (0, 0))
    inside = wanted.dilated(reach)
    # everything is centred, so what a convolution has to pad is the same on both sides
    padding = (inside.y.start - wanted.y.start + reach, inside.x.start - wanted.x.start + reach)
    return Depthwise(tensor, partial(held.crop, part=inside), padding)


def blur_work(taps: np.ndarray, held: Grid, wanted: Grid, margin: int) -> tuple[int, str]:
    """Multiply-adds per image and channel of the method chosen in float32, and the method."""
    by_matrices, multiply_adds = _cheapest(taps, held, wanted, margin, torch.float32)
    return multiply_adds, "by matrices" if by_matrices else "depthwise"


def _cheapest(taps: np.ndarray, held: Grid, wanted: Grid, margin: int, dtype: torch.dtype) -> tuple[bool, int]:
    """Whether matrix products take less time than depthwise convolutions, and the multiply-adds of what takes less."""
    rows, columns = (length + 2 * margin for length in wanted.shape)
    height, width = held.shape
    banded = rows * width * (height + columns)
    depthwise = len(taps) * rows * (width + columns)
    cost = _DEPTHWISE_COST.get(dtype, _NEVER) if held.stride == wanted.stride else _NEVER
    by_matrices = depthwise * cost > banded
    return by_matrices, banded if by_matrices else depthwise


def smoothing_matrices(
    taps: np.ndarray, held: Grid, wanted: Grid, margin: int, extension: Extension, like: Tensor
) -> Iterator[Tensor]:
    """The matrices `[y', y]` and `[x', x]` of a correlation with any `taps`; the arguments are those of `smoothing`."""
    for before, after in ((held.y, wanted.y), (held.x, wanted.x)):
        matrix = _axis_matrix(taps, before, after, margin, extension)
        yield torch.as_tensor(matrix, dtype=_at_least_float32(like), device=like.device)


def _at_least_float32(like: Tensor) -> torch.dtype:
    return torch.float32 if like.dtype in (torch.float16, torch.bfloat16) else like.dtype


def _axis_matrix(taps: np.ndarray, held: Axis, wanted: Axis, margin: int, extension: Extension) -> np.ndarray:
    radius = len(taps) // 2
    positions = np.arange(wanted.start - margin, wanted.stop + margin)[:, None] + np.arange(-radius, radius + 1)
    matrix = fold(positions, np.broadcast_to(taps, positions.shape), wanted.size, extension)
    sizes = [held.size]
    while sizes[-1] != wanted.size:
        sizes.append(halved_size(sizes[-1]))
    for size in reversed(sizes[:-1]):
        matrix = matrix @ halving_matrix(size, extension)
    return np.ascontiguousarray(matrix[:, held.start : held.stop])
