"""`python -m benchmarks NAME`: the experiments of this repository."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from importlib import import_module

from benchmarks import results
from scalegroup import ScaleGroupError
from scalegroup.terminal import print_all_letters

_NAMES = (
    "compare",
    "contact-sheet",
    "covariance",
    "generalisation",
    "large-picture",
    "losses",
    "mistakes",
    "natural",
    "off-centre",
    "pack",
    "report",
    "scenes",
    "speed",
    "stamps",
    "stir",
    "truncation",
)


def main() -> int:
    """Run one benchmark. Exit status: 0 done, 2 could not be run, 130 interrupted."""
    print_all_letters()
    try:
        modules = {name: import_module(f"benchmarks.{name.replace('-', '_')}") for name in _NAMES}
    except ModuleNotFoundError as error:
        print(f"{error}; the benchmarks need their packages: pip install -e '.[train]'", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Experiments with scalegroup. They run from a checkout of the repository only: not installed.",
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, module in modules.items():
        module.add_arguments(commands.add_parser(name, help=module.DESCRIPTION, description=module.DESCRIPTION))
    options = parser.parse_args()
    option = "--output" if "output" in options else "--json"
    folder = options.output if "output" in options else options.json.parent
    writes = "resume" in options and os.environ.get("RANK", "0") == "0"  # of several processes the first one does
    try:
        with results.alone_in(folder, option=option) if writes else nullcontext():
            modules[options.name].run(options)
    except ScaleGroupError as error:
        print(f"{parser.prog} {options.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted; earlier results in {folder} are untouched", end="", file=sys.stderr)
        print("; logs and checkpoints there are of this run" if "resume" in options else "", file=sys.stderr)
        if "resume" in options and any(folder.glob("**/checkpoints/*.pt")):
            print("the same command with --resume goes on from the last complete checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
