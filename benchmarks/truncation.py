"""What cutting the kernels at a mass costs and saves: the table behind the default `tail=` of networks."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks import data, machine, results
from benchmarks.evaluation import evaluate
from benchmarks.reports.tables import Table
from scalegroup import DiscreteGaussian
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing import equivariance_error

DESCRIPTION = "accuracy, equivariance error and time of a trained network for kernels cut at different masses"

_TAILS = (1e-2, 5e-3, 1e-3, 1e-4, 1e-6)
_SIZES = (2**-0.5, 1.0, 2.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--weights",
        default="results/demo/multi_scale.safetensors",
        help="of the multi-scale network, as `generalisation` writes them (default: %(default)s)",
    )
    data.add_arguments(parser)
    machine.add_arguments(parser, device=False)
    parser.add_argument("--output", type=Path, default=Path("results/truncation"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Measure, tell, write."""
    machine.use(options)
    source = data.choose(options)
    kernels = [DiscreteGaussian(tail=tail) for tail in _TAILS]
    nets = [gaussian_derivative_net(weights=options.weights, kernel=kernel) for kernel in kernels]
    folder = results.make_folder(options.output)
    drawn = {size: source.draw("test", size) for size in _SIZES}
    rows = [
        {"tail": kernel.tail, "radius at σ = 4, in σ": kernel.reach(4.0) / 4} | _measure(net, source, drawn)
        for kernel, net in zip(kernels, nets, strict=True)
    ]
    content = {"benchmark": "truncation", "rows": rows, "weights": options.weights, **results.provenance()}
    results.save_json(content, folder / "results.json")
    table(content).save(folder)
    Console().print(table(content).rich())


def table(content: dict[str, Any]) -> Table:
    """A row for each mass that is cut off."""
    rows = content["rows"]
    cells = [[f"{value:.4g}" for value in row.values()] for row in rows]
    return Table("kernels cut off at different masses, one trained network", list(rows[0]), cells)


def _measure(net: GaussianDerivativeNet, source: data.Source, drawn: dict[float, data.Labelled]) -> dict[str, Any]:
    """Accuracies, time and equivariance error."""
    row: dict[str, Any] = {}
    evaluate(net, drawn[1.0].images[:100], drawn[1.0].labels[:100])  # fills the caches
    began = time.perf_counter()
    for size, part in drawn.items():
        row[f"accuracy at size {size:.4g}"] = evaluate(net, part.images, part.labels).accuracy
    row["ms per image"] = 1e3 * (time.perf_counter() - began) / sum(len(part.labels) for part in drawn.values())
    with torch.autocast(next(net.parameters()).device.type, dtype=torch.bfloat16):
        half = evaluate(net, drawn[1.0].images, drawn[1.0].labels)
    row["accuracy at size 1 under autocast to bfloat16"] = half.accuracy
    report = equivariance_error(
        lambda images: net.field(images.float(), pooled=False),
        net.window.group.generator,
        background=source.background,
    )
    row["median error of the scale channels, scaling by γ"] = sorted(report.errors)[len(report.errors) // 2]
    return row
