"""Data sets of one object at many sizes, made from small pictures by the recipe of MNIST Large Scale.

Recipe: bicubic resize to round(unit·size) pixels (antialiased where it shrinks), clip to [0, 255], centre it on the
canvas or crop it to it, smooth with the discrete Gaussian of σ = ⅞·size, then I' = (2/π)·arctan(0.02·(I - 128)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.ndimage import convolve1d
from torch import Tensor
from torch.nn import functional as F

from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow, gaussian

BACKGROUND = 2 / math.pi * math.atan(0.02 * (0 - 128))  # what black becomes: about -0.763


@dataclass(frozen=True)
class Pictures:
    """Small grey pictures `[n, y, x]` in [0, 255] on black, with their labels `[n]`."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Source:
    """Where pictures come from and how large they are drawn.

    Args:
        name: of the data set.
        train, test: the two parts, disjoint.
        unit: pixels across at size 1.
        canvas: pixels across of the image.
        window: scale channels that fit the objects at sizes from ½ to 4.
    """

    name: str
    train: Pictures
    test: Pictures
    unit: int
    canvas: int
    window: ScaleWindow

    def at_size(self, pictures: Pictures, size: float) -> Tensor:
        """`[n, 1, canvas, canvas]` images of the pictures at the given size."""
        return large_scale(pictures.images, round(self.unit * size), self.canvas, smoothing=7 / 8 * size)


def large_scale(pictures: Tensor, pixels: int, canvas: int, *, smoothing: float) -> Tensor:
    """The recipe: `[n, y, x]` in [0, 255] to `[n, 1, canvas, canvas]` in [-0.763, 0.763].

    Args:
        pictures: grey values.
        pixels: across, after resizing.
        canvas: pixels across of the result.
        smoothing: σ of the discrete Gaussian, in pixels of the result.
    """
    shrinks = pixels < pictures.shape[-1]
    resized = F.interpolate(pictures[:, None].float(), size=(pixels, pixels), mode="bicubic", antialias=shrinks)
    placed = _centre(resized.clamp(0, 255), canvas)
    return 2 / math.pi * torch.atan(0.02 * (_smooth(placed, smoothing) - 128))


def _centre(images: Tensor, canvas: int) -> Tensor:
    """Centred on black, or cropped about the centre."""
    before = (canvas - images.shape[-1]) // 2
    after = canvas - images.shape[-1] - before
    return F.pad(images, (before, after, before, after))


def _smooth(images: Tensor, sigma: float) -> Tensor:
    radius = gaussian.smallest_radius(gaussian.discrete_tail_bound, sigma, 1e-6)
    taps = gaussian.normalised(gaussian.discrete_gaussian(sigma, radius))
    rows = convolve1d(images.numpy(), taps, axis=2, mode="mirror")
    return torch.as_tensor(convolve1d(rows, taps, axis=3, mode="mirror"))


def digits() -> Source:
    """scikit-learn's 1 797 real handwritten digits (8×8), which come with the package: 1 297 to train, 500 to test.

    The split is a stratified random one and always the same; a writer's digits may be on both sides of it.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels, labels, test_size=500, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = map(torch.as_tensor, parts)
    train_images, test_images = (images.view(-1, 8, 8) * (255 / 16) for images in (train_images, test_images))
    return Source(
        "digits",
        Pictures(train_images, train_labels),
        Pictures(test_images, test_labels),
        unit=16,
        canvas=65,
        # the paper's (§6) for digits of 28 pixels, one channel finer: σ₀ from ½ to 4√2
        window=ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=8, first=-2),
    )


SOURCES = {"digits": digits}


def load(name: str) -> Source:
    """The source of that name. Raises `ScaleGroupError` for an unknown one."""
    if name not in SOURCES:
        raise ScaleGroupError(f"data set {name!r}", expected=f"one of {sorted(SOURCES)}", mend="choose one of these")
    return SOURCES[name]()


def size_range(smallest: float = 0.5, largest: float = 4.0, per_octave: int = 4) -> list[float]:
    """2^(k/per_octave) from `smallest` to `largest`, both included."""
    first, last = (round(per_octave * math.log2(size)) for size in (smallest, largest))
    return [2 ** (k / per_octave) for k in range(first, last + 1)]
