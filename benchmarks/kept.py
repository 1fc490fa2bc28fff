"""What a long command has made already, kept piece by piece, so that it can be cut into pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import results
from scalegroup import ScaleGroupError
from scalegroup.models import find_trained


@dataclass(frozen=True)
class Kept:
    """A folder of rows.

    Args:
        folder: of the files `NAME.json`.
        resume: take what is there of the same setting, where the weights that it tells of are still beside the folder.
    """

    folder: Path
    resume: bool

    def row(self, name: str, setting: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was made before in this setting, or else now, and kept."""
        path = self.folder / f"{name}.json"
        setting = json.loads(json.dumps(setting))
        try:
            row = results.read_json(path)
            same = self.resume and row["setting"] == setting and not row["error"]
            if same and has_weights(self.folder.parent, row.get("weights", {})):
                return row
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        row = {"error": None, "setting": setting} | make()
        results.save_json(row, path)
        return row


def has_weights(folder: Path, told: Mapping[str, str]) -> bool:
    """Whether the networks that these names tell of lie there, with these checksums."""
    try:
        return all(find_trained(folder / f"{name}.safetensors").sha256 == sha256 for name, sha256 in told.items())
    except ScaleGroupError:
        return False
