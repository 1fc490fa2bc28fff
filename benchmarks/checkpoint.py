"""A training run on disk: everything it needs to go on as if it had not been interrupted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from scalegroup import ScaleGroupError
from scalegroup.whole_file import unaltered, whole_file


@dataclass
class Position:
    """How far a run is, and the sums of the epoch it is in."""

    step: int = 0
    seconds: float = 0.0
    seen: int = 0
    summed_loss: float = 0.0
    correct: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """One file, replaced whole, so that it is always the last complete one.

    Args:
        path: of the file.
        run: what decides the result; a checkpoint of another run is refused.
        parts: objects with `state_dict` and `load_state_dict`.
    """

    path: Path
    run: dict[str, Any]
    parts: dict[str, Any]

    def save(self, position: Position) -> None:
        """Write the parts and the position; random numbers follow from it."""
        content = {
            "run": self.run,
            "position": asdict(position),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        with whole_file(self.path) as temporary:
            torch.save(content, temporary)

    def load(self) -> Position:
        """Bring the parts to the state that was saved; the beginning where nothing was saved.

        Raises:
            ScaleGroupError: if the file is damaged, or of another run.
        """
        if not self.path.exists():
            return Position()
        try:
            content = torch.load(unaltered(self.path), map_location="cpu", weights_only=True)
            run, position = content["run"], Position(**content["position"])
        except Exception as error:  # a damaged file can make the reader fail anyhow
            raise ScaleGroupError(
                f"{self.path} ({type(error).__name__}: {error})",
                expected="a checkpoint",
                mend="run again without --resume",
            ) from None
        if other := sorted(key for key in self.run.keys() | run.keys() if self.run.get(key) != run.get(key)):
            raise ScaleGroupError(
                f"{self.path} of a run with other {', '.join(other)}: {[run.get(key) for key in other]}",
                expected=str([self.run.get(key) for key in other]),
                mend="resume with the options the run was begun with, or run again without --resume",
            )
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        return position
