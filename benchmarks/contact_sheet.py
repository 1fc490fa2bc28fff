"""A picture of the data: one image of each class at every size, to be looked at before anything is trained."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from benchmarks import data, figures, results
from scalegroup.errors import check_positive

DESCRIPTION = "a picture of the test images: one of each class, at every size"

_LOOKED_THROUGH = 100  # test images, in search of one of each class


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    parser.add_argument("--sizes", type=float, nargs="+", help="(default: the data set's)")
    parser.add_argument(
        "--output", type=Path, default=Path("results/contact-sheet"), help="folder (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Draw and write it."""
    if options.test_images is None:
        options.test_images = _LOOKED_THROUGH
    source = data.choose(options)
    sizes = [check_positive("size", size) for size in options.sizes or source.sizes]
    path = results.make_folder(options.output) / f"{source.name}.png"
    figures.contact_sheet(contact_sheet(source, sizes), sizes, f"{source.name}: one image of each class", path)
    Console(soft_wrap=True).print(f"wrote {path}")


def contact_sheet(source: data.Source, sizes: list[float]) -> Tensor:
    """`[class, size, channel, y, x]`: the first image of each class at each size."""
    columns = []
    for size in sizes:
        drawn = source.draw("test", size)
        labels = drawn.labels.tolist()
        columns.append(drawn.images[[labels.index(label) for label in sorted(set(labels))]])
    return torch.stack(columns, dim=1)
