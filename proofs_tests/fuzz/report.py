"""The report that is kept: how often which outcome, by callable, and what survived which fault."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proofs_tests.fuzz.trial import Trial
from proofs_tests.fuzz.values import ANSWERED, HUNG, NONSENSE, RAW, REFUSED

OUTCOMES = (REFUSED, ANSWERED, RAW, NONSENSE, HUNG)
FATES = ("refused", "survived", "raw error", "silent")


def save(folder: Path, trials: Sequence[Trial], faults: dict[str, Counter], about: dict[str, Any]) -> None:
    """Write fuzz.json and README.md. `about`: the run, its commit, versions and machine."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({trial["callable"] for trial in trials})
    content = about | {
        "callables": {name: dict(_counted([t for t in trials if t["callable"] == name])) for name in names},
        "wrong": [trial for trial in trials if trial["outcome"] not in (REFUSED, ANSWERED)],
        "faults": {name: dict(found) for name, found in faults.items()},
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / "fuzz.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(readme(trials, faults, about), encoding="utf-8")


def readme(trials: Sequence[Trial], faults: dict[str, Counter], about: dict[str, Any]) -> str:
    """The numbers by kind of value; every fault; and every call that ended in no answer and no clear error."""
    total, callables = _counted(trials), {trial["callable"] for trial in trials}
    wrong = [trial for trial in trials if trial["outcome"] not in (REFUSED, ANSWERED)]
    lines = [
        "# Bad arguments and faults of files and runs: does anything break?",
        "",
        f"**{len(trials) - len(wrong)} of {len(trials)} bad calls of {len(callables)} public callables gave a clear "
        "error or an answer.** One argument at a time was replaced; the others were good.",
        "",
        f"`{about['command']}`: {about['said']}. The counts of every callable are in `fuzz.json`.",
        "",
        f"| value | {' | '.join(OUTCOMES)} |",
        "|---|" + "---:|" * len(OUTCOMES),
    ]
    by_kind = {kind: [t for t in trials if t["kind"] == kind] for kind in sorted({t["kind"] for t in trials})}
    lines += [_row(kind, _counted(some), OUTCOMES) for kind, some in by_kind.items()]
    lines += [_row("all", total, OUTCOMES), ""]
    lines += ["## Faults", "", f"| fault | tried | {' | '.join(FATES)} |", "|---|---:|" + "---:|" * len(FATES)]
    lines += [_row(f"{name} | {found.total()}", found, FATES) for name, found in faults.items()]
    lines += [
        "",
        "Survived: what was read, or what came of the run, is what it would have been. Silent: it was another thing.",
        "",
        "## What ended in no answer and no clear error",
        "",
        *([] if wrong else ["None."]),
        *map(_told, wrong),
        "",
    ]
    return "\n".join(lines)


def _told(trial: Trial) -> str:
    said = " ".join(trial["said"].split())
    return f"- `{trial['callable']}({trial['parameter']}={trial['value']})`: {trial['outcome']}, {said}"


def _counted(trials: Sequence[Trial]) -> Counter:
    return Counter(trial["outcome"] for trial in trials)


def _row(name: str, found: Counter, columns: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(str(found[column]) for column in columns)} |"
