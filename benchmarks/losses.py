"""Why binary cross-entropy, §5's loss, needs a start: what blank surroundings score, and the ways to put that right.

It decides on each class alone. From an offset of 0 a scale channel that sees nothing of the object soon scores little
below 0 for every class, and the channels that see it far below 0 for the wrong ones. At sizes never trained on the
channels that see nothing win the maximum over scale. Cross-entropy is blind to what all classes have in common.
"""

from __future__ import annotations

import argparse
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from benchmarks import data, machine, results
from benchmarks.evaluation import accuracy
from benchmarks.generalisation import command_line
from benchmarks.networks import build, for_source
from benchmarks.recipe import LOSSES, Recipe
from benchmarks.reports.runs import over_seeds
from benchmarks.reports.tables import Table, percent
from benchmarks.training import train
from scalegroup import ScaleGroupError
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import GaussianDerivativeNet

DESCRIPTION = "binary cross-entropy from other starts, and with scores relative to something: accuracy over size"


class Relative(nn.Module, ABC):
    """A network whose scores are taken relative to something in each scale channel, before the maximum over scale."""

    def __init__(self, net: GaussianDerivativeNet, background: float) -> None:
        super().__init__()
        self.net, self.background = net, background

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Class scores `[batch, class]`."""

    def in_each_channel(self, images: Tensor) -> Tensor:
        """`[batch, class, scale channel]`."""
        return self.net.field(images, pooled=False).tensor[..., 0, 0]


class Absolute(Relative):
    """As the network gives them."""

    def forward(self, images: Tensor) -> Tensor:
        return self.in_each_channel(images).amax(2)


class RelativeToMean(Relative):
    """Less the mean of all classes in the same channel."""

    def forward(self, images: Tensor) -> Tensor:
        scores = self.in_each_channel(images)
        return (scores - scores.mean(1, keepdim=True)).amax(2)


class RelativeToBlank(Relative):
    """Less what a blank picture scores, which is in every batch."""

    def forward(self, images: Tensor) -> Tensor:
        scores = self.in_each_channel(torch.cat([images, blanks_like(images, 1, self.background)]))
        return (scores[:-1] - scores[-1:]).amax(2)


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Args:
        name: of it.
        loss: of the recipe.
        first_offset: C₀ of the last layer before training.
        scores: what they are relative to.
        blanks: so many blank pictures, which are no class, are trained on for every object.
    """

    name: str
    loss: str = "binary-cross-entropy"
    first_offset: float = 0.0
    scores: type[Relative] = Absolute
    blanks: float = 0.0


VARIANTS = (
    Variant("cross-entropy", "cross-entropy"),
    Variant("from offset 0, the paper's plain form"),
    Variant("from offset -5", first_offset=LOSSES["binary-cross-entropy"].first_offset),
    Variant("blank pictures, 2 %", blanks=0.02),
    Variant("blank pictures, 20 %", blanks=0.2),
    Variant("relative to the classes' mean", scores=RelativeToMean),
    Variant("relative to the blank", scores=RelativeToBlank),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    parser.add_argument("--train-size", type=float, default=1.0, help="the only size trained on (default: 1)")
    parser.add_argument("--sizes", type=float, nargs="+", help="test sizes (default: the data set's)")
    parser.add_argument("--epochs", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="(default: 0)")
    machine.add_arguments(parser, device=False)
    results.add_arguments(parser, "losses", checkpoints=False)


def run(options: argparse.Namespace) -> None:
    """Train every variant with every seed, test, tell, write."""
    source = data.choose(options)
    size = check_positive("train size", options.train_size)
    sizes = [check_positive("size", size) for size in options.sizes or source.sizes]
    seeds = [check_integer("seed", seed, at_least=0) for seed in options.seeds]
    source.check("train", [size])
    source.check("test", sizes)
    recipes = {variant: Recipe(epochs=options.epochs, loss=variant.loss) for variant in VARIANTS}
    machine.use(options)
    if not source.boundary.is_constant:
        raise ScaleGroupError(
            f"{source.name}, whose pictures fill their images",
            expected="objects on a background",
            mend="choose other --data",
        )
    folder, console = results.make_folder(options.output), Console(soft_wrap=True)
    trained_on, accelerator = source.draw("train", size), Accelerator(cpu=True)
    judged: dict[Variant, list[Relative]] = {}
    for variant in VARIANTS:
        architecture = for_source(source, "multi_scale", first_offset=variant.first_offset)
        judged[variant] = [variant.scores(build(architecture, seed), source.background) for seed in seeds]
        for seed, net in zip(seeds, judged[variant], strict=True):
            train(
                re.sub(r"\W+", "-", f"{variant.name} seed {seed}"),
                net,
                _with_blanks(trained_on, variant.blanks, source.background),
                recipes[variant],
                seed=seed,
                accelerator=accelerator,
                folder=folder,
                console=console,
                resume=options.resume,
            )
    with torch.no_grad():
        blank = blanks_like(trained_on.images, 1, source.background)
        scores = {variant: [net(blank).max().item() for net in nets] for variant, nets in judged.items()}
    rows: list[dict[str, Any]] = [{"variant": v.name, "accuracy": {}, "blank": scores[v]} for v in VARIANTS]
    for tested in sizes:
        part = source.draw("test", tested)  # once for all networks
        for row, nets in zip(rows, judged.values(), strict=True):
            row["accuracy"][f"{tested:.4f}"] = [accuracy(net, part.images, part.labels) for net in nets]
    content = {
        "benchmark": "losses",
        "data": source.name,
        "train_size": size,
        "train_images": len(trained_on.labels),
        "epochs": options.epochs,
        "seeds": seeds,
        "rows": rows,
        "command": command_line(options),
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")
    table(content).save(folder)
    console.print(table(content).rich())


def table(content: dict[str, Any]) -> Table:
    """Means over seeds and standard deviations, in per cent."""
    rows, name = content["rows"], content["data"]
    heads = ["variant", *(f"{float(size):.4g}" for size in rows[0]["accuracy"]), "a blank's highest score"]
    cells = [
        [row["variant"], *(percent(*over_seeds(of)) for of in row["accuracy"].values()), f"{mean(row['blank']):.2f}"]
        for row in rows
    ]
    title = f"{name}, accuracy in % by size; means over {len(rows[0]['blank'])} seeds, ± the standard deviation"
    return Table(title, heads, cells)


def blanks_like(images: Tensor, count: int, background: float) -> Tensor:
    """So many pictures of nothing, `[count, channel, y, x]`."""
    return torch.full_like(images[:1], background).expand(count, -1, -1, -1)


def _with_blanks(objects: data.Labelled, share: float, background: float) -> data.Labelled:
    """So many blank pictures for every object, which are of no class, in with them."""
    count = round(share * len(objects.labels))
    none = torch.full_like(objects.labels[:1], -1).expand(count)
    return data.Labelled.together(objects, data.Labelled(blanks_like(objects.images, count, background), none))
