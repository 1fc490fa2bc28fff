"""Batch norm's affine map and a ReLU in one: two passes over the maps forward, and nothing kept but its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def affine_relu(maps: Tensor, scale: Tensor, shift: Tensor, *, less_constant: bool) -> Tensor:
    """relu(scale·maps + shift), less relu(shift) if `less_constant`: what a map of zeros would give.

    Args:
        maps: `[batch, feature, y, x]`.
        scale: `[feature]`.
        shift: `[feature]`.
        less_constant: whether zero is to stay zero, so that maps continue with zeros.

    >>> maps = torch.tensor([-3.0, 0.0, 2.0]).view(1, 1, 1, 3)
    >>> one = torch.ones(1)
    >>> affine_relu(maps, one, one, less_constant=True).flatten().tolist()
    [-1.0, 0.0, 2.0]
    """
    if torch.compiler.is_compiling():  # which fuses by itself
        moved = torch.relu(torch.addcmul(_rows(shift), maps, _rows(scale)))
        return moved - _rows(torch.relu(shift)) if less_constant else moved
    return (_AffineReLU.apply if torch.is_grad_enabled() else _affine_relu)(maps, scale, shift, less_constant)


def _affine_relu(maps: Tensor, scale: Tensor, shift: Tensor, less_constant: bool) -> Tensor:
    result = torch.addcmul(_rows(shift), maps, _rows(scale)).relu_()
    return result.sub_(_rows(torch.relu(shift))) if less_constant else result


def _rows(vector: Tensor) -> Tensor:
    return vector[:, None, None]


def _per_feature(maps: Tensor) -> Tensor:
    """Sums over all but the feature axis; a product with ones is the fastest for channels-last maps."""
    pixels = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return pixels.new_ones(len(pixels)) @ pixels


class _AffineReLU(torch.autograd.Function):
    """See `affine_relu`."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, scale: Tensor, shift: Tensor, less_constant: bool) -> Tensor:
        ctx.save_for_backward(maps, scale, shift)
        ctx.less_constant = less_constant
        return _affine_relu(maps, scale, shift, less_constant)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the name of ctx)
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = grad_outputs
        maps, scale, shift = ctx.saved_tensors
        before = torch.addcmul(_rows(shift), maps, _rows(scale))
        passed = torch.ops.aten.threshold_backward(gradient, before, 0)
        of_shift = _per_feature(passed) if ctx.needs_input_grad[2] else None
        if of_shift is not None and ctx.less_constant:
            of_shift -= torch.where(shift > 0, _per_feature(gradient), 0.0)
        of_scale = _per_feature(torch.mul(passed, maps, out=before)) if ctx.needs_input_grad[1] else None
        return passed.mul_(_rows(scale)), of_scale, of_shift, None
