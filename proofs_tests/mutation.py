"""Do the tests notice small faults? Mutants of the algebra, one at a time, each against the tests of its own subject.

    make mutation        # or: python -m proofs_tests.mutation [--sample 150 --seed 0 --json PATH]

cosmic-ray makes the mutants, in a copy of the tree; a random sample of those that are programs of another meaning is
run (not those that do not compile, nor those of annotations alone, which nothing evaluates). A survivor shows a law
without a test, or a program that means the same: its difference is printed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scalegroup.whole_file import whole_file

ROOT = Path(__file__).parent.parent
SUBJECTS = {
    "jets/jet": ("test_kernels", "test_exactness", "test_bad_input", "test_jet_conv"),
    "jets/gaussian": ("test_kernels", "test_bounds"),
    "fields/field": ("test_field", "test_window", "test_bad_input"),
    "fields/grid": ("test_field", "test_lifting"),
    "fields/lifting": ("test_lifting",),
    "fields/window": ("test_window", "test_bad_input"),
    "fields/pooling": ("test_pooling", "test_bad_input"),
}
SLOWEST = 40.0  # seconds that the tests of one subject may take in the quick profile
PATIENCE = 2 * SLOWEST  # seconds after which a mutant that hangs counts as noticed


def main() -> int:
    """Run the sample and report. Exit status: 0 if at least 90 % were noticed."""
    parser = argparse.ArgumentParser(prog="python -m proofs_tests.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=150, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write each mutant and its fate there")
    options = parser.parse_args()
    os.environ.update(HYPOTHESIS_PROFILE="quick", OMP_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for part in ("scalegroup", "models", "proofs_tests", "benchmarks", "pyproject.toml", "conftest.py"):
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, part)
        for subject in SUBJECTS:
            _time_unmutated(subject)
        mutants = [mutant for subject in SUBJECTS for mutant in _mutants(subject)]
        sample = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
        fates = [_fate(number, *mutant) for number, mutant in enumerate(sample, start=1)]
    if options.json is not None:
        with whole_file(options.json) as temporary:
            temporary.write_text(json.dumps(fates, indent=2) + "\n", encoding="utf-8")
    for subject in SUBJECTS:
        noticed = [fate["noticed"] for fate in fates if fate["subject"] == subject]
        print(f"{subject}: {sum(noticed)} of {len(noticed)} noticed")
    fraction = sum(fate["noticed"] for fate in fates) / len(fates)
    print(f"all: {fraction:.1%} of {len(fates)} (sampled from {len(mutants)}, seed {options.seed})")
    return int(fraction < 0.9)


def _command(subject: str) -> str:
    # the module's doctests last: pytest imports a file that is named to it once more, before its package
    files = " ".join([*(f"proofs_tests/{name}.py" for name in SUBJECTS[subject]), f"scalegroup/{subject}.py"])
    return f"{sys.executable} -m pytest -x -q -p no:cacheprovider {files}"


def _time_unmutated(subject: str) -> None:
    """The tests pass on the program as it is, and soon enough."""
    start = time.monotonic()
    subprocess.run(_command(subject).split(), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    print(f"{subject}: its tests take {seconds:.0f} s", flush=True)
    if seconds > SLOWEST:
        print(f"  more than {SLOWEST:.0f} s: choose fewer", flush=True)


def _mutants(subject: str) -> list[tuple[str, Any]]:
    """(subject, mutant) for every mutant that means another program, always in the same order."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator
    from cosmic_ray.work_db import WorkDB

    path = Path("scalegroup", f"{subject}.py")
    source = path.read_text(encoding="utf-8")
    database = WorkDB(f"{path.stem}.sqlite", WorkDB.Mode.create)
    init([path], database, {})
    found = [item.mutations[0] for item in database.work_items]
    database.close()
    found.sort(key=lambda mutant: (mutant.start_pos, mutant.operator_name, mutant.occurrence))
    programs = (mutate_code(source, get_operator(mutant.operator_name)(), mutant.occurrence) for mutant in found)
    meaning = {_meaning(source), None}
    return [
        (subject, mutant) for mutant, program in zip(found, programs, strict=True) if _meaning(program) not in meaning
    ]


def _meaning(source: str) -> str | None:
    """The program without its annotations, or None if it is none.

    >>> _meaning("x: int = 1") == _meaning("x: str = 1"), _meaning("x = 1") == _meaning("x = 2"), _meaning("x = ")
    (True, False, None)
    """
    try:
        tree = ast.parse(source)
        compile(source, "mutant", "exec")
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
    return ast.dump(tree)


def _fate(number: int, subject: str, mutant: Any) -> dict[str, Any]:
    from cosmic_ray.mutating import mutate_and_test

    result = mutate_and_test([mutant], _command(subject), PATIENCE)
    killed = getattr(result.test_outcome, "value", "not run") == "killed"
    fate = "survived" if not killed else "hung" if result.output == "timeout" else "failed a test"
    print(f"{number}: {subject} line {mutant.start_pos[0]}, {mutant.operator_name}: {fate}", flush=True)
    if not killed:
        print(result.diff or result.output, flush=True)
    return {
        "subject": subject,
        "line": mutant.start_pos[0],
        "operator": mutant.operator_name,
        "occurrence": mutant.occurrence,
        "noticed": killed,
        "fate": fate,
        "difference": result.diff,
    }


if __name__ == "__main__":
    sys.exit(main())
