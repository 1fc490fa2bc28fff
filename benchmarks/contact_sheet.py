"""A picture of the data: one image of each class at every size, to be looked at before anything is trained."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from rich.console import Console
from torch import Tensor

from benchmarks import data, results
from benchmarks.reports.figures import save, short
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
    title = f"{source.name}: one image of each class"
    _draw(contact_sheet(source, sizes), sizes, source.class_names, title, path)
    Console(soft_wrap=True).print(f"wrote {path}")


def contact_sheet(source: data.Source, sizes: list[float]) -> Tensor:
    """`[class, size, channel, y, x]`: the first image of each class at each size."""
    columns = []
    for size in sizes:
        drawn = source.draw("test", size)
        labels = drawn.labels.tolist()
        columns.append(drawn.images[[labels.index(label) for label in sorted(set(labels))]])
    return torch.stack(columns, dim=1)


def _draw(images: Tensor, sizes: Sequence[float], names: Sequence[str], title: str, path: Path) -> None:
    """Images `[class, size, channel, y, x]` side by side, from black at the lowest to white at the highest value."""
    rows, columns, _, height, width = images.shape
    grey = (images - images.min()) / (images.max() - images.min())
    framed = np.pad(grey.numpy(), [(0, 0)] * 3 + [(0, 4)] * 2, constant_values=1)
    sheet = framed.transpose(0, 3, 1, 4, 2).reshape(rows * (height + 4), columns * (width + 4), -1)
    figure, axes = plt.subplots(figsize=(max(columns * 0.8 + 0.4, 5), rows * 0.8 + 1.2), layout="constrained")
    axes.imshow(sheet.squeeze(-1) if sheet.shape[-1] == 1 else sheet, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks((np.arange(columns) + 0.5) * (width + 4), [short(size) for size in sizes])
    shown = names if len(names) == rows else ()
    axes.set_yticks((np.arange(len(shown)) + 0.5) * (height + 4), shown)
    axes.set(xlabel="size", title=title)
    axes.spines[:].set_visible(False)
    save(figure, path)
