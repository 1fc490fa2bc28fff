"""What benchmarks/results holds, as pages: tables and figures drawn from the json by the reports of the benchmarks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from links import ROOT

from benchmarks import (
    report,
    results,
)

RESULTS = ROOT / "benchmarks" / "results"

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """The tables of a folder in Markdown, and the figures by name."""

    tables: list[str] = field(default_factory=list)
    figures: dict[str, bytes] = field(default_factory=dict)


def folders() -> list[str]:
    """Those with anything to show."""
    return sorted(path.name for path in RESULTS.iterdir() if path.is_dir() and (_runs(path) or _told(path)))


def shown(name: str, into: Path) -> Shown:
    """The tables and figures of a folder, drawn into an empty one; without json of a known kind its own report."""
    folder = RESULTS / name
    written = report.write(report.find([folder]), into) if _runs(folder) else []
    tables = [path.read_text(encoding="utf-8") for path in written if path.suffix == ".md"]
    return Shown(tables or [_told(folder)], {path.name: path.read_bytes() for path in written if path.suffix == ".png"})


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
    return [(str(path.relative_to(RESULTS)), one) for path, one in read if one.get("benchmark") in report.KINDS]


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
