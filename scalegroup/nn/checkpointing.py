"""Less memory for more time: a backward pass that keeps the maps of every second 2-jet layer and makes the rest again.

Batch norm joins the scale channels, so a network cannot simply be cut into pieces that are run again: the moments of a
layer whose maps are not kept are taken in a pass of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scalegroup.grid import Grid
from scalegroup.nn.channel import Channel
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.layer import Layer
from scalegroup.nn.norm import BatchNorm
from scalegroup.nn.pointwise import Pointwise
from scalegroup.nn.program import Program, activated

_IMAGES = 10  # so many of a batch at a time: what one of them needs on the way is gone before the next

Operation = Callable[[Channel], Channel]


def run_forgetfully(layers: Sequence[Layer], channels: Sequence[Channel], program: Program) -> list[Channel]:
    """What `run` gives; only the maps of every second `JetConv` are kept for the backward pass."""
    channels = list(channels)
    waiting: list[list[Operation]] = [[] for _ in channels]  # per channel, what has still to be done to it

    def take(last: Callable[[Any, Channel], Any], join: Callable[[list[Any]], Any], steps: Sequence[Any]) -> list[Any]:
        """`last` of each channel after all that waits, a few images at a time; nothing on the way is kept."""
        results = []
        for channel, todo, step in zip(channels, waiting, steps, strict=True):
            parts = (replace(channel, values=values) for values in channel.values.split(_IMAGES))
            todo = (*todo, partial(last, step))
            results.append(join([checkpoint(_chained, part, todo, use_reentrant=False) for part in parts]))
        return results

    number, jets = 0, 0
    while number < len(layers):
        layer, following, *_ = *layers[number : number + 2], None
        steps = program.steps[number]
        if isinstance(layer, BatchNorm) and isinstance(following, Pointwise):
            moments = take(_moments, _joined_moments, steps) if layer.training else ()
            scale, shift = layer.affine(moments)
            operation = partial(activated, scale=scale, shift=shift, pointwise=following)
            waiting = [[*todo, operation] for todo in waiting]
            number += 2
        elif isinstance(layer, JetConv) and jets % 2 == 0:
            waiting = [[*todo, partial(_alone, layer, step)] for todo, step in zip(waiting, steps, strict=True)]
            number, jets = number + 1, jets + 1
        elif isinstance(layer, JetConv):
            channels = take(partial(_alone, layer), _joined, steps)
            waiting = [[] for _ in channels]
            number, jets = number + 1, jets + 1
        else:
            channels = layer.on(take(_itself, _joined, steps), steps)
            waiting = [[] for _ in channels]
            number += 1
    return take(_itself, _joined, [None] * len(channels))


def _chained(channel: Channel, operations: Sequence[Operation]) -> Any:
    for operation in operations:
        channel = operation(channel)
    return channel


def _alone(layer: Layer, step: Any, channel: Channel) -> Channel:
    (result,) = layer.on([channel], [step])
    return result


def _moments(domain: Grid, channel: Channel) -> tuple[Tensor, Tensor, int]:
    return *BatchNorm.moments(channel, domain), len(channel.values)


def _joined_moments(parts: list[tuple[Tensor, Tensor, int]]) -> tuple[Tensor, Tensor]:
    """(variance, mean) of all images from those of parts of the batch."""
    variances, means, counts = zip(*parts, strict=True)
    weights = means[0].new_tensor(counts)[:, None] / sum(counts)
    mean = (weights * torch.stack(means)).sum(0)
    return (weights * (torch.stack(variances) + (torch.stack(means) - mean).square())).sum(0), mean


def _itself(_: Any, channel: Channel) -> Channel:
    return channel


def _joined(parts: list[Channel]) -> Channel:
    return replace(parts[0], values=torch.cat([part.values for part in parts])) if len(parts) > 1 else parts[0]
