"""One readable training loop, on one process or on many."""

from __future__ import annotations

import math
import re
import time
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import nn
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


def train(
    name: str,
    net: nn.Module,
    data: Labelled,
    recipe: Recipe,
    *,
    seed: int,
    accelerator: Accelerator,
    folder: Path,
    console: Console,
    resume: bool = False,
    checkpoint_every: int | None = None,
    augment: Augment | None = None,
) -> Position:
    """Train `net` in place.

    Args:
        name: of the run, and of its files: `checkpoints/NAME.pt`, `logs/NAME.csv` and `logs/NAME/` for TensorBoard.
        net: as initialised, from images to class scores.
        data: to train on.
        recipe: how to.
        seed: of the order, and of all that the network and `augment` draw at random.
        accelerator: device and processes; each batch is shared out to all of them, and batch norm is joint.
        folder: for the files.
        console: for the bar.
        resume: go on from the last complete checkpoint, if there is one, to the same weights bit for bit.
        checkpoint_every: steps between checkpoints, beside one after each epoch.
        augment: changes the images of each batch.

    Returns:
        The end: steps, seconds, and the sums of the last epoch.

    Raises:
        ScaleGroupError: if the checkpoint is of another run, or a batch too small to be shared out.
    """
    count, processes = len(data.labels), accelerator.num_processes
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
            "images": checksum(data.images, data.labels),
            "network": re.sub(r" at 0x\w+", "", repr(net)),  # where a function lies is another place in every process
        },
        parts={"net": net, "optimiser": optimiser, "schedule": schedule},
    )
    at = checkpoint.load() if resume else Position()
    if at.step:
        console.print(f"{name}: goes on after step {at.step} of {steps}")
    elif not resume and checkpoint.path.exists():
        console.print(f"{name}: begins anew; checkpoint and logs of an earlier run are replaced")

    loss_of = LOSSES[recipe.loss].of
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
            images, labels = (part[mine].to(accelerator.device) for part in (data.images, data.labels))
            if augment is not None:
                images = augment(images, torch.Generator().manual_seed(seed + step * _STRIDE))
            torch.manual_seed(seed + step * _STRIDE + _APART)  # alike in all processes, and when a run goes on
            scores = model(images)
            # gradients are averaged over processes: weighed so, the average is the whole batch's
            loss = loss_of(scores, labels, recipe.label_smoothing) * (len(mine) / len(rows) * processes)
            optimiser.zero_grad()
            accelerator.backward(loss)
            optimiser.step()
            rate = schedule.get_last_lr()[0]
            schedule.step()

            sums = torch.stack([loss.detach() / processes, (scores.argmax(1) == labels).sum()])
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
