"""How fast our networks are: against an older commit, two yardsticks, ordinary CNNs and escnn, all in one run."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from benchmarks import allocator, contenders, machine, memory, results, steps, timing
from benchmarks.baseline import Baseline
from benchmarks.contenders import OURS, Contender
from benchmarks.reports.speed import headlines, show, write
from scalegroup import SAMPLES_PER_SIGMA, ScaleGroupError, ScaleWindow
from scalegroup.models import PRESETS, GaussianDerivativeNet

DESCRIPTION = "time and memory of a training step and of inference, against other ways and other networks"

_PASSES = ("train", "inference")


@dataclass(frozen=True)
class Scope:
    """What is measured, and for how long.

    Args:
        window: the scale channels.
        widths: of the hidden layers.
        size: of the square images.
        batch: images a step.
        slow_batch: of the slow networks; times are compared per image.
        turns: in which the networks are measured, one after the other and again; slow ones in one of them only.
        seconds: for every row.
        slow_seconds: for every row of a slow network; each is measured once at least.
        equal_fields: measure escnn's C8 at as many fields as the widths say, too.
        sizes: of the sweep over pixels.
        channels: scale channels of the sweep over them.
        batches: of the sweep over the batch.
        threads: of the sweep over threads, on a CPU.
        memory_batch: images of the step whose memory is measured.
    """

    window: ScaleWindow = PRESETS["larger"].window
    widths: Sequence[int] = PRESETS["larger"].widths
    size: int = 112
    batch: int = 8
    slow_batch: int = 8
    turns: int = 3
    seconds: float = 4.0
    slow_seconds: float = 30.0
    equal_fields: bool = True
    sizes: Sequence[int] = (56, 112, 224, 448)
    channels: Sequence[int] = (2, 4, 8, 12, 16)
    batches: Sequence[int] = (1, 4, 16, 64)
    threads: Sequence[int] = (1, 2)
    memory_batch: int = 50


FULL = Scope()
QUICK = replace(
    FULL,
    slow_batch=1,
    seconds=0.5,
    slow_seconds=0.5,
    equal_fields=False,
    sizes=(56, 112),
    channels=(4, 8),
    batches=(1, 4),
    memory_batch=8,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--quick", action="store_true", help="fewer rows and points, few repeats")
    machine.add_arguments(parser)
    parser.add_argument(
        "--baseline", type=Path, metavar="PATH", help="a checkout of an older commit, measured beside (default: none)"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("results/speed/results.json"), help="file to write (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Measure, tell, write."""
    threads = machine.use(options)
    baseline = None if options.baseline is None else Baseline.of(options.baseline)
    folder = results.make_folder(options.json.parent, option="--json")
    allocator.keep_memory()
    scope, console, began = QUICK if options.quick else FULL, Console(), time.perf_counter()
    bench = Bench(scope, options.device, threads, console, baseline)
    content = {"benchmark": "speed", "quick": options.quick, "device": options.device} | bench.everything()
    content |= {"seconds": round(time.perf_counter() - began), **timing.provenance()}
    show(content, console)
    results.save_json(content, folder / options.json.name)
    written = [options.json, *write(content, folder)]
    console.print("wrote " + ", ".join(map(str, written)))


@dataclass(frozen=True)
class Bench:
    """One run: a scope on a machine, beside an older commit if there is one."""

    scope: Scope
    device: str
    threads: int
    console: Console
    baseline: Baseline | None = None

    def everything(self) -> dict[str, Any]:
        """All sections of the results."""
        peak = timing.convolution_peak(device=self.device, threads=self.threads, seconds=self.scope.seconds)
        rows = [*self.networks(), *self.scale_channels(), *self.single_images()]
        for row in rows:
            if row["multiply_adds"] and not row["error"]:
                images_a_second = 1e3 / row["median_ms"]
                row["fraction_of_peak"] = row["multiply_adds"] * images_a_second / peak
        peaks = list(self.memory())
        return {
            "rows": rows,
            "headlines": headlines(rows, peaks),
            "sweeps": list(self.sweeps()),
            "memory": peaks,
            "convolution_peak_multiply_adds_per_second": peak,
        }

    def networks(self) -> Iterator[dict[str, Any]]:
        """Whole networks at the scope's batch."""
        window, widths = self.scope.window, self.scope.widths
        chosen = [
            *contenders.at_all_densities(window, widths),
            *contenders.plain_cnns(widths),
            *contenders.steerable_cnns(widths, equal_fields=self.scope.equal_fields),
            contenders.grid_image(window, widths),
            contenders.textbook(window, widths),
        ]
        if self.device != "cpu":
            chosen += contenders.on_accelerators(window, widths)
        yield from self._in_turns([(contender, {}) for contender in chosen], section="networks", beside={})

    def scale_channels(self) -> Iterator[dict[str, Any]]:
        """Dense kernels and our network, in the fine scale channels alone."""
        for pair in contenders.one_channel(self.scope.window, self.scope.widths):
            (sigma0,) = pair[0].setting["sigma0"]
            points = [(contender, {}) for contender in pair]
            yield from self._in_turns(points, section=f"the scale channel σ₀ = {sigma0:.3g} alone")

    def single_images(self) -> Iterator[dict[str, Any]]:
        """Inference at batch 1."""
        window, widths = self.scope.window, self.scope.widths
        chosen = (*contenders.at_all_densities(window, widths), *contenders.plain_cnns(widths))
        one = {"batch": 1}
        points = [(contender, one) for contender in chosen]
        yield from self._in_turns(points, section="batch 1", passes=("inference",), beside=one)

    def sweeps(self) -> Iterator[dict[str, Any]]:
        """Training steps of our network, with one thing changed at a time."""
        scope = self.scope
        standard = contenders.ours(scope.window, scope.widths)
        windows = [replace(scope.window, channels=count) for count in scope.channels]
        yield self._sweep("pixels", [(n * n, standard, {"size": n}) for n in scope.sizes])
        yield self._sweep("scale channels", [(w.channels, contenders.ours(w, scope.widths), {}) for w in windows])
        yield self._sweep("images a step", [(n, standard, {"batch": n}) for n in scope.batches])
        if self.device == "cpu":
            yield self._sweep("threads", [(n, standard, {"threads": n}) for n in scope.threads])

    def _sweep(self, over: str, points: Sequence[tuple[int, Contender, dict[str, int]]]) -> dict[str, Any]:
        """Rows of a sweep and the exponent p of milliseconds a step ∝ valueᵖ."""
        values, *chosen = zip(*points, strict=True)
        found = self._in_turns(list(zip(*chosen, strict=True)), section=f"sweep over {over}", passes=("train",))
        rows = [row | {"value": value} for value, row in zip(values, found, strict=True)]
        good = [(row["value"], row["median_ms"] * row["batch"]) for row in rows if not row["error"]]
        power = timing.exponent(*zip(*good, strict=True)) if len(good) > 1 else None
        return {"over": over, "exponent": power, "rows": rows}

    def memory(self) -> Iterator[dict[str, Any]]:
        """Peak memory of a training step: as it is, with activation checkpointing, and of the baseline."""
        scope = self.scope
        place = {"batch": scope.memory_batch, "size": scope.size, "device": self.device}
        ours = {"preset": "larger", "widths": list(scope.widths), "samples_per_sigma": SAMPLES_PER_SIGMA}
        networks = {OURS: ours, f"{OURS}, checkpointing": ours | {"checkpointing": True}}
        points: list[Any] = [(name, options, partial(memory.measure, options)) for name, options in networks.items()]
        if self.baseline:
            points.append((self.baseline.name, self.baseline.setting, self.baseline.peak_bytes))
        for name, options, measured in points:
            row = options | {"name": name, **place, "peak_bytes": None, "error": None}
            self.console.print(f"[dim]memory: {name}[/]")
            try:
                yield row | {"peak_bytes": measured(**place, threads=self.threads)}
            except ScaleGroupError as error:
                yield row | {"error": error.got}

    def _in_turns(
        self,
        points: Sequence[tuple[Contender, dict[str, int]]],
        *,
        section: str,
        passes: Sequence[str] = _PASSES,
        beside: dict[str, int] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The rows of contenders, each with changes of its own, in their order; with `beside`, the baseline's first."""
        how: dict[str, Any] = {"section": section, "passes": passes}
        measured: list[Callable[[], Any]] = [partial(self.time, one, **how, **change) for one, change in points]
        slow = [contender.slow for contender, _ in points]
        if self.baseline and beside is not None:  # next to ours, for they are compared
            measured, slow = [partial(self.time_baseline, self.baseline, **how, **beside), *measured], [False, *slow]
        slow_places = {place for place, is_slow in enumerate(slow) if is_slow}
        return chain.from_iterable(timing.in_turns(measured, turns=self.scope.turns, slow=slow_places))

    def time_baseline(
        self, baseline: Baseline, *, section: str, passes: Sequence[str], batch: int | None = None
    ) -> list[dict[str, Any]]:
        """As `time` does, in a process of the older commit."""
        scope, batch = self.scope, batch or self.scope.batch
        place = {"batch": batch, "size": scope.size, "threads": self.threads, "device": self.device}
        row = {"section": section, "name": baseline.name, **place, **baseline.setting, "multiply_adds": None}
        self.console.print(f"[dim]{section}: {baseline.name}, {batch}×{scope.size}×{scope.size}[/]")
        try:
            found = baseline.times(dict.fromkeys(passes, scope.seconds / scope.turns), **place)
        except ScaleGroupError as error:
            return [row | {"pass": which, "median_ms": None, "error": error.got} for which in passes]
        row |= {"parameters": found["parameters"], "error": None}
        return [row | {"pass": which} | timing.per_image(found[which], batch) for which in passes]

    def time(
        self,
        contender: Contender,
        *,
        section: str,
        passes: Sequence[str] = _PASSES,
        batch: int | None = None,
        size: int | None = None,
        threads: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """One row for each pass; a network that cannot be had, or is too large, says so in its rows."""
        scope = self.scope
        batch = batch or (scope.slow_batch if contender.slow else scope.batch)
        size, threads = size or scope.size, threads or self.threads
        seconds = scope.slow_seconds if contender.slow else scope.seconds / scope.turns
        place = {"batch": batch, "size": size, "threads": threads, "device": self.device}
        row = {"section": section, "name": contender.name, **place, **contender.setting, "multiply_adds": None}
        net = None
        for which in passes:
            self.console.print(f"[dim]{section}: {contender.name}, {which}, {batch}×{size}×{size}[/]")
            try:
                torch.manual_seed(0)
                net = self._build(contender) if net is None else net
                row |= {"pass": which, "parameters": sum(value.numel() for value in net.parameters())}
                if isinstance(net, GaussianDerivativeNet) and contender.forward is contenders.call:
                    work = net.plan((size, size)).multiply_adds
                    row["multiply_adds"] = 3 * work if which == "train" else work  # the backward pass: twice as many
                images = torch.randn(batch, 1, size, size, device=self.device)
                if which == "train":
                    labels = torch.randint(steps.CLASSES, (batch,), device=self.device)
                    step = steps.training_step(net, contender.forward, images, labels)
                else:
                    step = steps.inference(net, contender.forward, images)
                found = steps.measure(step, threads=threads, seconds=seconds)
                yield row | timing.per_image(found, batch) | {"error": None}
            except (ScaleGroupError, RuntimeError) as error:
                yield row | {"pass": which, "median_ms": None, "error": timing.why_not(error)}
        del net
        self._clear()

    def _build(self, contender: Contender) -> nn.Module:
        """The network on the device, compiled where that is asked for."""
        net = contender.build().to(self.device)
        if contender.channels_last:
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return torch.compile(net) if contender.compiled else net  # type: ignore[return-value]

    def _clear(self) -> None:
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
