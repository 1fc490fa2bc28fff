"""Figures 8, 9 and 10 of the paper and their tables, of any number of runs of `python -m benchmarks generalisation`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from benchmarks import results
from benchmarks.reports import figures, tables
from benchmarks.reports.runs import Family, Run, families


def write(runs: Iterable[Run], folder: Path) -> list[Path]:
    """All figures that there is something for, and `report.md`."""
    found = families(runs)
    written = draw(found, folder)
    results.save_text("\n".join(table.markdown() for table in tables.of(found)), folder / "report.md")
    return [*written, folder / "report.md"]


def draw(found: Sequence[Family], folder: Path) -> list[Path]:
    """All figures there is something for; where there are several data sets, each has its own."""
    by_data = [(name, list(group)) for name, group in groupby(found, key=attrgetter("data"))]
    written = []
    for name, group in by_data:
        prefix = f"{name}-" if len(by_data) > 1 else ""
        for stem, figure in figures.of(group):
            written.append(folder / f"{prefix}{stem}.png")
            figures.save(figure, written[-1])
    return written
