"""Where a training run tells how it goes: the screen, a CSV file, TensorBoard."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard.writer import SummaryWriter

from benchmarks.results import save_text


class Log(Protocol):
    """Takes the values of every step."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values after `step` steps; every call has the same names."""

    def close(self) -> None:
        """No more will come."""


class Screen:
    """A bar on a terminal; elsewhere a line per epoch.

    Args:
        console: to print on.
        name: of the run.
        steps: of the run, and of an epoch.
    """

    def __init__(self, console: Console, name: str, steps: int, steps_per_epoch: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
        )
        self._console, self._name, self._steps, self._steps_per_epoch = console, name, steps, steps_per_epoch
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar = self._progress.add_task(name, total=steps, state="")
        self._progress.start()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Move the bar, or print."""
        state = "epoch {epoch:.0f}/{epochs:.0f} loss {epoch_loss:.3f} accuracy {epoch_accuracy:.1%}".format(
            epochs=self._steps // self._steps_per_epoch, **values
        )
        self._progress.update(self._bar, completed=step, state=state)
        if step % self._steps_per_epoch == 0 and not self._console.is_terminal:
            self._console.print(f"{self._name}: {state}")

    def close(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


class Csv:
    """A row per step. A resumed run goes on after the rows of its checkpoint; later ones are of steps taken again, and
    what is no row is left out.

    Args:
        path: of the file.
        done: how many steps were taken before.
    """

    def __init__(self, path: Path, done: int) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if done and path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one
        steps = [line.split(",")[0] for line in whole]
        kept = [line for n, line in enumerate(whole) if n == 0 or (steps[n].isdecimal() and int(steps[n]) <= done)]
        save_text("".join(kept), path)
        # a log grows, line by line, so that it can be followed and outlives the run
        self._file = path.open("a", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._headed = bool(kept)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        if not self._headed:
            self._writer.writerow(["step", *values])
            self._headed = True
        self._writer.writerow([step, *values.values()])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """A folder for `tensorboard --logdir`.

    Args:
        folder: of the run.
        done: how many steps were taken before; what the folder has of later steps, or of an earlier run, is not shown.
    """

    def __init__(self, folder: Path, done: int) -> None:
        if not done:
            shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder), purge_step=done + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
