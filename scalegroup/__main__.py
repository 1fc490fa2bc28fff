"""`python -m scalegroup check package.module:factory`: is a module scale equivariant, and if not, why not?"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError, check_integer, check_positive
from scalegroup.testing.budget import ErrorBudget
from scalegroup.testing.check_module import check_module
from scalegroup.testing.equivariance import TOLERANCE
from scalegroup.testing.outputs import OUTPUT_TYPES
from scalegroup.whole_file import whole_file

WITHIN, BEYOND, NOT_RUN = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit status: 0 within tolerance, 1 not, 2 could not be run."""
    options = _parser().parse_args(arguments)
    try:
        figure = None if options.figure is None else _figure(budget=not options.no_budget)
        group = ScaleGroup(options.ratio)
        module = _load(options.factory)()
        check_positive("tolerance", options.tolerance)
        verdict = check_module(
            module,
            group,
            powers=options.powers,
            channels=options.channels,
            size=check_integer("size", options.size, at_least=1),
            in_channels=options.in_channels,
            background=options.background,
            output=OUTPUT_TYPES.get(options.output),
            tolerance=options.tolerance,
            budget=not options.no_budget,
        )
        if options.json is not None:
            with whole_file(options.json) as path:
                found = asdict(verdict) | {"passed": verdict.passed}
                path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if options.figure is not None:
            _draw(figure, verdict.budget, options.figure)
    except Exception as error:  # whatever a stranger's module raises, it could not be run; nor could an unwritable file
        print(f"{options.factory} could not be checked: {type(error).__name__}: {error}", file=sys.stderr)
        return NOT_RUN
    print(verdict)
    return WITHIN if verdict.passed else BEYOND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scalegroup", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="measure a module's equivariance error and judge it",
        description="Runs the module on images with a closed form and on the same images scaled, compares what it "
        "gives, and judges the worst scale channel. Deep networks with ReLU have no derived bound: the tolerance is a "
        "convention.",
    )
    check.add_argument("factory", metavar="package.module:factory", help="a function without arguments, or a class")
    check.add_argument("--ratio", type=_ratio, default=2**0.5, help="γ of the scaling group (default: √2, or 1.4142)")
    check.add_argument(
        "--powers", type=int, nargs="+", help="which γ^power to check (default: all up to a factor of 2)"
    )
    check.add_argument("--channels", type=int, help="scale channels that the output must have (default: as found)")
    check.add_argument("--tolerance", type=float, default=TOLERANCE, help="of the signal (default: %(default)s)")
    check.add_argument("--size", type=int, default=129, help="rows and columns of the images (default: %(default)s)")
    check.add_argument("--in-channels", type=int, default=1, help="image channels (default: %(default)s)")
    check.add_argument("--background", type=float, default=0.0, help="value around the objects (default: 0)")
    check.add_argument(
        "--output", choices=list(OUTPUT_TYPES), help="what the output is (default: found from its shape)"
    )
    check.add_argument("--no-budget", action="store_true", help="do not split the error by its sources")
    check.add_argument("--figure", type=Path, metavar="PATH", help="draw the error budget there (needs matplotlib)")
    check.add_argument("--json", type=Path, metavar="PATH", help="write the verdict there as well")
    return parser


def _ratio(text: str) -> float:
    """γ as typed: of a root of 2 nobody types all digits, and another ratio would be another group."""
    ratio, decimals = float(text), len(text.partition(".")[2])
    roots = (2 ** (1 / root) for root in range(2, 13))
    return next((root for root in roots if decimals >= 3 and abs(root - ratio) < 10**-decimals), ratio)


def _load(name: str) -> Callable[[], Any]:
    """The object that `package.module:factory` names; packages of the current folder can be named."""
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise ScaleGroupError(name, expected="package.module:factory", mend="name a function in an importable module")
    sys.path.insert(0, str(Path.cwd()))
    factory = getattr(importlib.import_module(module_name), attribute)
    if isinstance(factory, torch.nn.Module):
        return lambda: factory
    return factory


def _figure(*, budget: bool) -> Any:
    """An empty figure, before anything is measured: what it takes is there."""
    if not budget:
        raise ScaleGroupError("--figure with --no-budget", expected="a budget to draw", mend="leave one of them out")
    try:
        from matplotlib.figure import Figure  # needed here only
    except ImportError as error:
        raise ScaleGroupError(
            f"--figure without matplotlib ({error})",
            expected="matplotlib, which draws it",
            mend="pip install matplotlib, or leave --figure out",
        ) from error
    return Figure(figsize=(9, 5), layout="constrained")


def _draw(figure: Any, budget: ErrorBudget | None, path: Path) -> None:
    if budget is None:
        raise ScaleGroupError(
            "--figure for a module without an error budget",
            expected="a scalegroup network with a scale channel that scaling sends to another",
            mend="leave --figure out",
        )
    budget.draw(figure.subplots())
    with whole_file(path) as temporary:
        figure.savefig(temporary)


if __name__ == "__main__":
    sys.exit(main())
