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


def blur(maps: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """The correlation of maps `[n, feature, y, x]` with taps along both axes, where they fit: two depthwise ones.

    Convolutions keep their input for the gradient of the taps, which are constants here: a third of all that a
    training step keeps. torch.func and the compiler have ways of their own.

    Args:
        maps: `[n, feature, y, x]`.
        along_y: taps `[feature, 1, rows, 1]`.
        along_x: taps `[feature, 1, 1, columns]`.

    Returns:
        `[n, feature, y - rows + 1, x - columns + 1]`.
    """
    own = is_transformed(maps) or torch.compiler.is_compiling() or not (maps.requires_grad and torch.is_grad_enabled())
    return _along_both(maps, along_y, along_x) if own else _Blur.apply(maps, along_y, along_x)  # type: ignore[no-any-return]


def _along_both(maps: Tensor, along_y: Tensor, along_x: Tensor, *, everywhere: bool = False) -> Tensor:
    """Where the taps fit, or wherever they touch."""
    features, rows, columns = along_y.shape[0], along_y.shape[2] - 1, along_x.shape[3] - 1
    vertical = F.conv2d(channels_last(maps), along_y, padding=(rows * everywhere, 0), groups=features)
    return F.conv2d(vertical, along_x, padding=(0, columns * everywhere), groups=features)


class _Blur(torch.autograd.Function):
    """`_along_both` where it fits; its adjoint is that with the taps the other way round, wherever it touches."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
        ctx.save_for_backward(along_y, along_x)
        return _along_both(maps, along_y, along_x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (along_y, along_x), (gradient,) = ctx.saved_tensors, grad_outputs
        with without_autocast(gradient):
            return _along_both(gradient, along_y.flip(2), along_x.flip(3), everywhere=True), None, None
