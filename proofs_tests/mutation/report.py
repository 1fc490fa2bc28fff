"""The report that is kept: every mutant and its fate, with commit and machine, and tables to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CAUGHT = ("caught", "hung or crashed")
_KEPT = ("file", "line", "operator", "before", "after", "fate", "by", "reason")

Fate = dict[str, Any]


def caught(fates: Sequence[Fate]) -> int:
    """How many of them tests have noticed."""
    return sum(fate["fate"] in CAUGHT for fate in fates)


def counted(fates: Sequence[Fate]) -> list[Fate]:
    """Those that mean another program, as far as is known."""
    return [fate for fate in fates if fate["fate"] in CAUGHT or not fate["reason"]]


def save(folder: Path, fates: Sequence[Fate], about: dict[str, Any]) -> None:
    """Write mutation.json and README.md. `about`: the run, its commit, versions and machine."""
    folder.mkdir(parents=True, exist_ok=True)
    content = about | {"mutants": [{name: fate[name] for name in _KEPT} for fate in fates]}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / "mutation.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(readme(fates, about), encoding="utf-8")


def readme(fates: Sequence[Fate], about: dict[str, Any]) -> str:
    """The numbers by file and by kind of fault; survivors, and those that mean the same, with the reasons."""
    real = counted(fates)
    lines = [
        "# Small faults put into the library: do its tests notice?",
        "",
        f"**{caught(real)} of {len(real)} caught ({caught(real) / max(1, len(real)):.1%}).** A sample of {len(fates)} "
        f"of {about['candidates']} mutants, seed {about['seed']}; {len(fates) - len(real)} that mean the same program "
        "are not counted.",
        "",
        f"`{about['command']}`: {about['said']}. Every mutant is in `mutation.json`.",
        "",
    ]
    for by in ("file", "kind"):
        lines += [f"| {by} | caught | of | mean the same |", "|---|---:|---:|---:|"]
        for name in sorted({fate[by] for fate in fates}):
            here = [fate for fate in fates if fate[by] == name]
            of = counted(here)
            lines.append(f"| {name} | {caught(of)} | {len(of)} | {len(here) - len(of)} |")
        lines.append("")
    for title, explained in (("Survivors", False), ("Mutants that mean the same program", True)):
        left = [fate for fate in fates if fate["fate"] not in CAUGHT and bool(fate["reason"]) is explained]
        lines += [f"## {title}", "", *([] if left else ["None.", ""])]
        for fate in left:
            changes = [f"- {line}" for line in fate["before"].splitlines()]
            changes += [f"+ {line}" for line in fate["after"].splitlines()]
            said = f": {fate['reason']}" if explained else ""
            lines += [f"`{fate['file']}:{fate['line']}`, {fate['operator']}{said}", "", "```diff", *changes, "```", ""]
    return "\n".join(lines)
