"""Scenes: several small pictures drawn at random places and sizes of a large image, among things that are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from benchmarks.data.source import Drawn, Labelled, Source
from scalegroup import ScaleGroupError

RECIPE = (
    "each object as of MNIST Large Scale: bicubic resize to round(unit·size) pixels, smoothed with the Gaussian of "
    "σ = ⅞·size; put where no two boxes meet, the brighter of object and background at every pixel; cluttered: lines, "
    "pieces of other objects, noise of standard deviation 12; then I' = (2/π)·arctan(0.02·(I - 128)). A box is the "
    "square of 5/7 of the picture (MNIST's digits are 20 of 28 pixels across) about its centre"
)
BOX = 5 / 7
"""Side of an object's box, in sides of its picture."""

BACKGROUNDS = ("plain", "cluttered")

_TRIES = 60  # places that are tried for an object
_APART = 1.15  # sides of boxes: no two objects are nearer than their boxes enlarged by so much
_PIECE = 0.4  # side of a piece of an object, in sides of its picture
_NOISE = 12.0  # of 255


@dataclass(frozen=True)
class Scene:
    """An image `[1, y, x]` in [-0.763, 0.763], and what is in it.

    Args:
        image: the picture.
        boxes: `[n, 4]` (x0, y0, x1, y1 in pixels); they may reach beyond the border.
        labels: `[n]`.
        sizes: `[n]`, size 1 is a picture as it is.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    sizes: Tensor

    @property
    def targets(self) -> dict[str, Tensor]:
        """As torchvision's detectors have them."""
        return {"boxes": self.boxes, "labels": self.labels}


def small_pictures(source: Source) -> Drawn:
    """The data set, or a `ScaleGroupError` unless it is of small grey pictures, of which scenes can be made."""
    if not isinstance(source, Drawn) or source.channels != 1:
        raise ScaleGroupError(f"data {source.name}", expected="small grey pictures on black", mend="take mnist")
    return source


def draw_scene(
    pictures: Labelled,
    rows: Sequence[int],
    sizes: Sequence[float],
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    cluttered: bool,
    inside: bool = True,
) -> Scene:
    """A scene of some of the pictures, each of one of the sizes; those for which there is no room are left out.

    Args:
        pictures: `[n, 1, y, x]` in [0, 255], on black.
        rows: of these.
        sizes: to choose from.
        rng: of all chance.
        shape: rows and columns of the image.
        cluttered: with things in it that are no objects; they are of the same sizes.
        inside: boxes lie within the image; else half of one may be outside.

    >>> pictures = Labelled(torch.full((3, 1, 28, 28), 255), torch.arange(3))
    >>> scene = draw_scene(pictures, [2, 0], [1.0], np.random.default_rng(0), shape=(64, 96), cluttered=True)
    >>> scene.image.shape, scene.labels.tolist(), (scene.boxes[:, 2] - scene.boxes[:, 0]).tolist()
    (torch.Size([1, 64, 96]), [2, 0], [20.0, 20.0])
    """
    page = np.zeros(shape, dtype=np.float32)
    put = lay_out(
        page, rows, sizes, rng, lambda row, size: _resized(pictures.images[row, 0], size), _put, box=BOX, inside=inside
    )
    if cluttered:
        page = _clutter(page, pictures, sizes, rng, put.taken)
    image = 2 / math.pi * np.arctan(0.02 * (page - 128))
    return put.scene(torch.from_numpy(image.astype(np.float32))[None], pictures.labels)


@dataclass(frozen=True)
class LaidOut:
    """What has been put on a page: rows of a data set, and where and how large they are.

    Args:
        rows: of what was put.
        sizes: of each.
        taken: of each (y, x) of the middle of its box, and the side of that.
    """

    rows: list[int]
    sizes: list[float]
    taken: list[tuple[float, float, float]]

    def scene(self, image: Tensor, labels: Tensor) -> Scene:
        """The scene of that image; `labels` are those of all rows."""
        boxes = [[x - side / 2, y - side / 2, x + side / 2, y + side / 2] for y, x, side in self.taken]
        return Scene(
            image,
            torch.tensor(boxes).reshape(-1, 4),
            torch.tensor([int(labels[row]) for row in self.rows], dtype=torch.long),
            torch.tensor(self.sizes),
        )


def lay_out(
    page: np.ndarray,
    rows: Sequence[int],
    sizes: Sequence[float],
    rng: np.random.Generator,
    resized: Callable[[int, float], np.ndarray],
    put: Callable[[np.ndarray, np.ndarray, int, int], None],
    *,
    box: float,
    inside: bool,
) -> LaidOut:
    """Put pictures on a page `[…, y, x]` where there is room, each of one of the sizes; the others are left out.

    Args:
        page: is changed.
        rows: what to put.
        sizes: to choose from.
        rng: of all chance.
        resized: a square picture `[…, y, x]` of a row, at a size.
        put: changes the page: the picture, and where its upper left corner is, y and x.
        box: side of a box, in sides of its picture.
        inside: boxes lie within the page; else half of one may be outside.
    """
    done = LaidOut([], [], [])
    for row in rows:
        size = float(rng.choice(sizes))
        picture = resized(row, size)
        half, side = picture.shape[-1] / 2, picture.shape[-1] * box
        place = _place(rng, side, page.shape[-2:], done.taken, inside=inside)
        if place is None:
            continue
        y, x = (round(at - half) for at in place)
        put(page, picture, y, x)
        done.rows.append(row)
        done.sizes.append(size)
        done.taken.append((y + half, x + half, side))
    return done


def _resized(picture: Tensor, size: float) -> np.ndarray:
    """As of the size, smoothed, with black around it for that."""
    pixels = round(picture.shape[-1] * size)
    shrinks = pixels < picture.shape[-1]
    large = F.interpolate(picture[None, None].float(), size=(pixels, pixels), mode="bicubic", antialias=shrinks)
    return gaussian_filter(large[0, 0].clamp(0, 255).numpy(), 7 / 8 * size, mode="constant")


def _place(
    rng: np.random.Generator,
    side: float,
    shape: tuple[int, int],
    taken: Sequence[tuple[float, float, float]],
    *,
    inside: bool,
) -> tuple[float, float] | None:
    """A centre (y, x) for a box of that side; None where there seems to be no room."""
    margin = side / 2 if inside else 0.0
    if min(shape) <= 2 * margin:
        return None
    for _ in range(_TRIES):
        y, x = (rng.uniform(margin, length - margin) for length in shape)
        apart = (max(abs(y - b), abs(x - a)) > _APART * (side + other) / 2 for b, a, other in taken)
        if all(apart):
            return y, x
    return None


def overlap(page: np.ndarray, picture: np.ndarray, y: int, x: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of a page and of a picture that lie on each other, `[…, y, x]`, if its corner is at y, x."""
    (rows, columns), top, left = picture.shape[-2:], max(y, 0), max(x, 0)
    part = page[..., top : y + rows, left : x + columns]
    return part, picture[..., top - y : top - y + part.shape[-2], left - x : left - x + part.shape[-1]]


def _put(page: np.ndarray, picture: np.ndarray, y: int, x: int) -> None:
    """The brighter of both; what lies outside the page is cut off."""
    part, seen = overlap(page, picture, y, x)
    np.maximum(part, seen, out=part)


def _clutter(
    page: np.ndarray,
    pictures: Labelled,
    sizes: Sequence[float],
    rng: np.random.Generator,
    taken: Sequence[tuple[float, float, float]],
) -> np.ndarray:
    """The page with lines behind the objects, pieces of other objects beside them, and noise over all."""
    rows, columns = page.shape
    many = rows * columns / 128**2
    lines = np.zeros_like(page)
    for _ in range(rng.poisson(1.5 * many)):
        size = float(rng.choice(sizes))
        sheet = Image.new("L", (columns, rows))
        ends = [float(rng.uniform(0, length)) for length in (columns, rows, columns, rows)]
        ImageDraw.Draw(sheet).line(ends, fill=int(rng.uniform(40, 140)), width=max(1, round(rng.uniform(1, 3) * size)))
        lines = np.maximum(lines, gaussian_filter(np.asarray(sheet, dtype=np.float32), 7 / 8 * size))
    page = np.maximum(page, lines)
    for _ in range(rng.poisson(2.5 * many)):
        size = float(rng.choice(sizes))
        picture = _resized(pictures.images[int(rng.integers(len(pictures.labels))), 0], size)
        side = round(_PIECE * picture.shape[0])
        y, x = (int(rng.integers(length - side)) for length in picture.shape)
        place = _place(rng, side, (rows, columns), taken, inside=False)
        if place is not None:
            _put(page, picture[y : y + side, x : x + side], *(round(at - side / 2) for at in place))
    return page + rng.normal(0, _NOISE, page.shape).astype(np.float32)
