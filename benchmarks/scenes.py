"""Scenes: several digits of any size, found and read by networks that have seen digits of one size only."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from benchmarks import data, machine, results
from benchmarks.baselines.pyramid_cnn import pyramid_cnn
from benchmarks.data.cache import checksum
from benchmarks.data.scenes import BACKGROUNDS, BOX, Scene, draw_scene, small_pictures
from benchmarks.data.scenes import RECIPE as SCENES
from benchmarks.detections import Counts, count, mean_average_precision
from benchmarks.generalisation import command_line
from benchmarks.kept import Kept
from benchmarks.networks import build, for_source, with_channels
from benchmarks.recipe import Recipe
from benchmarks.reports import scenes as report
from benchmarks.training import fit
from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow, detect
from scalegroup.errors import check_integer
from scalegroup.models import GaussianDerivativeNet, save_trained
from scalegroup.nn import SceneLoss

DESCRIPTION = "digits of any size anywhere in a picture, found by networks that have seen one size"

TRAIN_SIZE = 2.0
SIZES = (1.0, 2**0.5, 2.0, 2 * 2**0.5, 4.0)
SHAPE = (256, 384)
OBJECTS = (3, 8)  # in a picture
THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))

# σ₀ = size: half an octave and more beyond both ends, so that there is a channel beside every maximum
WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=7, first=-1)
CROP = 128  # pixels across of a training scene
_TOGETHER = 3  # objects of a training scene
MIN_GRID_SIGMA = 1.1  # no coarser grids: places count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    parser.set_defaults(data="mnist", train_images=5000, validation_images=1000)
    parser.add_argument(
        "--networks", nargs="+", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)} (default: all)"
    )
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training digits (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=24, help="digits a step (default: %(default)s)")
    parser.add_argument("--highest-rate", type=float, default=0.01, help="of learning (default: %(default)s)")
    parser.add_argument(
        "--fewer-channels", type=int, default=1, help="so many of the finest are there in testing only (default: 1)"
    )
    parser.add_argument("--pictures", type=int, default=200, help="scenes of each background (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    machine.add_arguments(parser)
    results.add_arguments(parser, "scenes")


@dataclass(frozen=True)
class Finding:
    """To find the objects of small scenes, of one size; half of them are cluttered. A `training.Task`.

    Args:
        pictures: of the objects.
        criterion: the loss.
        draw: a scene of some of them, on a plain background or a cluttered one.
    """

    pictures: data.Labelled
    criterion: SceneLoss
    draw: Callable[[Sequence[int], np.random.Generator, bool], Scene]

    @property
    def count(self) -> int:
        """See `Task`."""
        return len(self.pictures.labels)

    @property
    def checksum(self) -> str:
        """See `Task`."""
        return checksum(self.pictures.images, self.pictures.labels)

    def batch(
        self, rows: Sequence[int], generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """See `Task`."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        parts = [rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER)]
        drawn = [self.draw(part, rng, bool(n % 2)) for n, part in enumerate(parts)]
        return torch.stack([scene.image for scene in drawn]).to(device), [scene.targets for scene in drawn]

    def loss(self, model: Any, inputs: Tensor, targets: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """See `Task`; right are objects whose own class is the likeliest where they are."""
        volume = model.dense_scores(inputs)
        with torch.no_grad():
            right = [self._right(volume, image, scene) for image, scene in enumerate(targets)]
        return self.criterion(volume, targets), torch.stack(right).sum()

    def _right(self, volume: Any, image: int, scene: dict[str, Tensor]) -> Tensor:
        found = torch.zeros((), device=volume.maps[0].device)
        for (x0, y0, x1, y1), label in zip(scene["boxes"].tolist(), scene["labels"].tolist(), strict=True):
            sigma = (x1 - x0) / self.criterion.extent
            channel = min(range(len(volume.sigmas)), key=lambda n: abs(np.log(volume.sigmas[n] / sigma)))
            classes = torch.arange(volume.maps[0].shape[1], device=found.device)
            y, x = (torch.full(classes.shape, (a + b) / 2, device=found.device) for a, b in ((y0, y1), (x0, x1)))
            found += volume.at(channel, torch.full_like(classes, image), classes, y, x).argmax() == label
        return found


@dataclass(frozen=True)
class Entry:
    """A network of the table.

    Args:
        build: as it is trained, from the source, how many of the finest channels it does without, and a seed.
        test: as it is tested.
        trained: the name of the one whose weights it has.
    """

    build: Callable[[data.Source, int, int], Any]
    test: Callable[[Any], Any]
    trained: str


def _ours(source: data.Source, fewer: int, seed: int) -> GaussianDerivativeNet:
    return build(
        for_source(
            source,
            "larger",
            window=WINDOW.select(fewer, WINDOW.channels),
            min_grid_sigma=MIN_GRID_SIGMA,
            first_offset=-5.0,
            extent=source.unit * BOX,
        ),
        seed,
    )


def _pyramid(source: data.Source, fewer: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    levels = WINDOW.sigmas[fewer:]
    return pyramid_cnn(levels, num_classes=source.classes, background=source.background)


NETWORKS: dict[str, Entry] = {
    "scalegroup": Entry(_ours, lambda net: with_channels(net, WINDOW), "scalegroup"),
    "pyramid_cnn": Entry(_pyramid, lambda net: _with_levels(net, WINDOW.sigmas), "pyramid_cnn"),
    "cnn": Entry(_pyramid, lambda net: _with_levels(net, (TRAIN_SIZE,)), "pyramid_cnn"),
}


def _with_levels(net: Any, levels: Sequence[float]) -> Any:
    net = copy(net)  # of the same weights
    net.levels = tuple(levels)
    return net


@dataclass(frozen=True)
class Experiment:
    """What is the same for all networks.

    Args:
        source: whose test part is tested on.
        validation: the same, with validation digits as its test part.
        recipe: of training.
        fewer: so many of the finest scale channels are there in testing only.
        pictures: scenes of each background.
        seed: of weights and order.
        command: that is run.
        how: options of `training.fit`.
        nets: what has been trained already.
    """

    source: Any
    validation: Any
    recipe: Recipe
    fewer: int
    pictures: int
    seed: int
    command: str
    how: dict[str, Any]
    nets: dict[str, Any] = field(default_factory=dict)

    @property
    def extent(self) -> float:
        """Side of an object's box in units of the σ₀ of its maximum: σ₀ = size."""
        return self.source.unit * BOX

    @property
    def criterion(self) -> SceneLoss:
        """What all networks are trained by."""
        return SceneLoss(self.extent)

    @property
    def training(self) -> dict[str, Any]:
        """The recipe as it is told: the loss is not one of images."""
        return asdict(self.recipe) | {"loss": repr(self.criterion)}

    def setting(self, name: str) -> dict[str, Any]:
        """What decides a row."""
        told = {"network": name, "data": self.source.name, "fewer": self.fewer, "pictures": self.pictures}
        told |= {"seed": self.seed, "recipe": self.training, "sigma0": list(WINDOW.sigmas)}
        return told | {
            "train_images": self.validation.train.labels.numel(),
            "test_digits": len(self.source.test.labels),
        }

    def trained(self, name: str) -> Any:
        """A network of the table, trained, as it is tested."""
        entry = NETWORKS[name]
        if entry.trained not in self.nets:
            net = self.nets[entry.trained] = entry.build(self.source, self.fewer, self.seed)
            task = Finding(self.validation.train, self.criterion, self.training_scene)
            fit(f"{entry.trained}-seed{self.seed}", net, task, self.recipe, seed=self.seed, **self.how)
        return entry.test(self.nets[entry.trained]).eval()

    def training_scene(self, rows: Sequence[int], rng: np.random.Generator, cluttered: bool) -> Scene:
        """Of training digits, of one size."""
        pictures, shape = self.validation.train, (CROP, CROP)
        return draw_scene(pictures, rows, [TRAIN_SIZE], rng, shape=shape, cluttered=cluttered, inside=False)

    def scenes(self, source: Any, background: str, sizes: Sequence[float], seed: int) -> Iterator[Scene]:
        """Of test digits, each drawn by a generator of its own, so that all networks see the same."""
        for number in range(self.pictures):
            rng = np.random.default_rng([seed, BACKGROUNDS.index(background), number])
            rows = rng.integers(len(source.test.labels), size=int(rng.integers(*OBJECTS, endpoint=True))).tolist()
            yield draw_scene(source.test, rows, sizes, rng, shape=SHAPE, cluttered=background == "cluttered")

    def row(self, name: str) -> dict[str, Any]:
        """Trained; its threshold chosen on scenes of validation digits of the trained size; tested."""
        net = self.trained(name)
        threshold = self._threshold(net)
        found: dict[str, Any] = {"threshold": threshold, "f1": {}, "f1_all": {}, "map50": {}, "seconds": []}
        for background in BACKGROUNDS:
            counts, told, true = Counts(SIZES), [], []
            for scene in self.scenes(self.source, background, SIZES, seed=1):
                began = time.perf_counter()
                (each,) = detect(net, scene.image[None], threshold=THRESHOLDS[0], extent=self.extent)
                found["seconds"].append(time.perf_counter() - began)
                told.append(each)
                true.append(scene.targets)
                counts += count(each, scene, threshold, SIZES, self.extent)
            found["f1"][background] = {f"{size:.4f}": value for size, value in zip(SIZES, counts.f1, strict=True)}
            found["f1_all"][background] = counts.f1_all
            found["map50"][background] = mean_average_precision(told, true)
        found["seconds"] = median(found["seconds"])
        found["parameters"] = sum(value.numel() for value in net.parameters())
        if isinstance(net, GaussianDerivativeNet):
            about = {"benchmark": "scenes", **self.setting(name), **found, "train_size": TRAIN_SIZE, "scenes": SCENES}
            about |= {"command": self.command, **results.provenance()}
            save_trained(net, self.how["folder"] / f"{name}.safetensors", about)
        return found | results.provenance()

    def _threshold(self, net: Any) -> float:
        """The one of the best F1 on scenes of validation digits, of the size that was trained on."""
        totals = {threshold: Counts((TRAIN_SIZE,)) for threshold in THRESHOLDS}
        for background in BACKGROUNDS:
            for scene in self.scenes(self.validation, background, [TRAIN_SIZE], seed=2):
                (each,) = detect(net, scene.image[None], threshold=THRESHOLDS[0], extent=self.extent)
                for threshold, total in totals.items():
                    totals[threshold] = total + count(each, scene, threshold, (TRAIN_SIZE,), self.extent)
        return max(THRESHOLDS, key=lambda threshold: totals[threshold].f1_all)


def run(options: argparse.Namespace) -> None:
    """Train what is not there yet, test, tell, write."""
    if unknown := [name for name in options.networks if name not in NETWORKS]:
        raise ScaleGroupError(f"network {unknown[0]!r}", expected=f"one of {list(NETWORKS)}", mend="choose from these")
    machine.use(options)
    source = small_pictures(
        data.choose(argparse.Namespace(**vars(options) | {"validation_images": None, "train_images": None}))
    )
    validation = source.validating(options.validation_images).first(train=options.train_images)
    folder, console = results.make_folder(options.output), Console(soft_wrap=True)
    how = {"accelerator": Accelerator(cpu=options.device == "cpu"), "folder": folder, "console": console}
    experiment = Experiment(
        source=source,
        validation=validation,
        recipe=Recipe(epochs=options.epochs, batch=options.batch, highest_rate=options.highest_rate),
        fewer=check_integer("fewer channels", options.fewer_channels, at_least=0),
        pictures=check_integer("pictures", options.pictures, at_least=1),
        seed=check_integer("seed", options.seed, at_least=0),
        command=command_line(options),
        how=how | {"resume": options.resume, "checkpoint_every": options.checkpoint_every},
    )
    kept = Kept(results.make_folder(folder / "rows"), options.resume)
    rows = {name: kept.row(name, experiment.setting(name), partial(experiment.row, name)) for name in options.networks}
    content = {
        "benchmark": "scenes",
        "data": {"name": source.name, "recipe": SCENES, "shape": SHAPE, "objects": OBJECTS, "sizes": SIZES},
        "train_size": TRAIN_SIZE,
        "training": experiment.training,
        "f1": {of: {name: row["f1"][of] for name, row in rows.items()} for of in BACKGROUNDS},
        "seconds_per_picture": {name: row["seconds"] for name, row in rows.items()},
        "rows": rows,
        "command": experiment.command,
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")
    written = report.write(content, folder)
    for background in BACKGROUNDS:  # one of each, to look at and to find things in
        path = folder / f"{background}.png"
        report.save_scene(next(experiment.scenes(source, background, SIZES, seed=1)), path)
        written.append(path)
    console.print(report.table(content).rich())
    console.print("wrote " + ", ".join(str(path) for path in (folder / "results.json", *written)))
