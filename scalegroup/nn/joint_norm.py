"""Batch norm of a batch that several processes share: its moments are those of the whole batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn


@contextmanager
def joint_batch_norm(net: nn.Module) -> Iterator[None]:
    """As long as it lasts, the `BatchNorm`s of `net` have the moments of the images of all processes in training.

    For `torch.distributed`, as `SyncBatchNorm` is for torch's own; processes may have different numbers of images. One
    process alone has nothing to join.

    >>> from scalegroup.models import gaussian_derivative_net
    >>> net = gaussian_derivative_net()
    >>> with joint_batch_norm(net):
    ...     net(torch.rand(2, 1, 15, 15)).shape
    torch.Size([2, 10])
    """
    several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    norms: list[Any] = [layer for layer in net.modules() if hasattr(layer, "join_moments")]
    for norm in norms:
        norm.join_moments = joint_moments if several else None
    try:
        yield
    finally:
        for norm in norms:
            norm.join_moments = None


def joint_moments(mean: Tensor, variance: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """(mean, variance) over all processes from those of this one, of so many images, all `[feature]`."""
    sums: Tensor = _Sum.apply(torch.cat([images * mean, mean.new_full((1,), images)]))  # type: ignore[assignment]
    joint, share = sums[:-1] / sums[-1], images / sums[-1].detach()
    # within the parts + between them
    return joint, _Sum.apply(share * (variance + (mean - joint).square()))  # type: ignore[return-value]


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
