"""What cutting the kernels at a mass costs and saves: the table behind the default `tail=` of networks."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

from benchmarks import tradeoff
from scalegroup import DiscreteGaussian, nn
from scalegroup.models import GaussianDerivativeNet

DESCRIPTION = "accuracy, equivariance error and time of a trained network for kernels cut at different masses"

_TAILS = (1e-2, 5e-3, 1e-3, 1e-4, 1e-6)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    tradeoff.add_arguments(parser, output="results/truncation")


def run(options: argparse.Namespace) -> None:
    """Measure, tell, write."""
    tradeoff.compare(options, "truncation", [partial(_cut, tail) for tail in _TAILS])


def _cut(tail: float, net: GaussianDerivativeNet) -> tradeoff.Row:
    for layer in net.layers:
        if isinstance(layer, nn.JetConv):
            layer.kernel = replace(layer.kernel, tail=tail)
    return {"tail": tail, "radius at σ = 4, in σ": DiscreteGaussian(tail=tail).filters(4.0).radius / 4}
