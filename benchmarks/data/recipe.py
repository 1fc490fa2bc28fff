"""The recipe of MNIST Large Scale: small pictures, drawn as one object of a chosen size on a large canvas."""

from __future__ import annotations

import math

import torch
from scipy.ndimage import convolve1d
from torch import Tensor
from torch.nn import functional as F

from scalegroup.jets import gaussian

RECIPE = (
    "Data sets of one object at many sizes, made from small pictures by the recipe of MNIST Large Scale. "
    "Recipe: bicubic resize to round(unit·size) pixels (antialiased where it shrinks), clip to [0, 255], centre it on "
    "the canvas or crop it to it, smooth with the discrete Gaussian of σ = ⅞·size, then "
    "I' = (2/π)·arctan(0.02·(I - 128))."
)
BACKGROUND = 2 / math.pi * math.atan(0.02 * (0 - 128))  # what black becomes: about -0.763

_AT_ONCE = 1000  # pictures; bounds the memory of the enlarged ones


def large_scale(
    pictures: Tensor, pixels: int, canvas: int, *, smoothing: float, corners: Tensor | None = None
) -> Tensor:
    """The recipe: `[n, channel, y, x]` in [0, 255] to `[n, channel, canvas, canvas]` in [-0.763, 0.763].

    Args:
        pictures: square, on black.
        pixels: across, after resizing.
        canvas: pixels across of the result.
        smoothing: σ of the discrete Gaussian, in pixels of the result.
        corners: `[n, 2]`, the upper left ones (y, x) on the canvas; default: centred, or cropped about the centre.

    >>> large_scale(torch.zeros(2, 1, 28, 28), 56, 112, smoothing=1.75).shape
    torch.Size([2, 1, 112, 112])
    """
    shrinks = pixels < pictures.shape[-1]

    def draw(some: Tensor, at: Tensor | None) -> Tensor:
        resized = F.interpolate(some.float(), size=(pixels, pixels), mode="bicubic", antialias=shrinks).clamp(0, 255)
        placed = _centre(resized, canvas) if at is None else put(resized, canvas, at)
        return 2 / math.pi * torch.atan(0.02 * (_smooth(placed, smoothing) - 128))

    parts = pictures.split(_AT_ONCE)
    places = [None] * len(parts) if corners is None else corners.split(_AT_ONCE)
    return torch.cat([draw(some, at) for some, at in zip(parts, places, strict=True)])


def put(images: Tensor, canvas: int, corners: Tensor) -> Tensor:
    """Each `[channel, y, x]` on black, its upper left corner (y, x) at a place of its own.

    >>> put(torch.ones(1, 1, 1, 1), 2, torch.tensor([[0, 1]])).tolist()
    [[[[0.0, 1.0], [0.0, 0.0]]]]
    """
    placed = images.new_zeros(*images.shape[:2], canvas, canvas)
    height, width = images.shape[2:]
    for on, image, (y, x) in zip(placed, images, corners.tolist(), strict=True):
        on[:, y : y + height, x : x + width] = image
    return placed


def size_range(smallest: float = 0.5, largest: float = 8.0, per_octave: int = 4) -> tuple[float, ...]:
    """2^(k/per_octave) from `smallest` to `largest`, both included.

    >>> size_range(0.5, 1.0, per_octave=2)
    (0.5, 0.7071067811865476, 1.0)
    """
    first, last = (round(per_octave * math.log2(size)) for size in (smallest, largest))
    return tuple(2 ** (k / per_octave) for k in range(first, last + 1))


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
