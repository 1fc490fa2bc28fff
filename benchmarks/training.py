"""One readable training loop, on one process or on many."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.checkpoint import Checkpoint, Position
from benchmarks.data import Labelled
from benchmarks.data.cache import checksum
from benchmarks.geometry import Augment
from benchmarks.logs import Csv, Log, Screen, TensorBoard
from benchmarks.recipe import LOSSES, Recipe, order_of_epoch
from benchmarks.results import make_folder
from scalegroup import ScaleGroupError
from scalegroup.nn import joint_batch_norm

_STRIDE = 1_000_003  # of the seeds of steps, so that runs of neighbouring seeds share none
_APART = _STRIDE // 2  # what the network draws from what is drawn for its images


class Task(Protocol):
    """What a network is trained to do: batches, and how wrong it is about them."""

    @property
    def count(self) -> int:
        """How many examples an epoch has."""
        ...

    @property
    def checksum(self) -> str:
        """Of all that decides the examples."""
        ...

    def batch(self, rows: Sequence[int], generator: torch.Generator, device: torch.device) -> tuple[Any, Any]:
        """(input, targets) of these examples."""
        ...

    def loss(self, model: nn.Module, inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """(the mean loss, how many examples are right)."""
        ...


@dataclass(frozen=True)
class Classification:
    """Images to classes.

    Args:
        data: to train on.
        recipe: whose loss it is.
        augment: changes the images of each batch.
    """

    data: Labelled
    recipe: Recipe
    augment: Augment | None = None

    @property
    def count(self) -> int:
        """See `Task`."""
        return len(self.data.labels)

    @property
    def checksum(self) -> str:
        """See `Task`."""
        return checksum(self.data.images, self.data.labels)

    def batch(self, rows: Sequence[int], generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """See `Task`."""
        images, labels = (part[rows].to(device) for part in (self.data.images, self.data.labels))
        return (images if self.augment is None else self.augment(images, generator)), labels

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `Task`."""
        scores = model(inputs)
        loss = LOSSES[self.recipe.loss].of(scores, targets, self.recipe.label_smoothing)
        return loss, (scores.argmax(1) == targets).sum()


def train(
    name: str, net: nn.Module, data: Labelled, recipe: Recipe, *, augment: Augment | None = None, **how: Any
) -> Position:
    """Train `net` in place to tell classes: `fit` with `Classification`."""
    return fit(name, net, Classification(data, recipe, augment), recipe, **how)


def fit(
    name: str,
    net: nn.Module,
    task: Task,
    recipe: Recipe,
    *,
    seed: int,
    accelerator: Accelerator,
    folder: Path,
    console: Console,
    resume: bool = False,
    checkpoint_every: int | None = None,
) -> Position:
    """Train `net` in place.

    Args:
        name: of the run, and of its files: `checkpoints/NAME.pt`, `logs/NAME.csv` and `logs/NAME/` for TensorBoard.
        net: as initialised.
        task: what to do.
        recipe: how to.
        seed: of the order, and of all that the network and the task draw at random.
        accelerator: device and processes; each batch is shared out to all of them, and batch norm is joint.
        folder: for the files.
        console: for the bar.
        resume: go on from the last complete checkpoint, if there is one, to the same weights bit for bit.
        checkpoint_every: steps between checkpoints, beside one after each epoch.

    Returns:
        The end: steps, seconds, and the sums of the last epoch.

    Raises:
        ScaleGroupError: if the checkpoint is of another run, or a batch too small to be shared out.
    """
    count, processes = task.count, accelerator.num_processes
    if (smallest := count % recipe.batch or recipe.batch) < processes:
        raise ScaleGroupError(
            f"a last batch of {smallest} images for {processes} processes",
            expected="at least one image each",
            mend="leave some images out: --train-images",
        )
    per_epoch = math.ceil(count / recipe.batch)
    steps = recipe.epochs * per_epoch
    optimiser = recipe.optimiser(net)
    schedule = CosineAnnealingLR(optimiser, steps, recipe.lowest_rate)
    model, optimiser = accelerator.prepare(net, optimiser)
    checkpoint = Checkpoint(
        make_folder(folder / "checkpoints") / f"{name}.pt",
        run={
            "recipe": asdict(recipe),
            "seed": seed,
            "images": task.checksum,
            "network": re.sub(r" at 0x\w+", "", repr(net)),  # where a function lies is another place in every process
        },
        parts={"net": net, "optimiser": optimiser, "schedule": schedule},
    )
    at = checkpoint.load() if resume else Position()
    if at.step:
        console.print(f"{name}: goes on after step {at.step} of {steps}")
    elif not resume and checkpoint.path.exists():
        console.print(f"{name}: begins anew; checkpoint and logs of an earlier run are replaced")

    began = time.perf_counter() - at.seconds
    order: list[int] = []
    model.train()
    with ExitStack() as stack:
        logs = _logs(name, folder, console, steps, per_epoch, at.step) if accelerator.is_main_process else []
        for log in logs:
            stack.enter_context(closing(log))
        stack.enter_context(joint_batch_norm(net))
        for step in range(at.step, steps):
            epoch, batch = divmod(step, per_epoch)
            if not order or not batch:
                order = order_of_epoch(count, seed, epoch)
            if not batch:
                at.seen, at.summed_loss, at.correct = 0, 0.0, 0
            rows = order[batch * recipe.batch : (batch + 1) * recipe.batch]
            mine = rows[accelerator.process_index :: processes]
            generator = torch.Generator().manual_seed(seed + step * _STRIDE)
            inputs, targets = task.batch(mine, generator, accelerator.device)
            torch.manual_seed(seed + step * _STRIDE + _APART)  # alike in all processes, and when a run goes on
            loss, correct = task.loss(model, inputs, targets)
            # gradients are averaged over processes: weighed so, the average is the whole batch's
            loss = loss * (len(mine) / len(rows) * processes)
            optimiser.zero_grad()
            accelerator.backward(loss)
            optimiser.step()
            rate = schedule.get_last_lr()[0]
            schedule.step()

            sums = torch.stack([loss.detach() / processes, correct])
            batch_loss, correct = accelerator.reduce(sums, "sum").tolist()  # type: ignore[union-attr]
            at = Position(
                step + 1,
                time.perf_counter() - began,
                at.seen + len(rows),
                at.summed_loss + batch_loss * len(rows),
                at.correct + round(correct),
            )
            values = {
                "epoch": epoch + 1,
                "seconds": at.seconds,
                "rate": rate,
                "loss": batch_loss,
                "accuracy": correct / len(rows),
                "epoch_loss": at.summed_loss / at.seen,
                "epoch_accuracy": at.correct / at.seen,
            }
            for log in logs:
                log.write(at.step, values)
            done = at.step % per_epoch == 0 or (checkpoint_every is not None and at.step % checkpoint_every == 0)
            if done and accelerator.is_main_process:
                checkpoint.save(at)
    net.eval()
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return at


def _logs(name: str, folder: Path, console: Console, steps: int, per_epoch: int, done: int) -> list[Log]:
    logs = make_folder(folder / "logs")
    return [
        Screen(console, name, steps, per_epoch),
        Csv(logs / f"{name}.csv", done),
        TensorBoard(logs / name, done),
    ]
