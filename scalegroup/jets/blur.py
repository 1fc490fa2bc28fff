"""A separable blur of float32 maps by constant taps, where they fit. It keeps no maps for its gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup.constants import is_transformed
from scalegroup.fields.lifting import without_autocast


def channels_last(maps: Tensor) -> Tensor:
    """In that memory format; within torch.func there is no choice."""
    return maps if is_transformed(maps) else maps.contiguous(memory_format=torch.channels_last)


def blur(maps: Tensor, taps: Tensor) -> Tensor:
    """The correlation of maps `[n, feature, y, x]` with `taps ⊗ taps`, `[n, feature, y - 2·radius, x - 2·radius]`.

    Convolutions keep their input for the gradient of the taps, which are constants here: a third of all that a
    training step keeps. torch.func and the compiler have ways of their own.
    """
    own = is_transformed(maps) or torch.compiler.is_compiling() or not (maps.requires_grad and torch.is_grad_enabled())
    return _along_both(maps, taps, 0) if own else _Blur.apply(maps, taps)  # type: ignore[no-any-return]


def _along_both(maps: Tensor, taps: Tensor, padding: int) -> Tensor:
    along_x = taps.expand(maps.shape[1], 1, 1, -1)
    rows = F.conv2d(channels_last(maps), along_x.mT, padding=(padding, 0), groups=len(along_x))
    return F.conv2d(rows, along_x, padding=(0, padding), groups=len(along_x))


class _Blur(torch.autograd.Function):
    """`_along_both` where it fits; its adjoint is that with the taps the other way round, wherever it touches."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, taps: Tensor) -> Tensor:
        ctx.save_for_backward(taps)
        return _along_both(maps, taps, 0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (taps,), (gradient,) = ctx.saved_tensors, grad_outputs
        with without_autocast(gradient):
            return _along_both(gradient, taps.flip(0), len(taps) - 1), None
