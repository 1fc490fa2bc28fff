"""What the first training step of a process adds to its memory at most. Run as a process of its own, by `measure`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import allocator, data, steps
from benchmarks.data import BACKGROUND
from benchmarks.peers import all_peers
from scalegroup import Background
from scalegroup.errors import ScaleGroupError
from scalegroup.models import gaussian_derivative_net

_ROOT = Path(__file__).resolve().parent.parent


def measure(network: dict[str, Any], *, batch: int, size: int, device: str, threads: int) -> int:
    """Peak bytes of a training step, in a process of its own.

    Args:
        network: the options of `gaussian_derivative_net`, or a peer of `compare`: `{"peer": name, "narrow": bool,
            "data": name, "data_root": folder}`.
        batch: images.
        size: of the images, in pixels.
        device: where.
        threads: of the CPU.

    Raises:
        ScaleGroupError: with what the process said, if it failed.
    """
    setting = {"network": network, "batch": batch, "size": size, "device": device, "threads": threads}
    return int(last_word(["-m", "benchmarks.memory", json.dumps(setting)], environment()))


def environment() -> dict[str, str]:
    """With an allocator that gives back at once what is freed: the peak is of what is held, without its holes."""
    return dict(os.environ) | {allocator.NAME: allocator.GIVING_BACK}


def last_word(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The last line that Python writes, in a process of its own; a `ScaleGroupError` with what it says if it fails."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT, env=environment)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ScaleGroupError(said[0], expected="a step that fits", mend="measure a smaller batch")
    return done.stdout.splitlines()[-1]


def peak_of_step(network: dict[str, Any], *, batch: int, size: int, device: str, threads: int) -> int:
    """The same in this process, whose memory must not have been larger before."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, channels, classes = _build(network)
    net = net.to(device)
    images = torch.randn(batch, channels, size, size, device=device)
    labels = torch.randint(classes, (batch,), device=device)
    return steps.peak_bytes(steps.training_step(net, steps.call, images, labels), device=device)


def _build(network: dict[str, Any]) -> tuple[nn.Module, int, int]:
    """The network, its image channels and its classes."""
    if "peer" not in network:
        return gaussian_derivative_net(boundary=Background(BACKGROUND), **network), 1, steps.CLASSES
    root = network["data_root"]
    source = data.load(network["data"], data.Place(None if root is None else Path(root)))
    net = all_peers()[network["peer"]].build(source, narrow=network["narrow"])
    return net, source.channels, source.classes


if __name__ == "__main__":
    print(peak_of_step(**json.loads(sys.argv[1])))
