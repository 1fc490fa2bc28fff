"""Figure 8 (multi against single scale), Figure 9 (training sizes together) and Figure 10 (scale selection)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import ceil, floor, log2
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np

from scalegroup.whole_file import whole_file

mpl.use("Agg")  # draws to files, with or without a screen

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from benchmarks.reports.runs import Family, sizes_of
from benchmarks.reports.selection import fit
from benchmarks.reports.words import apart, named, trained_at

# Okabe and Ito's colours, told apart by everybody; each has its marker, for print without colour
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SINGLE = ("#D55E00", "#8C3B00", "#F0A070")
MARKERS = "osD^vP"
_PANEL = 5.2, 3.9  # inches
_TITLE = 48  # characters of a title above a panel
_COLUMNS = 3
_ENTRY = 0.21  # inches of a line of the legend


def of(families: Sequence[Family]) -> Iterator[tuple[str, Any]]:
    """(name, figure) of each figure that families of one data set allow; of one size alone there is none."""
    if len(sizes_of(families)) == 1:
        return
    yield "accuracy", accuracy_over_size(families)
    multi = [family for family in families if len(family.first.sigmas) > 1]
    if together := [kind for kind in _kinds(multi) if len(kind) > 1]:
        yield "training_sizes", training_sizes_together(together)
    if multi:
        yield "selected_scale", selected_scale_over_size(multi)


def accuracy_over_size(families: Sequence[Family]) -> Any:
    """Figure 8: for each training size a panel with a curve for each network."""
    by_size = sorted(families, key=lambda family: family.first.train_sizes)
    panels = [list(panel) for _, panel in groupby(by_size, key=lambda family: family.first.train_sizes)]
    figure, axes = _panels(1, len(panels), share_y=True)
    styles = _styles(families)
    for number, (panel, place) in enumerate(zip(panels, axes[0], strict=True)):
        for family in panel:
            label = _label(family, families)
            colour, marker, line = styles[label]
            _curve(place, family, colour, marker, label, line)
        _mark_training(place, panel[0])
        _over_sizes(place, panel)
        place.set(ylim=(0, 1.03), ylabel="" if number else "accuracy on held-out images", title=_trained(panel[0]))
    _legend_below(figure, axes)
    figure.suptitle(f"{families[0].data}: one training size, all test sizes{_bars(families)}")
    return figure


def training_sizes_together(kinds: Sequence[Sequence[Family]]) -> Any:
    """Figure 9: for each kind of network the training sizes in one panel, and the same enlarged."""
    figure, axes = _panels(len(kinds), 2)
    trained = sorted({family.first.train_sizes for kind in kinds for family in kind})  # each looks the same everywhere
    for kind, row in zip(kinds, axes, strict=True):
        for place, enlarged in zip(row, (False, True), strict=True):
            for family in kind:
                number = trained.index(family.first.train_sizes)
                colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
                _curve(place, family, colour, marker, f"trained at size {trained_at(family.first)}", "-")
            lowest = min(family.accuracy(size)[0] for family in kind for size in family.sizes if 1 <= size <= 4)
            low = floor(100 * lowest - 1) / 100 if enlarged else 0
            _over_sizes(place, kind)
            title = _label(kind[0], [family for kind in kinds for family in kind]) + (", enlarged" if enlarged else "")
            place.set(ylim=(low, 1 + 0.03 * (1 - low)), ylabel="accuracy on held-out images", title=_wrapped(title))
            place.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1 if enlarged else 0))
    _legend_below(figure, axes)
    bars = _bars([family for kind in kinds for family in kind])
    figure.suptitle(f"{kinds[0][0].data}: training sizes together, {_images(kinds[0][0])}{bars}")
    return figure


def selected_scale_over_size(families: Sequence[Family]) -> Any:
    """Figure 10: for each test size the share of images whose highest score lies in each scale channel.

    Each kind of network has a row, with a panel for each training size; where there is one only, they share rows.
    """
    rows = _kinds(families)
    if all(len(kind) == 1 for kind in rows):
        rows = [families[first : first + _COLUMNS] for first in range(0, len(families), _COLUMNS)]
    figure, axes = _panels(len(rows), max(map(len, rows)))
    most = max(share for family in families for size in family.sizes for share in family.shares(size))
    picture = None
    for row, places in zip(rows, axes, strict=True):
        for place in places[len(row) :]:
            place.set_axis_off()
        for family, place in zip(row, places, strict=False):
            picture = _histograms(place, family, most)
            title = f"{_wrapped(_label(family, families))}\ntrained at {trained_at(family.first)}"
            place.set(xlabel="size of the test images", ylabel="selected channel, σ₀ in pixels", title=title)
    bar = figure.colorbar(picture, ax=axes, label="share of the test images")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.suptitle(f"{families[0].data}: scale selection")
    return figure


def save(figure: Any, path: Path) -> None:
    """Write and close it."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def short(value: float) -> str:
    """A size as an axis shows it."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _wrapped(title: str) -> str:
    """In lines as long as a panel is wide."""
    return "\n".join(wrap(title, _TITLE))


def _kinds(families: Sequence[Family]) -> list[Sequence[Family]]:
    """Put together by all but training size."""
    return [list(kind) for _, kind in groupby(families, key=lambda family: family.first.kind)]


def _panels(rows: int, columns: int, *, share_y: bool = False) -> tuple[Any, Any]:
    size = max(_PANEL[0] * columns, 6.4), _PANEL[1] * rows + 0.4
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, sharey=share_y)


def _styles(families: Sequence[Family]) -> dict[str, tuple[str, str, str]]:
    """(colour, marker, line) of each label, the same in all panels, no pair of colour and marker twice."""
    multi = {_label(family, families): len(family.first.sigmas) > 1 for family in families}
    styles = {}
    for kind, colours, line in ((True, COLOURS, "-"), (False, _SINGLE, "--")):
        for count, label in enumerate(label for label, has_many in multi.items() if has_many == kind):
            marker = MARKERS[(count + count // len(MARKERS)) % len(MARKERS)]
            styles[label] = colours[count % len(colours)], marker, line
    return styles


def _curve(axes: Any, family: Family, colour: str, marker: str, label: str, line: str) -> None:
    points = [family.accuracy(size) for size in family.sizes]
    spreads = [spread for _, spread in points if spread is not None]
    axes.errorbar(
        family.sizes,
        [value for value, _ in points],
        yerr=spreads or None,
        capsize=3,
        marker=marker,
        markersize=5,
        linestyle=line,
        color=colour,
        label=label,
    )


def _histograms(axes: Any, family: Family, most: float) -> Any:
    """Shares as a picture on logarithmic axes, with the fitted line and one of slope 1."""
    sizes, sigmas = np.array(family.sizes), np.array(family.first.sigmas)
    shares = np.array([family.shares(size) for size in family.sizes]).T
    picture = axes.pcolormesh(_edges(sizes), _edges(sigmas), shares, cmap="cividis", vmin=0, vmax=most)
    if line := fit(family):
        ends = np.array([line.smallest, line.largest])
        spread = "" if line.spread is None else f" ± {line.spread:.3f}"
        label = f"slope {line.slope:.2f}{spread}"
        axes.plot(ends, [line.sigma(end) for end in ends], color="#D55E00", linewidth=2.5, label=label)
        middle = float(np.sqrt(ends.prod()))
        axes.plot(ends, line.sigma(middle) * ends / middle, color="w", linestyle="--", label="theory: slope 1")
        axes.legend(loc="lower right", fontsize=9, facecolor="0.3", labelcolor="w")
    axes.set_yscale("log", base=2)
    axes.set_ylim(_edges(sigmas)[[0, -1]])
    axes.set_yticks(sigmas, [short(sigma) for sigma in sigmas])
    axes.yaxis.set_minor_locator(NullLocator())
    size_axis(axes, family.sizes)
    axes.set_xlim(_edges(sizes)[[0, -1]])
    return picture


def _edges(centres: Any) -> Any:
    """Edges of cells around centres in geometric progression."""
    logs = np.log2(centres)
    if len(logs) == 1:
        return 2 ** (logs + np.array([-0.25, 0.25]))
    middles = (logs[1:] + logs[:-1]) / 2
    return 2 ** np.concatenate([[2 * logs[0] - middles[0]], middles, [2 * logs[-1] - middles[-1]]])


def _legend_below(figure: Any, axes: Any) -> None:
    """One for all panels, where it hides no curve; the figure grows by it."""
    entries = {}
    for place in axes.flat:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    wide = figure.get_figwidth() / (0.55 + 0.078 * max(map(len, entries)))  # inches, with the handle, at this size
    columns = max(1, min(len(entries), floor(wide)))
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=columns, fontsize=10, frameon=False)
    figure.set_figheight(figure.get_figheight() + _ENTRY * (ceil(len(entries) / columns) - 1))


def _mark_training(axes: Any, family: Family) -> None:
    for size in family.first.train_sizes:
        axes.axvline(size, color="0.4", linestyle=":", label="size seen in training")


def _over_sizes(axes: Any, families: Sequence[Family]) -> None:
    size_axis(axes, [size for family in families for size in family.sizes])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3)


def size_axis(axes: Any, sizes: Sequence[float]) -> None:
    """Sizes of test images along x, by powers of 2."""
    axes.set_xscale("log", base=2)
    ticks = sorted({size for size in sizes if abs(log2(size) * 2 - round(log2(size) * 2)) < 1e-2})
    axes.set_xticks(ticks or sorted(set(sizes)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("size of the test images")


def _label(family: Family, families: Sequence[Family]) -> str:
    run = family.first
    return ", ".join([f"{named(run)} network", *apart(run, [other.first for other in families])])


def _trained(family: Family) -> str:
    return f"trained at size {trained_at(family.first)} ({_images(family)})"


def _bars(families: Sequence[Family]) -> str:
    """What the error bars are, where there are some."""
    counts = sorted({len(family.runs) for family in families} - {1})
    return f"\n(bars: ±1 standard deviation over {' or '.join(map(str, counts))} seeds)" if counts else ""


def _images(family: Family) -> str:
    return f"{family.first.train_images} training images"
