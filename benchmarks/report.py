"""The figures and tables of committed results once more, from their `results.json` alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import large_picture, losses, off_centre, results, stamps, stir, truncation
from benchmarks.reports import compare, covariance, generalisation, natural, scenes, speed
from benchmarks.reports.runs import runs_in
from benchmarks.reports.tables import Table
from scalegroup import ScaleGroupError

DESCRIPTION = (
    "figures and tables from results.json files of any benchmark: of trainings at one size (`generalisation`) all that "
    "are given together, several seeds averaged"
)

Content = Mapping[str, Any]
Write = Callable[[Any, Path], list[Path]]
"""Takes what a `results.json` says and a folder; writes `report.md` and figures; gives their paths."""


def _tabled(table: Callable[[Any], Table]) -> Write:
    """Of what has a table and no figure."""
    return lambda content, folder: [table(content).save(folder)]


_TOGETHER = "generalisation"
KINDS: dict[str, Write] = {
    "compare": lambda content, folder: compare.write(content, folder / "results.json"),
    "covariance": covariance.write,
    _TOGETHER: lambda content, folder: generalisation.write(runs_in(content), folder),
    "large-picture": _tabled(large_picture.table),
    "losses": _tabled(losses.table),
    "natural": natural.write,
    "off-centre": _tabled(off_centre.table),
    "scenes": scenes.write,
    "speed": speed.write,
    "stamps": _tabled(stamps.table),
    "stir": _tabled(stir.table),
    "truncation": _tabled(truncation.table),
}
"""By what `results.json` says under "benchmark"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("results", type=Path, nargs="+", help="results.json files, or folders with some in them")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/report"),
        help="folder; several results have folders of their own in it (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Read, draw, tell, write."""
    found = find(options.results)
    written, console = write(found, results.make_folder(options.output)), Console(soft_wrap=True)
    for path in written:
        if path.suffix == ".md":
            console.print(Markdown(path.read_text(encoding="utf-8")))
    console.print("wrote " + ", ".join(map(str, written)))


def find(paths: Iterable[Path]) -> dict[Path, Content]:
    """What is in `results.json` files, and in all such files in folders.

    Raises:
        ScaleGroupError: if there are none, or a file is not of a benchmark.
    """
    files = [file for path in paths for file in (sorted(path.rglob("results.json")) if path.is_dir() else [path])]
    found = {}
    for file in files:
        with _said_of(file):
            found[file] = results.read_json(file, checked=False)
            KINDS[found[file]["benchmark"]]
    if not found:
        raise ScaleGroupError(
            "no results", expected="results.json files, or folders with some", mend="run a benchmark first"
        )
    return found


def write(found: Mapping[Path, Content], folder: Path) -> list[Path]:
    """Figures and tables of results by their files: those of trainings at one size together, others on their own.

    Raises:
        ScaleGroupError: if what a file says is not what its benchmark writes.
    """
    runs, written = [], []
    common = os.path.commonpath([file.parent.resolve() for file in found])
    for file, content in found.items():
        with _said_of(file):
            if content["benchmark"] == _TOGETHER:
                runs += runs_in(content)
            else:
                into = folder / file.parent.resolve().relative_to(common)
                written += KINDS[content["benchmark"]](content, results.make_folder(into))
    if runs:
        written += generalisation.write(runs, results.make_folder(folder / _TOGETHER) if written else folder)
    return written


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """What goes wrong with a file is said of it."""
    try:
        yield
    except ScaleGroupError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScaleGroupError(
            f"{file} ({type(error).__name__}: {error})",
            expected=f"results of one of {', '.join(KINDS)}",
            mend="leave it out, or run that again",
        ) from None
