"""STIR: train on objects of some sizes anywhere in the picture, read others half or twice as large."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from benchmarks import data, machine, results
from benchmarks.augment import AUGMENTS, Scene, augmentation, composed
from benchmarks.evaluation import evaluate
from benchmarks.generalisation import command_line
from benchmarks.geometry import Augment, random_window
from benchmarks.kept import Kept
from benchmarks.networks import build, for_source, window_for, with_channels
from benchmarks.recipe import Recipe
from benchmarks.reports.tables import Table
from benchmarks.training import train
from scalegroup import ScaleGroupError, SpatialMax
from scalegroup.errors import check_integer

DESCRIPTION = "STIR's two questions: trained on 17 to 32 pixels, read 33 to 64; trained on 49 to 64, read 17 to 48"

TASKS: tuple[str, ...] = ("emoji", "mnist")
# name: pixels trained on, pixels tested on
DIRECTIONS = {"up": (range(17, 33), range(33, 65)), "down": (range(49, 65), range(17, 49))}
# 500 digits are few, however often they come
RECIPES = {
    "emoji": Recipe(epochs=20, label_smoothing=0.1),
    "mnist": Recipe(epochs=6, label_smoothing=0.1, augment=("elastic",), weight_decay=0.02),
}
# of the scale channels as many finest and coarsest as what is trained on does without
FEWER: dict[str, dict[str, tuple[int, int]]] = {
    "emoji": {"up": (0, 1), "down": (4, 0)},
    "mnist": {"up": (0, 1), "down": (3, 0)},
}

_MARGIN = 8  # pixels of what is around objects in training; the rest of the black is left out, as it changes nothing

# Altstidl and others, arXiv 2211.10288: means over 25 seeds (emoji: 50)
_NAMES = ("plain CNN", "Hermite (SESN)", "DISCO", "pixel pool", "ensemble of rescaled kernels")
_FIGURES = {
    ("emoji", "up"): (17.7, 52.2, 63.0, 56.1, 65.4),
    ("emoji", "down"): (23.7, 47.6, 53.1, 53.7, 50.9),
    ("mnist", "up"): (63.4, 74.7, 77.9, 89.3, 92.8),
    ("mnist", "down"): (68.5, 79.9, 78.6, 82.9, 84.9),
}
PUBLISHED = {name: {of: figures[n] for of, figures in _FIGURES.items()} for n, name in enumerate(_NAMES)}
"""Accuracy in %, by network, task and direction."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--emoji", type=Path, help="folder of emoji.npz, or of Font Awesome's svgs/")
    parser.add_argument("--mnist", type=Path, help="folder of mnist.npz, or of torchvision's MNIST")
    parser.add_argument("--directions", nargs="+", default=list(DIRECTIONS), help="up, down, or both (default: both)")
    usual = [recipe.epochs for recipe in RECIPES.values()]
    parser.add_argument("--epochs", type=int, nargs=2, default=usual, help="of emoji, of mnist (default: 20 6)")
    parser.add_argument("--widths", type=int, nargs="+", default=[12, 16, 24, 32], help="(default: 12 16 24 32)")
    parser.add_argument("--sigma-first", type=float, help="about σ₀ of the finest scale channel (default: the data's)")
    parser.add_argument("--channels", type=int, help="how many scale channels (default: up to the data's coarsest)")
    parser.add_argument(
        "--fewer-channels",
        type=int,
        nargs="+",
        help="so many of the finest and of the coarsest are there in testing only: two numbers for each direction "
        "(default: 0 1 for up; for down 4 0 of emoji, 3 0 of mnist; by validation pictures)",
    )
    parser.add_argument(
        "--dropped-channels",
        type=int,
        default=0,
        help="scale-channel dropout: in training at most this many of the finest are left out (default: %(default)s)",
    )
    parser.add_argument(
        "--augment",
        nargs="*",
        help=f"changes of training pictures, of {', '.join(AUGMENTS)} (default: none of emoji, elastic of mnist)",
    )
    parser.add_argument("--label-smoothing", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and order (default: 0)")
    parser.add_argument("--validation", action="store_true", help="test on the validation pictures: to choose by")
    parser.add_argument("--train-images", type=int, help="only so many of each size, from all classes")
    parser.add_argument("--test-images", type=int, help="only so many of each size, from all classes")
    machine.add_arguments(parser)
    results.add_arguments(parser, "stir", checkpoints=False)


def run(options: argparse.Namespace) -> None:
    """Train each network, test, tell; write when all are done."""
    roots = {task: root for task in TASKS if (root := getattr(options, task)) is not None}
    if not roots:
        raise ScaleGroupError("no data", expected="a folder", mend="pass --emoji FOLDER, --mnist FOLDER or both")
    unknown = [name for name in options.directions if name not in DIRECTIONS]
    if unknown:
        raise ScaleGroupError(f"direction {unknown[0]!r}", expected=f"one of {list(DIRECTIONS)}", mend="choose")
    fewer: dict[str, dict[str, tuple[int, int]]] = FEWER
    if options.fewer_channels is not None:
        counts = [check_integer("fewer channels", count, at_least=0) for count in options.fewer_channels]
        if len(counts) != 2 * len(options.directions):
            raise ScaleGroupError(
                f"{len(counts)} fewer channels",
                expected="two for each direction",
                mend="pass finest and coarsest of each",
            )
        of_each = dict(zip(options.directions, zip(counts[::2], counts[1::2], strict=True), strict=True))
        fewer = dict.fromkeys(TASKS, of_each)
    machine.use(options)
    seeds = [check_integer("seed", seed, at_least=0) for seed in options.seeds]
    sources, recipes, architectures, augments = {}, {}, {}, {}
    for task, epochs in zip(TASKS, options.epochs, strict=True):
        usual = RECIPES[task]
        augment = usual.augment if options.augment is None else tuple(options.augment)
        recipes[task] = replace(usual, epochs=epochs, label_smoothing=options.label_smoothing, augment=augment)
        if task in roots:
            source = data.load(f"stir-{task}", data.Place(roots[task]))
            source = source.validating(10**6) if options.validation else source
            sources[task] = source.first(train=options.train_images, test=options.test_images)
            for direction in options.directions:
                augments[task, direction] = _augment(source, direction, augment)
            architectures[task] = for_source(
                source,
                "multi_scale",
                widths=tuple(options.widths),
                window=window_for(source.window, options.sigma_first, options.channels),
                readout=SpatialMax(),
                scale_dropout=check_integer("dropped channels", options.dropped_channels, at_least=0),
            )
    folder, accelerator = results.make_folder(options.output), Accelerator(cpu=options.device == "cpu")
    kept, console = Kept(results.make_folder(folder / "rows"), options.resume), Console(soft_wrap=True)

    def row(task: str, direction: str, seed: int) -> dict[str, Any]:
        """One network, trained and tested."""
        (seen, unseen), source, whole = DIRECTIONS[direction], sources[task], architectures[task].window
        finest, coarsest = fewer[task][direction]
        net = build(architectures[task].changed(window=whole.select(finest, whole.channels - coarsest)), seed)
        trained_on = data.Labelled.together(*(source.draw("train", size) for size in seen))
        done = train(
            f"{task}-{direction}-seed{seed}",
            net,
            trained_on,
            recipes[task],
            seed=seed,
            accelerator=accelerator,
            folder=folder,
            console=console,
            resume=options.resume,
            augment=augments[task, direction],
        )
        net, found = with_channels(net, whole), {}
        for size in unseen:
            of = source.draw("test", size)
            found[str(size)] = evaluate(net, of.images, of.labels, accelerator=accelerator).accuracy
        console.print(f"{task} {direction}, seed {seed}: {100 * mean(found.values()):.1f} %")
        told = {"task": task, "direction": direction, "seed": seed, "seconds": done.seconds}
        return told | {"train_images": len(trained_on.labels), "accuracy": found, **results.provenance()}

    rows = []
    for task, direction, seed in product(sources, options.directions, seeds):
        setting = {"data": sources[task].name, "network": architectures[task].tell(), "fewer": fewer[task][direction]}
        setting |= {"recipe": asdict(recipes[task]), "images": sources[task].limits}
        rows.append(kept.row(f"{task}-{direction}-seed{seed}", setting, partial(row, task, direction, seed)))
    accuracy = summary(rows)
    content = {
        "benchmark": "stir",
        "data": {task: {"name": source.name, "recipe": source.recipe} for task, source in sources.items()},
        "network": {task: architecture.tell() for task, architecture in architectures.items()},
        "fewer_channels": {
            task: {direction: fewer[task][direction] for direction in options.directions} for task in sources
        },
        "training": {task: asdict(recipes[task]) for task in sources},
        "accuracy": {task: {to: mean(of) for to, of in each.items()} for task, each in accuracy.items()},
        "seeds": seeds,
        "rows": rows,
        "command": command_line(options),
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")
    report = table(content).save(folder)
    console.print(table(content).rich())
    console.print("wrote " + ", ".join(str(path) for path in (folder / "results.json", report)))


def _augment(source: data.Source, direction: str, names: tuple[str, ...]) -> Augment:
    """What there is around objects in training, and changes by name."""
    seen, unseen = DIRECTIONS[direction]
    window = random_window(min(max(seen) + _MARGIN, source.canvas), source.boundary)
    changes = augmentation(names, Scene(source.boundary, tuple(map(float, seen)), tuple(map(float, unseen))))
    return window if changes is None else composed([window, changes])


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """By task and direction, the mean over test sizes of every seed."""
    result: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        result.setdefault(row["task"], {}).setdefault(row["direction"], []).append(mean(row["accuracy"].values()))
    return result


def table(content: dict[str, Any]) -> Table:
    """Means over seeds and their standard deviations, beside published means."""
    accuracy, seeds = summary(content["rows"]), len(content["seeds"])
    columns = [(task, to) for task in TASKS for to in DIRECTIONS]
    ours = [_cell([100 * value for value in accuracy.get(task, {}).get(to, [])]) for task, to in columns]
    published = [[name, *(f"{figures[column]:.1f}" for column in columns)] for name, figures in PUBLISHED.items()]
    heads = [f"{task}, {read_at}" for task in TASKS for read_at in ("17–32 → 33–64", "49–64 → 17–48")]
    title = (
        f"STIR: accuracy in % at sizes never trained on, in pixels; ours: means over {seeds} seeds, others as published"
    )
    return Table(title, ["network", *heads], [["ours", *ours], *published])


def _cell(values: list[float]) -> str:
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}" if values else "–"
