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
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from benchmarks import data, results
from benchmarks.evaluation import accuracy
from benchmarks.recipe import Recipe
from benchmarks.report.tables import Table
from benchmarks.training import train
from scalegroup import Background
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net

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
        blank = torch.full_like(images[:1], self.background)
        scores = self.in_each_channel(torch.cat([images, blank]))
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
    Variant("from offset -5", first_offset=-5.0),
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
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run of this command stopped")
    parser.add_argument("--output", type=Path, default=Path("results/losses"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Train every variant with every seed, test, tell, write."""
    source, recipe = data.choose(options), {"epochs": options.epochs}
    size = check_positive("train size", options.train_size)
    sizes = [check_positive("size", size) for size in options.sizes or source.sizes]
    seeds = [check_integer("seed", seed, at_least=0) for seed in options.seeds]
    recipes = {variant: Recipe(loss=variant.loss, **recipe) for variant in VARIANTS}
    if options.threads is not None:
        torch.set_num_threads(check_integer("threads", options.threads, at_least=1))
    folder, console = results.make_folder(options.output), Console(soft_wrap=True)
    trained_on, accelerator = source.draw("train", size), Accelerator(cpu=True)
    rows = []
    for variant in VARIANTS:
        row: dict[str, Any] = {"variant": variant.name, "accuracy": {f"{s:.4f}": [] for s in sizes}, "blank": []}
        for seed in seeds:
            torch.manual_seed(seed)
            net = gaussian_derivative_net(
                "multi_scale",
                window=source.window,
                boundary=Background(source.background),
                in_channels=source.channels,
                num_classes=source.classes,
                first_offset=variant.first_offset,
            )
            judged = variant.scores(net, source.background)
            train(
                re.sub(r"\W+", "-", f"{variant.name} seed {seed}"),
                judged,
                _with_blanks(trained_on, variant.blanks, source.background),
                recipes[variant],
                seed=seed,
                accelerator=accelerator,
                folder=folder,
                console=console,
                resume=options.resume,
            )
            blank = torch.full((1, source.channels, source.canvas, source.canvas), source.background)
            with torch.no_grad():
                row["blank"].append(judged(blank).max().item())
            for s in sizes:
                tested_on = source.draw("test", s)
                row["accuracy"][f"{s:.4f}"].append(accuracy(judged, tested_on.images, tested_on.labels))
        rows.append(row)
    told = table(rows, source.name)
    console.print(told.rich())
    content = {
        "benchmark": "losses",
        "data": source.name,
        "train_size": size,
        "train_images": len(trained_on.labels),
        "epochs": options.epochs,
        "seeds": seeds,
        "rows": rows,
        **results.provenance(),
    }
    results.save_json(content, folder / "results.json")
    results.save_text(told.markdown(), folder / "report.md")


def table(rows: list[dict[str, Any]], name: str) -> Table:
    """Means over seeds, in per cent."""
    heads = ["variant", *(f"{float(size):.4g}" for size in rows[0]["accuracy"]), "a blank's highest score"]
    cells = [
        [row["variant"], *(f"{100 * mean(of):.1f}" for of in row["accuracy"].values()), f"{mean(row['blank']):.2f}"]
        for row in rows
    ]
    return Table(f"{name}, accuracy in % by size; means over {len(rows[0]['blank'])} seeds", heads, cells)


def _with_blanks(objects: data.Labelled, share: float, background: float) -> data.Labelled:
    """So many blank pictures for every object, which are of no class, in with them."""
    count = round(share * len(objects.labels))
    blanks = torch.full_like(objects.images[:1], background).expand(count, -1, -1, -1)
    none = torch.full_like(objects.labels[:1], -1).expand(count)
    return data.Labelled(torch.cat([objects.images, blanks]), torch.cat([objects.labels, none]))
