"""Folders of pictures, CLASS/*: found, split in two, and read into memory at the sizes that are needed."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from photographs import is_cut_out, place, read
from rich.console import Console
from rich.progress import track
from sklearn.model_selection import train_test_split
from torch import Tensor
from torchvision.datasets import ImageFolder

from scalegroup import ScaleGroupError


def bar(items: Sequence[Any], name: str) -> Iterable[Any]:
    """They, with a progress bar on a terminal, and nothing elsewhere."""
    console = Console()
    return track(items, name, console=console, transient=True, disable=not console.is_terminal)


class _Classes(ImageFolder):
    """Without hidden folders, which tools leave behind."""

    def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
        names = [name for name in super().find_classes(directory)[0] if not name.startswith(".")]
        return names, {name: number for number, name in enumerate(names)}


def open_folder(folder: Path) -> ImageFolder:
    """FOLDER/CLASS/*. Raises `ScaleGroupError` unless it holds two classes, with two pictures each."""
    expected = "FOLDER/CLASS/*.jpg, .png, …, with two classes or more and two pictures or more in each"
    try:
        found = _Classes(str(folder), loader=read)
    except OSError as error:
        raise ScaleGroupError(
            f"folder {str(folder)!r} ({error})", expected=expected, mend="pass such a folder"
        ) from None
    few = [name for number, name in enumerate(found.classes) if found.targets.count(number) < 2]
    if few or len(found.classes) < 2:
        got = f"a single picture in {few[0]!r}" if few else f"the single class {found.classes[0]!r}"
        raise ScaleGroupError(f"{got} in {str(folder)!r}", expected=expected, mend="add pictures")
    return found


def split(folder: ImageFolder, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Which pictures to train on and which to validate on: that share of each class, and one at least of each."""
    if not 0 < share < 1:
        raise ScaleGroupError(f"--validation {share:g}", expected="a share between 0 and 1", mend="pass 0.2")
    of_class = defaultdict(list)
    for row, label in enumerate(folder.targets):
        of_class[label].append(row)
    train: list[int] = []
    validation: list[int] = []
    for rows in of_class.values():
        held_out = min(max(1, round(share * len(rows))), len(rows) - 1)
        some, others = train_test_split(rows, test_size=held_out, random_state=seed)
        train += some
        validation += others
    return train, validation


@dataclass(frozen=True)
class Placed:
    """Some pictures of a folder at several sizes.

    Args:
        sizes: longer sides of the objects, in pixels.
        images: `[size, n, 3, y, x]` in bytes, kept in memory.
        labels: `[n]`.
        cut_out: whether most of them are.
    """

    sizes: tuple[int, ...]
    images: Tensor
    labels: Tensor
    cut_out: bool

    @classmethod
    def read(
        cls, folder: ImageFolder, rows: Sequence[int], sizes: Sequence[int], canvas: int, colour: Sequence[int]
    ) -> "Placed":
        """With a progress bar. Raises `ScaleGroupError` if one cannot be read."""
        images = torch.empty(len(sizes), len(rows), 3, canvas, canvas, dtype=torch.uint8)
        cut_out = 0
        for n, row in enumerate(bar(rows, "reading pictures")):
            picture, _ = folder[row]
            cut_out += is_cut_out(picture)
            for size, into in zip(sizes, images[:, n], strict=True):
                into.copy_(place(picture, size, canvas, colour))
        return cls(tuple(sizes), images, torch.tensor(folder.targets)[list(rows)], cut_out > len(rows) / 2)

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, standard deviation) in each channel of the images in [0, 1], to four decimals."""
        each = [torch.stack(torch.var_mean(image / 255, (1, 2), correction=0)) for image in self.images.flatten(0, 1)]
        variances, means = torch.stack(each, 1)
        mean, std = means.mean(0), (variances.mean(0) + means.var(0, correction=0)).sqrt()
        return tuple(round(value, 4) for value in mean.tolist()), tuple(round(value, 4) for value in std.tolist())

    def checksum(self) -> str:
        """Of images and labels."""
        digest = hashlib.sha256(self.images.numpy().data)
        digest.update(self.labels.numpy().data)
        return digest.hexdigest()[:16]
