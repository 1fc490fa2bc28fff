"""Does anything break? Every public callable with arguments that it cannot use, and damaged files and killed runs.

    python -m proofs_tests.fuzz [--only NAME --keep FOLDER]

Callables are found by looking (`callables`), one good argument at a time gives way to each bad value (`values`), and
what comes of it is a clear error, an answer, or one of the things that must not be: an error of torch, numpy or Python,
an answer that is no finite number although the arguments are, or no end.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.results import provenance, said
from proofs_tests.fuzz.callables import publics
from proofs_tests.fuzz.faults import FAULTS
from proofs_tests.fuzz.report import readme, save
from proofs_tests.fuzz.trial import in_children
from proofs_tests.fuzz.values import ANSWERED, REFUSED


def main() -> int:
    """Run all and report. Exit status: 0 if nothing broke."""
    parser = argparse.ArgumentParser(prog="python -m proofs_tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="callables whose names begin so; no faults")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write counts and tables there, with the commit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = provenance()  # before anything is written
    faults = {} if options.only else {name: fault() for name, fault in FAULTS.items()}
    chosen = [public for public in publics() if public.name.startswith(tuple(options.only or [""]))]
    trials = in_children(chosen, lambda text: print(text, file=sys.stderr, flush=True))
    command = " ".join(["python -m proofs_tests.fuzz", *sys.argv[1:]])
    about = {"seed": 0, "command": command} | made
    about["said"] = said(about)
    print(readme(trials, faults, about))
    if options.keep:
        save(options.keep, trials, faults, about)
    unbroken = all(trial["outcome"] in (REFUSED, ANSWERED) for trial in trials)
    return int(not unbroken or any(found["silent"] + found["raw error"] for found in faults.values()))


if __name__ == "__main__":
    sys.exit(main())
