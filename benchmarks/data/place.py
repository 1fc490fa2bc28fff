"""Where a data set's files are, and where drawn images are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scalegroup import ScaleGroupError


@dataclass(frozen=True)
class Place:
    """Folders, and whether missing files may be downloaded.

    Args:
        root: the folder of the data set's files.
        download: fetch them where they are missing.
        cache: the folder that keeps drawn images; None: keep none.
    """

    root: Path | None = None
    download: bool = False
    cache: Path | None = None

    def need_root(self, name: str, holds: str) -> Path:
        """The root. Raises `ScaleGroupError` where none was given, or there is no such folder."""
        mend = f"pass --data-root FOLDER, the folder of {holds}"
        if self.root is None:
            raise ScaleGroupError(f"data set {name!r} without a folder", expected="one with its files", mend=mend)
        if not self.root.is_dir() and not self.download:
            raise ScaleGroupError(f"data root {self.root}", expected="a folder that exists", mend=mend)
        return self.root
