"""The tables of `python -m benchmarks speed`, and the few ratios that sum it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_OURS, _WITHOUT_STRIDES = "planned, min_grid_sigma 1", "planned, no strides"

# (what, numerator, denominator, section, pass, aim); a name stands for the fastest row that begins with it
_HEADLINES = (
    ("training, textbook / planned", "textbook", _OURS, "networks", "train", "≥ 100"),
    ("training, textbook / planned without strides", "textbook", _WITHOUT_STRIDES, "networks", "train", "≥ 20"),
    ("training, planned / CNN 3×3", _OURS, "CNN 3×3", "networks", "train", "≤ 1.5"),
    ("training, planned / CNN 5×5", _OURS, "CNN 5×5", "networks", "train", ""),
    ("training, planned / fastest escnn", _OURS, "escnn", "networks", "train", "≤ 1"),
    ("inference of one image, planned / CNN 3×3", _OURS, "CNN 3×3", "batch 1", "inference", "≤ 2"),
)


def headlines(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ratios of medians per image, at `min_grid_sigma` 1 where nothing else is said; None where a side is missing."""
    found = []
    for what, above, below, section, which, aim in _HEADLINES:
        first, second = (_fastest(rows, name, section, which) for name in (above, below))
        ratio = first["median_ms"] / second["median_ms"] if first and second else None
        sides = [side and side["name"] for side in (first, second)]
        found.append({"what": what, "ratio": ratio, "aim": aim, "numerator": sides[0], "denominator": sides[1]})
    return found


def _fastest(rows: Sequence[dict[str, Any]], name: str, section: str, which: str) -> dict[str, Any] | None:
    plain = [
        row
        for row in rows
        if (row["section"], row["pass"]) == (section, which)
        and not row["error"]
        and (row["name"] == name or row["name"].startswith((f"{name},", f"{name} ")))
        and not row["name"].endswith(("bfloat16", "compiled"))
    ]
    return min(plain, key=lambda row: row["median_ms"], default=None)


def show(content: dict[str, Any], console: Console) -> None:
    """All tables."""
    peak = content["convolution_peak_multiply_adds_per_second"]
    for section, which in dict.fromkeys((row["section"], row["pass"]) for row in content["rows"]):
        rows = [row for row in content["rows"] if (row["section"], row["pass"]) == (section, which)]
        console.print(_times(f"{section}, {which}", rows))
    table = _table("sweeps of our training step, min_grid_sigma 1", "over", "ms a step", "exponent")
    for sweep in content["sweeps"]:
        points = (f"{row['value']}: {_number(row['median_ms'], row['batch'], row['error'])}" for row in sweep["rows"])
        table.add_row(sweep["over"], ", ".join(points), _number(sweep["exponent"]))
    console.print(table)
    table = _table("peak memory of one training step", "network", "images", "MiB")
    for row in content["memory"]:
        table.add_row(row["name"], str(row["batch"]), _number(row["peak_bytes"], 2**-20, row["error"]))
    console.print(table)
    table = _table("in short: ratios of medians per image", "what", "ratio", "aim")
    for line in content["headlines"]:
        table.add_row(line["what"], _number(line["ratio"]), line["aim"])
    console.print(table)
    console.print(f"convolution peak of this machine: {peak / 1e9:.1f} multiply-adds a nanosecond")
    for error in dict.fromkeys(row["error"] for row in content["rows"] if row["error"]):
        console.print(f"no time: {error}", markup=False)


def _times(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """One line for each network: milliseconds per image, the quartiles' distance, the ratio to the planned path."""
    table = _table(title, "network", "images", "ms/image", "IQR", "runs", "× ours", "peak")
    ours = _fastest(rows, _OURS, rows[0]["section"], rows[0]["pass"])
    for row in rows:
        start = row["name"], str(row["batch"])
        if row["error"]:
            table.add_row(*start, "–")
            continue
        fraction = row.get("fraction_of_peak")
        table.add_row(
            *start,
            _number(row["median_ms"]),
            _number(row["iqr_ms"]) if len(row["times_ms"]) > 1 else "–",
            str(len(row["times_ms"])),
            _number(row["median_ms"], 1 / ours["median_ms"]) if ours else "–",
            f"{fraction:.0%}" if fraction else "",
        )
    return table


def _table(title: str, first: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _number(value: float | None, factor: float = 1.0, otherwise: str | None = None) -> str:
    return otherwise or "–" if value is None else f"{value * factor:.4g}"
