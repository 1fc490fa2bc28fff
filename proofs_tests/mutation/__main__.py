"""Do the tests notice small faults? Mutants of the library, one at a time, each against tests that execute its lines.

    make mutation
    python -m proofs_tests.mutation [--sample 300 --seed 0 --only PATH --json PATH --keep FOLDER]     # the same

A mutant is the library with one fault in one file: by operators of its own kind, or cosmic-ray's. Coverage says, once,
which tests execute which lines; as many of them as a minute allows judge it, in a forked process, until one fails. A
survivor shows a law without a test, or a program that means the same: those that do are in equivalent_mutants.toml,
with the reason. The report is continued where an earlier run stopped, as far as the sources are the same.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from proofs_tests.mutation.judges import Judges, measure, most_telling
from proofs_tests.mutation.mutants import Mutant, mutants, sample
from proofs_tests.mutation.report import CAUGHT, Fate, caught, counted, save
from proofs_tests.mutation.trial import compile_tests, judged, preload

ROOT = Path(__file__).parent.parent.parent
PARTS = ("scalegroup", "models", "proofs_tests", "benchmarks", "examples", "pyproject.toml", "conftest.py", "README.md")
EQUIVALENT = ROOT / "proofs_tests" / "equivalent_mutants.toml"
ENOUGH = 0.95  # of the mutants that mean another program


def main() -> int:
    """Run the sample and report. Exit status: 0 if enough were caught."""
    parser = argparse.ArgumentParser(prog="python -m proofs_tests.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="PATH", help="a file or folder; default: scalegroup")
    parser.add_argument("--json", type=Path, metavar="PATH", default=ROOT / "results" / "mutation.json")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write data and tables there, with the commit")
    options = parser.parse_args()
    os.environ.update(HYPOTHESIS_PROFILE="quick", OMP_NUM_THREADS="1")
    report, kept = options.json.absolute(), options.keep and options.keep.absolute()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for part in PARTS:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, part, ignore=ignore) if (ROOT / part).is_dir() else shutil.copy(
                ROOT / part, part
            )
        preload()
        compile_tests()
        tests = sorted(map(str, Path("proofs_tests").glob("test_*.py")))
        judges = Judges(measure(["scalegroup", *tests], report.with_suffix("")))
        candidates = [
            mutant for file in sources(options.only) for mutant in mutants(file, Path(file).read_text("utf-8"))
        ]
        fates = _run(sample(candidates, options.sample, options.seed), judges, report)
    print(f"{len(fates)} of {len(candidates)} mutants, seed {options.seed}")
    if kept:
        from benchmarks.results import (
            provenance,
            said,
        )  # not before: it imports the library, and mutants are run in copies

        command = " ".join(["python -m proofs_tests.mutation", *sys.argv[1:]])
        about = {"seed": options.seed, "candidates": len(candidates), "command": command} | provenance()
        save(kept, fates, about | {"said": said(about)})
    return show(fates)


def sources(only: list[str] | None) -> list[str]:
    """The files of the library, as far as they are asked for."""
    files = [path for path in sorted(Path("scalegroup").rglob("*.py")) if "models" not in path.parts]
    wanted = [Path(name) for name in only or ["scalegroup"]]
    return [str(path) for path in files if any(path.is_relative_to(part) for part in wanted)]


def _run(chosen: list[Mutant], judges: Judges, report: Path) -> list[Fate]:
    """The fate of each mutant; what is known from an earlier run stays."""
    tests = _digest(*(path.read_text("utf-8") for path in sorted(Path("proofs_tests").glob("*.py"))))
    known = {fate["id"]: fate for fate in json.loads(report.read_text("utf-8"))} if report.exists() else {}
    now = {str(path): _digest(path.read_text("utf-8")) for path in Path("scalegroup").rglob("*.py")}
    known = {id: fate for id, fate in known.items() if now.get(fate["file"]) == fate["source"]}
    explained = equivalents()
    fates = []
    for number, mutant in enumerate(chosen, start=1):
        id = _digest(mutant.file, mutant.program)
        before, after = mutant.difference
        fate = known.get(id)
        reason = explained.get((mutant.file, before, after))
        if fate is None or (fate["fate"] not in CAUGHT and fate["tests"] != tests and reason is None):
            fate = {
                "id": id, "file": mutant.file, "source": now[mutant.file], "line": mutant.line, "kind": mutant.kind,
                "operator": mutant.operator, "before": before, "after": after, "tests": tests,
                **_judged(mutant, judges),
            }  # fmt: skip
            known[id] = fate
            _write(report, list(known.values()))
            print(f"{number}: {fate['fate']} by {fate['by']} in {fate['seconds']:.1f} s", flush=True)
            if fate["fate"] not in CAUGHT:
                print(_shown(fate), flush=True)
        fates.append(fate | {"reason": reason})
    return fates


def _judged(mutant: Mutant, judges: Judges) -> Fate:
    tests = judges.of(mutant.file, ast.parse(mutant.source), mutant.line)
    if not tests:
        return {"fate": "survived", "by": "no test executes it", "seconds": 0.0, "judges": 0}
    path = Path(mutant.file)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()
    first = most_telling(tests, judges.seconds)
    parts = [part for part in (first, [test for test in tests if test not in first]) if part]
    path.write_text(mutant.program, encoding="utf-8")
    try:
        spent = 0.0
        for part in parts:
            fate = judged(part, seconds=60 + 4 * sum(judges.seconds[test] for test in part))
            spent += fate["seconds"]
            if fate["fate"] != "survived":
                break
        return fate | {"seconds": round(spent, 2), "judges": len(tests)}
    finally:
        path.write_text(mutant.source, encoding="utf-8")


def _write(report: Path, fates: list[Fate]) -> None:
    report.parent.mkdir(parents=True, exist_ok=True)
    temporary = report.with_suffix(".new")
    temporary.write_text(json.dumps(fates, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(report)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def equivalents(path: Path = EQUIVALENT) -> dict[tuple[str, str, str], str]:
    """The mutants that mean the same: (file, line before, line after) → why."""
    entries = tomllib.loads(path.read_text("utf-8")).get("same", [])
    return {(e["file"], e["before"], after): e["reason"] for e in entries for after in e["after"]}


def show(fates: list[Fate]) -> int:
    """Tables by file and by kind of operator, then the survivors. 0 if enough of the others were caught, else 1."""
    real = counted(fates)
    for by in ("file", "kind"):
        print(f"\n{'caught':>6} {'of':>5} {'equivalent':>10}  by {by}")
        for name in sorted({fate[by] for fate in fates}):
            these, all = ([fate for fate in part if fate[by] == name] for part in (real, fates))
            print(f"{caught(these):6d} {len(these):5d} {len(all) - len(these):10d}  {name}")
    for title, chosen in (("equivalent", True), ("survivors", False)):
        print(f"\n{title}:")
        for fate in fates:
            if fate["fate"] not in CAUGHT and bool(fate["reason"]) is chosen:
                print(_shown(fate))
                print(f"    {fate['reason'] or 'by ' + str(fate['judges']) + ' tests'}")
    fraction = caught(real) / max(1, len(real))
    seconds = sum(fate["seconds"] for fate in fates) / max(1, len(fates))
    print(f"\n{caught(real)} of {len(real)} caught, {fraction:.1%}; {len(fates) - len(real)} mean the same; "
          f"{seconds:.1f} s for each")  # fmt: skip
    return int(fraction < ENOUGH)


def _shown(fate: Fate) -> str:
    place = f"  {fate['file']}:{fate['line']}, {fate['operator']}"
    return f"{place}\n    - {fate['before']}\n    + {fate['after']}"


if __name__ == "__main__":
    sys.exit(main())
