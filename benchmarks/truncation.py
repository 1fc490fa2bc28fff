"""What cutting the kernels at a mass costs and saves: the table behind the default `tail=` of networks."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from benchmarks import data, results
from benchmarks.evaluation import evaluate
from scalegroup import Background, DiscreteGaussian, ScaleGroupError, nn
from scalegroup.errors import check_integer
from scalegroup.models import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing import equivariance_error

DESCRIPTION = "accuracy, equivariance error and time of a trained network for kernels cut at different masses"

_TAILS = (1e-2, 5e-3, 1e-3, 1e-4, 1e-6)
_SIZES = (2**-0.5, 1.0, 2.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("results/demo/multi_scale.safetensors"),
        help="of the multi-scale network, as `generalisation` writes them (default: %(default)s)",
    )
    data.add_arguments(parser)
    parser.add_argument("--preset", default="multi_scale", help=f"widths: {', '.join(PRESETS)} (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--output", type=Path, default=Path("results/truncation"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Measure, tell, write."""
    if options.threads is not None:
        torch.set_num_threads(check_integer("threads", options.threads, at_least=1))
    if not options.weights.is_file():
        raise ScaleGroupError(f"weights {options.weights}", expected="a file", mend="run `make demo` first")
    source = data.choose(options)
    net = gaussian_derivative_net(
        options.preset,
        window=source.window,
        in_channels=source.channels,
        num_classes=source.classes,
        boundary=Background(source.background),
        min_grid_sigma=1.0,
    )
    net.load_state_dict(load_file(options.weights))
    folder = results.make_folder(options.output)
    rows = [_measure(net.eval(), source, tail) for tail in _TAILS]
    table = Table(title=f"{source.name}: kernels cut at a mass, one trained network")
    for head in rows[0]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" for value in row.values()))
    Console().print(table)
    content = {"benchmark": "truncation", "rows": rows, "weights": str(options.weights), **results.provenance()}
    results.save_json(content, folder / "results.json")


def _measure(net: GaussianDerivativeNet, source: data.Source, tail: float) -> dict[str, Any]:
    """One row of the table."""
    for layer in net.layers:
        if isinstance(layer, nn.JetConv):
            layer.kernel = replace(layer.kernel, tail=tail)
    row: dict[str, Any] = {"tail": tail, "radius at σ = 4, in σ": DiscreteGaussian(tail=tail).filters(4.0).radius / 4}
    began = time.perf_counter()
    images = 0
    for size in _SIZES:
        drawn = source.draw("test", size)
        row[f"accuracy at size {size:.4g}"] = evaluate(net, drawn.images, drawn.labels).accuracy
        images += len(drawn.labels)
    row["ms per image"] = 1e3 * (time.perf_counter() - began) / images
    report = equivariance_error(
        lambda images: net.field(images.float(), pooled=False),
        source.window.group.generator,
        background=source.background,
    )
    row["median error of the scale channels, scaling by √2"] = sorted(report.errors)[len(report.errors) // 2]
    return row
