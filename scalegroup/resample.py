"""Changing the sampling grid, with the centre of the image kept where it is.

`subsample` is exact and aliases; `halve` and `resample` filter first and are approximate: their error is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.boundary import Boundary, Extension
from scalegroup.errors import ScaleGroupError, check_integer
from scalegroup.grid import Axis, Grid

# Maximally flat half-band filter: no variance (and no 4th moment), so it does not smooth what is below a quarter of the
# sampling rate. The zero taps between are what makes it half-band.
_HALF_BAND = np.array([3, 0, -25, 0, 150, 256, 150, 0, -25, 0, 3]) / 512
# Midpoint interpolation of the same order; in front of it, the half-band filter lands on half-samples (even sizes).
_MIDPOINT = np.array([3, -25, 150, 150, -25, 3]) / 256
_HALF_BAND_EVEN = np.convolve(_HALF_BAND, _MIDPOINT)

_SINC_LOBES = 8  # half-width of the windowed sinc of `resample`, in samples of the coarser of the two grids
_KAISER_BETA = 8.0
_LARGEST_SIZE = 2**16


def subsample(images: Float[Tensor, "*batch y x"], factor: int) -> Float[Tensor, "*batch v u"]:
    """Every `factor`-th sample, counted from the centre one; D_a D_b = D_ab bitwise.

    Raises:
        ScaleGroupError: if an axis is even (it has no centre sample) or the factor is no positive integer.

    >>> subsample(torch.arange(7.).expand(1, 7), 2)
    tensor([[1., 3., 5.]])
    """
    check_integer("factor", factor, at_least=1)
    height, width = images.shape[-2:] if images.ndim > 1 else (0, 0)
    if not (height % 2 and width % 2):
        raise ScaleGroupError(
            f"an image of shape {list(images.shape)}",
            expected="[..., y, x] of odd sizes",
            mend="use an odd canvas, or resample",
        )
    first_y, first_x = height // 2 % factor, width // 2 % factor
    return images[..., first_y::factor, first_x::factor]


def halved_size(size: int) -> int:
    """Samples that cover an axis at twice the spacing, of the same parity.

    >>> [halved_size(size) for size in (1, 2, 28, 65, 112)]
    [1, 2, 14, 33, 56]
    """
    return 2 * math.ceil(size / 4) if size % 2 == 0 else 2 * math.ceil((size - 1) / 4) + 1


def halve(images: Float[Tensor, "b c y x"], boundary: Boundary) -> Float[Tensor, "b c v u"]:
    """The image on a grid of twice the spacing, through a zero-variance half-band filter.

    The plain operation, which plans are tested against: they fold `halving_matrix` into what comes next.
    """
    height, width = images.shape[-2:]
    return _apply(images, boundary, lambda outside: (halving_matrix(height, outside), halving_matrix(width, outside)))


@lru_cache(maxsize=256)
def halving_matrix(size: int, outside: Extension) -> np.ndarray:
    """What `halve` does to one axis, `[halved_size(size), size]`."""
    taps = _half_band(size)
    positions = _first_tap(np.arange(halved_size(size)), size)[:, None] + np.arange(len(taps))
    return fold(positions, np.broadcast_to(taps, positions.shape), size, outside)


def _half_band(size: int) -> np.ndarray:
    return _HALF_BAND_EVEN if size % 2 == 0 else _HALF_BAND


def _first_tap(samples: np.ndarray | int, size: int) -> np.ndarray:
    """Where the filter's support begins for these samples of the halved axis; everything is relative to the centre."""
    centres = (size - 1) / 2 + 2 * (samples - (halved_size(size) - 1) / 2)
    return np.rint(centres - (len(_half_band(size)) - 1) / 2).astype(int)


def reduced_from(wanted: Grid, finer: tuple[int, int]) -> Grid:
    """The samples of a grid of half the spacing and that size (rows, columns) that `halve` makes `wanted` from."""

    def axis(coarse: Axis, size: int) -> Axis:
        start, last = (int(_first_tap(sample, size)) for sample in (coarse.start, coarse.stop - 1))
        return Axis(size, max(0, start), min(size, last + len(_half_band(size))))

    return Grid(axis(wanted.y, finer[0]), axis(wanted.x, finer[1]), wanted.stride // 2)


def resampled_size(size: int, factor: float) -> int:
    """Samples that cover an axis at `factor` times the spacing, of the same parity, at least one or two."""
    if size % 2:
        return 2 * round((size - 1) / 2 / factor) + 1
    return max(2, 2 * round(size / 2 / factor))


def resample(
    images: Float[Tensor, "b c y x"], factor: float, boundary: Boundary, size: tuple[int, int] | None = None
) -> Float[Tensor, "b c v u"]:
    """The image on a grid of `factor` times the spacing, by a Kaiser-windowed sinc (band-limited where factor > 1).

    `size` (rows, columns) defaults to what covers the image.
    """
    height, width = images.shape[-2:]
    rows, columns = size or (resampled_size(height, factor), resampled_size(width, factor))
    if max(rows, columns, _SINC_LOBES * factor) > _LARGEST_SIZE:
        raise ScaleGroupError(
            f"resampling by {factor:.3g}",
            expected=f"grids and filters of at most {_LARGEST_SIZE} samples",
            mend="resample to a spacing nearer to the one there is",
        )
    return _apply(
        images,
        boundary,
        lambda outside: (_sinc_matrix(height, rows, factor, outside), _sinc_matrix(width, columns, factor, outside)),
    )


@lru_cache(maxsize=256)
def _sinc_matrix(size: int, rows: int, factor: float, outside: Extension) -> np.ndarray:
    cutoff = max(1.0, factor)
    reach = math.floor(_SINC_LOBES * cutoff)
    centres = (size - 1) / 2 + factor * (np.arange(rows) - (rows - 1) / 2)
    positions = np.floor(centres).astype(int)[:, None] + np.arange(-reach, reach + 2)
    offset = (positions - centres[:, None]) / cutoff
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offset / _SINC_LOBES) ** 2, 0, None)))
    weights = np.where(abs(offset) <= _SINC_LOBES, np.sinc(offset) * window, 0.0)
    return fold(positions, weights / weights.sum(axis=1, keepdims=True), size, outside)


def fold(positions: np.ndarray, weights: np.ndarray, size: int, outside: Extension) -> np.ndarray:
    """The matrix [rows, size] of taps at positions that may lie outside, where the extension says what they see."""
    source = outside.source(positions, size)
    matrix = np.zeros((len(positions), size))
    row, tap = np.nonzero(source >= 0)
    np.add.at(matrix, (row, source[row, tap]), weights[row, tap])
    return matrix


def _apply(
    images: Tensor, boundary: Boundary, matrices: Callable[[Extension], tuple[np.ndarray, np.ndarray]]
) -> Tensor:
    """A separable linear map of the whole image; a constant outside world passes unchanged (unit-mass filters)."""
    rest, outside, constant = boundary.split(images)
    vertical, horizontal = (torch.as_tensor(m, dtype=images.dtype, device=images.device) for m in matrices(outside))
    result = vertical @ rest @ horizontal.T
    return result if constant is None else result + constant[:, None, None]
