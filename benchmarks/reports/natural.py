"""The table and the figures of `python -m benchmarks natural`, from its results alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, groupby
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib import pyplot as plt

from benchmarks.costs import fastest
from benchmarks.natural_networks import MAIN
from benchmarks.reports.figures import COLOURS, MARKERS, save, short, size_axis
from benchmarks.reports.runs import over_seeds
from benchmarks.reports.selection import mean_log
from benchmarks.reports.tables import Table, percent

_LOST = "most lost within √2", "most lost"


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By network and size, over seeds."""
    return {
        name: {size: mean(row["accuracy"][size] for row in of) for size in of[0]["accuracy"]}
        for name, of in _by_network(rows).items()
    }


def write(content: dict[str, Any], folder: Path) -> list[Path]:
    """`report.md`, `accuracy.png`, `selected_scale.png`."""
    written = [table(content).save(folder), folder / "accuracy.png"]
    save(accuracy(content), written[-1])
    if any("selected_scale" in row for row in content["rows"]):
        save(selected(content), folder / "selected_scale.png")
        written.append(folder / "selected_scale.png")
    return written


def table(content: dict[str, Any]) -> Table:
    """A row for each network: what it costs, and its accuracy at every size."""
    heads = ["network", "weights", "million multiply-adds", "training ms", "inference ms", "seeds"]
    cells = []
    for name, of in _by_network(content["rows"]).items():
        times = fastest(content["costs"].get(name, []))[:2]
        told = [str(of[0]["parameters"]), f"{of[0]['multiply_adds'] / 1e6:.0f}"]
        told += ["–" if value is None else f"{value:.1f}" for value in times]
        cells.append([name, *told, str(len(of)), *_at(of, content["accuracy"][name]), *_lost(content, name)])
    sizes = [short(size) for size in _sizes(content)]
    return Table(_title(content), [*heads, *sizes, *_LOST], cells)


def brief(content: dict[str, Any]) -> Table:
    """For the screen: accuracy at the ends and at the trained size."""
    sizes = _sizes(content)
    shown = dict.fromkeys(f"{size:.4f}" for size in (sizes[0], content["train_size"], sizes[-1]))
    cells = [[name, *_at(of, shown), *_lost(content, name)] for name, of in _by_network(content["rows"]).items()]
    return Table(_title(content), ["network", *(short(float(size)) for size in shown), *_LOST], cells)


def _title(content: dict[str, Any]) -> str:
    images = content["rows"][0]["setting"]["images"]
    return (
        f"{content['data']['name']}: accuracy in % by size, trained at size {content['train_size']:g} on "
        f"{images['train']} images for {content['training']['epochs']} epochs, on {images['test']} others"
    )


def _at(rows: list[dict[str, Any]], sizes: Iterable[str]) -> list[str]:
    return [percent(*over_seeds([row["accuracy"][size] for row in rows])) for size in sizes]


def _lost(content: dict[str, Any], name: str) -> list[str]:
    """Points between the trained size and the worst: within a factor of √2, and at all."""
    found = content["accuracy"][name]
    near = [size for size in found if 0.7 < float(size) < 1.42]
    at = found[f"{content['train_size']:.4f}"]
    return [f"{100 * (at - min(found[size] for size in some)):.1f}" for some in (near, found)]


def accuracy(content: dict[str, Any]) -> Any:
    """Over size: the comparison, and each part changed."""
    found = content["accuracy"]
    sizes = _sizes(content)
    changed = [name for name in found if name not in MAIN]
    panels = [[name for name in found if name in MAIN]]
    if changed:
        panels.append([*(name for name in ("residual_multi_scale",) if name in found), *changed])
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6.4 * len(panels), 4.6), layout="constrained", squeeze=False, sharey=True
    )
    for names, place, title in zip(panels, axes[0], ("networks", "one part changed at a time"), strict=False):
        for name, colour, marker in zip(names, cycle(COLOURS), cycle(MARKERS), strict=False):
            values = [100 * value for value in found[name].values()]
            line = "--" if name.startswith("resnet") or "single" in name else "-"
            place.plot(sizes, values, line, color=colour, marker=marker, markersize=5, label=name.replace("_", " "))
        place.axvline(content["train_size"], color="0.4", linestyle=":", label="size seen in training")
        size_axis(place, sizes)
        place.set(ylabel="accuracy in %", title=f"{content['data']['name']}: {title}")
        place.grid(alpha=0.3)
        place.legend(fontsize=9)
    return figure


def selected(content: dict[str, Any]) -> Any:
    """The mean σ₀ that each multi-scale network selects, over size, in log-log."""
    figure, place = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    sizes, middle = _sizes(content), len(_sizes(content)) // 2
    told = {row["setting"]["network"]: row["selected_scale"] for row in content["rows"] if "selected_scale" in row}
    for (name, of), colour, marker in zip(told.items(), cycle(COLOURS), cycle(MARKERS), strict=False):
        sigmas = [2 ** mean_log(of["sigma0"], counts) for counts in of["histogram"].values()]
        place.plot(sizes, sigmas, color=colour, marker=marker, markersize=5, label=name.replace("_", " "))
        if name == next(iter(told)):
            theory = [sigmas[middle] * size / sizes[middle] for size in sizes]
            place.plot(sizes, theory, "k:", label="theory: slope 1")
    place.set_yscale("log", base=2)
    size_axis(place, sizes)
    place.yaxis.set_major_formatter(lambda value, _: short(value))
    place.set(ylabel="selected σ₀ in pixels (geometric mean)")
    place.grid(alpha=0.3)
    place.legend(fontsize=9)
    return figure


def _sizes(content: dict[str, Any]) -> list[float]:
    return [float(size) for size in next(iter(content["accuracy"].values()))]


def _by_network(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: list(of) for name, of in groupby(rows, key=lambda row: row["setting"]["network"])}
