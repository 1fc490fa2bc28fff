"""Side by side: our networks, ordinary CNNs, escnn's, and other scale-equivariant ones; what each gives, and costs."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from benchmarks import allocator, compare_report, costs, data, results, timing
from benchmarks.evaluation import accuracy
from benchmarks.generalisation import command_line
from benchmarks.geometry import random_scaling, warp
from benchmarks.peers import Peer, all_peers, windows
from benchmarks.recipe import Recipe
from benchmarks.training import train
from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_integer, check_positive
from scalegroup.models import GaussianDerivativeNet
from scalegroup.testing import equivariance_error, rotation_error

DESCRIPTION = "side by side with escnn, ordinary CNNs and scale-channel networks: what each gives, and costs"

_SCALINGS = ScaleGroup(2**0.5)
_POWERS = (1, 2)  # by √2 and by 2
_TURNS = (45, 90)  # degrees, of the measured rotation error


@dataclass(frozen=True)
class Scope:
    """How much is done.

    Args:
        epochs: of training.
        degrees: by which test images are turned.
        canvas: pixels across of the images that errors are measured on; networks that halve their maps need it even.
        costs: how long costs are measured for.
        narrow: networks of eight features a layer, to try the command.
    """

    epochs: int = 5
    degrees: Sequence[int] = tuple(range(0, 360, 30))
    canvas: int = 128
    costs: costs.Scope = field(default_factory=costs.Scope)
    narrow: bool = False


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
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: 0)")
    parser.add_argument("--quick", action="store_true", help="few images, narrow networks, short times: to try it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--resume", action="store_true", help="keep rows that were trained before with these options")
    parser.add_argument("--without-costs", action="store_true", help="train and test only; costs are then missing")
    parser.add_argument(
        "--json", type=Path, default=Path("results/compare/results.json"), help="file to write (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Train, test, measure, tell, write. Trained rows are kept one by one beside the file, in `rows/`."""
    study = _study(options)
    allocator.keep_memory()
    folder = results.make_folder(options.json.parent, option="--json")
    rows_folder = results.make_folder(folder / "rows", option="--json")
    content: dict[str, Any] = {"benchmark": "compare", "quick": options.quick, "rows": {}}
    for peer in study.peers:
        path = rows_folder / f"{peer.name}.json"
        row = study.kept(path) if options.resume else None
        if row is None:
            row = study.row(peer, folder, resume=options.resume)
            results.save_json(row, path)
        content["rows"][peer.name] = row
    if not options.without_costs:  # all in one go, so that times can be compared
        for name, found in study.costs(options).items():
            content["rows"][name] |= {"costs": found}
    content |= {"setting": study.setting, "command": command_line(options), **timing.provenance(options.device)}
    content["device"] = f"{study.threads} CPU threads" if options.device == "cpu" else torch.cuda.get_device_name()
    results.save_json(content, folder / options.json.name)
    written = compare_report.write(content, folder / options.json.name)
    study.console.print(compare_report.table(content).rich())
    for error in dict.fromkeys(row["error"] for row in content["rows"].values() if row["error"]):
        study.console.print(f"no row: {error}", markup=False)
    study.console.print("wrote " + ", ".join(str(path) for path in (options.json, *written)))


@dataclass(frozen=True)
class Study:
    """Everything that is the same for all rows."""

    source: data.Source
    train_size: float
    peers: Sequence[Peer]
    scope: Scope
    recipe: Recipe
    seed: int
    device: str
    threads: int
    console: Console

    @property
    def setting(self) -> dict[str, Any]:
        """What decides the rows, as JSON gives it back."""
        setting = {
            "data": self.source.name,
            "train_size": self.train_size,
            "sizes": list(self.source.sizes),
            "train_images": len(self.source.draw("train", self.train_size).labels),
            "test_images": len(self.source.draw("test", self.train_size).labels),
            "recipe": asdict(self.recipe),
            "degrees": list(self.scope.degrees),
            "narrow": self.scope.narrow,
            "seed": self.seed,
        }
        return json.loads(json.dumps(setting))

    def kept(self, path: Path) -> dict[str, Any] | None:
        """A row that was made before in this setting, or None."""
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            return row if row["setting"] == self.setting and not row["error"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def build(self, peer: Peer) -> nn.Module:
        """Its network, with weights drawn from the seed."""
        torch.manual_seed(self.seed)
        return peer.build(self.source, narrow=self.scope.narrow)

    def row(self, peer: Peer, folder: Path, *, resume: bool) -> dict[str, Any]:
        """Train and test one network; one that cannot be had says so in its row."""
        row: dict[str, Any] = {"error": None, "setting": self.setting, **dict(peer.setting)}
        row |= {"widths": list(peer.widths), "augmented": peer.augmented}
        try:
            net = self.build(peer)
        except ScaleGroupError as error:
            return row | {"error": str(error)}
        trained_on, sizes = self.source.draw("train", self.train_size), self.source.sizes
        augment = None
        if peer.augmented:  # to all sizes that are tested
            least, most = min(sizes) / self.train_size, max(sizes) / self.train_size
            augment = random_scaling(least, most, self.source.background)
        position = train(
            peer.name,
            net,
            trained_on,
            self.recipe,
            seed=self.seed,
            accelerator=Accelerator(cpu=self.device == "cpu"),
            folder=folder,
            console=self.console,
            resume=resume,
            augment=augment,
        )
        with self.console.status(f"testing {peer.name}"):
            row |= {"accuracy": self.over_sizes(net), "rotated": self.over_rotations(net)} | self.errors(net)
            if isinstance(net, GaussianDerivativeNet) and net.window == self.source.window:
                row["accuracy_by_channels"] = {
                    str(count): self.over_sizes(_Windowed(net, window))
                    for count, window in windows(self.source).items()
                }
        parameters = sum(value.numel() for value in net.parameters())
        return row | {"parameters": parameters, "train_seconds": position.seconds, **results.provenance()}

    def over_sizes(self, net: nn.Module) -> dict[str, float]:
        """Accuracy at every size."""
        drawn = {size: self.source.draw("test", size) for size in self.source.sizes}
        return {f"{size:.4f}": accuracy(net, of.images, of.labels) for size, of in drawn.items()}

    def over_rotations(self, net: nn.Module) -> dict[str, float]:
        """Accuracy at the training size on images turned by so many degrees."""
        of = self.source.draw("test", self.train_size)
        found = {}
        for degrees in self.scope.degrees:
            angles = torch.full((len(of.labels),), math.radians(degrees))
            turned = warp(of.images, factors=torch.ones_like(angles), angles=angles, background=self.source.background)
            found[str(degrees)] = accuracy(net, turned, of.labels)
        return found

    def errors(self, net: nn.Module) -> dict[str, dict[str, float]]:
        """How far the class scores are from invariance, as a fraction of the signal, on images of closed form."""
        place = {"in_channels": self.source.channels, "background": self.source.background, "size": self.scope.canvas}
        scaling = {_SCALINGS.element(power): f"{_SCALINGS.factor(power):.4f}" for power in _POWERS}
        return {
            "covariance_error": {name: equivariance_error(net, g, **place).error for g, name in scaling.items()},
            "rotation_error": {str(turn): rotation_error(net, math.radians(turn), **place) for turn in _TURNS},
        }

    def costs(self, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
        """Times, taken in turns, and memory of the networks as they are made, untrained."""
        shape = self.source.channels, self.source.canvas, self.source.canvas
        bench = costs.Bench(shape, self.source.classes, self.device, self.threads, self.scope.costs)
        root = None if options.data_root is None else str(options.data_root.resolve())
        setting = {"data": options.data, "data_root": root, "narrow": self.scope.narrow}
        found: dict[str, dict[str, Any]] = {}
        for peer in self.peers:
            self.console.print(f"[dim]costs: {peer.name}[/]")
            build = partial(self.build, peer)
            try:
                found[peer.name] = {"construction_seconds": bench.construction(build), "error": None}
            except ScaleGroupError as error:
                found[peer.name] = {"error": str(error)}
                continue
            found[peer.name] |= {"memory": bench.peak_memory(setting | {"peer": peer.name})}
            found[peer.name] |= {"sweep": list(bench.sweep(build))}
        there = [peer for peer in self.peers if not found[peer.name]["error"]]
        measured = [partial(self._times, bench, peer) for peer in there]
        for peer, times in zip(there, timing.in_turns(measured, turns=self.scope.costs.turns), strict=True):
            found[peer.name] |= {"times": times}
        return found

    def _times(self, bench: costs.Bench, peer: Peer) -> list[dict[str, Any]]:
        self.console.print(f"[dim]times: {peer.name}[/]")
        return bench.times(partial(self.build, peer))


class _Windowed(nn.Module):
    """A network with other scale channels and the same weights."""

    def __init__(self, net: GaussianDerivativeNet, window: ScaleWindow) -> None:
        super().__init__()
        self.net, self.window = net, window

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self.net(images, window=self.window)


def _study(options: argparse.Namespace) -> Study:
    """The options, checked."""
    scope = QUICK if options.quick else FULL
    if options.device == "cuda":
        if not torch.cuda.is_available():
            raise ScaleGroupError("device cuda", expected="a device that torch can use here", mend="pass --device cpu")
        if not options.quick:
            scope = replace(scope, costs=replace(scope.costs, batch=64, most_images=_SWEPT))
    if options.epochs is not None:
        scope = replace(scope, epochs=check_integer("epochs", options.epochs, at_least=1))
    known = all_peers()
    for name in options.networks:
        if name not in known:
            raise ScaleGroupError(f"network {name!r}", expected=f"one of {list(known)}", mend="choose from these")
    threads = torch.get_num_threads() if options.threads is None else options.threads
    torch.set_num_threads(check_integer("threads", threads, at_least=1))
    train_size = check_positive("train size", options.train_size)
    source = data.choose(options)
    if options.quick:
        few = {part: getattr(options, f"{part}_images") or _QUICK_IMAGES for part in ("train", "test")}
        source = replace(source.first(**few), sizes=_QUICK_SIZES)
    return Study(
        source,
        train_size,
        [known[name] for name in options.networks],
        scope,
        Recipe(epochs=scope.epochs, dropped_channels=2, label_smoothing=0.1),
        check_integer("seed", options.seed, at_least=0),
        options.device,
        threads,
        Console(soft_wrap=True),
    )
