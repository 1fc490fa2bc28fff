"""Scale generalisation: train on objects of one size, read objects of sizes never seen."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from benchmarks import data, machine, results
from benchmarks.augment import AUGMENTS, Scene, augmentation
from benchmarks.evaluation import evaluate
from benchmarks.geometry import Augment
from benchmarks.kept import has_weights
from benchmarks.networks import add_network_arguments, architectures_for, build, with_more_channels
from benchmarks.recipe import LOSSES, Recipe
from benchmarks.reports import generalisation as report
from benchmarks.reports import tables
from benchmarks.reports.runs import Family, families, runs_in
from benchmarks.reports.selection import fit
from benchmarks.training import train
from scalegroup import ScaleGroupError
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import GaussianDerivativeNet, save_trained
from scalegroup.testing import covariance_check

DESCRIPTION = "train at one size only, test at sizes never seen (Figures 8 and 10)"

# options that say where and how to compute, not what
_INCIDENTAL = {"data_root", "download", "cache", "train_size", "seeds", "threads", "device", "checkpoint_every"}
_INCIDENTAL |= {"resume", "output", "name"}

_KEPT = ("data", "training", "train_size", "train_images", "test_images", "seed", "command", "commit", "versions")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    add_network_arguments(parser)
    parser.add_argument(
        "--train-size",
        type=_train_sizes,
        nargs="+",
        default=[(1.0,)],
        help="the only size trained on; several: one experiment each; 1+2+4: one on a mixture (default: 1)",
    )
    parser.add_argument("--sizes", type=float, nargs="+", help="test sizes (default: the data set's, 2^(k/4))")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the training images (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=50, help="images per step (default: %(default)s)")
    parser.add_argument("--loss", default="cross-entropy", help=f"{', '.join(LOSSES)} (default: %(default)s)")
    parser.add_argument("--label-smoothing", type=float, default=0.1, help="of the loss (default: %(default)s)")
    parser.add_argument(
        "--cut-share",
        type=float,
        default=0.0,
        help="of so many training images only a central square is left, as of objects too large (default: 0)",
    )
    parser.add_argument(
        "--augment",
        nargs="+",
        default=[],
        help=f"changes of training images by chance, in this order: {', '.join(AUGMENTS)}; the last shows the network "
        "all sizes that are tested (default: none)",
    )
    parser.add_argument(
        "--weight-decay", type=float, default=0.0, help="AdamW's, of weights, not of offsets and norms (default: 0)"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of weights and order; one experiment each (default: 0)"
    )
    machine.add_arguments(parser)
    results.add_arguments(parser, "generalisation")


def _train_sizes(text: str) -> tuple[float, ...]:
    return tuple(float(size) for size in text.split("+"))


@dataclass(frozen=True)
class Experiment:
    """One training set and one seed: what one `results.json` tells of."""

    train_sizes: tuple[float, ...]
    seed: int
    folder: Path
    nets: dict[str, GaussianDerivativeNet]
    augment: Augment | None

    def is_done(self, told: dict[str, Any]) -> bool:
        """Whether its folder holds the results of just this, and their weights, `told` being the options."""
        try:
            content = results.read_json(self.folder / "results.json")
            of = content["options"] | {"train_size": content["train_size"], "seed": content["seed"]}
            weights = content["weights"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        wanted = {"train_size": _told(self.train_sizes), "seed": self.seed}
        wanted |= {name: value for name, value in told.items() if name not in _INCIDENTAL}
        same = all(name in of and of[name] == value for name, value in wanted.items())
        return same and weights.keys() == self.nets.keys() and has_weights(self.folder, weights)


def run(options: argparse.Namespace) -> None:
    """The whole experiment: check, train, test, tell, write; once for each training size and seed."""
    source = data.choose(options)
    sizes = _distinct([check_positive("size", size) for size in options.sizes or source.sizes])
    recipe = Recipe(
        epochs=options.epochs,
        batch=options.batch,
        label_smoothing=options.label_smoothing,
        loss=options.loss,
        cut_share=options.cut_share,
        augment=tuple(options.augment),
        weight_decay=options.weight_decay,
    )
    machine.use(options)
    if options.checkpoint_every is not None:
        check_integer("checkpoint every", options.checkpoint_every, at_least=1)
    experiments = _experiments(options, source, sizes, recipe)
    accelerator = Accelerator(cpu=options.device == "cpu")
    console = Console(soft_wrap=True, quiet=not accelerator.is_main_process)
    for experiment in experiments:
        if options.resume and experiment.is_done(_told_options(options)):
            console.print(f"{experiment.folder}: done before")
        else:
            _run(experiment, options, source, sizes, recipe, accelerator, console)


def _experiments(
    options: argparse.Namespace, source: data.Source, sizes: list[float], recipe: Recipe
) -> list[Experiment]:
    """Each training set with each seed, all checked before the first is begun."""
    trained = [check_positive("train size", size) for train_sizes in options.train_size for size in train_sizes]
    for seed in options.seeds:
        check_integer("seed", seed, at_least=0)
    source.check("train", trained)
    source.check("test", sizes)
    several = len(options.train_size) * len(options.seeds) > 1
    experiments = []
    for train_sizes in options.train_size:
        extents = [tuple(source.unit * size for size in sorted(some)) for some in (train_sizes, sizes)]
        augment = augmentation(recipe.augment, Scene(source.boundary, *extents), cut_share=recipe.cut_share)
        chains = architectures_for(options, source, train_sizes)
        for seed in options.seeds:
            nets = {of: build(architecture, seed) for of, architecture in chains.items()}
            for net in nets.values():  # what cannot be run is refused before it is trained
                with_more_channels(net, options.finer_channels, options.coarser_channels).plan(
                    (source.canvas, source.canvas)
                )
            name = f"size{'+'.join(repr(size).removesuffix('.0') for size in train_sizes)}-seed{seed}"
            folder = results.make_folder(options.output / name if several else options.output)
            experiments.append(Experiment(train_sizes, seed, folder, nets, augment))
    if len({experiment.folder for experiment in experiments}) < len(experiments) and several:
        raise ScaleGroupError("the same experiment twice", expected="other sizes or seeds", mend="leave one out")
    return experiments


def _run(
    experiment: Experiment,
    options: argparse.Namespace,
    source: data.Source,
    sizes: list[float],
    recipe: Recipe,
    accelerator: Accelerator,
    console: Console,
) -> None:
    def draw(part: data.Part, size: float) -> data.Labelled:
        with accelerator.main_process_first():  # it draws, the others read what it keeps
            return source.draw(part, size)

    trained_on = data.Labelled.together(*(draw("train", size) for size in experiment.train_sizes))
    words = " and ".join(f"{size:g} ({round(source.unit * size)} pixels)" for size in experiment.train_sizes)
    console.print(
        f"{source.name}: {len(trained_on.labels)} images of size {words} on a {source.canvas}×{source.canvas} canvas "
        f"to train, others to test at {len(sizes)} sizes, seed {experiment.seed}"
    )
    for name, net in experiment.nets.items():
        console.print(f"{name}: {net.window!r}, {net.parameter_count} parameters")
    seconds = {
        name: {
            "train": train(
                name,
                net,
                trained_on,
                recipe,
                seed=experiment.seed,
                accelerator=accelerator,
                folder=experiment.folder,
                console=console,
                resume=options.resume,
                checkpoint_every=options.checkpoint_every,
                augment=experiment.augment,
            ).seconds
        }
        for name, net in experiment.nets.items()
    }
    nets = {
        name: with_more_channels(net, options.finer_channels, options.coarser_channels)
        for name, net in experiment.nets.items()
    }
    evaluations: dict[str, dict[str, Any]] = {name: {} for name in nets}
    for name in evaluations:
        seconds[name]["test"] = 0.0
    test_images = 0
    with console.status("testing"):
        for size in sizes:
            tested_on = draw("test", size)
            test_images = len(tested_on.labels)
            for name, net in nets.items():
                began = time.perf_counter()
                evaluations[name][f"{size:.4f}"] = evaluate(
                    net, tested_on.images, tested_on.labels, accelerator=accelerator
                )
                seconds[name]["test"] += time.perf_counter() - began

    if not accelerator.is_main_process:
        return
    check = covariance_check()
    content = {
        "benchmark": "generalisation",
        "data": {
            **{part: getattr(source, part) for part in ("name", "recipe", "unit", "canvas")},
            "class_names": list(source.class_names),
        },
        "network": {name: net.architecture.tell() for name, net in nets.items()},
        "training": asdict(recipe),
        "train_size": _told(experiment.train_sizes),
        "train_images": len(trained_on.labels),
        "finer_channels": {name: net.window.first - nets[name].window.first for name, net in experiment.nets.items()},
        "coarser_channels": {
            name: nets[name].window.labels[-1] - net.window.labels[-1] for name, net in experiment.nets.items()
        },
        "test_images": test_images,
        "accuracy": {net: {s: e.accuracy for s, e in of.items()} for net, of in evaluations.items()},
        "selected_scale": {
            net: {
                "sigma0": list(nets[net].window.sigmas),
                "histogram": {size: list(e.selected) for size, e in of.items()},
            }
            for net, of in evaluations.items()
        },
        "covariance_check": asdict(check),
        "parameters": {
            name: {"trained": net.parameter_count, "as_the_paper_counts": net.paper_parameter_count}
            for name, net in nets.items()
        },
        "options": _told_options(options),
        "command": command_line(options),
        "processes": accelerator.num_processes,
        "seed": experiment.seed,
        "seconds": seconds,
        **results.provenance(),
    }
    written = write_all(nets, content, experiment.folder)
    for table in tables.brief(families(runs_in(content))):
        console.print(table.rich())
    console.print(f"covariance: {check}")
    console.print("wrote " + ", ".join(str(path) for path in written))


def write_all(nets: dict[str, GaussianDerivativeNet], content: dict[str, Any], folder: Path) -> list[Path]:
    """Weights, figures and `results.json`, each complete or not at all."""
    weights = {
        name: save_trained(net, folder / f"{name}.safetensors", describe(content, name)) for name, net in nets.items()
    }
    path = folder / "results.json"
    results.save_json(content | {"weights": {name: trained.sha256 for name, trained in weights.items()}}, path)
    figures = report.draw(families(runs_in(content)), folder)
    return [path, *figures, *(trained.path for trained in weights.values())]


def describe(content: dict[str, Any], network: str) -> dict[str, Any]:
    """What is to be known of a network beside its architecture: data, recipe, accuracy, how σ₀ tells the size."""
    (run,) = (run for run in runs_in(content) if run.network == network)
    line = fit(Family((run,)))
    scale = None
    if line is not None:
        scale = {"slope": line.slope, "intercept": line.intercept, "sizes": [line.smallest, line.largest]}
    return {
        **{key: content[key] for key in _KEPT},
        "finer_channels": content["finer_channels"][network],
        "coarser_channels": content["coarser_channels"][network],
        "accuracy": content["accuracy"][network],
        "log2_sigma0_over_log2_size": scale,
    }


def _distinct(sizes: list[float]) -> list[float]:
    """Sizes that results can tell apart, which name them by four decimals."""
    if len({f"{size:.4f}" for size in sizes}) < len(sizes):
        raise ScaleGroupError("a size twice", expected="sizes that differ in four decimals", mend="leave one out")
    return sizes


def _told(train_sizes: tuple[float, ...]) -> float | list[float]:
    """One size as a number, a mixture as a list."""
    return train_sizes[0] if len(train_sizes) == 1 else list(train_sizes)


def _told_options(options: argparse.Namespace) -> dict[str, Any]:
    """As JSON gives them back."""
    named = _private_folders(options)
    told = {
        name: named.get(str(value), str(value)) if isinstance(value, Path) else value
        for name, value in vars(options).items()
    }
    return json.loads(json.dumps(told))


def command_line(options: argparse.Namespace) -> str:
    """The command line, without the names of private folders."""
    given = shlex.join(sys.argv[1:])
    # a folder within another one is replaced first
    for path, name in sorted(_private_folders(options).items(), key=lambda item: -len(item[0])):
        given = given.replace(path, name)
    return f"python -m benchmarks {given}"


def _private_folders(options: argparse.Namespace) -> dict[str, str]:
    """Folders of one machine, which results must not name, by what stands for them: DATA_ROOT and its kind."""
    folders = {name: value for name, value in vars(options).items() if isinstance(value, Path)}
    return {str(path): name.upper() for name, path in folders.items() if path.is_absolute() or name == "data_root"}
