"""A step of a network, how long it takes and what memory: with torch alone, as a checkout of an older commit runs it.

`python -P steps.py JSON` with `PYTHONPATH` set to a checkout measures the larger network of the scalegroup there.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.benchmark import Timer

Forward = Callable[[nn.Module, Tensor], Tensor]
"""From a network and images to class scores."""

CLASSES = 10
_STATUS = Path("/proc/self/status")


def call(net: nn.Module, images: Tensor) -> Tensor:
    """The network, called."""
    return net(images)


def training_step(net: nn.Module, forward: Forward, images: Tensor, labels: Tensor) -> Callable[[], object]:
    """Forward, cross-entropy, backward."""
    net.train()

    def step() -> None:
        net.zero_grad(set_to_none=True)
        F.cross_entropy(forward(net, images), labels).backward()

    return step


def inference(net: nn.Module, forward: Forward, images: Tensor) -> Callable[[], object]:
    """Forward in evaluation mode, nothing kept."""
    net.eval()

    def step() -> None:
        with torch.inference_mode():
            forward(net, images)

    return step


def measure(step: Callable[[], object], *, threads: int, seconds: float) -> list[float]:
    """Seconds of a step, for so long but at least once, after it has run once; accelerators are waited for."""
    timer = Timer("step()", globals={"step": step}, num_threads=threads)
    return timer.blocked_autorange(min_run_time=seconds).times


def peak_bytes(step: Callable[[], object], *, device: str) -> int:
    """What a step adds to the memory of this process, which must not have been larger before."""
    before = resident() if device == "cpu" else torch.cuda.memory_allocated()
    step()
    after = resident(peak=True) if device == "cpu" else torch.cuda.max_memory_allocated()
    return after - before


def resident(*, peak: bool = False) -> int:
    """Bytes that this process holds, now or at most so far.

    `ru_maxrss` would do, but on Linux a process inherits it from the one that starts it: the kernel's own count first.
    """
    try:
        text = _STATUS.read_text(encoding="utf-8")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    name = "VmHWM:" if peak else "VmRSS:"
    return 1024 * int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))


def of_checkout(
    *, checkout: str, background: float, batch: int, size: int, device: str, threads: int, seconds: dict[str, float]
) -> dict[str, Any]:
    """Times in seconds of each pass that has `seconds`, the parameters, and of "memory" the peak in bytes."""
    import scalegroup
    from scalegroup.models import gaussian_derivative_net

    if not Path(str(scalegroup.__file__)).resolve().is_relative_to(Path(checkout).resolve()):
        raise SystemExit("scalegroup is imported from elsewhere, not from the checkout")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = gaussian_derivative_net("larger", boundary=scalegroup.Background(background)).to(device)
    images = torch.randn(batch, 1, size, size, device=device)
    labels = torch.randint(CLASSES, (batch,), device=device)
    found: dict[str, Any] = {"parameters": sum(value.numel() for value in net.parameters())}
    for which, least in seconds.items():
        step = inference(net, call, images) if which == "inference" else training_step(net, call, images, labels)
        if which == "memory":
            found[which] = peak_bytes(step, device=device)
        else:
            found[which] = measure(step, threads=threads, seconds=least)
    return found


if __name__ == "__main__":
    print(json.dumps(of_checkout(**json.loads(sys.argv[1]))))
