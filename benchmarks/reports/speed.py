"""The tables of `python -m benchmarks speed`, from its results alone, and the few ratios that sum it up."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.contenders import OURS

# (what, numerator, denominator, section, pass, aim); a name stands for the best row that begins with it
_HEADLINES = (
    ("training, baseline / ours", "baseline", OURS, "networks", "train", "≥ 1.5"),
    ("inference of one image, baseline / ours", "baseline", OURS, "batch 1", "inference", "≥ 2"),
    ("memory, baseline / ours", "baseline", OURS, "memory", "train", "≥ 1"),
    ("training, textbook / ours", "textbook", OURS, "networks", "train", "≥ 100"),
    ("training, grid image / ours", "grid image", OURS, "networks", "train", ""),
    ("training, ours / CNN 3×3", OURS, "CNN 3×3", "networks", "train", "≤ 1"),
    ("training, ours / halved CNN 3×3", OURS, "halved CNN 3×3", "networks", "train", "≤ 6"),
    ("training, ours / CNN 5×5", OURS, "CNN 5×5", "networks", "train", ""),
    ("training, ours / fastest escnn", OURS, "escnn", "networks", "train", "≤ 1"),
    ("inference of one image, ours / CNN 3×3", OURS, "CNN 3×3", "batch 1", "inference", "≤ 1.2"),
)


def write(content: dict[str, Any], folder: Path) -> list[Path]:
    """`report.md`: what `show` shows."""
    console = Console(file=StringIO(), record=True, width=140)
    show(content, console)
    results.save_text(f"```text\n{console.export_text().rstrip()}\n```\n", folder / "report.md")
    return [folder / "report.md"]


def headlines(rows: Sequence[dict[str, Any]], memory: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ratios of medians per image, and of peak memory; None where a side is missing."""
    found = []
    for what, above, below, section, which, aim in _HEADLINES:
        there, of = (memory, "peak_bytes") if section == "memory" else (_rows(rows, section, which), "median_ms")
        first, second = (_best(there, name, of) for name in (above, below))
        ratio = first[of] / second[of] if first and second else None
        sides = [side and side["name"] for side in (first, second)]
        found.append({"what": what, "ratio": ratio, "aim": aim, "numerator": sides[0], "denominator": sides[1]})
    return found


def _rows(rows: Sequence[dict[str, Any]], section: str, which: str) -> list[dict[str, Any]]:
    return [row for row in rows if (row["section"], row["pass"]) == (section, which)]


def _best(rows: Sequence[dict[str, Any]], name: str, of: str) -> dict[str, Any] | None:
    plain = [
        row
        for row in rows
        if not row["error"]
        and (row["name"] == name or row["name"].startswith((f"{name},", f"{name} ")))
        and not row["name"].endswith(("bfloat16", "compiled", "checkpointing"))
    ]
    return min(plain, key=lambda row: row[of], default=None)


def show(content: dict[str, Any], console: Console) -> None:
    """All tables."""
    peak = content["convolution_peak_multiply_adds_per_second"]
    for section, which in dict.fromkeys((row["section"], row["pass"]) for row in content["rows"]):
        console.print(_times(f"{section}, {which}", _rows(content["rows"], section, which)))
    table = _table(f"sweeps of our training step, {OURS}", "over", "ms a step", "exponent")
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
    """One line for each network: milliseconds per image, the quartiles' distance, the ratio to ours."""
    table = _table(title, "network", "images", "ms/image", "IQR", "runs", "× ours", "peak")
    ours = _best(rows, OURS, "median_ms")
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
