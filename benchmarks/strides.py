"""What coarser grids cost and save: the table behind the default `min_grid_sigma=` of networks."""

from __future__ import annotations

import argparse
from functools import partial

from benchmarks import tradeoff
from scalegroup.models import GaussianDerivativeNet

DESCRIPTION = "accuracy, equivariance error and time of a trained network on grids of different coarseness"

_LEAST = (None, 2.0, 2**0.5, 1.0, 2**-0.5)
_SIZE = (112, 112)  # of the images for which multiply-adds are counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    tradeoff.add_arguments(parser, output="results/strides")


def run(options: argparse.Namespace) -> None:
    """Measure, tell, write."""
    tradeoff.compare(options, "strides", [partial(_coarsen, least) for least in _LEAST])


def _coarsen(least: float | None, net: GaussianDerivativeNet) -> tradeoff.Row:
    net.min_grid_sigma = least
    name = "no strides" if least is None else f"{least:.4g}"
    return {"min_grid_sigma": name, "million multiply-adds": net.plan(_SIZE).multiply_adds / 1e6}
