"""How a trained network does on images of one size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from scalegroup.models import GaussianDerivativeNet


@dataclass(frozen=True)
class Evaluation:
    """How a network did on one set of images."""

    accuracy: float
    selected: tuple[int, ...]
    """How often each scale channel won, finest first."""


@torch.no_grad()
def evaluate(
    net: GaussianDerivativeNet,
    images: Tensor,
    labels: Tensor,
    *,
    batch: int = 100,
    accelerator: Accelerator | None = None,
) -> Evaluation:
    """Accuracy and selected scale channels of a network in evaluation mode, the images shared out to all processes."""
    device = next(net.parameters()).device
    sigmas = torch.tensor(net.window.sigmas)
    counts = torch.zeros(1 + len(sigmas), dtype=torch.long)  # correct ones, then each scale channel
    mine = slice(accelerator.process_index, None, accelerator.num_processes) if accelerator else slice(None)
    for part, target in zip(images[mine].split(batch), labels[mine].split(batch), strict=True):
        scores, winners = net.predict(part.to(device))
        counts[0] += (scores.argmax(1).cpu() == target).sum()
        counts[1:] += torch.bincount(torch.searchsorted(sigmas, winners.cpu() * (1 - 1e-6)), minlength=len(sigmas))
    if accelerator:
        counts = accelerator.reduce(counts.to(accelerator.device), "sum").cpu()  # type: ignore[union-attr]
    correct, *selected = counts.tolist()
    return Evaluation(correct / len(labels), tuple(selected))


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor, *, batch: int = 100) -> float:
    """Of any network from images to class scores, in evaluation mode."""
    device = next(net.parameters()).device
    correct = [
        (net(part.to(device)).argmax(1).cpu() == target).sum()
        for part, target in zip(images.split(batch), labels.split(batch), strict=True)
    ]
    return float(torch.stack(correct).sum()) / len(labels)
