"""One readable training loop, and evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from benchmarks.results import save_weights
from scalegroup.models import GaussianDerivativeNet


@dataclass(frozen=True)
class Recipe:
    """§5: Adam, a cosine schedule from `highest_rate` to `lowest_rate`, batches of 50.

    Two parts are not in the paper, and off by default. `label_smoothing`: as of `torch.nn.functional.cross_entropy`.
    `dropped_channels`: scale-channel dropout. Every batch is trained without a random number of the
    finest scale channels, at most this many, so that no size is left to a single channel; testing uses all channels.
    """

    epochs: int
    batch: int = 50
    highest_rate: float = 0.01
    lowest_rate: float = 5e-5
    dropped_channels: int = 0
    label_smoothing: float = 0.0


def train(
    name: str,
    net: GaussianDerivativeNet,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    accelerator: Accelerator,
    seed: int,
    console: Console,
    checkpoint: Path,
) -> None:
    """Train `net` in place, with a bar that shows loss and accuracy; the weights of each complete epoch go to disk."""
    torch.manual_seed(seed)
    data = TensorDataset(images, labels)
    order = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.highest_rate)
    steps = recipe.epochs * math.ceil(len(data) / recipe.batch)
    schedule = CosineAnnealingLR(optimiser, steps, recipe.lowest_rate)
    model, optimiser, batches = accelerator.prepare(
        net, optimiser, DataLoader(data, batch_size=recipe.batch, sampler=order)
    )
    model.train()
    window, state = net.lift.window, ""
    dropout = torch.Generator().manual_seed(seed)
    droppable = min(recipe.dropped_channels, window.channels - 1)
    with _progress(console) as progress:
        bar = progress.add_task(name, total=steps, state="")
        for epoch in range(1, recipe.epochs + 1):
            seen, summed_loss, correct = 0, 0.0, 0
            for batch, target in batches:
                dropped = int(torch.randint(droppable + 1, (), generator=dropout))
                net.lift.window = window.select(dropped, window.channels)
                scores = model(batch)
                loss = F.cross_entropy(scores, target, label_smoothing=recipe.label_smoothing)
                optimiser.zero_grad()
                accelerator.backward(loss)
                optimiser.step()
                schedule.step()
                seen += len(target)
                summed_loss += loss.item() * len(target)
                correct += int((scores.argmax(1) == target).sum())
                state = f"epoch {epoch}/{recipe.epochs} loss {summed_loss / seen:.3f} accuracy {correct / seen:.1%}"
                progress.update(bar, advance=1, state=state)
            save_weights(net, checkpoint)
            if not console.is_terminal:  # no live bar: a line an epoch instead
                console.print(f"{name}: {state}")
    net.lift.window = window
    net.eval()


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


@dataclass(frozen=True)
class Evaluation:
    """How a network did on one set of images."""

    accuracy: float
    selected: tuple[int, ...]
    """How often each scale channel won, finest first."""


@torch.no_grad()
def evaluate(net: GaussianDerivativeNet, images: Tensor, labels: Tensor, *, batch: int = 100) -> Evaluation:
    """Accuracy and selected scale channels of a network in evaluation mode."""
    device = next(net.parameters()).device
    sigmas = torch.tensor(net.lift.window.sigmas)
    correct, selected = 0, torch.zeros(len(sigmas), dtype=torch.long)
    for part, target in zip(images.split(batch), labels.split(batch), strict=True):
        scores, winners = net.predict(part.to(device))
        correct += int((scores.argmax(1).cpu() == target).sum())
        selected += torch.bincount(torch.searchsorted(sigmas, winners.cpu() * (1 - 1e-6)), minlength=len(sigmas))
    return Evaluation(correct / len(labels), tuple(selected.tolist()))
