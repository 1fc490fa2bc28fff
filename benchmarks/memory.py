"""What the first training step of a process adds to its memory at most. Run as a process of its own, by `measure`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import allocator, data
from benchmarks.data import BACKGROUND
from benchmarks.peers import all_peers
from scalegroup import Background
from scalegroup.errors import ScaleGroupError
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net

_ROOT = Path(__file__).resolve().parent.parent
_STATUS = Path("/proc/self/status")


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
    command = [sys.executable, "-m", "benchmarks.memory", json.dumps(setting)]
    # with the allocator as the system has it: one that keeps what is freed has no peak to speak of
    environment = {name: value for name, value in os.environ.items() if name != allocator.NAME}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT, env=environment)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ScaleGroupError(said[0], expected="a training step that fits", mend="measure a smaller batch")
    return int(done.stdout.split()[-1])


def peak_of_step(network: dict[str, Any], *, batch: int, size: int, device: str, threads: int) -> int:
    """The same in this process, whose memory must not have been larger before."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, channels, classes = _build(network)
    net = net.to(device)
    images = torch.randn(batch, channels, size, size, device=device)
    labels = torch.randint(classes, (batch,), device=device)
    if isinstance(net, GaussianDerivativeNet):
        net.plan((size, size))
    before = _resident() if device == "cpu" else torch.cuda.memory_allocated()
    F.cross_entropy(net(images), labels).backward()
    after = _resident(peak=True) if device == "cpu" else torch.cuda.max_memory_allocated()
    return after - before


def _build(network: dict[str, Any]) -> tuple[nn.Module, int, int]:
    """The network, its image channels and its classes."""
    if "peer" not in network:
        return gaussian_derivative_net(boundary=Background(BACKGROUND), **network), 1, 10
    root = network["data_root"]
    source = data.load(network["data"], data.Place(None if root is None else Path(root)))
    net = all_peers()[network["peer"]].build(source, narrow=network["narrow"])
    return net, source.channels, source.classes


def _resident(*, peak: bool = False) -> int:
    """Bytes of this process, now or at most so far.

    `ru_maxrss` would do, but on Linux a process inherits it from the one that starts it: the kernel's own count first.
    """
    try:
        text = _STATUS.read_text(encoding="utf-8")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name = "VmHWM:" if peak else "VmRSS:"
    return 1024 * int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))


if __name__ == "__main__":
    print(peak_of_step(**json.loads(sys.argv[1])))
