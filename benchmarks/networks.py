"""The networks that the command line names."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks import data
from scalegroup import Background, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import PRESETS, GaussianDerivativeNet, Setting, gaussian_derivative_net
from scalegroup.models.weights import POOLINGS, READOUTS

NETWORKS = ("multi_scale", "single_scale")
_READOUTS = {name: readout for name, readout in READOUTS.items() if not readout.keeps_plane}  # to class scores


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which networks."""
    parser.add_argument(
        "--networks",
        nargs="+",
        default=list(NETWORKS),
        help="the multi-scale one, the single-scale one it is compared with, or both (default: both)",
    )
    parser.add_argument("--preset", default="multi_scale", help=f"widths: {', '.join(PRESETS)} (default: %(default)s)")
    parser.add_argument("--pooling", default="max", help=f"over scale: {', '.join(POOLINGS)} (default: %(default)s)")
    parser.add_argument(
        "--read-out", default="centre-pixel", help=f"of the plane: {', '.join(_READOUTS)} (default: %(default)s)"
    )
    parser.add_argument(
        "--sigma-first",
        type=float,
        help="about σ₀ of the finest scale channel; smaller: more margin (default: the data's)",
    )
    parser.add_argument(
        "--sigma-single", type=float, help="σ₀ of the single-scale network (default: the training size)"
    )
    parser.add_argument(
        "--margin",
        type=int,
        default=0,
        help="pixels of background put around the images in testing, for coarse channels (default: 0, as in training)",
    )
    parser.add_argument("--channels", type=int, help="how many scale channels (default: up to the data's coarsest)")
    parser.add_argument(
        "--min-grid-sigma",
        type=float,
        default=1.0,
        help="coarsest grids, σ₀ in samples; 0: full resolution (default: 1)",
    )


def settings_for(options: argparse.Namespace, source: data.Source, train_sizes: Sequence[float]) -> dict[str, Setting]:
    """Those of the multi-scale network asked for, and of a single-scale one with σ₀ at the training size."""
    if options.pooling not in POOLINGS:
        raise ScaleGroupError(f"pooling {options.pooling!r}", expected=f"one of {list(POOLINGS)}", mend="choose one")
    if options.read_out not in _READOUTS:
        raise ScaleGroupError(f"read-out {options.read_out!r}", expected=f"one of {list(_READOUTS)}", mend="choose one")
    middle = math.prod(train_sizes) ** (1 / len(train_sizes))
    sigma0 = middle if options.sigma_single is None else check_positive("sigma single", options.sigma_single)
    known = {
        "multi_scale": (options.preset, window_for(source.window, options.sigma_first, options.channels)),
        "single_scale": ("single_scale", ScaleWindow(source.window.group, sigma0=sigma0, channels=1)),
    }
    settings = {}
    for name in options.networks:
        if name not in known:
            raise ScaleGroupError(f"network {name!r}", expected=f"one of {list(known)}", mend="choose one or both")
        preset, window = known[name]
        settings[name] = Setting(
            preset,
            window,
            boundary=Background(source.background),
            pooling=POOLINGS[options.pooling],
            min_grid_sigma=check_positive("min grid sigma", options.min_grid_sigma) if options.min_grid_sigma else None,
            in_channels=source.channels,
            num_classes=source.classes,
            margin=check_integer("margin", options.margin, at_least=0),
            readout=_READOUTS[options.read_out],
        )
    return settings


def build(setting: Setting, seed: int) -> GaussianDerivativeNet:
    """The network, with weights drawn from the seed."""
    torch.manual_seed(seed)
    return gaussian_derivative_net(**vars(setting))


def window_for(window: ScaleWindow, sigma_first: float | None, channels: int | None) -> ScaleWindow:
    """The window with margin: on the same grid of σ₀, begun near `sigma_first`, with so many channels.

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
