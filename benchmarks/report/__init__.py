"""Figures and tables of any number of runs, from their `results.json` alone: Figures 8, 9 and 10 of the paper."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from rich.console import Console

from benchmarks import results
from benchmarks.report import figures, tables
from benchmarks.report.runs import Family, families, find_runs, runs_in

DESCRIPTION = "figures and tables from results.json files: accuracy over size, scale selection, several seeds together"

__all__ = ["DESCRIPTION", "Family", "add_arguments", "draw", "families", "run", "runs_in", "tables"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("results", type=Path, nargs="+", help="results.json files, or folders with some in them")
    parser.add_argument("--output", type=Path, default=Path("results/report"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Read, draw, tell, write."""
    found = families(find_runs(options.results))
    folder, console = results.make_folder(options.output), Console(soft_wrap=True)
    written = draw(found, folder)
    shown = tables.of(found)
    for table in shown:
        console.print(table.rich())
    text = "\n".join(table.markdown() for table in shown)
    written.append(folder / "report.md")
    results.save_text(text, written[-1])
    console.print("wrote " + ", ".join(str(path) for path in written))


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
