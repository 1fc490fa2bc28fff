"""One comparison: every network trained, tested and measured alike, seed by seed, by a recipe chosen for its family."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from benchmarks import costs, data, results, timing
from benchmarks.evaluation import accuracy
from benchmarks.geometry import random_scaling, warp
from benchmarks.kept import Kept
from benchmarks.peers import Peer, all_peers, windows
from benchmarks.recipe import Recipe
from benchmarks.training import train
from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.models import GaussianDerivativeNet
from scalegroup.testing import equivariance_error, rotation_error

RATES = (0.01, 0.003, 0.001)
"""The highest rates that a family's is chosen from."""

_SCALINGS = ScaleGroup(2**0.5)
_POWERS = (1, 2)  # by √2 and by 2
_TURNS = (45, 90)  # degrees, of the measured rotation error
_AVERAGED = ("accuracy", "rotated", "covariance_error", "rotation_error", "accuracy_by_channels", "train_seconds")


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


@dataclass(frozen=True)
class Study:
    """Everything that is the same for all networks.

    Args:
        source: the data.
        validation: the same, tested on images of the training part that are not trained on.
        train_size: the only one trained on.
        peers: the networks.
        scope: how much is done.
        seeds: of weights, order and augmentation.
        folder: of what is kept.
        resume: take what is there of the same setting.
        device, threads, console: where.
    """

    source: data.Source
    validation: data.Source | None
    train_size: float
    peers: Sequence[Peer]
    scope: Scope
    seeds: Sequence[int]
    folder: Path
    resume: bool
    device: str
    threads: int
    console: Console

    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each family: the rate that is best for its first network, by validation images of its size.

        Without validation images the first rate, which is §5's, for all.
        """
        first = {peer.family: peer for peer in reversed(all_peers().values())}
        return {family: self._chosen(first[family]) for family in dict.fromkeys(peer.family for peer in self.peers)}

    def setting(self, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
        """What decides the rows, as JSON gives it back."""
        setting = self._setting | {"recipes": {of: asdict(recipe) for of, recipe in recipes.items()}}
        return json.loads(json.dumps(setting | {"epochs": self.scope.epochs, "seeds": list(self.seeds)}))

    def row(self, peer: Peer, recipe: Recipe) -> dict[str, Any]:
        """One network, trained and tested with every seed; one that cannot be had says so in its row."""
        rows = [self._kept(f"{peer.name}-seed{seed}", peer, recipe, seed, self._row) for seed in self.seeds]
        return next((row for row in rows if row["error"]), None) or averaged(rows)

    def _chosen(self, peer: Peer) -> Recipe:
        plain = Recipe(epochs=self.scope.epochs, label_smoothing=0.1)
        if self.validation is None:
            return plain
        choosing, found = replace(self, source=self.validation, validation=None), {}
        for rate in RATES:
            recipe, name = replace(plain, highest_rate=rate), f"choice-{peer.family}-rate{rate:g}"
            found[recipe] = choosing._kept(name, peer, recipe, self.seeds[0], choosing._try)["accuracy"]
        return max(found, key=found.__getitem__)  # the first of equals

    def _try(self, name: str, peer: Peer, recipe: Recipe, seed: int) -> dict[str, Any]:
        try:
            net, seconds = self._trained(name, peer, recipe, seed)
        except ScaleGroupError as error:
            return {"error": str(error), "accuracy": 0.0}
        of = self.source.draw("test", self.train_size)
        return {"error": None, "accuracy": accuracy(net, of.images, of.labels), "train_seconds": seconds}

    def _kept(
        self, name: str, peer: Peer, recipe: Recipe, seed: int, make: Callable[[str, Peer, Recipe, int], dict[str, Any]]
    ) -> dict[str, Any]:
        """What was made before in this setting, or else now, and kept."""
        setting = self._setting | {"recipe": asdict(recipe), "trained_with": dict(peer.trained_with), "seed": seed}
        return Kept(self.folder, self.resume).row(name, setting, lambda: make(name, peer, recipe, seed))

    @cached_property  # images are drawn, or read, only to be counted
    def _setting(self) -> dict[str, Any]:
        return {
            "data": self.source.name,
            "train_size": self.train_size,
            "sizes": list(self.source.sizes),
            "train_images": len(self.source.draw("train", self.train_size).labels),
            "test_images": len(self.source.draw("test", self.train_size).labels),
            "degrees": list(self.scope.degrees),
            "narrow": self.scope.narrow,
        }

    def build(self, peer: Peer, seed: int, *, to_train: bool = False) -> nn.Module:
        """Its network, with weights drawn from the seed."""
        torch.manual_seed(seed)
        return peer.build(self.source, narrow=self.scope.narrow, to_train=to_train)

    def _trained(self, name: str, peer: Peer, recipe: Recipe, seed: int) -> tuple[nn.Module, float]:
        """The network, and how many seconds that took. Raises `ScaleGroupError` if it cannot be had."""
        net, sizes, augment = self.build(peer, seed, to_train=True), self.source.sizes, None
        if peer.augmented:  # to all sizes that are tested
            least, most = min(sizes) / self.train_size, max(sizes) / self.train_size
            augment = random_scaling(least, most, self.source.boundary)
        position = train(
            name,
            net,
            self.source.draw("train", self.train_size),
            recipe,
            seed=seed,
            accelerator=Accelerator(cpu=self.device == "cpu"),
            folder=self.folder,
            console=self.console,
            resume=self.resume,
            augment=augment,
        )
        return net, position.seconds

    def _row(self, name: str, peer: Peer, recipe: Recipe, seed: int) -> dict[str, Any]:
        row: dict[str, Any] = {"error": None, **dict(peer.setting), "family": peer.family}
        row |= {"widths": list(peer.widths), "augmented": peer.augmented, "highest_rate": recipe.highest_rate}
        try:
            net, seconds = self._trained(name, peer, recipe, seed)
        except ScaleGroupError as error:
            return row | {"error": str(error)}
        with self.console.status(f"testing {peer.name}"):
            row |= {"accuracy": self.over_sizes(net), "rotated": self.over_rotations(net)} | self.errors(net)
            if isinstance(net, GaussianDerivativeNet) and net.window == self.source.window:
                row["accuracy_by_channels"] = {
                    str(count): self.over_sizes(_Windowed(net, window))
                    for count, window in windows(self.source).items()
                }
        parameters = sum(value.numel() for value in net.parameters())
        return row | {"parameters": parameters, "train_seconds": seconds, **results.provenance()}

    def over_sizes(self, net: nn.Module) -> dict[str, float]:
        """Accuracy at every size."""
        drawn = ((size, self.source.draw("test", size)) for size in self.source.sizes)  # one after the other
        return {f"{size:.4f}": accuracy(net, of.images, of.labels) for size, of in drawn}

    def over_rotations(self, net: nn.Module) -> dict[str, float]:
        """Accuracy at the training size on images turned by so many degrees."""
        of = self.source.draw("test", self.train_size)
        found = {}
        for degrees in self.scope.degrees:
            angles = torch.full((len(of.labels),), math.radians(degrees))
            turned = warp(of.images, factors=torch.ones_like(angles), angles=angles, boundary=self.source.boundary)
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
            build = partial(self.build, peer, self.seeds[0])
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
        return bench.times(partial(self.build, peer, self.seeds[0]))


class _Windowed(nn.Module):
    """A network with other scale channels and the same weights."""

    def __init__(self, net: GaussianDerivativeNet, window: ScaleWindow) -> None:
        super().__init__()
        self.net, self.window = net, window

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self.net(images, window=self.window)


def averaged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of those of all seeds: means of what was measured, and under `by_seed` the parts that differ."""
    parts = [{key: row[key] for key in _AVERAGED if key in row} for row in rows]
    return rows[0] | {key: _mean([part[key] for part in parts]) for key in parts[0]} | {"by_seed": parts}


def _mean(values: Sequence[Any]) -> Any:
    """Of numbers, or of dictionaries of them, by key."""
    if isinstance(values[0], dict):
        return {key: _mean([value[key] for value in values]) for key in values[0]}
    return mean(values)
