"""The table and the figure of `python -m benchmarks scenes`, from its results alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from matplotlib import pyplot as plt
from torchvision.transforms.v2.functional import to_pil_image

from benchmarks.data.scenes import Scene
from benchmarks.reports.figures import COLOURS, MARKERS, save, size_axis
from benchmarks.reports.tables import Table
from scalegroup.whole_file import whole_file


def write(content: dict[str, Any], folder: Path) -> list[Path]:
    """`report.md`, `f1.png`."""
    save(f1_over_size(content), folder / "f1.png")
    return [table(content).save(folder), folder / "f1.png"]


def table(content: dict[str, Any]) -> Table:
    """A row for each network."""
    backgrounds = list(content["f1"])
    heads = ["network", "weights", *(f"{what}, {of}" for of in backgrounds for what in ("F1", "least", "mAP"))]
    cells = []
    for name, row in content["rows"].items():
        values = [
            value for of in backgrounds for value in (row["f1_all"][of], min(row["f1"][of].values()), row["map50"][of])
        ]
        told = [name.replace("_", " "), str(row["parameters"]), *(f"{value:.3f}" for value in values)]
        cells.append([*told, f"{row['seconds']:.2f}"])
    first, (rows, columns) = next(iter(content["rows"].values()))["setting"], content["data"]["shape"]
    title = (
        f"{content['data']['name']}: scenes of {rows}×{columns} pixels, trained on {first['train_images']} of size "
        f"{content['train_size']:g} alone; F1 over all sizes and of the worst one, mAP at an IoU of ½, "
        f"{first['pictures']} pictures of each background"
    )
    return Table(title, [*heads, "s a picture"], cells)


def f1_over_size(content: dict[str, Any]) -> Any:
    """A panel for each background."""
    figure, axes = plt.subplots(
        1, len(content["f1"]), figsize=(5.2 * len(content["f1"]), 4.2), layout="constrained", squeeze=False, sharey=True
    )
    for place, (background, found) in zip(axes[0], content["f1"].items(), strict=True):
        sizes = list(map(float, next(iter(found.values()))))
        for (name, values), colour, marker in zip(found.items(), COLOURS, MARKERS, strict=False):
            place.plot(sizes, list(values.values()), color=colour, marker=marker, label=name.replace("_", " "))
        place.axvline(content["train_size"], color="0.4", linestyle=":", label="size seen in training")
        size_axis(place, sizes)
        place.set(ylim=(0, 1.03), ylabel="F1", title=f"{background} background", xlabel="size of the objects")
        place.grid(alpha=0.3)
    axes[0][0].legend(fontsize=9)
    return figure


def save_scene(scene: Scene, path: Path) -> None:
    """Its picture as it was before the recipe's arctan, in grey."""
    page = 128 + torch.tan(scene.image[0] * math.pi / 2) / 0.02
    with whole_file(path) as temporary:
        to_pil_image(page.round().clamp(0, 255).byte()[None]).save(temporary, "png")
