"""One trained network under several settings: what `truncation` and `strides` have in common."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from benchmarks import data, results
from benchmarks.evaluation import evaluate
from scalegroup import Background, ScaleGroupError
from scalegroup.errors import check_integer
from scalegroup.models import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing import equivariance_error

_SIZES = (2**-0.5, 1.0, 2.0)

Row = dict[str, Any]
Setting = Callable[[GaussianDerivativeNet], Row]
"""Puts a network into a setting, and names it in the first cells of its row."""


def add_arguments(parser: argparse.ArgumentParser, *, output: str) -> None:
    """The options of both commands."""
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("results/demo/multi_scale.safetensors"),
        help="of the multi-scale network, as `generalisation` writes them (default: %(default)s)",
    )
    data.add_arguments(parser)
    parser.add_argument("--preset", default="multi_scale", help=f"widths: {', '.join(PRESETS)} (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--output", type=Path, default=Path(output), help="folder (default: %(default)s)")


def compare(options: argparse.Namespace, name: str, settings: Sequence[Setting]) -> None:
    """Measure every setting, tell, write `results.json`."""
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
    net.eval()
    folder = results.make_folder(options.output)
    drawn = {size: source.draw("test", size) for size in _SIZES}
    rows = [setting(net) | _measure(net, source, drawn) for setting in settings]
    table = Table(title=f"{source.name}, one trained network: {name}")
    for head in rows[0]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.4g}" for value in row.values()))
    Console().print(table)
    content = {"benchmark": name, "rows": rows, "weights": str(options.weights), **results.provenance()}
    results.save_json(content, folder / "results.json")


def _measure(net: GaussianDerivativeNet, source: data.Source, drawn: dict[float, Any]) -> Row:
    """Accuracies, time and equivariance error."""
    row: Row = {}
    evaluate(net, drawn[1.0].images[:100], drawn[1.0].labels[:100])  # plans, and fills the caches
    began = time.perf_counter()
    for size, part in drawn.items():
        row[f"accuracy at size {size:.4g}"] = evaluate(net, part.images, part.labels).accuracy
    row["ms per image"] = 1e3 * (time.perf_counter() - began) / sum(len(part.labels) for part in drawn.values())
    with torch.autocast(next(net.parameters()).device.type, dtype=torch.bfloat16):
        half = evaluate(net, drawn[1.0].images, drawn[1.0].labels)
    row["accuracy at size 1 under autocast to bfloat16"] = half.accuracy
    report = equivariance_error(
        lambda images: net.field(images.float(), pooled=False),
        source.window.group.generator,
        background=source.background,
    )
    row["median error of the scale channels, scaling by √2"] = sorted(report.errors)[len(report.errors) // 2]
    return row
