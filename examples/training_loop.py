"""A training loop that can be interrupted: all chance in an epoch follows from the seed and its number."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from picture_folder import bar
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from scalegroup import ScaleGroupError
from scalegroup.errors import check_finite, check_integer, check_positive, check_probability
from scalegroup.models import GaussianDerivativeNet
from scalegroup.whole_file import unaltered, whole_file

AT_ONCE = 50  # images that are read together
STRIDE = 1_000_003  # of the seeds of runs, so that epochs of neighbouring ones share none


@dataclass(frozen=True)
class Recipe:
    """AdamW with a cosine schedule, which ends at a hundredth of the rate."""

    epochs: int
    batch: int
    rate: float
    weight_decay: float
    label_smoothing: float
    seed: int

    def __post_init__(self) -> None:
        check_integer("--epochs", self.epochs, at_least=1)
        check_integer("--batch", self.batch, at_least=1)
        check_positive("--rate", self.rate)
        check_integer("--seed", self.seed, at_least=0)
        check_probability("--label-smoothing", self.label_smoothing)
        if check_finite("--weight-decay", self.weight_decay) < 0:
            raise ScaleGroupError(f"--weight-decay {self.weight_decay:g}", expected="0 or more", mend="try 0.02")

    def optimiser(self, net: nn.Module) -> AdamW:
        """Offsets and norms do not decay."""
        weights = [value for value in net.parameters() if value.ndim >= 2]
        others = [value for value in net.parameters() if value.ndim < 2]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return AdamW(groups, lr=self.rate)


@torch.no_grad()
def read(net: GaussianDerivativeNet, images: Tensor) -> tuple[Tensor, Tensor]:
    """(class scores, selected σ₀) of images `[n, channel, y, x]` in bytes."""
    device = next(net.parameters()).device
    parts = [net.eval().predict(some.to(device) / 255) for some in images.split(AT_ONCE)]
    scores, sigma0 = zip(*parts, strict=True)
    return torch.cat(scores).cpu(), torch.cat(sigma0).cpu()


def accuracy(scores: Tensor, labels: Tensor) -> float:
    return (scores.argmax(1) == labels).double().mean().item()


def fit(
    net: GaussianDerivativeNet,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    augment: Callable[[Tensor], Tensor],
    recipe: Recipe,
    checkpoint: "Checkpoint",
    *,
    resume: bool,
) -> list[tuple[float, float]]:
    """Train `net`; the accuracies after each epoch, of images trained on and validated on.

    Args:
        training, validation: (images in bytes, labels).
        augment: changes an image that is trained on.
        checkpoint: written after each epoch; with `resume` it goes on from it, to the same weights bit for bit.
    """
    (images, labels), device = training, next(net.parameters()).device
    steps = math.ceil(len(labels) / recipe.batch)
    optimiser = recipe.optimiser(net)
    schedule = CosineAnnealingLR(optimiser, recipe.epochs * steps, recipe.rate / 100)
    parts = {"net": net, "optimiser": optimiser, "schedule": schedule}
    history = checkpoint.load(parts) if resume else []
    for epoch in range(len(history), recipe.epochs):
        torch.manual_seed(recipe.seed * STRIDE + epoch)
        net.train()
        right, name = 0, f"epoch {epoch + 1} of {recipe.epochs}"
        batches = torch.randperm(len(labels)).tensor_split(steps)  # all about as large
        for rows in bar(batches, name):
            changed = torch.stack([augment(images[row]) for row in rows]).to(device) / 255
            scores, wanted = net(changed), labels[rows].to(device)
            loss = F.cross_entropy(scores, wanted, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            right += int((scores.argmax(1) == wanted).sum())
        history.append((right / len(labels), accuracy(read(net, validation[0])[0], validation[1])))
        checkpoint.save(parts, history)
        print(f"{name}: accuracy in training {history[-1][0]:.1%}, on held-out pictures {history[-1][1]:.1%}")
    return history


@dataclass(frozen=True)
class Checkpoint:
    """One file, replaced whole after each epoch.

    Args:
        path: of the file.
        run: what decides the result; a checkpoint of another run is refused.
    """

    path: Path
    run: dict[str, Any]

    def save(self, parts: dict[str, Any], history: list[tuple[float, float]]) -> None:
        states = {name: part.state_dict() for name, part in parts.items()}
        with whole_file(self.path) as temporary:
            torch.save({"run": self.run, "parts": states, "history": history}, temporary)

    def load(self, parts: dict[str, Any]) -> list[tuple[float, float]]:
        """The history, with the parts as they were; empty where nothing was saved."""
        if not self.path.exists():
            return []
        try:
            content = torch.load(unaltered(self.path), map_location="cpu", weights_only=True)
            run, states, history = (content[name] for name in ("run", "parts", "history"))
        except Exception as error:  # a damaged file can make the reader fail anyhow
            raise ScaleGroupError(
                f"{self.path} ({type(error).__name__}: {error})",
                expected="a checkpoint",
                mend="begin anew: --overwrite instead of --resume",
            ) from None
        if other := sorted(key for key in self.run if self.run[key] != run.get(key)):
            raise ScaleGroupError(
                f"{self.path} of a run with other {', '.join(other)}",
                expected="one with the same options and pictures",
                mend="resume with the options that the run was begun with, or begin anew: --overwrite instead",
            )
        for name, part in parts.items():
            part.load_state_dict(states[name])
        return history
