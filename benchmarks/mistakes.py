"""A picture of what a trained network misreads: each cut out to its extent, with what it is and was read as."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from benchmarks import data, results
from benchmarks.reports.figures import save, short
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net

DESCRIPTION = "a picture of the test images that a trained network misreads"

_COLUMNS = 40
_PIXELS = 48  # across, of each
_BATCH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--weights", required=True, help="a name of the package's, or a file")
    data.add_arguments(parser)
    parser.add_argument("--sizes", type=float, nargs="+", help="(default: the data set's)")
    parser.add_argument("--most", type=int, default=1000, help="so many, evenly over all (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/mistakes"), help="folder (default: %(default)s)")


@dataclass(frozen=True)
class Mistake:
    """An image `[channel, y, x]`, cut out to its object, of a size; its class, and the one it was given."""

    image: Tensor
    size: float
    label: int
    read: int


def run(options: argparse.Namespace) -> None:
    """Read, draw and write."""
    source = data.choose(options)
    most = check_integer("most", options.most, at_least=1)
    sizes = [check_positive("size", size) for size in options.sizes or source.sizes]
    net, folder = gaussian_derivative_net(weights=options.weights).eval(), results.make_folder(options.output)
    found = [mistake for size in sizes for mistake in mistakes(net, source, size)]
    console, images = Console(soft_wrap=True), len(sizes) * len(source.draw("test", sizes[0]).labels)
    console.print(f"{len(found)} of {images} images misread")
    if found:
        count = min(most, len(found))
        chosen = [found[place * len(found) // count] for place in range(count)]
        path = folder / f"{source.name}.png"
        title = f"{source.name}: {len(found)} of {images} misread" + (
            f", {len(chosen)} of them" if len(chosen) < len(found) else ""
        )
        _draw(chosen, title, path)
        console.print(f"wrote {path}")


@torch.no_grad()
def mistakes(net: GaussianDerivativeNet, source: data.Source, size: float) -> Iterator[Mistake]:
    """Those among the test images of a size."""
    drawn = source.draw("test", size)
    margin = max(0, (source.canvas - round(source.unit * size)) // 2)
    for images, labels in zip(drawn.images.split(_BATCH), drawn.labels.split(_BATCH), strict=True):
        read = net(images).argmax(1)
        for row in torch.nonzero(read != labels)[:, 0].tolist():
            image = F.pad(images[row], [-margin] * 4)
            yield Mistake(image, size, int(labels[row]), int(read[row]))


def _draw(chosen: list[Mistake], title: str, path: Path) -> None:
    """Side by side, in grey or colour, from what is darkest in each to what is brightest."""
    rows = ceil(len(chosen) / _COLUMNS)
    figure, axes = plt.subplots(figsize=(_COLUMNS * 0.55, rows * 0.72 + 1), layout="constrained")
    for number, mistake in enumerate(chosen):
        y, x = divmod(number, _COLUMNS)
        shown = F.interpolate(mistake.image[None], size=(_PIXELS, _PIXELS), mode="bilinear")[0]
        grey = (shown - shown.min()) / (shown.max() - shown.min()).clamp(min=1e-9)
        extent = (x, x + 0.94, -1.3 * y - 0.94, -1.3 * y)
        axes.imshow(grey.movedim(0, -1).numpy(), cmap="gray", vmin=0, vmax=1, extent=extent)
        said = f"{mistake.label}→{mistake.read} {short(mistake.size)}"
        axes.text(x + 0.47, -1.3 * y - 1.14, said, ha="center", va="center", fontsize=5.5)
    axes.set(xlim=(0, _COLUMNS), ylim=(-1.3 * rows, 0.05), title=title)
    axes.set_aspect("equal")
    axes.axis("off")
    save(figure, path)
