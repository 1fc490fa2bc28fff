"""Scenes in colour: a residual network that has seen cut-out pictures of one size finds them at others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from rich.console import Console

from benchmarks import machine, results
from benchmarks.data.scenes import Scene
from benchmarks.data.source import Labelled
from benchmarks.data.stamps import RECIPE, UNIT, draw_stamps, read_stamps
from benchmarks.detections import Counts, count, mean_average_precision
from benchmarks.generalisation import command_line
from benchmarks.networks import with_channels
from benchmarks.recipe import Recipe
from benchmarks.reports.figures import COLOURS, save
from benchmarks.reports.tables import Table
from benchmarks.scenes import CROP, MIN_GRID_SIGMA, SHAPE, SIZES, THRESHOLDS, TRAIN_SIZE, WINDOW, Finding
from benchmarks.training import fit
from scalegroup import Reflect, ScaleGroupError, detect
from scalegroup.errors import check_integer
from scalegroup.models import gaussian_derivative_resnet, save_trained
from scalegroup.nn import SceneLoss

DESCRIPTION = "cut-out pictures in colour, found at any size by a residual network that has seen one size"

# of Debian's tuxpaint-stamps-default
NAMES = (
    "animals/birds/tucan.png",
    "animals/fish/butterflyfish.png",
    "animals/mammals/bovines/cow.png",
    "animals/mammals/rodents/rabbit.png",
    "animals/marsupials/koala.png",
    "clothes/hats/tophat.png",
    "food/fruit/Strawberry2.png",
    "food/fruit/mandarine.png",
)
OBJECTS = (5, 9)  # in a picture
COUNT = 2400  # of stamps in an epoch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--stamps", type=Path, required=True, help="folder of Tux Paint's stamps")
    parser.add_argument("--names", nargs="+", default=list(NAMES), help="of files in it (default: eight of them)")
    parser.add_argument("--widths", type=int, nargs="+", default=[12, 16, 24], help="(default: 12 16 24)")
    parser.add_argument("--epochs", type=int, default=2, help=f"passes over {COUNT} stamps (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=12, help="stamps a step (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=20, help="scenes to test on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    machine.add_arguments(parser)
    results.add_arguments(parser, "stamps")


def run(options: argparse.Namespace) -> None:
    """Train at one size, test at others, tell, write."""
    machine.use(options)
    pictures = check_integer("pictures", options.pictures, at_least=1)
    if not options.stamps.is_dir():
        raise ScaleGroupError(f"folder {str(options.stamps)!r}", expected="one of stamps", mend="pass another --stamps")
    stamps = read_stamps([options.stamps / name for name in options.names])
    labels = torch.arange(len(stamps)).repeat(COUNT // len(stamps))
    criterion = SceneLoss(UNIT)
    recipe = Recipe(epochs=options.epochs, batch=options.batch, highest_rate=0.01)
    folder, console = results.make_folder(options.output), Console(soft_wrap=True)
    torch.manual_seed(check_integer("seed", options.seed, at_least=0))
    net = gaussian_derivative_resnet(
        widths=tuple(options.widths),
        window=WINDOW.select(1, WINDOW.channels),
        num_classes=len(stamps),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        boundary=Reflect(),
        field_of_view=None,
        min_grid_sigma=MIN_GRID_SIGMA,
        first_offset=-5.0,
        extent=float(UNIT),
    )

    def training_scene(rows: Sequence[int], rng: np.random.Generator, cluttered: bool) -> Scene:
        told = {"shape": (CROP, CROP), "cluttered": cluttered, "inside": False}
        return draw_stamps(stamps, labels[list(rows)].tolist(), [TRAIN_SIZE], rng, **told)

    done = fit(
        f"stamps-seed{options.seed}",
        net,
        Finding(Labelled(stamps, labels), criterion, training_scene),
        recipe,
        seed=options.seed,
        accelerator=Accelerator(cpu=options.device == "cpu"),
        folder=folder,
        console=console,
        resume=options.resume,
        checkpoint_every=options.checkpoint_every,
    )
    net = with_channels(net, WINDOW).eval()
    threshold = _threshold(net, list(_scenes(stamps, [TRAIN_SIZE], 2, pictures)))
    counts, told, true, shown = Counts(SIZES), [], [], None
    for scene in _scenes(stamps, SIZES, 1, pictures):
        (found,) = detect(net, scene.image[None], threshold=THRESHOLDS[0])
        counts += count(found, scene, threshold, SIZES, UNIT)
        told.append(found)
        true.append(scene.targets)
        shown = shown or (scene, found)
    content = {
        "benchmark": "stamps",
        "data": {"names": options.names, "recipe": RECIPE, "shape": SHAPE, "objects": OBJECTS, "pictures": pictures},
        "train_size": TRAIN_SIZE,
        "network": net.architecture.tell(),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "training": asdict(recipe) | {"loss": repr(criterion), "seconds": done.seconds},
        "threshold": threshold,
        "f1": {f"{size:.4f}": value for size, value in zip(SIZES, counts.f1, strict=True)},
        "f1_all": counts.f1_all,
        "map50": mean_average_precision(told, true),
        "command": command_line(options),
        **results.provenance(),
    }
    names = [Path(name).stem for name in options.names]
    save_trained(net, folder / "stamps.safetensors", {"benchmark": "stamps", "classes": names, "threshold": threshold})
    results.save_json(content, folder / "results.json")
    table(content).save(folder)
    save(_figure(*shown, threshold, names), folder / "stamps.png")  # type: ignore[misc]
    console.print(table(content).rich())


def table(content: dict[str, Any]) -> Table:
    """F1 of each size, and of all."""
    title = (
        f"{len(content['data']['names'])} cut-outs on clouds, {content['data']['pictures']} scenes; trained at size "
        f"{content['train_size']:g} alone; a residual network of {content['parameters']} weights"
    )
    cells = [f"{value:.3f}" for value in (*content["f1"].values(), content["f1_all"], content["map50"])]
    return Table(title, ["size", *(f"{float(size):g}" for size in content["f1"]), "all", "mAP"], [["F1", *cells]])


def _scenes(stamps: torch.Tensor, sizes: Sequence[float], seed: int, pictures: int) -> Iterator[Scene]:
    """Each by a generator of its own; every second one is cluttered."""
    for number in range(pictures):
        rng = np.random.default_rng([seed, number])
        rows = rng.integers(len(stamps), size=int(rng.integers(*OBJECTS, endpoint=True))).tolist()
        yield draw_stamps(stamps, rows, sizes, rng, shape=SHAPE, cluttered=bool(number % 2))


def _threshold(net: Any, scenes: Sequence[Scene]) -> float:
    """The one of the best F1 on scenes of the size that was trained on."""
    found = [detect(net, scene.image[None], threshold=THRESHOLDS[0])[0] for scene in scenes]

    def f1(threshold: float) -> float:
        counts = (count(each, scene, threshold, (TRAIN_SIZE,), UNIT) for each, scene in zip(found, scenes, strict=True))
        return sum(counts, start=Counts((TRAIN_SIZE,))).f1_all

    return max(THRESHOLDS, key=f1)


def _figure(scene: Scene, found: dict[str, torch.Tensor], threshold: float, names: Sequence[str]) -> Any:
    """The first scene, with what was found in it."""
    figure, axes = plt.subplots(figsize=(9, 6.2), layout="constrained")
    axes.imshow(scene.image.movedim(0, -1).numpy())
    told = [found[name].tolist() for name in ("boxes", "labels", "sizes", "scores")]
    for (x0, y0, x1, y1), label, size, score in zip(*told, strict=True):
        if score >= threshold:
            colour = COLOURS[label % len(COLOURS)]
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=2))
            said = f"{names[label]}: {size:.0f} px"
            axes.text(x0, y0 - 3, said, fontsize=8, bbox={"facecolor": colour, "pad": 1, "alpha": 0.8, "lw": 0})
    axes.axis("off")
    return figure
