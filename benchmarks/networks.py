"""The networks that the command line names."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch

from benchmarks import data
from benchmarks.recipe import LOSSES
from scalegroup import (
    Attention,
    CentrePixel,
    LogSumExp,
    Max,
    Mean,
    Pooling,
    ReadOut,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    SpatialMean,
)
from scalegroup.errors import check_integer, check_positive
from scalegroup.fields.lifting import SAMPLES_PER_SIGMA
from scalegroup.models import PRESETS, Architecture, GaussianDerivativeNet

NETWORKS = ("multi_scale", "single_scale")
FINEST = 8**-0.5
"""σ₀ in pixels: finer channels see nothing more in pixels, and win by chance (by validation images)."""

_POOLINGS: dict[str, Pooling] = {
    "max": Max(),
    "mean": Mean(),
    "log-sum-exp": LogSumExp(),
    "attention": Attention(),
}
_READOUTS: dict[str, ReadOut] = {
    "centre-pixel": CentrePixel(),
    "spatial-max": SpatialMax(),
    "spatial-mean": SpatialMean(),
}

_Part = TypeVar("_Part")


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which networks."""
    parser.add_argument(
        "--networks",
        nargs="+",
        default=list(NETWORKS),
        help="the multi-scale one, the single-scale one it is compared with, or both (default: both)",
    )
    parser.add_argument("--preset", default="multi_scale", help=f"widths: {', '.join(PRESETS)} (default: %(default)s)")
    parser.add_argument("--pooling", default="max", help=f"over scale: {', '.join(_POOLINGS)} (default: %(default)s)")
    parser.add_argument(
        "--read-out", default="centre-pixel", help=f"of the plane: {', '.join(_READOUTS)} (default: %(default)s)"
    )
    parser.add_argument("--sigma-first", type=float, help="about σ₀ of the finest scale channel (default: the data's)")
    parser.add_argument(
        "--sigma-single", type=float, help="σ₀ of the single-scale network (default: the training size)"
    )
    parser.add_argument("--channels", type=int, help="how many scale channels (default: up to the data's coarsest)")
    parser.add_argument(
        "--finer-channels",
        type=int,
        help="so many finer scale channels, with the same weights, are added once it is trained: what is much smaller "
        f"than what was trained on needs them (default: down to σ₀ = {FINEST:.2g})",
    )
    parser.add_argument(
        "--coarser-channels",
        type=int,
        default=0,
        help="and so many coarser ones, for what is much larger (default: %(default)s)",
    )
    parser.add_argument(
        "--dropped-channels",
        type=int,
        default=2,
        help="scale-channel dropout: in training at most this many of the finest scale channels are left out, another "
        "number in every step; 0: none (default: %(default)s)",
    )
    parser.add_argument(
        "--grid",
        default="self-similar",
        help="of the scale channels: self-similar, or image, the paper's literal one (default: %(default)s)",
    )
    parser.add_argument(
        "--samples-per-sigma",
        type=float,
        help=f"of self-similar grids: finer and dearer for more (default: {SAMPLES_PER_SIGMA:.3g})",
    )
    parser.add_argument(
        "--field-of-view",
        type=float,
        help="each scale channel sees what is within so many σ₀ of the image's centre: cheaper for less (default: all)",
    )
    parser.add_argument(
        "--first-offset",
        type=float,
        help="C₀ of the last layer before training (default: the loss's: 0, -5 for binary cross-entropy)",
    )


def architectures_for(
    options: argparse.Namespace, source: data.Source, train_sizes: Sequence[float]
) -> dict[str, Architecture]:
    """Of the multi-scale network asked for, and of a single-scale one with σ₀ at the training size.

    Where the data set tells the moments of its training images, they normalise by these.
    """
    middle = math.prod(train_sizes) ** (1 / len(train_sizes))
    sigma0 = middle if options.sigma_single is None else check_positive("sigma single", options.sigma_single)
    known = {
        "multi_scale": (options.preset, window_for(source.window, options.sigma_first, options.channels)),
        "single_scale": ("single_scale", ScaleWindow(source.window.group, sigma0=sigma0, channels=1)),
    }
    first_offset = options.first_offset
    if first_offset is None:
        first_offset = _one_of(LOSSES, "loss", options.loss).first_offset
    dropped = check_integer("dropped channels", options.dropped_channels, at_least=0)
    asked = {name: _one_of(known, "network", name) for name in options.networks}
    mean, std = source.moments(train_sizes) or (None, None)
    return {
        name: for_source(
            source,
            preset,
            window=window,
            pooling=_one_of(_POOLINGS, "pooling", options.pooling),
            readout=_one_of(_READOUTS, "read-out", options.read_out),
            grid=options.grid,
            samples_per_sigma=options.samples_per_sigma,
            field_of_view=options.field_of_view,
            first_offset=first_offset,
            mean=mean,
            std=std,
            scale_dropout=dropped if window.channels > 1 else 0,
        )
        for name, (preset, window) in asked.items()
    }


def for_source(source: data.Source, preset: str, **parts: Any) -> Architecture:
    """A preset's, for the channels, classes, surroundings and sizes of a data set, with other parts where given."""
    own: dict[str, Any] = {"window": source.window, "boundary": source.boundary}
    own |= {"in_channels": source.channels, "num_classes": source.classes}
    return _one_of(PRESETS, "preset", preset).changed(**own | parts)


def build(architecture: Architecture, seed: int) -> GaussianDerivativeNet:
    """The network, with weights drawn from the seed."""
    torch.manual_seed(seed)
    return GaussianDerivativeNet(architecture)


def with_more_channels(net: GaussianDerivativeNet, finer: int | None, coarser: int = 0) -> GaussianDerivativeNet:
    """The trained network with so many finer and coarser scale channels; one of a single channel stays what it is.

    Default: finer ones down to `FINEST`.
    """
    window = net.window
    if finer is None:
        steps = math.log(window.sigmas[0] / FINEST) / math.log(window.group.ratio)
        finer = max(0, math.floor(steps + 1e-9))
    check_integer("finer channels", finer, at_least=0)
    check_integer("coarser channels", coarser, at_least=0)
    if finer + coarser == 0 or window.channels == 1:
        return net
    return with_channels(net, replace(window, first=window.first - finer, channels=window.channels + finer + coarser))


def with_channels(net: GaussianDerivativeNet, window: ScaleWindow) -> GaussianDerivativeNet:
    """The network on other scale channels, with the same weights."""
    result = GaussianDerivativeNet(net.architecture.changed(window=window)).to(next(net.parameters()).device)
    result.load_state_dict(net.state_dict())
    return result.train(net.training)


def window_for(window: ScaleWindow, sigma_first: float | None, channels: int | None) -> ScaleWindow:
    """The window on the same grid of σ₀, begun near `sigma_first`, with so many channels.

    >>> from scalegroup import ScaleGroup
    >>> window_for(ScaleWindow(ScaleGroup(2 ** 0.5), 1.0, channels=8, first=-1), 0.35, None)
    10 scale channels with σ₀ from 0.353553 to 8 by powers of 1.41421
    """
    first = window.first
    if sigma_first is not None:
        steps = math.log(check_positive("sigma first", sigma_first) / window.sigma0) / math.log(window.group.ratio)
        first = round(steps)
    if channels is None:
        channels = window.labels[-1] + 1 - first
    return replace(window, first=first, channels=check_integer("channels", channels, at_least=1))


def _one_of(known: Mapping[str, _Part], what: str, name: str) -> _Part:
    if name not in known:
        raise ScaleGroupError(f"{what} {name!r}", expected=f"one of {list(known)}", mend="choose one of these")
    return known[name]
