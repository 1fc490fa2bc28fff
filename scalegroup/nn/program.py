"""A plan made ready to run: what the layers of a network prepared for it, and how they run on scale channels apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup.boundary import Boundary, Extension, Zero
from scalegroup.grid import Grid
from scalegroup.nn.affine_relu import affine_relu
from scalegroup.nn.channel import Channel
from scalegroup.nn.layer import Layer
from scalegroup.nn.norm import BatchNorm
from scalegroup.nn.pointwise import Pointwise
from scalegroup.plan import Plan, whole_grids
from scalegroup.smoothing import Banded, smoothing_matrices

_RELUS = (torch.relu, F.relu)


@dataclass(frozen=True, eq=False)
class Program:
    """A plan and what it needs at run time.

    Args:
        plan: strides and regions.
        steps: `[layer][channel]`, what `Layer.step` prepared.
        canvases: the whole grids of the images at strides 1, 2, 4, … as far as channels enter on them.
        reductions: between each two of these.
    """

    plan: Plan
    steps: tuple[tuple[Any, ...], ...]
    canvases: tuple[Grid, ...]
    reductions: tuple[Banded, ...]


def make_program(plan: Plan, layers: Sequence[Layer], boundary: Boundary, known: bool, like: Tensor) -> Program:
    """Let the layers prepare for a plan.

    Args:
        plan: for these layers.
        layers: up to the read-out.
        boundary: what the images are outside their border.
        known: whether they have a known background.
        like: a tensor of the dtype and on the device of the images.
    """
    steps = []
    for number, layer in enumerate(layers):
        grids = [(channel, *(channel.entry, *channel.after)[number : number + 2]) for channel in plan.channels]
        steps.append(tuple(layer.step(held, wanted, c.sigma0_on(wanted), known, like) for c, held, wanted in grids))
        known = layer.knows_background(known)
    canvases = tuple(whole_grids(plan.canvas, max(channel.stride for channel in plan.channels)))
    outside = boundary if isinstance(boundary, Extension) else Zero()  # what stands out from a background
    reductions = tuple(
        Banded(*smoothing_matrices(np.ones(1), finer, coarser, 0, outside, like))
        for finer, coarser in pairwise(canvases)
    )
    return Program(plan, tuple(steps), canvases, reductions)


def run(layers: Sequence[Layer], channels: Sequence[Channel], program: Program) -> list[Channel]:
    """All layers; batch norm and the pointwise function behind it in one."""
    channels, number = list(channels), 0
    while number < len(layers):
        layer, following, *_ = *layers[number : number + 2], None
        if isinstance(layer, BatchNorm) and isinstance(following, Pointwise):
            affine = layer.affine(map(layer.moments, channels, program.steps[number]))
            channels = [activated(channel, *affine, following) for channel in channels]
            number += 2
        else:
            channels = layer.on(channels, program.steps[number])
            number += 1
    return channels


def activated(channel: Channel, scale: Tensor, shift: Tensor, pointwise: Pointwise) -> Channel:
    """The pointwise function of scale·maps + shift."""
    moved = channel.shifted(scale, shift)
    if not (pointwise.function in _RELUS or isinstance(pointwise.function, torch.nn.ReLU)):
        scaled = replace(channel, values=channel.values * scale[:, None, None], constant=moved)
        return pointwise.on([scaled], [None])[0]
    values = affine_relu(channel.values, scale, moved, less_constant=channel.known)
    return replace(channel, values=values, constant=torch.relu(moved) if channel.known else None)
