"""What the first training step of a process adds to its memory at most. Run as a process of its own, by `measure`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.data import BACKGROUND
from scalegroup import Background
from scalegroup.errors import ScaleGroupError
from scalegroup.models import gaussian_derivative_net

_ROOT = Path(__file__).resolve().parent.parent
_STATUS = Path("/proc/self/status")


def measure(options: dict[str, Any], *, batch: int, size: int, device: str, threads: int) -> int:
    """Peak bytes of a training step of `gaussian_derivative_net(**options)`, in a process of its own.

    Raises:
        ScaleGroupError: with what the process said, if it failed.
    """
    setting = {"options": options, "batch": batch, "size": size, "device": device, "threads": threads}
    command = [sys.executable, "-m", "benchmarks.memory", json.dumps(setting)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ScaleGroupError(said[0], expected="a training step that fits", mend="measure a smaller batch")
    return int(done.stdout.split()[-1])


def peak_of_step(options: dict[str, Any], *, batch: int, size: int, device: str, threads: int) -> int:
    """The same in this process, whose memory must not have been larger before."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = gaussian_derivative_net(boundary=Background(BACKGROUND), **options).to(device)
    images = torch.randn(batch, 1, size, size, device=device)
    labels = torch.randint(10, (batch,), device=device)
    net.plan((size, size))
    before = _resident() if device == "cpu" else torch.cuda.memory_allocated()
    F.cross_entropy(net(images), labels).backward()
    after = _resident(peak=True) if device == "cpu" else torch.cuda.max_memory_allocated()
    return after - before


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
