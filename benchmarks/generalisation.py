"""Scale generalisation: train on objects of one size, read objects of sizes never seen."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from benchmarks import data, figures, results
from benchmarks.training import Evaluation, Recipe, evaluate, train
from scalegroup import Background, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_integer, check_number, check_positive
from scalegroup.models import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing import covariance_check

DESCRIPTION = "train at one size only, test at sizes never seen (Figures 8 and 10)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    parser.add_argument("--preset", default="multi_scale", help=f"widths: {', '.join(PRESETS)} (default: %(default)s)")
    parser.add_argument("--train-size", type=float, default=1.0, help="the only size trained on (default: 1)")
    parser.add_argument("--sizes", type=float, nargs="+", help="test sizes (default: the data set's, 2^(k/4))")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the training images (default: %(default)s)")
    parser.add_argument(
        "--dropped-channels",
        type=int,
        default=2,
        help="scale-channel dropout in training: at most this many of the finest, 0: none (default: %(default)s)",
    )
    parser.add_argument("--label-smoothing", type=float, default=0.1, help="of the loss (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to compute (default: cpu)")
    parser.add_argument(
        "--min-grid-sigma",
        type=float,
        default=1.0,
        help="coarsest grids, σ₀ in samples; 0: full resolution (default: 1)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results/generalisation"), help="folder (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """The whole experiment: check, train, test, tell, write."""
    console = Console(soft_wrap=True)
    train_size = check_positive("train size", options.train_size)
    recipe = Recipe(
        epochs=check_integer("epochs", options.epochs, at_least=1),
        dropped_channels=check_integer("dropped channels", options.dropped_channels, at_least=0),
        label_smoothing=check_number("label smoothing", options.label_smoothing),
    )
    if not 0 <= recipe.label_smoothing < 1:
        raise ScaleGroupError(f"label smoothing {recipe.label_smoothing:g}", expected="in [0, 1)", mend="try 0.1")
    if options.threads is not None:
        torch.set_num_threads(check_integer("threads", options.threads, at_least=1))
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ScaleGroupError("device cuda", expected="a CUDA device", mend="run with --device cpu")
    source = data.choose(options)
    sizes = [check_positive("size", size) for size in options.sizes or source.sizes]
    nets = make_nets(options, source, train_size)
    folder = results.make_folder(options.output)
    checkpoints = results.make_folder(folder / "checkpoints")
    accelerator = Accelerator(cpu=options.device == "cpu")

    trained_on = source.draw("train", train_size)
    console.print(
        f"{source.name}: {len(trained_on.labels)} images of size {train_size:g} ({round(source.unit * train_size)} "
        f"pixels on a {source.canvas}×{source.canvas} canvas) to train, others to test at {len(sizes)} sizes"
    )
    seconds: dict[str, dict[str, float]] = {}
    evaluations: dict[str, dict[str, Evaluation]] = {}
    for name, net in nets.items():
        console.print(f"{name}: {net.lift.window!r}, {net.extra_repr()}")
        began = time.perf_counter()
        train(
            name,
            net,
            trained_on.images,
            trained_on.labels,
            recipe,
            accelerator=accelerator,
            seed=options.seed,
            console=console,
            checkpoint=checkpoints / f"{name}.safetensors",
        )
        trained = time.perf_counter()
        with console.status(f"{name}: testing"):
            evaluations[name] = {
                f"{size:.4f}": evaluate(net, tested_on.images, tested_on.labels)
                for size in sizes
                if (tested_on := source.draw("test", size))
            }
        seconds[name] = {"train": trained - began, "test": time.perf_counter() - trained}

    check = covariance_check()
    content = {
        "benchmark": "generalisation",
        "data": {
            "name": source.name,
            "recipe": source.recipe,
            "unit": source.unit,
            "canvas": source.canvas,
        },
        "training": asdict(recipe),
        "train_size": train_size,
        "train_images": len(trained_on.labels),
        "test_images": sum(next(iter(evaluations["multi_scale"].values())).selected),
        "accuracy": {net: {s: e.accuracy for s, e in of.items()} for net, of in evaluations.items()},
        "selected_scale": {
            net: {
                "sigma0": list(nets[net].lift.window.sigmas),
                "histogram": {size: list(e.selected) for size, e in of.items()},
            }
            for net, of in evaluations.items()
        },
        "covariance_check": asdict(check),
        "parameters": {
            name: {"trained": net.parameter_count, "as_the_paper_counts": net.paper_parameter_count}
            for name, net in nets.items()
        },
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "seed": options.seed,
        "seconds": seconds,
        **results.provenance(),
    }
    written = write_all(folder, nets, content)
    _tell(console, content, str(check))
    console.print("wrote " + ", ".join(str(path) for path in written))


def make_nets(options: argparse.Namespace, source: data.Source, train_size: float) -> dict[str, GaussianDerivativeNet]:
    """The multi-scale network asked for, and a single-scale one with σ₀ at the training size."""
    common: dict[str, Any] = {
        "boundary": Background(data.BACKGROUND),
        "min_grid_sigma": check_positive("min grid sigma", options.min_grid_sigma) if options.min_grid_sigma else None,
    }
    nets = {}
    single = ScaleWindow(source.window.group, sigma0=train_size, channels=1)
    for name, preset, window in (
        ("multi_scale", options.preset, source.window),
        ("single_scale", "single_scale", single),
    ):
        torch.manual_seed(check_integer("seed", options.seed))
        nets[name] = gaussian_derivative_net(preset, window=window, **common)
    return nets


def write_all(folder: Path, nets: dict[str, GaussianDerivativeNet], content: dict[str, Any]) -> list[Path]:
    """Weights, figures and `results.json`, each complete or not at all."""
    paths = [folder / name for name in ("results.json", "accuracy.png", "selected_scale.png")]
    train_size, name = content["train_size"], content["data"]["name"]
    weights = [folder / f"{net}.safetensors" for net in nets]
    for net, path in zip(nets.values(), weights, strict=True):
        results.save_weights(net, path)
    title = f"{name}: trained on {content['train_images']} images of size {train_size:g}"
    figures.accuracy_over_size(content["accuracy"], train_size, title, paths[1])
    multi = content["selected_scale"]["multi_scale"]
    figures.selected_scale_over_size(multi["histogram"], multi["sigma0"], f"{name}: scale selection", paths[2])
    results.save_json(content, paths[0])
    return paths + weights


def _tell(console: Console, content: dict[str, Any], check: str) -> None:
    """The tables on the screen."""
    accuracy, selection = content["accuracy"], content["selected_scale"]["multi_scale"]
    table = Table(
        title=f"accuracy on {content['test_images']} held-out images, trained at size {content['train_size']:g}"
    )
    table.add_column("size", justify="right")
    for name in accuracy:
        table.add_column(name.replace("_", "-"), justify="right")
    for size in selection["histogram"]:
        seen = " (trained)" if abs(float(size) - content["train_size"]) < 1e-3 else ""
        table.add_row(size + seen, *(f"{of[size]:.1%}" for of in accuracy.values()))
    console.print(table)

    table = Table(title="scale selection of the multi-scale network: images per scale channel, by σ₀")
    table.add_column("size", justify="right")
    for sigma in selection["sigma0"]:
        table.add_column(f"{sigma:.3g}", justify="right")
    for size, counts in selection["histogram"].items():
        table.add_row(size, *(str(count) if count else "·" for count in counts))
    console.print(table)
    console.print(f"covariance: {check}")
