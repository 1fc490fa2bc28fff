"""The second half of a 2-jet layer: the learnt combination of derivatives of smoothed maps.

Forward it is one small convolution, whose weights are a fixed linear function of the five coefficients. For the
gradient of the coefficients, and where there are few input channels, the five derivative maps and one matrix product
are less work: five multiplications for each pair of features in place of nine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from scalegroup import jet
from scalegroup.smoothing import is_autocast

_CHUNK = 2**21  # numbers: derivative maps of so many are made at a time
_FEW = 4  # input channels: convolutions of fewer waste most of their work
# Nanoseconds on one core, measured by `python -m benchmarks rates`: a multiply-add of a matrix product and of the
# convolution's weight gradient, and one tap of a derivative map, per number
_PRODUCT, _CONVOLUTION, _TAP = 1 / 30, 1 / 22, 0.36


@dataclass(frozen=True, eq=False)
class Stencils:
    """The stencils of one σ, scale-normalised (eq 6).

    Args:
        weights: `[5, k, k]` with the factors of eq 6 in front.
        taps: of each component's stencil the non-zero taps, (row, column, value), divided by the first of them.
        factors: `[5]`, what they have to be multiplied with.
    """

    weights: Tensor
    taps: tuple[tuple[tuple[int, int, float], ...], ...]
    factors: Tensor

    @staticmethod
    def of(stencils: np.ndarray, sigma: float, like: Tensor) -> Stencils:
        """From bare stencils `[5, k, k]` and σ in samples, for tensors like that."""
        factors = jet.normalisation(sigma)
        weights = factors[:, None, None] * stencils
        places = [np.argwhere(plane) for plane in stencils]
        first = np.array([plane[tuple(where[0])] for plane, where in zip(stencils, places, strict=True)])
        taps = tuple(
            tuple((int(v), int(u), float(plane[v, u] / a)) for v, u in where)
            for plane, where, a in zip(stencils, places, first, strict=True)
        )
        scaled, alone = (torch.as_tensor(a, dtype=like.dtype, device=like.device) for a in (weights, factors * first))
        return Stencils(scaled, taps, alone)

    @property
    def size(self) -> int:
        """Samples across."""
        return self.weights.shape[-1]

    def fuse(self, coefficients: Tensor) -> Tensor:
        """`[out, in, 5]` to the weights `[out, in, k, k]` of one convolution."""
        return (coefficients @ self.weights.flatten(1)).unflatten(-1, (self.size, self.size))

    def maps(self, smoothed: Tensor) -> Tensor:
        """The five derivative maps of `[batch, y, x, channel]`, to be multiplied with `factors`.

        Returns `[batch, y', x', 5, channel]`.
        """
        batch, height, width, channels = smoothed.shape
        rows, columns = height - self.size + 1, width - self.size + 1
        result = smoothed.new_empty(batch, rows, columns, jet.SIZE, channels)
        for component, taps in enumerate(self.taps):
            out = result[:, :, :, component]
            (first, _), (second, weight), *rest = [
                (smoothed[:, v : v + rows, u : u + columns], value) for v, u, value in taps
            ]
            torch.add(first, second, alpha=weight, out=out)
            for part, weight in rest:
                out.add_(part, alpha=weight)
        return result

    def maps_pay(self, inputs: int, outputs: int) -> bool:
        """Whether maps and a matrix product are less work than the weight gradient of a convolution."""
        products = jet.SIZE * _PRODUCT * outputs + _TAP * sum(map(len, self.taps))
        return products < self.size**2 * _CONVOLUTION * outputs or inputs < _FEW


def mix(smoothed: Tensor, coefficients: Tensor, fused: Tensor, stencils: Stencils) -> Tensor:
    """Σ coefficients[o, i, j]·(j-th scale-normalised derivative): `[b, i, y, x]` → `[b, o, y - k + 1, x - k + 1]`.

    `fused` must be `stencils.fuse(coefficients)`; scale channels with the same σ share it.
    """
    if torch.compiler.is_compiling() or is_autocast(smoothed):
        return F.conv2d(smoothed, stencils.fuse(coefficients))
    if not torch.is_grad_enabled():  # entering autograd takes as long as a small map
        return _mixed(smoothed, coefficients, fused, stencils)
    return _Mix.apply(smoothed, coefficients, fused, stencils)


def _mixed(smoothed: Tensor, coefficients: Tensor, fused: Tensor, stencils: Stencils) -> Tensor:
    if smoothed.device.type == "cpu" and smoothed.shape[1] < _FEW:
        weights = (coefficients * stencils.factors).transpose(1, 2).flatten(1)  # [out, 5·in]
        maps = stencils.maps(smoothed.permute(0, 2, 3, 1)).flatten(3)
        return (maps @ weights.T).permute(0, 3, 1, 2)
    return F.conv2d(smoothed, fused)


class _Mix(torch.autograd.Function):
    """See `mix`."""

    @staticmethod
    def forward(ctx: Any, smoothed: Tensor, coefficients: Tensor, fused: Tensor, stencils: Stencils) -> Tensor:
        ctx.save_for_backward(smoothed, fused)
        ctx.stencils = stencils
        ctx.maps_pay = smoothed.device.type == "cpu" and stencils.maps_pay(*fused.shape[1::-1])
        return _mixed(smoothed, coefficients, fused, stencils)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the name of ctx)
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = grad_outputs
        smoothed, fused = ctx.saved_tensors
        stencils: Stencils = ctx.stencils
        by_maps = ctx.maps_pay and ctx.needs_input_grad[1]
        by_convolution = ctx.needs_input_grad[1] and not by_maps
        of_smoothed: Tensor | None = None
        of_fused: Any = None
        if ctx.needs_input_grad[0] or by_convolution:
            of_smoothed, of_fused, _ = torch.ops.aten.convolution_backward(
                gradient,
                smoothed,
                fused,
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                1,
                [ctx.needs_input_grad[0], by_convolution, False],
            )
        if by_maps:
            of_coefficients = _by_maps(smoothed, gradient, stencils)
        else:
            of_coefficients = of_fused.flatten(2) @ stencils.weights.flatten(1).T if by_convolution else None
        return of_smoothed, of_coefficients, None, None


def _by_maps(smoothed: Tensor, gradient: Tensor, stencils: Stencils) -> Tensor:
    """The gradient of the coefficients `[out, in, 5]`, a few images at a time."""
    smoothed, gradient = (maps.permute(0, 2, 3, 1) for maps in (smoothed, gradient))
    batch, rows, columns, outputs = gradient.shape
    inputs = smoothed.shape[-1]
    total = gradient.new_zeros(jet.SIZE * inputs, outputs)
    step = max(1, _CHUNK // (jet.SIZE * inputs * rows * columns))
    for start in range(0, batch, step):
        maps = stencils.maps(smoothed[start : start + step]).flatten(0, 2).flatten(1)
        total.addmm_(maps.T, gradient[start : start + step].reshape(-1, outputs))
    return total.view(jet.SIZE, inputs, outputs).permute(2, 1, 0) * stencils.factors
