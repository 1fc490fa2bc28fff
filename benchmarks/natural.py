"""Natural pictures, trained at one size: residual, plain and ordinary networks, read at half to twice the size."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import costs, data, machine, results
from benchmarks.augment import AUGMENTS, Scene, augmentation
from benchmarks.evaluation import accuracy, evaluate
from benchmarks.generalisation import command_line
from benchmarks.kept import Kept
from benchmarks.natural_networks import MAIN, NETWORKS, Moments, Setup
from benchmarks.networks import window_for, with_channels
from benchmarks.recipe import Recipe
from benchmarks.reports import natural as report
from benchmarks.training import train
from scalegroup import ScaleGroupError, ScaleWindow
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import RESNET_PRESETS, GaussianDerivativeNet, save_trained

DESCRIPTION = (
    "natural pictures at one size, read at others: residual against plain and ordinary networks, and an ablation"
)

TRAIN_SIZE = 1.0
_GREY = [128, 128, 128]  # around what is cut out, for those who read other pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    parser.set_defaults(data="rescaled-cifar10")
    parser.add_argument(
        "--networks", nargs="+", default=list(MAIN), help=f"of {', '.join(NETWORKS)} (default: the first five)"
    )
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=50, help="images a step (default: %(default)s)")
    parser.add_argument("--highest-rate", type=float, default=0.01, help="of learning (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=0.02, help="AdamW's (default: %(default)s)")
    parser.add_argument("--label-smoothing", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument(
        "--augment",
        nargs="*",
        default=["flip", "shift"],
        help=f"changes of training images, of {', '.join(AUGMENTS)} (default: flip shift)",
    )
    parser.add_argument("--sigma-first", type=float, help="about σ₀ of the finest scale channel (default: the data's)")
    parser.add_argument("--channels", type=int, help="how many scale channels (default: up to the data's coarsest)")
    parser.add_argument(
        "--fewer-channels",
        type=int,
        nargs=2,
        default=[0, 0],
        metavar=("FINEST", "COARSEST"),
        help="so many of the finest and of the coarsest are there in testing only (default: 0 0)",
    )
    parser.add_argument(
        "--field-of-view",
        type=float,
        default=RESNET_PRESETS["small"].field_of_view,
        help="each scale channel sees what is within so many σ₀ of the image's centre (default: %(default)s)",
    )
    parser.add_argument("--dropped-channels", type=int, default=0, help="scale-channel dropout (default: %(default)s)")
    parser.add_argument(
        "--test-canvas", type=int, help="pixels across of images to test, where pictures go on further (default: all's)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and order (default: 0)")
    parser.add_argument("--costs", action="store_true", help="measure times as well: with nothing else running")
    machine.add_arguments(parser)
    results.add_arguments(parser, "natural")


@dataclass(frozen=True)
class Experiment:
    """What is the same for all networks."""

    source: data.Source
    tested: data.Source
    window: ScaleWindow
    fewer: tuple[int, int]
    field_of_view: float
    dropped: int
    recipe: Recipe
    folder: Path
    device: str
    resume: bool
    checkpoint_every: int | None
    console: Console
    command: str

    def setting(self, name: str, seed: int) -> dict[str, Any]:
        """What decides a row."""
        window = {"sigma0": list(self.window.sigmas), "fewer": list(self.fewer), "dropped": self.dropped}
        told = {"network": name, "seed": seed, "data": self.source.name, "images": self._counts}
        told |= {"sizes": self.source.sizes, "field_of_view": self.field_of_view}
        if self.tested != self.source:
            told |= {"test_canvas": self.tested.canvas}
        return told | {"window": window, "recipe": asdict(self.recipe)}

    def build(self, name: str, seed: int) -> nn.Module:
        """As it is trained."""
        torch.manual_seed(seed)
        finest, coarsest = self.fewer
        trained = self.window.select(finest, self.window.channels - coarsest)
        return NETWORKS[name].build(Setup(self.source, trained, self.dropped, self._moments, self.field_of_view))

    @cached_property
    def _train(self) -> data.Labelled:
        return self.source.draw("train", TRAIN_SIZE)

    @cached_property  # images are drawn only to be counted
    def _counts(self) -> dict[str, int]:
        return {"train": len(self._train.labels), "test": len(self.source.draw("test", TRAIN_SIZE).labels)}

    @cached_property
    def _moments(self) -> Moments | None:
        return self.source.moments([TRAIN_SIZE])

    def row(self, name: str, seed: int) -> dict[str, Any]:
        """Trained and tested, its weights kept where it is one of ours."""
        net, run = self.build(name, seed), f"{name}-seed{seed}"
        extents = [tuple(self.source.unit * size for size in sizes) for sizes in ((TRAIN_SIZE,), self.source.sizes)]
        changes = (*self.recipe.augment, *NETWORKS[name].changes)
        done = train(
            run,
            net,
            self._train,
            self.recipe,
            seed=seed,
            accelerator=Accelerator(cpu=self.device == "cpu"),
            folder=self.folder,
            console=self.console,
            resume=self.resume,
            checkpoint_every=self.checkpoint_every,
            augment=augmentation(changes, Scene(self.source.boundary, *extents)),
        )
        row: dict[str, Any] = {"parameters": sum(value.numel() for value in net.parameters())}
        row |= {"multiply_adds": multiply_adds(net, self.source), "train_seconds": done.seconds, "accuracy": {}}
        if isinstance(net, GaussianDerivativeNet) and net.window.channels > 1:
            net = with_channels(net, self.window)
            row["selected_scale"] = {"sigma0": list(net.window.sigmas), "histogram": {}}
        for size in self.source.sizes:
            of = self.tested.draw("test", size)
            if "selected_scale" in row:
                found = evaluate(net, of.images, of.labels)  # type: ignore[arg-type]
                row["selected_scale"]["histogram"][f"{size:.4f}"] = list(found.selected)
                row["accuracy"][f"{size:.4f}"] = found.accuracy
            else:
                row["accuracy"][f"{size:.4f}"] = accuracy(net, of.images, of.labels)
        if isinstance(net, GaussianDerivativeNet):
            about = {"benchmark": "natural", **self.setting(name, seed), "accuracy": row["accuracy"]}
            about |= {"pictures": self.source.recipe, "canvas": self.source.canvas, "train_size": TRAIN_SIZE}
            about |= {"size": int(TRAIN_SIZE * self.source.unit)}
            about |= {"colour": _GREY} if self.source.channels == 3 else {}
            about |= {"classes": list(self.source.class_names), "range": [0.0, 1.0]}
            about |= {"command": self.command, **results.provenance()}
            row["weights"] = {run: save_trained(net, self.folder / f"{run}.safetensors", about).sha256}
            row["network"] = net.architecture.tell()
        return row | results.provenance()

    def costs(self, names: Sequence[str], threads: int) -> dict[str, list[dict[str, Any]]]:
        """Times of each network as it is trained (`costs.Bench`)."""
        source, scope = self.source, costs.Scope(batch=self.recipe.batch)
        shape = source.channels, source.canvas, source.canvas
        bench = costs.Bench(shape, source.classes, self.device, threads, scope)
        return {name: bench.times(partial(self.build, name, 0)) for name in names}


def run(options: argparse.Namespace) -> None:
    """Train what is not there yet, test, tell, write."""
    if unknown := [name for name in options.networks if name not in NETWORKS]:
        raise ScaleGroupError(f"network {unknown[0]!r}", expected=f"one of {list(NETWORKS)}", mend="choose from these")
    threads = machine.use(options)
    source = data.choose(options)
    window = window_for(source.window, options.sigma_first, options.channels)
    finest, coarsest = (check_integer("fewer channels", count, at_least=0) for count in options.fewer_channels)
    if finest + coarsest >= window.channels:
        raise ScaleGroupError(
            f"{finest} + {coarsest} fewer of {window.channels} channels", expected="one left", mend="leave out fewer"
        )
    experiment = Experiment(
        source=source,
        tested=source if options.test_canvas is None else _on_canvas(source, options.test_canvas),
        window=window,
        fewer=(finest, coarsest),
        field_of_view=check_positive("field of view", options.field_of_view),
        dropped=check_integer("dropped channels", options.dropped_channels, at_least=0),
        recipe=Recipe(
            epochs=options.epochs,
            batch=options.batch,
            highest_rate=options.highest_rate,
            label_smoothing=options.label_smoothing,
            augment=tuple(options.augment),
            weight_decay=options.weight_decay,
        ),
        folder=results.make_folder(options.output),
        device=options.device,
        resume=options.resume,
        checkpoint_every=options.checkpoint_every,
        console=Console(soft_wrap=True),
        command=command_line(options),
    )
    kept = Kept(results.make_folder(options.output / "rows"), options.resume)
    seeds = [check_integer("seed", seed, at_least=0) for seed in options.seeds]
    rows = []
    for name, seed in product(options.networks, seeds):
        make = partial(experiment.row, name, seed)
        rows.append(kept.row(f"{name}-seed{seed}", experiment.setting(name, seed), make))
    content = {
        "benchmark": "natural",
        "data": {"name": source.name, "recipe": source.recipe, "unit": source.unit, "canvas": source.canvas},
        "train_size": TRAIN_SIZE,
        "training": asdict(experiment.recipe),
        "accuracy": report.means(rows),
        "rows": rows,
        "costs": experiment.costs(options.networks, threads) if options.costs else {},
        "command": experiment.command,
        **results.provenance(),
    }
    results.save_json(content, options.output / "results.json")
    written = report.write(content, options.output)
    experiment.console.print(report.brief(content).rich())
    experiment.console.print("wrote " + ", ".join(str(path) for path in (options.output / "results.json", *written)))


def _on_canvas(source: data.Source, pixels: int) -> data.Source:
    """The same pictures in larger images. Raises `ScaleGroupError` if they would not lie where they did."""
    check_integer("test canvas", pixels, at_least=source.canvas)
    if (pixels - source.canvas) % 2:
        raise ScaleGroupError(
            f"a test canvas of {pixels} pixels",
            expected=f"an even number more than {source.canvas}",
            mend="choose a whole number of pixels more on each side",
        )
    return replace(source, canvas=pixels)


def multiply_adds(net: nn.Module, source: data.Source) -> int:
    """Of one image, forward, as torch counts them."""
    net.eval()
    image = torch.zeros(1, source.channels, source.canvas, source.canvas, device=next(net.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(image)
    return counter.get_total_flops() // 2
