"""Objects off the centre: a read-out at the centre beside the same weights read where their score is highest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from rich.console import Console

from benchmarks import data, machine, results
from benchmarks.data.scenes import Scene, draw_scene, small_pictures
from benchmarks.evaluation import evaluate
from benchmarks.generalisation import command_line
from benchmarks.reports.figures import save
from benchmarks.reports.tables import Table
from scalegroup import CentrePixel, SpatialMax, detect
from scalegroup.models import find_trained, gaussian_derivative_net

DESCRIPTION = (
    "accuracy over how far objects are off the centre, read there or anywhere by the same weights; and a scene"
)

_WAYS = {"read at the centre": CentrePixel(), "read anywhere": SpatialMax()}
# pixels, to the right and down alike
OFFSETS = (0, 1, 2, 3, 4, 6, 8, 12, 16)
_SIZE = 2.0
# of the scene
SHAPE = (300, 400)
_SIZES = (1.0, 2.0, 4.0)
_OBJECTS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--weights", default="mnist-large-scale", help="read in both ways (default: %(default)s)")
    parser.add_argument("--scene-weights", default="mnist-scenes", help="for the scene (default: %(default)s)")
    data.add_arguments(parser)
    machine.add_arguments(parser, device=False)
    parser.add_argument("--output", type=Path, default=Path("results/off-centre"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Shift and read; draw a scene and find what is in it; tell, write."""
    machine.use(options)
    source = small_pictures(data.choose(options))
    nets = {way: gaussian_derivative_net(weights=options.weights, readout=of) for way, of in _WAYS.items()}
    finder, about = gaussian_derivative_net(weights=options.scene_weights), find_trained(options.scene_weights).about
    folder = results.make_folder(options.output)
    drawn = source.draw("test", _SIZE)
    accuracy = {
        way: [evaluate(net, drawn.images.roll((by, by), (2, 3)), drawn.labels).accuracy for by in OFFSETS]
        for way, net in nets.items()
    }
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(source.test.labels))[:_OBJECTS].tolist()
    scene = draw_scene(source.test, rows, _SIZES, rng, shape=SHAPE, cluttered=False)
    (found,) = detect(finder.eval(), scene.image[None], threshold=about["threshold"])
    content = {
        "benchmark": "off-centre",
        "data": {"name": source.name, "test_images": len(drawn.labels), "size": _SIZE},
        "weights": options.weights,
        "offsets": OFFSETS,
        "accuracy": accuracy,
        "scene": {"weights": options.scene_weights, "sizes": _SIZES, "labels": scene.labels.tolist()}
        | {"found": found["labels"].tolist(), "threshold": about["threshold"]},
        "command": command_line(options),
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")
    table(content).save(folder)
    save(_figure(content, scene, found), folder / "off_centre.png")
    Console().print(table(content).rich())


def table(content: dict[str, Any]) -> Table:
    """A row for each way to read, a column for each offset."""
    head = ["accuracy in %, pixels off the centre", *map(str, content["offsets"])]
    rows = [[way, *(f"{100 * value:.1f}" for value in values)] for way, values in content["accuracy"].items()]
    return Table(f"{content['weights']}, digits of size {content['data']['size']:g}", head, rows)


def _figure(content: dict[str, Any], scene: Scene, found: dict[str, torch.Tensor]) -> Any:
    """The curves, and the scene with what was found in it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 1.3), layout="constrained")
    for way, values in content["accuracy"].items():
        left.plot(content["offsets"], [100 * value for value in values], marker="o", label=way)
    left.set(xlabel="pixels off the centre, to the right and down", ylabel="accuracy in %", ylim=(0, 101))
    left.set_title("the same weights, trained on centred digits", fontsize="medium")
    left.grid(alpha=0.3)
    left.legend(loc="lower left")
    right.imshow(scene.image[0].numpy(), cmap="gray")
    told = [found[name].tolist() for name in ("boxes", "labels", "sizes")]
    for (x0, y0, x1, y1), label, size in zip(*told, strict=True):
        right.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="orange"))
        right.text(x0, y0 - 3, f"{label}: {size:.0f} px", color="orange", fontsize=8)
    right.set_title("weights that have learnt what is no digit: found, and how large", fontsize="medium")
    right.axis("off")
    return figure
