"""The table and the figure of `python -m benchmarks compare`, from its results alone."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib import pyplot as plt

from benchmarks import results
from benchmarks.costs import fastest
from benchmarks.reports.figures import save
from benchmarks.reports.tables import Table

_OURS, _OTHERS = "#0072B2", "#D55E00"  # told apart by everybody
_NEAR = 1e-3


def write(content: dict[str, Any], path: Path) -> list[Path]:
    """The table and the figure beside the results: `path` with `.md` and with `.png`."""
    text, picture = path.with_suffix(".md"), path.with_suffix(".png")
    tables = [table(content), channels(content)]
    markdown = "\n".join(one.markdown() for one in tables if one.rows)
    results.save_text(markdown, text)
    if any(not row["error"] for row in content["rows"].values()):
        save(figure(content), picture)
        return [text, picture]
    return [text]


def table(content: dict[str, Any]) -> Table:
    """A row for each network."""
    setting = _setting(content)
    heads = [
        "network",
        "parameters",
        "built in s",
        "train ms",
        "inference ms",
        "one image ms",
        "MiB",
        "scaling error",
        "45° error",
        "90° error",
        f"accuracy at {setting['train_size']:g}",
        "unseen sizes",
        "±",
        "worst",
        "turned",
    ]
    rows = [[name, *_cells(row, setting["train_size"])] for name, row in content["rows"].items()]
    title = (
        f"{setting['data']}: trained on {setting['train_images']} images of size {setting['train_size']:g} for "
        f"{setting['epochs']} epochs, tested on {setting['test_images']} at {len(setting['sizes'])} sizes "
        f"({_seeds(setting['seeds'])}); ms per image on {content['device']}, accuracies in %, "
        "errors as fractions of the signal"
    )
    return Table(title, heads, rows)


def channels(content: dict[str, Any]) -> Table:
    """Our networks with other numbers of scale channels than they were trained with: the same weights."""
    at = content["setting"]["train_size"]
    rows = [
        [name, count, *_sizes(accuracy, at)]
        for name, row in content["rows"].items()
        for count, accuracy in row.get("accuracy_by_channels", {}).items()
    ]
    heads = ["network", "scale channels", f"accuracy at {at:g}", "unseen sizes", "worst"]
    return Table("the same weights with 4, 8 and 12 scale channels, in %", heads, rows)


def figure(content: dict[str, Any]) -> Any:
    """Accuracy, errors and costs side by side, a line for each network."""
    at = content["setting"]["train_size"]
    rows = {name: row for name, row in content["rows"].items() if not row["error"]}
    figure, panels = plt.subplots(
        1, 3, figsize=(13, 1.6 + 0.34 * len(rows)), layout="constrained", sharey=True, width_ratios=(1.5, 1.2, 1)
    )
    for place, name in enumerate(rows):
        row = rows[name]
        colour = _OURS if name.startswith(("gaussian_derivative", "rotation_scale")) else _OTHERS
        seen, unseen = _seen_and_unseen(row["accuracy"], at)
        panels[0].plot([100 * min(unseen), 100 * mean(unseen)], [place, place], color=colour, linewidth=2)
        for values, marker, label in (
            (seen, "D", f"at size {at:g}, as trained"),
            (mean(unseen), "o", "mean over unseen sizes"),
            (min(unseen), "x", "worst unseen size"),
            (mean(row["rotated"].values()), "^", "mean over rotations"),
        ):
            panels[0].plot(100 * values, place, marker, color=colour, label=label if not place else None)
        errors = (max(row["covariance_error"].values()), row["rotation_error"]["45"], row["rotation_error"]["90"])
        for error, marker, label in zip(errors, "os^", ("scaling by up to 2", "45°", "90°"), strict=True):
            panels[1].plot(max(error, 1e-7), place, marker, color=colour, label=label if not place else None)
        for value, marker, label in zip(
            fastest(row.get("costs", {}).get("times", []))[:2], "os", ("training", "inference"), strict=True
        ):
            if value is not None:
                panels[2].plot(value, place, marker, color=colour, label=label if not place else None)
    panels[0].set(xlabel="accuracy in %", yticks=range(len(rows)), yticklabels=list(rows))
    panels[1].set(xlabel="error of invariance (fraction of the signal)", xscale="log")
    panels[2].set(xlabel=f"ms per image, {content['device']}", xscale="log")
    panels[0].invert_yaxis()
    for panel in panels:
        panel.grid(alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9, frameon=False)
    return figure


def _setting(content: dict[str, Any]) -> dict[str, Any]:
    """Older results are of one seed, and have their epochs in the one recipe of all networks."""
    setting = content["setting"]
    older = {} if "seeds" in setting else {"seeds": [setting["seed"]], "epochs": setting["recipe"]["epochs"]}
    return setting | older


def _cells(row: dict[str, Any], at: float) -> list[str]:
    if row["error"]:
        return ["–"] * 14
    costs = row.get("costs", {})
    peak = costs.get("memory", {}).get("peak_bytes")
    built = costs.get("construction_seconds")
    return [
        str(row["parameters"]),
        "–" if built is None else f"{built:.2f}",
        *("–" if value is None else f"{value:.3g}" for value in fastest(row.get("costs", {}).get("times", []))),
        "–" if peak is None else f"{peak / 2**20:.0f}",
        f"{max(row['covariance_error'].values()):.2g}",
        *(f"{row['rotation_error'][turn]:.2g}" for turn in ("45", "90")),
        *_sizes(row["accuracy"], at)[:2],
        _spread(row, at),
        *_sizes(row["accuracy"], at)[2:],
        f"{100 * mean(row['rotated'].values()):.1f}",
    ]


def _seeds(seeds: list[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"means over seeds {', '.join(map(str, seeds))}"


def _spread(row: dict[str, Any], at: float) -> str:
    """One standard deviation over seeds, of the mean over unseen sizes. Older results are of one seed."""
    means = [100 * mean(_seen_and_unseen(part["accuracy"], at)[1]) for part in row.get("by_seed", ())]
    return f"{stdev(means):.1f}" if len(means) > 1 else "–"


def _sizes(accuracy: dict[str, float], at: float) -> list[str]:
    seen, unseen = _seen_and_unseen(accuracy, at)
    return [f"{100 * value:.1f}" for value in (seen, mean(unseen), min(unseen))]


def _seen_and_unseen(accuracy: dict[str, float], at: float) -> tuple[float, list[float]]:
    """At the training size (NaN if it is not tested), and at the others."""
    seen = [value for size, value in accuracy.items() if abs(float(size) - at) < _NEAR]
    unseen = [value for size, value in accuracy.items() if abs(float(size) - at) >= _NEAR]
    return (seen or [float("nan")])[0], unseen or seen
