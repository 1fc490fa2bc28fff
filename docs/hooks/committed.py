"""What benchmarks/results holds, as pages: tables and figures drawn from the json by the reports of the benchmarks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from links import ROOT
from rich.console import Console

from benchmarks import (
    compare_report,
    covariance,
    large_picture,
    losses,
    natural_report,
    off_centre,
    report,
    results,
    scenes_report,
    speed_tables,
    stamps,
    stir,
    truncation,
)
from benchmarks.report.runs import find_runs

RESULTS = ROOT / "benchmarks" / "results"

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """The tables of a folder in Markdown, and the figures by name."""

    tables: list[str] = field(default_factory=list)
    figures: dict[str, bytes] = field(default_factory=dict)


def generalisation(_: Any, folder: Path, into: Path) -> list[str]:
    """Of all runs within."""
    found = report.families(find_runs([folder]))
    report.draw(found, into)
    return [table.markdown() for table in report.tables.of(found)]


def compared(content: Any, _: Path, into: Path) -> list[str]:
    """All networks, and ours with other scale channels."""
    compare_report.write(content, into / "results.json")
    return [(into / "results.md").read_text(encoding="utf-8")]


def covariant(content: Any, _: Path, into: Path) -> list[str]:
    """The table behind samples per σ₀."""
    covariance.draw(content, into / "covariance.png")
    return [covariance.table(content).split("\n\nCommit ")[0].split("\n", 1)[1]]


def natural(content: Any, _: Path, into: Path) -> list[str]:
    """Natural pictures."""
    natural_report.write(content, into)
    return [natural_report.table(content).markdown()]


def scenes(content: Any, _: Path, into: Path) -> list[str]:
    """Objects anywhere."""
    scenes_report.write(content, into)
    return [scenes_report.table(content).markdown()]


def speed(content: Any, _: Path, into: Path) -> list[str]:
    """As the command prints it."""
    console = Console(file=StringIO(), record=True, width=140)
    speed_tables.show(content, console)
    return [f"```text\n{console.export_text().rstrip()}\n```"]


KINDS: dict[str, Callable[[Any, Path, Path], list[str]]] = {
    "compare": compared,
    "covariance": covariant,
    "generalisation": generalisation,
    "large-picture": lambda content, folder, into: [large_picture.table(content).markdown()],
    "losses": lambda content, folder, into: [losses.table(content["rows"], content["data"]).markdown()],
    "natural": natural,
    "off-centre": lambda content, folder, into: [off_centre.table(content).markdown()],
    "scenes": scenes,
    "speed": speed,
    "stamps": lambda content, folder, into: [stamps.table(content).markdown()],
    "stir": lambda content, folder, into: [stir.table(stir.summary(content["rows"]), len(content["seeds"])).markdown()],
    "truncation": lambda content, folder, into: [truncation.table(content["rows"]).markdown()],
}
"""By what `results.json` says under "benchmark": what draws into a folder and gives the tables."""


def folders() -> list[str]:
    """Those with anything to show."""
    return sorted(path.name for path in RESULTS.iterdir() if path.is_dir() and (_runs(path) or _told(path)))


def shown(name: str, into: Path) -> Shown:
    """The tables and figures of a folder, drawn into an empty one; without json of a known kind its own report."""
    folder = RESULTS / name
    tables = [table for kind, content in _kinds(folder).items() for table in KINDS[kind](content, folder, into)]
    figures = {path.name: path.read_bytes() for path in sorted(into.glob("*.png"))}
    return Shown(tables or [_told(folder)], figures)


def page(name: str, written: str, has: Shown) -> str:
    """The page of a folder: what has been written of it, or its name, and then what it holds."""
    head = written or f"# {_title(name)}\n\n{_about(RESULTS / name)}"
    pictures = [f"![{path.removesuffix('.png').replace('_', ' ')}]({name}/{path})" for path in has.figures]
    return "\n\n".join([head.rstrip(), "## Results", *pictures, *has.tables, _made(RESULTS / name)])


def others(text: str) -> str:
    """A list of the folders that a text does not link to."""
    left = [name for name in folders() if f"results/{name})" not in text]
    return "".join(f"- [{_title(name)}]({name}.md). {_about(RESULTS / name)}\n" for name in left)


def _title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").capitalize()


def _about(folder: Path) -> str:
    """What the commands say of themselves."""
    told = (import_module(f"benchmarks.{kind.replace('-', '_')}").DESCRIPTION for kind in _kinds(folder))
    return "\n".join(f"`python -m benchmarks {kind}`: {one}." for kind, one in zip(_kinds(folder), told, strict=True))


def _runs(folder: Path) -> list[tuple[str, Content]]:
    """What is in all its json files of a known kind, with their names."""
    read = ((path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.rglob("*.json")))
    return [(str(path.relative_to(RESULTS)), one) for path, one in read if one.get("benchmark") in KINDS]


def _kinds(folder: Path) -> dict[str, Content]:
    """The kinds of results in it, each with the first of them."""
    return {one["benchmark"]: one for _, one in reversed(_runs(folder))}


def _told(folder: Path) -> str:
    """Its own report, below a heading of ours."""
    reports = [folder / name for name in ("report.md", "README.md") if (folder / name).exists()]
    text = reports[0].read_text(encoding="utf-8") if reports else ""
    return re.sub(r"^# .*\n+", "", re.sub(r"^(#{2,}) ", r"#\1 ", text, flags=re.MULTILINE))


def _made(folder: Path) -> str:
    """Commands, commits and machines, folded up."""
    lines = list(_lines(folder))
    return (
        "\n".join(['??? note "Commands, commits, machines"', "", *(f"    {line}" for line in lines)]) if lines else ""
    )


def _lines(folder: Path) -> Iterator[str]:
    for name, content in _runs(folder):
        command = f", `{content['command']}`" if "command" in content else ""
        if "commit" in content:
            yield f"- `{name}`{command}: {results.said(dict(content))}"
