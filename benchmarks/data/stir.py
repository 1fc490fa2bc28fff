"""STIR (Altstidl and others, arXiv 2211.10288): objects of 17 to 64 pixels anywhere in pictures of 64×64.

The published `emoji.npz` and `mnist.npz` are read where a user has them. Else they are drawn after the paper: faces of
Font Awesome (npm's `@fortawesome/fontawesome-free@5.15.3`), and MNIST's digits, 50 of each class.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.place import Place
from benchmarks.data.recipe import large_scale, put
from benchmarks.data.source import BLACK, Labelled, Part, Source
from benchmarks.data.torchvision_sets import torchvision_set
from scalegroup import Boundary, ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_integer

CANVAS, SMALLEST, LARGEST = 64, 17, 64
# digits of 28 pixels select a σ₀ of about 1.2: from the smallest to the largest, and beyond on either side. What
# is misread was so in channels that are finer, against the object, than any in training
WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=8, first=-3)
DIGITS_WINDOW = WINDOW.select(1, 8)  # the finest is half of the cost, and few digits select it
_ICONS = [
    "tired",
    "surprise",
    "smile-wink",
    "smile-beam",
    "sad-tear",
    "sad-cry",
    "meh-rolling-eyes",
    "meh-blank",
    "laugh-wink",
    "laugh-squint",
    "laugh-beam",
    "laugh",
    "kiss-wink-heart",
    "kiss-beam",
    "kiss",
    "grin-wink",
    "grin-tongue-wink",
    "grin-tongue-squint",
    "grin-tongue",
    "grin-tears",
    "grin-stars",
    "grin-squint-tears",
    "grin-squint",
    "grin-hearts",
    "grin-beam-sweat",
    "grin-beam",
    "grin-alt",
    "grin",
    "grimace",
    "frown-open",
    "flushed",
    "dizzy",
    "angry",
    "smile",
    "meh",
    "frown",
]
_DIGITS = 50  # of each class, in each part
_THIRDS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, kw_only=True)
class Stir(Source):
    """Sizes are the pixels across of an object, 17 to 64; values lie in [0, 1], on black.

    Args:
        root: the folder of its files.
        judged: which third is tested on, "test" or "validation".
        limits: at most so many images of each size, in training and in test; as many of each class as of others.
    """

    root: Path
    judged: str = "test"
    limits: tuple[int | None, int | None] = (None, None)
    unit: int = 1
    canvas: int = CANVAS
    window: ScaleWindow = WINDOW
    sizes: tuple[float, ...] = tuple(map(float, range(SMALLEST, LARGEST + 1)))
    boundary: Boundary = BLACK

    @abstractmethod
    def pictures(self, third: int, size: int) -> Labelled:
        """All of one third (training, validation, test) at a size: `[n, 1, 64, 64]` in [0, 255]."""

    def draw(self, part: Part, size: float) -> Labelled:
        """Raises `ScaleGroupError` for sizes that are not 17, 18, … or 64."""
        if size not in self.sizes:
            raise ScaleGroupError(
                f"size {size:g} of {self.name}", expected="17, 18, … or 64 pixels", mend="choose one of these"
            )
        found = self.pictures(_THIRDS["train" if part == "train" else self.judged], int(size))
        count, limit = len(found.labels), self.limits[part == "test"]
        most = count if limit is None else min(limit, count)
        chosen = torch.arange(most) * count // max(most, 1)  # they come class by class
        return Labelled(found.images[chosen].float() / 255, found.labels[chosen])

    def first(self, *, train: int | None = None, test: int | None = None) -> Self:
        """Of each size, from all classes alike, or all where there are fewer."""
        return replace(self, limits=(train, test))

    def validating(self, count: int) -> Self:
        """Its own validation pictures, `count` of each size."""
        check_integer("validation images", count, at_least=1)
        return replace(self, name=f"{self.name}-validation", judged="validation", limits=(self.limits[0], count))


@dataclass(frozen=True, kw_only=True)
class Published(Stir):
    """The published file: `imgs` `[3, size, class, instance, 64, 64]`, with `lbls` and `scls` `[3, size, class, …]`."""

    path: Path
    recipe: str = "the published file, as it is"

    def pictures(self, third: int, size: int) -> Labelled:
        """Read. Raises `ScaleGroupError` where the file is something else."""
        try:
            with np.load(self.path) as file:
                images, labels, sizes = (file[name][third] for name in ("imgs", "lbls", "scls"))
            chosen = np.asarray(sizes == size)
            found = torch.as_tensor(images[chosen]), torch.as_tensor(labels[chosen]).long()
        except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
            raise ScaleGroupError(
                f"{self.path} ({error})", expected="STIR's imgs, lbls and scls", mend="fetch the file again"
            ) from None
        return Labelled(found[0][:, None], found[1])


@dataclass(frozen=True, kw_only=True)
class Emoji(Stir):
    """36 faces of Font Awesome Free 5.15.3 (CC BY 4.0), in white; one picture of each for each size and third."""

    classes: int = len(_ICONS)
    recipe: str = (
        "36 faces of Font Awesome Free 5.15.3, drawn by cairosvg at the size, in white at a random place on black"
    )

    def pictures(self, third: int, size: int) -> Labelled:
        """Drawn. Raises `ScaleGroupError` where faces or cairosvg are missing."""
        try:
            from cairosvg import svg2png
        except (ImportError, OSError) as error:
            raise ScaleGroupError(
                f"no cairosvg ({error})",
                expected="it, to draw faces with",
                mend="pip install '.[stir]', with libcairo2",
            ) from None
        faces = []
        for name in _ICONS:
            png = io.BytesIO()
            svg2png(url=str(self.root / f"{name}.svg"), output_width=size, output_height=size, write_to=png)
            faces.append(np.asarray(Image.open(png).convert("RGBA"))[..., 3])
        corners = random_corners(len(faces), size, third)
        return Labelled(put(torch.as_tensor(np.stack(faces))[:, None], CANVAS, corners), torch.arange(len(faces)))


@dataclass(frozen=True, kw_only=True)
class Digits(Stir):
    """50 of MNIST's digits of each class, each at every size; those to test on are of MNIST's test part."""

    train: Labelled
    test: Labelled
    window: ScaleWindow = DIGITS_WINDOW
    recipe: str = (
        "50 digits of each class, bicubic to the size, at a random place on black, smoothed with σ = ⅞·size/28, "
        "(2/π)·arctan(0.02·(I - 128)), stretched to [0, 255]"
    )

    def pictures(self, third: int, size: int) -> Labelled:
        """Drawn."""
        part, start = (self.test, 0) if third == _THIRDS["test"] else (self.train, third * _DIGITS)
        rows = [torch.nonzero(part.labels == digit)[start : start + _DIGITS, 0] for digit in range(10)]
        if any(len(some) < _DIGITS for some in rows):
            raise ScaleGroupError(
                f"{min(map(len, rows))} digits of a class", expected=f"{start + _DIGITS}", mend="pass all of MNIST"
            )
        chosen = torch.cat(rows)
        corners = random_corners(len(chosen), size, third)
        drawn = large_scale(part.images[chosen], size, CANVAS, smoothing=7 / 8 * size / 28, corners=corners)
        low, high = drawn.amin((1, 2, 3), keepdim=True), drawn.amax((1, 2, 3), keepdim=True)
        return Labelled((255 * (drawn - low) / (high - low)).to(torch.uint8), part.labels[chosen])


def random_corners(count: int, size: int, third: int) -> Tensor:
    """`[count, 2]`: places of the upper left corners at which objects of the size lie within the picture."""
    generator = torch.Generator().manual_seed(third * 1000 + size)
    return torch.randint(0, CANVAS - size + 1, (count, 2), generator=generator)


def stir_emoji(place: Place) -> Stir:
    """`emoji.npz`, or the faces `svgs/regular/NAME.svg`, in `place.root`."""
    root = place.need_root("stir-emoji", "emoji.npz, or of Font Awesome's svgs/")
    if (path := root / "emoji.npz").exists():
        return Published(name="STIR emoji", root=root, path=path, classes=len(_ICONS))
    folder = root / "svgs" / "regular"
    missing = [name for name in _ICONS if not (folder / f"{name}.svg").exists()]
    if missing:
        raise ScaleGroupError(
            f"{root} without emoji.npz, and {folder.relative_to(root)} without {missing[0]}.svg",
            expected="the published file, or Font Awesome's faces",
            mend="npm pack @fortawesome/fontawesome-free@5.15.3, unpack it and pass its folder `package`",
        )
    return Emoji(name="stir-emoji", root=folder)


def stir_mnist(place: Place) -> Stir:
    """`mnist.npz`, or MNIST as torchvision keeps it, in `place.root`."""
    root = place.need_root("stir-mnist", "mnist.npz, or of torchvision's MNIST")
    if (path := root / "mnist.npz").exists():
        return Published(name="STIR mnist", root=root, path=path, window=DIGITS_WINDOW)
    mnist = torchvision_set("mnist")(place)
    return Digits(name="stir-mnist", root=root, train=mnist.train, test=mnist.test)
