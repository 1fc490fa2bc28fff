"""The pictures of a run: accuracy over test size (Figure 8), and the selected scale over test size (Figure 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # draws to files, with or without a screen

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter
from torch import Tensor

from benchmarks.data.recipe import BACKGROUND
from benchmarks.results import write

# Okabe and Ito's colours, told apart by everybody
_COLOURS = {"multi_scale": "#0072B2", "single_scale": "#D55E00"}
_LABELS = {"multi_scale": "multi-scale network", "single_scale": "single-scale network"}


def accuracy_over_size(
    accuracy: Mapping[str, Mapping[str, float]], train_sizes: Sequence[float], title: str, path: Path
) -> None:
    """One curve per network, the training sizes marked."""
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, marker in zip(accuracy, "osD^v", strict=False):
        sizes = [float(size) for size in accuracy[name]]
        axes.plot(
            sizes, list(accuracy[name].values()), marker=marker, color=_COLOURS.get(name), label=_LABELS.get(name, name)
        )
    for size in train_sizes:
        axes.axvline(size, color="0.4", linestyle="--", linewidth=1)
    seen = "the only size seen\nin training" if len(train_sizes) == 1 else "the sizes seen\nin training"
    axes.annotate(seen, (max(train_sizes), 0.06), xytext=(6, 0), textcoords="offset points", color="0.3")
    _size_axis(axes, [float(size) for curve in accuracy.values() for size in curve])
    axes.set(ylim=(0, 1.03), ylabel="accuracy on held-out images", title=title)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3)
    axes.legend(loc="center right", frameon=False)
    _save(figure, path)


def selected_scale_over_size(
    histograms: Mapping[str, Sequence[int]], sigmas: Sequence[float], title: str, path: Path
) -> None:
    """For each test size the share of images whose highest score lies in each scale channel."""
    counts = np.array(list(histograms.values()), dtype=float).T
    shares = counts / counts.sum(axis=0)
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    picture = axes.imshow(shares, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(histograms)), [_short(float(size)) for size in histograms])
    axes.set_yticks(range(len(sigmas)), [_short(sigma) for sigma in sigmas])
    axes.set(xlabel="size of the test images", ylabel="selected scale channel, σ₀ in pixels", title=title)
    bar = figure.colorbar(picture, ax=axes, label="share of the test images")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _save(figure, path)


def contact_sheet(images: Tensor, sizes: Sequence[float], title: str, path: Path) -> None:
    """Images `[row, size, channel, y, x]` side by side."""
    rows, columns, _, height, width = images.shape
    grey = (images - BACKGROUND) / (-2 * BACKGROUND)
    framed = np.pad(grey.clamp(0, 1).numpy(), [(0, 0)] * 3 + [(0, 4)] * 2, constant_values=1)
    sheet = framed.transpose(0, 3, 1, 4, 2).reshape(rows * (height + 4), columns * (width + 4), -1)
    figure, axes = plt.subplots(figsize=(columns * 0.8 + 0.4, rows * 0.8 + 1.2), layout="constrained")
    axes.imshow(sheet.squeeze(-1) if sheet.shape[-1] == 1 else sheet, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks((np.arange(columns) + 0.5) * (width + 4), [_short(size) for size in sizes])
    axes.set_yticks([])
    axes.set(xlabel="size", title=title)
    axes.spines[:].set_visible(False)
    _save(figure, path)


def _size_axis(axes: Any, sizes: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    ticks = sorted({size for size in sizes if abs(np.log2(size) * 2 - round(np.log2(size) * 2)) < 1e-2})
    axes.set_xticks(ticks or sorted(set(sizes)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("size of the test images")


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _save(figure: Any, path: Path) -> None:
    write(path, lambda temporary: figure.savefig(temporary, dpi=150))
    plt.close(figure)
