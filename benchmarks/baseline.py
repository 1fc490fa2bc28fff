"""An older commit of this repository, measured beside what there is now: always in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import memory, steps
from benchmarks.data import BACKGROUND
from scalegroup import ScaleGroupError


@dataclass(frozen=True)
class Baseline:
    """The larger network of a checkout, as it is made there by default.

    Args:
        checkout: its folder. It is used here, and is in no result.
        commit: in short.
    """

    checkout: Path
    commit: str

    @staticmethod
    def of(checkout: Path) -> Baseline:
        """Raises `ScaleGroupError` unless the folder is a checkout of this repository."""
        git = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
        try:
            found = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            found = ""
        if not found or not (checkout / "scalegroup" / "__init__.py").is_file():
            raise ScaleGroupError(
                f"baseline {checkout}",
                expected="a checkout of an older commit, with scalegroup/ in it",
                mend="make one: git worktree add FOLDER COMMIT",
            )
        return Baseline(checkout.resolve(), found)

    @property
    def name(self) -> str:
        """Of its rows."""
        return f"baseline {self.commit}"

    @property
    def setting(self) -> dict[str, Any]:
        """All that the name leaves open."""
        return {"preset": "larger", "boundary": f"Background({BACKGROUND:.6g})"}

    def times(self, seconds: Mapping[str, float], **how: Any) -> dict[str, Any]:
        """`{"parameters": number, pass: seconds of each step}`.

        Args:
            seconds: for each pass, `"train"` or `"inference"`.
            **how: `batch`, `size`, `device` and `threads`.

        Raises:
            ScaleGroupError: with what the process said, if it failed.
        """
        return self._run(seconds, how, os.environ)

    def peak_bytes(self, **how: Any) -> int:
        """Of a training step, as `memory.measure` has it."""
        return self._run({"memory": 0.0}, how, memory.environment())["memory"]

    def _run(self, seconds: Mapping[str, float], how: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
        setting = {"checkout": str(self.checkout), "background": BACKGROUND, "seconds": dict(seconds), **how}
        here = {**environment, "PYTHONPATH": str(self.checkout)}
        try:
            return json.loads(memory.last_word(["-P", steps.__file__, json.dumps(setting)], here))
        except ScaleGroupError as error:  # import errors name files
            said = error.got.replace(str(self.checkout), "CHECKOUT")
            raise ScaleGroupError(said, expected="a step that fits", mend="try another commit") from None
