"""Natural pictures at many sizes: every picture rescaled, and continued by mirroring to fill the canvas.

A picture of N pixels, mirrored about its edges for ever, is a sum of N cosines (that of the DCT), and has a value at
every real place. An image of any size s is that sum at the centres of the canvas' pixels, scaled about the picture's
centre: exact, whether or not N·s is a whole number. Smaller ones have no cosine that their pixels cannot tell from a
slower one (an ideal low-pass, which is what rings at edges); at size 1 it is the picture, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional as F

from benchmarks.data.place import Place
from benchmarks.data.recipe import size_range
from benchmarks.data.source import Labelled, Part, Pictures
from benchmarks.data.torchvision_sets import as_labelled, both_parts
from scalegroup import Boundary, Reflect, ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_positive

RECIPE = (
    "pictures as they are at size 1; at others their band-limited interpolant (DCT) about the centre, without "
    "frequencies above the canvas' own; continued by mirroring about the picture's edges; divided by 255, cut to [0, 1]"
)
MARGINS = {"cifar10": 0, "fashion-mnist": 2}  # pixels of black on each side, which make pictures 32 pixels wide

_UNIT = 32
_FINEST = -2
"""Scale channels for pictures of 32 pixels: σ₀ from ½ to 4 by √2. What is fine in a picture (½) and what is as wide as
a quarter of it (4 of 16 pixels, at size ½) are in the window at size 1, and of its seven channels five are left where
objects are half or twice as large, as are trained ones of theirs."""

_MIRRORED = Reflect()
_AT_ONCE = 1000  # pictures; bounds the memory of what is in between


@dataclass(frozen=True, kw_only=True)
class Rescaled(Pictures):
    """Pictures that fill their images: size 1 is the picture as it is, in the middle of a canvas twice as wide."""

    sizes: tuple[float, ...] = size_range(largest=2.0)
    boundary: Boundary = _MIRRORED
    recipe: str = RECIPE

    def draw(self, part: Part, size: float) -> Labelled:
        """At any size > 0. Nothing is kept on disk: this is faster than reading."""
        check_positive("size", size)
        pictures = self.train if part == "train" else self.test
        images = torch.empty(len(pictures.labels), self.channels, self.canvas, self.canvas)
        for into, some in zip(images.split(_AT_ONCE), pictures.images.split(_AT_ONCE), strict=True):
            into.copy_(rescaled(some, size, self.canvas))
        return Labelled(images, pictures.labels)

    def moments(self, sizes: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `Source`; to four decimals."""
        images = Labelled.together(*(self.draw("train", size) for size in sizes)).images
        variance, mean = torch.var_mean(images, (0, 2, 3))
        mean, std = ([round(value, 4) for value in values.tolist()] for values in (mean, variance.sqrt()))
        return tuple(mean), tuple(std)


def rescaled(pictures: Tensor, size: float, canvas: int) -> Tensor:
    """`[n, channel, y, x]` in [0, 255] to `[n, channel, canvas, canvas]` in [0, 1], what overshoots cut off.

    >>> rescaled(torch.tensor([[[[0, 255], [51, 0]]]]), 1.0, 4)[0, 0, 1]
    tensor([0., 0., 1., 1.])
    """
    rows, columns = (torch.as_tensor(axis(n, size, canvas), dtype=torch.float32) for n in pictures.shape[2:])
    return (rows @ (pictures.float() / 255) @ columns.T).clamp(0, 1)


def axis(length: int, size: float, canvas: int) -> np.ndarray:
    """`[canvas, length]`: from pixels of a picture to those of a canvas on which it is `size` times as wide.

    >>> axis(2, 1.0, 6).tolist()[:3]  # … 1 0 in front of 0 1
    [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    """
    kept = np.arange(min(length, ceil(size * length)))  # of the cosines of k half waves, those with k < size·length
    spectrum = np.asarray(dct(np.eye(length), type=2, axis=0))[kept] / length
    spectrum[0] /= 2
    places = (np.arange(canvas) + (1 - canvas) / 2) / size + length / 2  # from the picture's edge, in its pixels
    waves = np.cos(np.pi / length * places[:, None] * kept)
    return np.round(waves @ spectrum, 12)  # to 0 and 1 where pixels meet pixels


def from_pictures(name: str, train: Labelled, test: Labelled, class_names: Sequence[str]) -> Rescaled:
    """The source of square pictures `[n, channel, y, x]` in [0, 255], which are as wide as objects of size 1."""
    channels, unit = train.images.shape[1:3]
    first = _FINEST + round(2 * log2(unit / _UNIT))
    return Rescaled(
        name=name,
        train=train,
        test=test,
        unit=unit,
        canvas=2 * unit + unit % 2,  # both even or both odd, so that pixels meet pixels at size 1
        window=ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=7, first=first),
        channels=channels,
        classes=len(class_names),
        class_names=tuple(class_names),
    )


def rescaled_set(name: str) -> Callable[[Place], Rescaled]:
    """What makes the source of a name in `MARGINS`, of torchvision's data sets."""

    def make(place: Place) -> Rescaled:
        parts = both_parts(name, place)
        named = f"rescaled-{name}"
        train, test = (as_labelled(named, part) for part in parts)
        train, test = (replace(part, images=F.pad(part.images, [MARGINS[name]] * 4)) for part in (train, test))
        return from_pictures(named, train, test, parts[0].classes)

    return make


def rescaled_folder(place: Place) -> Rescaled:
    """Of `place.root/train/CLASS/*` and `place.root/test/CLASS/*`, in a fixed order that mixes the classes.

    The name of that folder is the data set's, so that results tell one from another.

    Raises:
        ScaleGroupError: if there are no such pictures, or they are not square and all of one size.
    """
    root = place.need_root("rescaled-folder", "train/CLASS/* and test/CLASS/*")
    (train, names), (test, others) = (_read(root / part) for part in ("train", "test"))
    if names != others or train.images.shape[1:] != test.images.shape[1:]:
        raise ScaleGroupError(
            f"{root}/test with classes {others} and pictures of shape {list(test.images.shape[1:])}",
            expected=f"those of train: {names}, {list(train.images.shape[1:])}",
            mend="put the same classes and pictures of one size into both folders",
        )
    return from_pictures(f"rescaled-{root.resolve().name}", train, test, names)


def _read(folder: Path) -> tuple[Labelled, list[str]]:
    """Its pictures in colour, shuffled, and the names of its folders, which are the classes."""
    from torchvision.datasets import ImageFolder

    wrong = partial(ScaleGroupError, expected="small square pictures of one size", mend="resize and crop them before")
    try:
        found = ImageFolder(str(folder))
        order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0)).tolist()
        pixels: Any = None
        for row, index in enumerate(order):
            picture = np.asarray(found[index][0])
            if pixels is None:
                pixels = np.empty((len(order), *picture.shape), dtype=np.uint8)
            if picture.shape != pixels.shape[1:] or picture.shape[0] != picture.shape[1]:
                height, width = picture.shape[:2]
                raise wrong(f"{found.samples[index][0]} of {width}×{height} pixels")
            pixels[row] = picture
    except (OSError, ValueError) as error:
        if isinstance(error, ScaleGroupError):
            raise
        raise ScaleGroupError(
            f"{folder} ({error})", expected="pictures in CLASS/*", mend="pass the folder of train and test"
        ) from None
    labels = torch.as_tensor(found.targets)[order]
    return Labelled(torch.from_numpy(pixels).movedim(-1, 1).contiguous(), labels), found.classes
