"""What every data set can do: give the images of its training or test part at a size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from benchmarks.data import cache
from benchmarks.data.recipe import BACKGROUND, RECIPE, large_scale, size_range
from scalegroup import Background, Boundary, ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_integer

Part = Literal["train", "test"]

# the paper's (§6) for objects of 28 pixels: σ₀ from 1/√2 to 8
PAPER_WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=8, first=-1)


_LARGEST = 16  # canvases: the largest object

AROUND, BLACK = Background(BACKGROUND), Background(0.0)
"""What is around objects that the recipe draws, and around pictures as they are."""


@dataclass(frozen=True)
class Labelled:
    """Images `[n, channel, y, x]` with their labels `[n]`."""

    images: Tensor
    labels: Tensor

    @staticmethod
    def together(*parts: Labelled) -> Labelled:
        """All of them, in this order."""
        if len(parts) == 1:
            return parts[0]  # which may be large
        return Labelled(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))

    def first(self, count: int | None, name: str) -> Labelled:
        """The first `count` of them, None: all. Raises `ScaleGroupError` if there are not so many."""
        if count is not None and not 1 <= count <= len(self.labels):
            raise ScaleGroupError(
                f"{count} {name} images", expected=f"1 to {len(self.labels)}", mend=f"pass another --{name}-images"
            )
        return Labelled(self.images[:count], self.labels[:count])


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """A data set of objects that can be had at many sizes.

    Args:
        name: of the data set.
        unit: pixels across of an object of size 1.
        canvas: pixels across of the images.
        window: scale channels that fit the objects at `sizes`.
        sizes: to test at.
        channels: of the images.
        classes: how many there are.
        boundary: what the images are outside, and objects are on: a `Background`, or `Reflect()` for pictures that fill
            their images and go on by mirroring.
        class_names: of the classes, by label, where they are known.
        recipe: in words, for the results.
    """

    name: str
    unit: int
    canvas: int
    window: ScaleWindow = PAPER_WINDOW
    sizes: tuple[float, ...] = size_range()
    channels: int = 1
    classes: int = 10
    boundary: Boundary = AROUND
    class_names: tuple[str, ...] = ()
    recipe: str = RECIPE

    @abstractmethod
    def draw(self, part: Part, size: float) -> Labelled:
        """All images of a part, of objects of the size."""

    def check(self, part: Part, sizes: Sequence[float]) -> None:
        """Raise `ScaleGroupError` for a size that there are no images of: one of each is drawn."""
        few = self.first(train=1, test=1)
        for size in sizes:
            few.draw(part, size)

    @property
    def background(self) -> float:
        """The value around objects; 0 where pictures fill their images, so that there is none."""
        return getattr(self.boundary, "value", 0.0)

    def moments(self, sizes: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """(mean, standard deviation) in each channel of training images of these sizes, to normalise by.

        None where values are on a scale of their own, with a known background.
        """
        return None

    @abstractmethod
    def first(self, *, train: int | None = None, test: int | None = None) -> Source:
        """The same with the first images of each part only; None keeps all."""

    @abstractmethod
    def validating(self, count: int) -> Source:
        """To choose by: the last images of the training part in place of the test part, which is not looked at."""


@dataclass(frozen=True, kw_only=True)
class Pictures(Source):
    """A data set of small pictures in [0, 255].

    Args:
        train, test: the two parts, disjoint.
    """

    train: Labelled
    test: Labelled

    def first(self, *, train: int | None = None, test: int | None = None) -> Self:
        return replace(self, train=self.train.first(train, "train"), test=self.test.first(test, "test"))

    def validating(self, count: int) -> Self:
        """Raises `ScaleGroupError` unless some images are left to train on."""
        left = len(self.train.labels) - check_integer("validation images", count, at_least=1)
        if left < 1:
            raise ScaleGroupError(
                f"{count} validation images",
                expected=f"fewer than the {len(self.train.labels)} of the training part",
                mend="pass another --validation-images",
            )
        last = Labelled(self.train.images[left:], self.train.labels[left:])
        return replace(self, name=f"{self.name}-validation", train=self.train.first(left, "train"), test=last)


@dataclass(frozen=True, kw_only=True)
class Drawn(Pictures):
    """Images drawn by the recipe.

    Args:
        cache: folder that keeps what was drawn; None: draw every time.
    """

    cache: Path | None = None

    def check(self, part: Part, sizes: Sequence[float]) -> None:
        Source.check(replace(self, cache=None), part, sizes)

    def draw(self, part: Part, size: float) -> Labelled:
        """By the recipe, or from the cache. Raises `ScaleGroupError` for objects of no pixel, or of far too many."""
        pictures, most = self.train if part == "train" else self.test, _LARGEST * self.canvas
        pixels = round(self.unit * size)
        if not 1 <= pixels <= most:
            raise ScaleGroupError(
                f"size {size:g}, which is {pixels} pixels",
                expected=f"1 to {most} pixels: {_LARGEST} times the canvas",
                mend=f"pass a size from {1 / self.unit:.2g} to {most / self.unit:.4g}",
            )

        def draw() -> tuple[Tensor, Tensor]:
            return large_scale(pictures.images, pixels, self.canvas, smoothing=7 / 8 * size), pictures.labels

        if self.cache is None:
            return Labelled(*draw())
        wanted = {
            "data": self.name,
            "part": part,
            "size": size,
            "unit": self.unit,
            "canvas": self.canvas,
            "recipe": self.recipe,
            "pictures": cache.checksum(pictures.images, pictures.labels),
        }
        return Labelled(*cache.cached(self.cache, wanted, draw))
