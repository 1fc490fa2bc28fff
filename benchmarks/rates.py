"""The rates behind the plan's cost model: what a multiply-add costs in each way there is to do it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils.benchmark import Timer

from benchmarks import results
from scalegroup import DiscreteGaussian, Zero, jet
from scalegroup.errors import check_integer
from scalegroup.grid import Grid
from scalegroup.mixing import Stencils
from scalegroup.smoothing import Banded, Depthwise, smoothing_matrices

DESCRIPTION = "nanoseconds of a multiply-add by convolution, matrix product and derivative maps (the plan's cost model)"

# (features in, features out, samples across, σ) of typical layers of the larger network
_LAYERS = ((16, 24, 84, 1.25), (24, 32, 68, 1.56), (32, 48, 50, 1.95), (48, 64, 28, 2.44))
_BATCH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/rates"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Measure, tell, write."""
    torch.set_num_threads(check_integer("threads", options.threads, at_least=1))
    folder = results.make_folder(options.output)
    rows = [_measure(*layer) for layer in _LAYERS]
    table = Table(title=f"nanoseconds per multiply-add, {options.threads} thread(s), batch {_BATCH}, float32")
    for head in rows[0]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" for value in row.values()))
    Console().print(table)
    results.save_json({"benchmark": "rates", "rows": rows, **results.provenance()}, folder / "results.json")


def _measure(inputs: int, outputs: int, across: int, sigma: float) -> dict[str, Any]:
    """One layer; every figure is a median."""
    taps = DiscreteGaussian(tail=1e-3).filters(sigma).blur  # type: ignore[attr-defined]
    grid = Grid.whole(across, across)
    maps = torch.randn(_BATCH, inputs, across, across).contiguous(memory_format=torch.channels_last)
    radius = len(taps) // 2
    depthwise = Depthwise(torch.as_tensor(taps, dtype=torch.float32), lambda part: part, (radius, radius))
    banded = Banded(*smoothing_matrices(taps, grid, grid, 0, Zero(), maps))
    stencils = Stencils.of(jet.central_differences(), sigma, maps)
    fused = torch.randn(outputs, inputs, 3, 3)
    valid = (across - 2) ** 2
    gradient = torch.randn(_BATCH, outputs, across - 2, across - 2).contiguous(memory_format=torch.channels_last)
    pixels = maps.permute(0, 2, 3, 1)
    derivatives = stencils.maps(pixels).flatten(0, 2).flatten(1)
    wanted = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)

    def of_weights() -> Any:
        return torch.ops.aten.convolution_backward(
            gradient, maps, fused, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False]
        )

    mixing = _BATCH * inputs * outputs * valid
    blur = _BATCH * inputs * across**2
    number_of_taps = sum(map(len, stencils.taps))
    return {
        "in": inputs,
        "out": outputs,
        "across": across,
        "depthwise blur": _time(lambda: depthwise(maps)) / (blur * 2 * len(taps)),
        "blur by matrices": _time(lambda: banded(maps)) / (blur * 2 * across),
        "3×3 convolution": _time(lambda: F.conv2d(maps, fused)) / (9 * mixing),
        "its weight gradient": _time(of_weights) / (9 * mixing),
        "matrix product of maps": _time(lambda: derivatives.T @ wanted) / (jet.SIZE * mixing),
        "tap of a derivative map": _time(lambda: stencils.maps(pixels)) / (_BATCH * inputs * valid * number_of_taps),
    }


@torch.no_grad()
def _time(run: Callable[[], Any]) -> float:
    """Nanoseconds."""
    return (
        1e9
        * Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
        .blocked_autorange(min_run_time=0.5)
        .median
    )
