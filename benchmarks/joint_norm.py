"""Batch norm of a batch that several processes share: its moments are those of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

from scalegroup.nn import BatchNorm


class JointMoments:
    """For `BatchNorm.join`. Set `share` before every step: the part of the batch's images that this process has."""

    share = 1.0

    def __call__(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, variance) of the whole batch from those of this part, both `[feature]`."""
        joint = _Sum.apply(self.share * mean)
        # within the parts + between them
        return joint, _Sum.apply(self.share * (variance + (mean - joint).square()))  # type: ignore[return-value]


@contextmanager
def joint_batch_norm(net: torch.nn.Module, processes: int) -> Iterator[JointMoments]:
    """Join the batch norms of `net` as long as it lasts; one process alone has nothing to join."""
    moments, norms = JointMoments(), [layer for layer in net.modules() if isinstance(layer, BatchNorm)]
    for norm in norms:
        norm.join = moments if processes > 1 else None
    try:
        yield moments
    finally:
        for norm in norms:
            norm.join = None


class _Sum(torch.autograd.Function):
    """The sum over processes. Each one's loss depends on every part, so gradients are summed as well."""

    @staticmethod
    def forward(_ctx: Any, part: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = part.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *grad_outputs: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = grad_outputs[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
