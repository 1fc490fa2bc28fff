"""STIR: train on objects of some sizes anywhere in the picture, read others half or twice as large."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from benchmarks import data, results
from benchmarks.evaluation import evaluate
from benchmarks.networks import build, window_for, with_finer_channels
from benchmarks.recipe import Recipe
from benchmarks.training import train
from scalegroup import Background, ScaleGroupError, SpatialMax
from scalegroup.errors import check_integer
from scalegroup.models import PRESETS

DESCRIPTION = "STIR's two questions: trained on 17 to 32 pixels, read 33 to 64; trained on 49 to 64, read 17 to 48"

TASKS = ("emoji", "mnist")
# name: pixels trained on, pixels tested on
DIRECTIONS = {"up": (range(17, 33), range(33, 65)), "down": (range(49, 65), range(17, 49))}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--emoji", type=Path, help="folder of emoji.npz, or of Font Awesome's svgs/")
    parser.add_argument("--mnist", type=Path, help="folder of mnist.npz, or of torchvision's MNIST")
    parser.add_argument("--directions", nargs="+", default=list(DIRECTIONS), help="up, down, or both (default: both)")
    parser.add_argument("--epochs", type=int, nargs=2, default=[60, 6], help="of emoji, of mnist (default: 60 6)")
    parser.add_argument("--widths", type=int, nargs="+", default=[12, 16, 24, 32], help="(default: 12 16 24 32)")
    parser.add_argument("--sigma-first", type=float, help="about σ₀ of the finest scale channel (default: the data's)")
    parser.add_argument("--channels", type=int, help="how many scale channels (default: up to the data's coarsest)")
    parser.add_argument(
        "--finer-channels",
        type=int,
        nargs="+",
        default=[0],
        help="so many of the finest are there in testing only; one number, or one for each direction (default: 0)",
    )
    parser.add_argument("--dropped-channels", type=int, default=0, help="scale-channel dropout (default: %(default)s)")
    parser.add_argument("--label-smoothing", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and order (default: 0)")
    parser.add_argument("--validation", action="store_true", help="test on the validation pictures: to choose by")
    parser.add_argument("--train-images", type=int, help="only the first so many of each size")
    parser.add_argument("--test-images", type=int, help="only the first so many of each size")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to compute (default: cpu)")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run of this command stopped")
    parser.add_argument("--output", type=Path, default=Path("results/stir"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Train each network, test, tell; write when all are done."""
    roots = {task: root for task in TASKS if (root := getattr(options, task)) is not None}
    if not roots:
        raise ScaleGroupError("no data", expected="a folder", mend="pass --emoji FOLDER, --mnist FOLDER or both")
    unknown = [name for name in options.directions if name not in DIRECTIONS]
    if unknown:
        raise ScaleGroupError(f"direction {unknown[0]!r}", expected=f"one of {list(DIRECTIONS)}", mend="choose")
    finer = options.finer_channels * (len(options.directions) if len(options.finer_channels) == 1 else 1)
    if len(finer) != len(options.directions):
        raise ScaleGroupError(
            f"{len(finer)} finer channels", expected="one number, or one for each direction", mend="pass one of these"
        )
    if options.threads is not None:
        torch.set_num_threads(check_integer("threads", options.threads, at_least=1))
    seeds = [check_integer("seed", seed, at_least=0) for seed in options.seeds]
    sources, recipes, architectures = {}, {}, {}
    for task, epochs in zip(TASKS, options.epochs, strict=True):
        recipes[task] = Recipe(
            epochs=epochs, dropped_channels=options.dropped_channels, label_smoothing=options.label_smoothing
        )
        if task in roots:
            source = data.load(f"stir-{task}", data.Place(roots[task]))
            source = source.validating(10**6) if options.validation else source
            sources[task] = source.first(train=options.train_images, test=options.test_images)
            architectures[task] = PRESETS["multi_scale"].changed(
                widths=tuple(options.widths),
                window=window_for(source.window, options.sigma_first, options.channels),
                boundary=Background(source.background),
                readout=SpatialMax(),
                num_classes=source.classes,
            )
    folder, accelerator = results.make_folder(options.output), Accelerator(cpu=options.device == "cpu")
    console = Console(soft_wrap=True)
    rows = []
    for task, source in sources.items():
        for direction, fewer in zip(options.directions, finer, strict=True):
            trained_on, tested_on = DIRECTIONS[direction]
            parts = [source.draw("train", size) for size in trained_on]
            images, labels = (torch.cat([getattr(part, of) for part in parts]) for of in ("images", "labels"))
            for seed in seeds:
                whole = architectures[task].window
                net = build(architectures[task].changed(window=whole.select(fewer, whole.channels)), seed)
                done = train(
                    f"{task}-{direction}-seed{seed}",
                    net,
                    data.Labelled(images, labels),
                    recipes[task],
                    seed=seed,
                    accelerator=accelerator,
                    folder=folder,
                    console=console,
                    resume=options.resume,
                )
                net, found = with_finer_channels(net, fewer), {}
                for size in tested_on:
                    part = source.draw("test", size)
                    found[size] = evaluate(net, part.images, part.labels, accelerator=accelerator).accuracy
                row = {"task": task, "direction": direction, "seed": seed, "seconds": done.seconds}
                rows.append(row | {"train_images": len(labels), "accuracy": found})
                console.print(f"{task} {direction}, seed {seed}: {100 * mean(found.values()):.1f} %")
    accuracy = summary(rows)
    console.print(table(accuracy))
    content = {
        "benchmark": "stir",
        "data": {task: {"name": source.name, "recipe": source.recipe} for task, source in sources.items()},
        "network": {task: architecture.tell() for task, architecture in architectures.items()},
        "finer_channels": dict(zip(options.directions, finer, strict=True)),
        "training": {task: asdict(recipes[task]) for task in sources},
        "accuracy": {task: {to: mean(of) for to, of in each.items()} for task, each in accuracy.items()},
        "seeds": seeds,
        "rows": rows,
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """By task and direction, the mean over test sizes of every seed."""
    result: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        result.setdefault(row["task"], {}).setdefault(row["direction"], []).append(mean(row["accuracy"].values()))
    return result


def table(accuracy: dict[str, dict[str, list[float]]]) -> Table:
    """Means over seeds, and their spread."""
    result = Table("accuracy in %", *DIRECTIONS)
    for task, each in accuracy.items():
        cells = []
        for to in DIRECTIONS:
            of = [100 * value for value in each.get(to, [])]
            spread = f" ± {stdev(of):.1f}" if len(of) > 1 else ""
            cells.append(f"{mean(of):.1f}{spread}" if of else "–")
        result.add_row(task, *cells)
    return result
