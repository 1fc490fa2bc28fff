"""One picture of many megapixels, full of digits: what finding them all takes, in time and in memory."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import data, machine, results, steps
from benchmarks.data.scenes import BOX, draw_scene, small_pictures
from benchmarks.detections import count
from benchmarks.generalisation import command_line
from benchmarks.reports.tables import Table
from benchmarks.scenes import OBJECTS, SHAPE, SIZES
from scalegroup import detect
from scalegroup.models import find_trained, gaussian_derivative_net

DESCRIPTION = "time and peak memory of finding everything in one picture of many megapixels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--weights", default="mnist-scenes", help="of `scenes` (default: %(default)s)")
    parser.add_argument(
        "--shape", type=int, nargs=2, default=[3648, 5472], metavar=("ROWS", "COLUMNS"), help="(default: 3648 5472)"
    )
    data.add_arguments(parser)
    parser.set_defaults(data="mnist")
    machine.add_arguments(parser, device=False)
    parser.add_argument("--output", type=Path, default=Path("results/large-picture"), help="(default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Draw, find, count, tell, write."""
    machine.use(options)
    source, folder = small_pictures(data.choose(options)), results.make_folder(options.output)
    net = gaussian_derivative_net(weights=options.weights).eval()
    threshold, shape = find_trained(options.weights).about["threshold"], tuple(options.shape)
    extent = source.unit * BOX
    rng = np.random.default_rng(0)
    objects = 1 + round(sum(OBJECTS) / 2 * shape[0] * shape[1] / (SHAPE[0] * SHAPE[1]))  # as densely as in `scenes`
    rows = rng.integers(len(source.test.labels), size=objects).tolist()
    scene = draw_scene(source.test, rows, SIZES, rng, shape=shape, cluttered=False)
    began = time.perf_counter()
    (found,) = detect(net, scene.image[None], threshold=threshold, most=10 * objects)
    seconds = time.perf_counter() - began
    counts = count(found, scene, threshold, SIZES, extent)
    content = {
        "benchmark": "large-picture",
        "weights": options.weights,
        "shape": shape,
        "objects": len(scene.labels),
        "found": len(found["labels"]),
        "f1": counts.f1_all,
        "seconds": seconds,
        "peak_bytes": steps.resident(peak=True),
        "command": command_line(options),
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")
    table(content).save(folder)
    Console().print(table(content).rich())


def table(content: dict[str, Any]) -> Table:
    """A row."""
    rows, columns = content["shape"]
    head = ["picture", "digits", "F1", "seconds", "peak memory of the process"]
    cells = [f"{rows}×{columns}", str(content["objects"]), f"{content['f1']:.3f}", f"{content['seconds']:.0f}"]
    return Table(f"{content['weights']}, all at once", head, [[*cells, f"{content['peak_bytes'] / 2**30:.1f} GiB"]])
