"""Commands for modules and trained networks: `check` whether one is scale equivariant, `export` one as a file."""

import argparse
import importlib
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalegroup import export_command
from scalegroup.terminal import print_all_letters
from scalegroup.whole_file import whole_file

# Nothing here imports torch before it is needed: help, and faults of spelling, come at once.
if TYPE_CHECKING:
    from scalegroup.testing import ErrorBudget, Verdict

NOT_RUN = 2
STATUS = {"equivariant": 0, "not equivariant": 1, "not decided": 3}
_PATIENCE = 2.0  # seconds between lines of progress


def main(arguments: list[str] | None = None) -> int:
    """Run the command and give its exit status: 0 where all is well, 2 where it could not be run."""
    print_all_letters()
    options = _parser().parse_args(arguments)
    return options.run(options)


def _export(options: argparse.Namespace) -> int:
    """A trained network as a file: 0 it is written, 2 it could not be."""
    try:
        print("\n".join(export_command.run(options)))
    except (ValueError, OSError) as error:  # a ScaleGroupError, or a file that cannot be written
        print(f"{options.weights} could not be exported: {error}", file=sys.stderr)
        return NOT_RUN
    return 0


def _check(options: argparse.Namespace) -> int:
    """Is a module scale equivariant, and if not, why not? 0 it is, 1 it is not, 2 could not be run, 3 not decided."""
    progress = _Progress()
    try:
        figure = None if options.figure is None else _figure(budget=not options.no_budget)
        verdict = _verdict(options, progress)
        if options.json is not None:
            with whole_file(options.json) as path:
                path.write_text(json.dumps(_numbers(_report(verdict)), indent=2) + "\n", encoding="utf-8")
        if options.figure is not None:
            _draw(figure, verdict.budget, options.figure)
        print(verdict, flush=True)
    except (Exception, SystemExit) as error:  # of a stranger's module, of a file, of a terminal
        said = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        print(f"{options.factory} could not be checked: {said}", file=sys.stderr)
        return NOT_RUN
    return STATUS[verdict.decision]


def _verdict(options: argparse.Namespace, progress: Callable[[str], None]) -> "Verdict":
    from scalegroup.algebra.group import ScaleGroup
    from scalegroup.errors import ScaleGroupError
    from scalegroup.testing.check_module import check_module
    from scalegroup.testing.outputs import output_type

    if options.weight is not None and options.output is None:
        mend = "name one, or leave --weight out"
        raise ScaleGroupError("--weight without --output", expected="an output that has it", mend=mend)
    return check_module(
        _load(options.factory)(),
        ScaleGroup(options.ratio),
        powers=options.powers,
        channels=options.channels,
        size=options.size,
        in_channels=options.in_channels,
        background=options.background,
        output=None if options.output is None else output_type(options.output, weight=options.weight or 0.0),
        fixed_size=options.fixed_size,
        budget=not options.no_budget,
        progress=progress,
    )


class _Progress:
    """What is being done, on standard error, every two seconds; in one line where that is a terminal."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()
        self.frame = "\r{:<79}\r" if sys.stderr.isatty() else "{}\n"

    def __call__(self, doing: str) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now - self.last >= _PATIENCE:
            self.last = now
            print(self.frame.format(f"{now - self.start:3.0f} s: {doing}"), end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scalegroup", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    export = commands.add_parser("export", help=export_command.HELP)
    export_command.add_arguments(export)
    export.set_defaults(run=_export)
    check = commands.add_parser(
        "check",
        help="measure a module's equivariance error and judge it",
        description="Runs the module on pictures with a closed form and on the same pictures scaled, sampled more and "
        "more finely, and compares what it gives. It is equivariant where the error falls to what sampling explains, "
        "and not where it tends to something else; the worst family of pictures and the worst scale channel decide. "
        "For networks on self-similar grids what sampling explains is a derived bound.",
        epilog="Exit status: 0 equivariant, 1 not equivariant, 2 could not be run, 3 not decided.",
    )
    check.add_argument("factory", metavar="package.module:factory", help="a function without arguments, or a class")
    check.add_argument("--ratio", type=_ratio, default=2**0.5, help="γ of the scaling group (default: √2, or 1.4142)")
    check.add_argument(
        "--powers", type=int, nargs="+", help="which γ^power to check (default: all up to a factor of 2)"
    )
    check.add_argument("--channels", type=int, help="scale channels that the output must have (default: as found)")
    check.add_argument(
        "--size",
        type=int,
        help="rows and columns of the coarsest pictures, of which the finest have four times as many "
        "(default: 65, or what the factors need)",
    )
    check.add_argument(
        "--fixed-size", action="store_true", help="all pictures have --size, for modules that take no other"
    )
    check.add_argument("--in-channels", type=int, default=1, help="image channels (default: %(default)s)")
    check.add_argument("--background", type=float, help="value around the objects (default: that of the network, or 0)")
    check.add_argument(
        "--output",
        metavar="WHAT",
        help="what the output is: scores, scale_scores, maps or fields (default: by its shape)",
    )
    check.add_argument("--weight", type=float, help="w of an --output that takes the factor S^-w as well (default: 0)")
    check.add_argument("--no-budget", action="store_true", help="do not split the error by its sources")
    check.add_argument("--figure", type=Path, metavar="PATH", help="draw the error budget there (needs matplotlib)")
    check.add_argument("--json", type=Path, metavar="PATH", help="write the verdict there as well")
    check.set_defaults(run=_check)
    return parser


def _report(verdict: "Verdict") -> dict[str, Any]:
    """The verdict with what follows from it."""
    curves = {
        part: [asdict(curve) | {"slope": curve.slope, "limit": curve.limit, "verdict": curve.verdict} for curve in of]
        for part, of in (("curves", verdict.curves), ("channels", verdict.channels))
    }
    return asdict(verdict) | curves | {"decision": verdict.decision, "reason": verdict.reason}


def _numbers(values: Any) -> Any:
    """With null for what JSON has no number for."""
    if isinstance(values, dict):
        return {name: _numbers(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_numbers(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _ratio(text: str) -> float:
    """γ as typed: of a root of 2 nobody types all digits, and another ratio would be another group."""
    ratio, decimals = float(text), len(text.partition(".")[2])
    roots = (2 ** (1 / root) for root in range(2, 13))
    return next((root for root in roots if decimals >= 3 and abs(root - ratio) < 10**-decimals), ratio)


def _load(name: str) -> Callable[[], Any]:
    """The object that `package.module:factory` names; packages of the current folder can be named."""
    import torch

    from scalegroup.errors import ScaleGroupError

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
    from scalegroup.errors import ScaleGroupError

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


def _draw(figure: Any, budget: "ErrorBudget | None", path: Path) -> None:
    from scalegroup.errors import ScaleGroupError

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
