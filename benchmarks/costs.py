"""What a network costs: time to build, time of a training step and of inference, peak memory; on any device."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import memory, steps, timing
from scalegroup import ScaleGroupError

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Way:
    """A way to run a network.

    Args:
        name: of its rows.
        autocast: to bfloat16.
        channels_last: weights and images in that format.
        compiled: the mode of `torch.compile`, or None; "reduce-overhead" replays CUDA graphs.
    """

    name: str
    autocast: bool = False
    channels_last: bool = False
    compiled: str | None = None


AS_IT_IS = Way("as it is")
CPU_WAYS = (AS_IT_IS, Way("channels-last", channels_last=True))
CUDA_WAYS = (
    *CPU_WAYS,
    Way("bfloat16", autocast=True),
    Way("bfloat16, channels-last", autocast=True, channels_last=True),
    Way("compiled", compiled="default"),
    Way("CUDA graphs", compiled="reduce-overhead"),
    Way("bfloat16, CUDA graphs", autocast=True, compiled="reduce-overhead"),
)


@dataclass(frozen=True)
class Scope:
    """What is measured, and for how long.

    Args:
        batch: images a step.
        memory_batch: images of the step whose memory is measured.
        seconds: for each time.
        most_images: where the sweep over the batch ends at last; 0: none.
    """

    batch: int = 8
    memory_batch: int = 50
    seconds: float = 2.0
    turns: int = 3
    most_images: int = 0


@dataclass(frozen=True)
class Bench:
    """Measures networks one by one.

    Args:
        shape: `(channels, rows, columns)` of an image.
        classes: how many there are.
        device: where.
        threads: of the CPU.
        scope: how long.
    """

    shape: tuple[int, int, int]
    classes: int
    device: str
    threads: int
    scope: Scope

    def construction(self, build: Build) -> float:
        """Seconds to make the network, the first time."""
        began = time.perf_counter()
        build()
        return time.perf_counter() - began

    def times(self, build: Build) -> list[dict[str, Any]]:
        """Milliseconds per image of each pass in each way, and of one image alone as it is.

        What a device has no memory for, or a way cannot do, is a row that says so.
        """
        ways = CPU_WAYS if self.device == "cpu" else CUDA_WAYS
        rows = [self._time(build, way, which, self.scope.batch) for way in ways for which in ("train", "inference")]
        return [*rows, self._time(build, AS_IT_IS, "inference", 1)]

    def sweep(self, build: Build) -> Iterator[dict[str, Any]]:
        """Training steps of 1, 2, 4, … images until memory ends."""
        batch = 1
        while batch <= self.scope.most_images:
            yield (row := self._time(build, AS_IT_IS, "train", batch))
            if row["error"]:
                return
            batch *= 2

    def peak_memory(self, network: dict[str, Any]) -> dict[str, Any]:
        """Bytes of a training step, in a process of its own; `network` as `memory.measure` takes it."""
        row = {"batch": self.scope.memory_batch, "peak_bytes": None, "error": None}
        size = self.shape[1]
        try:
            peak = memory.measure(
                network, batch=self.scope.memory_batch, size=size, device=self.device, threads=self.threads
            )
        except ScaleGroupError as error:
            return row | {"error": error.got}
        return row | {"peak_bytes": peak}

    def _time(self, build: Build, way: Way, which: str, batch: int) -> dict[str, Any]:
        row = {"way": way.name, "pass": which, "batch": batch, "median_ms": None, "error": None}
        net = None
        try:
            torch.manual_seed(0)
            net = build().to(self.device)
            images = torch.randn(batch, *self.shape, device=self.device)
            if way.channels_last:
                net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                images = images.contiguous(memory_format=torch.channels_last)
            if way.compiled is not None:
                net = torch.compile(net, mode=way.compiled)
            forward: steps.Forward = partial(_forward, autocast=way.autocast)
            if which == "train":
                labels = torch.randint(self.classes, (batch,), device=self.device)
                step = steps.training_step(net, forward, images, labels)  # type: ignore[arg-type]
            else:
                step = steps.inference(net, forward, images)  # type: ignore[arg-type]
            times = steps.measure(step, threads=self.threads, seconds=self.scope.seconds / self.scope.turns)
            return row | timing.per_image(times, batch)
        except (ScaleGroupError, RuntimeError) as error:
            return row | {"error": timing.why_not(error)}
        finally:
            del net
            gc.collect()
            if self.device == "cuda":
                torch.cuda.empty_cache()


def _forward(net: nn.Module, images: Tensor, *, autocast: bool) -> Tensor:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
        return net(images).float()


def fastest(times: Sequence[dict[str, Any]]) -> list[float | None]:
    """Of `Bench.times`: ms of a training step, of inference and of one image alone, in the fastest way that has one."""
    known = [time for time in times if time["median_ms"] is not None]
    kinds = [
        [time for time in known if time["pass"] == "train"],
        [time for time in known if time["pass"] == "inference" and time["batch"] > 1],
        [time for time in known if time["pass"] == "inference" and time["batch"] == 1],
    ]
    return [min((time["median_ms"] for time in kind), default=None) for kind in kinds]
