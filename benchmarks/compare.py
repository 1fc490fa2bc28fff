"""Side by side: our networks, ordinary CNNs, escnn's, and other scale-equivariant ones; what each gives, and costs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import allocator, costs, data, machine, results, timing
from benchmarks.generalisation import command_line
from benchmarks.peers import all_peers
from benchmarks.reports import compare as report
from benchmarks.study import RATES, Scope, Study
from scalegroup import ScaleGroupError
from scalegroup.errors import check_integer, check_positive

DESCRIPTION = "side by side with escnn, ordinary CNNs and scale-channel networks: what each gives, and costs"

FULL = Scope()
QUICK = Scope(
    epochs=1,
    degrees=(0, 90),
    canvas=64,
    costs=costs.Scope(batch=2, memory_batch=2, seconds=0.01, turns=1),
    narrow=True,
)
_QUICK_IMAGES = 10
_QUICK_SIZES = (0.5, 1.0, 2.0)
_SWEPT = 4096  # images a step at most, in the sweep on an accelerator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    data.add_arguments(parser)
    names = list(all_peers())
    parser.add_argument("--networks", nargs="+", default=names, help=f"rows: {', '.join(names)} (default: all)")
    parser.add_argument("--train-size", type=float, default=2.0, help="the only size trained on (default: 2)")
    parser.add_argument("--epochs", type=int, help=f"passes over the training images (default: {FULL.epochs})")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of weights, order and augmentation (default: 0)"
    )
    parser.add_argument(
        "--choose",
        type=int,
        metavar="N",
        help=f"choose each family's highest rate, of {', '.join(map(str, RATES))}, by the last N training images, not "
        f"trained on then (default: {RATES[0]} for all)",
    )
    parser.add_argument("--quick", action="store_true", help="few images, narrow networks, short times: to try it")
    machine.add_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="keep rows that were trained before with these options")
    parser.add_argument("--without-costs", action="store_true", help="train and test only; costs are then missing")
    parser.add_argument(
        "--json", type=Path, default=Path("results/compare/results.json"), help="file to write (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Choose recipes, train, test, measure, tell, write. What is trained is kept piece by piece beside the file."""
    study = _study(options)
    allocator.keep_memory()
    folder = results.make_folder(options.json.parent, option="--json")
    results.make_folder(study.folder, option="--json")
    recipes = study.recipes()
    rows = {peer.name: study.row(peer, recipes[peer.family]) for peer in study.peers}
    if not options.without_costs:  # all in one go, so that times can be compared
        for name, found in study.costs(options).items():
            rows[name] |= {"costs": found}
    content = {"benchmark": "compare", "quick": options.quick, "rows": rows, "setting": study.setting(recipes)}
    content |= {"command": command_line(options), **timing.provenance()}
    content["device"] = f"{study.threads} CPU threads" if options.device == "cpu" else torch.cuda.get_device_name()
    results.save_json(content, folder / options.json.name)
    written = report.write(content, folder / options.json.name)
    study.console.print(report.table(content).rich())
    for error in dict.fromkeys(row["error"] for row in rows.values() if row["error"]):
        study.console.print(f"no row: {error}", markup=False)
    study.console.print("wrote " + ", ".join(str(path) for path in (options.json, *written)))


def _study(options: argparse.Namespace) -> Study:
    """The options, checked."""
    threads, scope = machine.use(options), QUICK if options.quick else FULL
    if options.device == "cuda" and not options.quick:
        scope = replace(scope, costs=replace(scope.costs, batch=64, most_images=_SWEPT))
    if options.epochs is not None:
        scope = replace(scope, epochs=check_integer("epochs", options.epochs, at_least=1))
    known = all_peers()
    for name in options.networks:
        if name not in known:
            raise ScaleGroupError(f"network {name!r}", expected=f"one of {list(known)}", mend="choose from these")
    train_size = check_positive("train size", options.train_size)
    sources = [data.choose(options)]
    if options.choose is not None:
        held_out = {"validation_images": options.choose, "test_images": None}
        sources.append(data.choose(argparse.Namespace(**vars(options) | held_out)))
    if options.quick:
        few = {part: getattr(options, f"{part}_images") or _QUICK_IMAGES for part in ("train", "test")}
        sources = [replace(source.first(**few), sizes=_QUICK_SIZES) for source in sources]
    sources[0].check("train", [train_size])
    sources[0].check("test", [train_size, *sources[0].sizes])
    return Study(
        source=sources[0],
        validation=sources[1] if len(sources) > 1 else None,
        train_size=train_size,
        peers=[known[name] for name in options.networks],
        scope=scope,
        seeds=[check_integer("seed", seed, at_least=0) for seed in options.seeds],
        folder=options.json.parent / "rows",
        resume=options.resume,
        device=options.device,
        threads=threads,
        console=Console(soft_wrap=True),
    )
