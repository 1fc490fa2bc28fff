"""What is made of the times of steps: medians and quartiles, in turns, the same for everybody."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import allocator, results, steps
from scalegroup import ScaleGroupError

Row = dict[str, Any]
"""Of the results: what was measured, and its times or the reason why there are none."""

_PEAK_MAPS = (8, 48, 40, 40)
_PEAK_WIDTH = 64


def per_image(times: Sequence[float], batch: int) -> Row:
    """Milliseconds per image, as a row of the results has them.

    >>> {name: round(value, 3) for name, value in per_image([0.3, 0.1, 0.2], batch=10).items() if name != "times_ms"}
    {'median_ms': 20.0, 'iqr_ms': 10.0, 'best_ms': 10.0}
    """
    return _spread([1e3 * time / batch for time in times])


def in_turns(
    points: Sequence[Callable[[], Iterable[Row]]], *, turns: int, slow: Collection[int] = ()
) -> list[list[Row]]:
    """The rows of each point, measured in turns: machines get slower and faster for minutes, and all get their share.

    Args:
        points: each measures its rows, as often as it is called.
        turns: how often that is; in each turn one point after the other.
        slow: places of points that are measured in one of the turns only.

    >>> [rows] = in_turns([lambda: [per_image([0.1], batch=1)]], turns=3)
    >>> rows[0]["times_ms"]
    [100.0, 100.0, 100.0]
    """
    found: list[list[list[Row]]] = [[] for _ in points]  # [point][turn][row]
    for turn in range(turns):
        for place, measured in enumerate(points):
            if place not in slow or place % turns == turn:
                found[place].append(list(measured()))
    return [[joined(rows) for rows in zip(*of, strict=True)] for of in found]


def joined(turns: Sequence[Row]) -> Row:
    """One row of several that measured the same; one that has no time, if there is one."""
    row = next((row for row in turns if row["median_ms"] is None), turns[0])
    return row if row["median_ms"] is None else row | _spread([time for row in turns for time in row["times_ms"]])


def _spread(milliseconds: Sequence[float]) -> Row:
    lower, median, upper = np.percentile(milliseconds, (25, 50, 75)).tolist()
    return {
        "median_ms": median,
        "iqr_ms": upper - lower,
        "best_ms": min(milliseconds),
        "times_ms": [float(f"{time:.5g}") for time in milliseconds],
    }


def convolution_peak(*, device: str, threads: int, seconds: float) -> float:
    """The most multiply-adds a second of an ordinary 3×3 convolution, 48 → 64 features on 8×48×40×40, channels-last."""
    batch, width, rows, columns = _PEAK_MAPS
    convolution = nn.Conv2d(width, _PEAK_WIDTH, 3, padding=1, device=device).to(memory_format=torch.channels_last)
    maps = torch.randn(_PEAK_MAPS, device=device).contiguous(memory_format=torch.channels_last)
    step = steps.inference(convolution, steps.call, maps)
    work = batch * rows * columns * 9 * width * _PEAK_WIDTH
    return work / min(steps.measure(step, threads=threads, seconds=seconds))


def exponent(values: Sequence[float], times: Sequence[float]) -> float:
    """The p of times ∝ valuesᵖ, by least squares in the logarithms.

    >>> round(exponent([1, 2, 4], [3, 6, 12]), 6)
    1.0
    """
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])


def why_not(error: Exception) -> str:
    """Why there is no time: a package or memory is missing, or torch cannot compile. All else is raised again."""
    said = str(error)
    if type(error).__module__.startswith("torch._dynamo"):
        return f"torch {torch.__version__} cannot compile it"
    if isinstance(error, ScaleGroupError):
        return said
    if isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in said or "out of memory" in said:
        return "out of memory"
    raise error


def provenance() -> dict[str, Any]:
    """Commit, versions and machine, with what matters here: allocator, escnn."""
    content = results.provenance()
    content["machine"]["allocator"] = os.environ.get(allocator.NAME, "as the system has it")
    try:
        content["versions"]["escnn"] = importlib.metadata.version("escnn")
    except importlib.metadata.PackageNotFoundError:
        content["versions"]["escnn"] = None
    return content
