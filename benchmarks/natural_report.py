"""The table and the figures of `python -m benchmarks natural`, from its results alone."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.ticker import NullLocator

from benchmarks import results
from benchmarks.natural_networks import MAIN
from benchmarks.report.figures import save, short
from benchmarks.report.tables import Table

_COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#D55E00", "#E69F00", "#CC79A7", "#000000")  # Okabe and Ito's
_MARKERS = "osD^vPX"


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By network and size, over seeds."""
    return {
        name: {size: mean(row["accuracy"][size] for row in of) for size in of[0]["accuracy"]}
        for name, of in _by_network(rows).items()
    }


def write(content: dict[str, Any], folder: Path) -> list[Path]:
    """`report.md`, `accuracy.png`, `selected_scale.png`."""
    report, figure = folder / "report.md", folder / "accuracy.png"
    results.save_text(table(content).markdown(), report)
    save(accuracy(content), figure)
    written = [report, figure]
    if any("selected_scale" in row for row in content["rows"]):
        save(selected(content), folder / "selected_scale.png")
        written.append(folder / "selected_scale.png")
    return written


def table(content: dict[str, Any]) -> Table:
    """A row for each network."""
    rows, sizes = _by_network(content["rows"]), list(next(iter(content["accuracy"].values())))
    at = f"{content['train_size']:.4f}"
    heads = ["network", "weights", "million multiply-adds", "training ms", "inference ms", "seeds"]
    heads += [short(float(size)) for size in sizes] + ["most lost within √2", "most lost"]
    cells = []
    for name, of in rows.items():
        found, costs = content["accuracy"][name], content["costs"].get(name, {})
        spread = [stdev(row["accuracy"][size] for row in of) if len(of) > 1 else None for size in sizes]
        near = [size for size in sizes if 0.7 < float(size) < 1.42]
        cells.append(
            [
                name,
                str(of[0]["parameters"]),
                f"{of[0]['multiply_adds'] / 1e6:.0f}",
                *(f"{costs[key]:.1f}" if key in costs else "–" for key in ("training_ms", "inference_ms")),
                str(len(of)),
                *(_percent(found[size], error) for size, error in zip(sizes, spread, strict=True)),
                *(f"{100 * (found[at] - min(found[size] for size in some)):.1f}" for some in (near, sizes)),
            ]
        )
    first = content["rows"][0]["setting"]
    title = (
        f"{content['data']['name']}: accuracy in % by size, trained at size {content['train_size']:g} on "
        f"{first['images']['train']} images for {content['training']['epochs']} epochs, on {first['images']['test']} "
        "others"
    )
    return Table(title, heads, cells)


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
        for name, colour, marker in zip(names, _COLOURS * 2, _MARKERS * 2, strict=False):
            values = [100 * value for value in found[name].values()]
            line = "--" if name.startswith("resnet") or "single" in name else "-"
            place.plot(sizes, values, line, color=colour, marker=marker, markersize=5, label=name.replace("_", " "))
        place.axvline(content["train_size"], color="0.4", linestyle=":", label="size seen in training")
        _size_axis(place, sizes)
        place.set(xlabel="size of the test images", ylabel="accuracy in %", title=f"{content['data']['name']}: {title}")
        place.grid(alpha=0.3)
        place.legend(fontsize=9)
    return figure


def selected(content: dict[str, Any]) -> Any:
    """The mean σ₀ that each multi-scale network selects, over size, in log-log."""
    figure, place = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    sizes, middle = _sizes(content), len(_sizes(content)) // 2
    told = {row["setting"]["network"]: row["selected_scale"] for row in content["rows"] if "selected_scale" in row}
    for (name, of), colour, marker in zip(told.items(), _COLOURS * 2, _MARKERS * 2, strict=False):
        sigmas = [_geometric_mean(of["sigma0"], counts) for counts in of["histogram"].values()]
        place.plot(sizes, sigmas, color=colour, marker=marker, markersize=5, label=name.replace("_", " "))
        if name == next(iter(told)):
            theory = [sigmas[middle] * size / sizes[middle] for size in sizes]
            place.plot(sizes, theory, "k:", label="theory: slope 1")
    place.set_yscale("log", base=2)
    _size_axis(place, sizes)
    place.yaxis.set_major_formatter(lambda value, _: short(value))
    place.set(xlabel="size of the test images", ylabel="selected σ₀ in pixels (geometric mean)")
    place.grid(alpha=0.3)
    place.legend(fontsize=9)
    return figure


def _sizes(content: dict[str, Any]) -> list[float]:
    return [float(size) for size in next(iter(content["accuracy"].values()))]


def _size_axis(place: Any, sizes: list[float]) -> None:
    place.set_xscale("log", base=2)
    place.set_xticks(sizes, [short(size) for size in sizes])
    place.xaxis.set_minor_locator(NullLocator())


def _geometric_mean(sigmas: list[float], counts: list[int]) -> float:
    value = 1.0
    for sigma, count in zip(sigmas, counts, strict=True):
        value *= sigma ** (count / sum(counts))
    return value


def _by_network(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: list(of) for name, of in groupby(rows, key=lambda row: row["setting"]["network"])}


def _percent(value: float, spread: float | None) -> str:
    return f"{100 * value:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
