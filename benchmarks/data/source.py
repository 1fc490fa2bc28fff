"""What every data set can do: give the images of its training or test part at a size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from benchmarks.data import cache
from benchmarks.data.recipe import BACKGROUND, RECIPE, large_scale, size_range
from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow

Part = Literal["train", "test"]

# the paper's (§6) for objects of 28 pixels: σ₀ from 1/√2 to 8
PAPER_WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=8, first=-1)


@dataclass(frozen=True)
class Labelled:
    """Images `[n, channel, y, x]` with their labels `[n]`."""

    images: Tensor
    labels: Tensor

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
        background: the value around the objects.
        recipe: in words, for the results.
    """

    name: str
    unit: int
    canvas: int
    window: ScaleWindow = PAPER_WINDOW
    sizes: tuple[float, ...] = size_range()
    channels: int = 1
    classes: int = 10
    background: float = BACKGROUND
    recipe: str = RECIPE

    @abstractmethod
    def draw(self, part: Part, size: float) -> Labelled:
        """All images of a part, of objects of the size."""

    @abstractmethod
    def first(self, *, train: int | None = None, test: int | None = None) -> Source:
        """The same with the first images of each part only; None keeps all."""


@dataclass(frozen=True, kw_only=True)
class Drawn(Source):
    """Images drawn by the recipe from small pictures in [0, 255] on black.

    Args:
        train, test: the pictures of the two parts, disjoint.
        cache: folder that keeps what was drawn; None: draw every time.
    """

    train: Labelled
    test: Labelled
    cache: Path | None = None

    def draw(self, part: Part, size: float) -> Labelled:
        """By the recipe, or from the cache."""
        pictures = self.train if part == "train" else self.test

        def draw() -> tuple[Tensor, Tensor]:
            pixels = round(self.unit * size)
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

    def first(self, *, train: int | None = None, test: int | None = None) -> Drawn:
        return replace(self, train=self.train.first(train, "train"), test=self.test.first(test, "test"))
