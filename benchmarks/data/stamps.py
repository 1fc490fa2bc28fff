"""Scenes in colour: cut-out pictures pasted on coloured clouds, each at a size of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from benchmarks.data.scenes import Scene, lay_out, overlap
from scalegroup import ScaleGroupError

UNIT = 24
"""Pixels across of a stamp of size 1, along its longer side: that of its box."""

RECIPE = (
    "each stamp cut to what is opaque, resized to 24·size pixels along its longer side by PIL's LANCZOS of "
    "premultiplied colours, smoothed with σ = ⅜·size and put on clouds: white noise smoothed with σ = 2, 4, 8, 16 and "
    "32 pixels, each brought to a standard deviation of 0.05, and of 0.02 more in each colour channel, around a mean "
    "of 0.3 to 0.7; values in [0, 1]. Cluttered: patches of the stamps, a third of their side, on the clouds as well"
)
_CLOUDS = (2, 4, 8, 16, 32)  # σ in pixels
_LARGE = 192  # pixels across, of what is kept


def read_stamps(paths: Sequence[Path]) -> Tensor:
    """Cut-outs, `[n, 4, y, x]` in bytes: premultiplied red, green and blue, and how opaque they are.

    Raises `ScaleGroupError` for what is no picture, or has nothing around it.
    """
    read = []
    for path in paths:
        try:
            picture = Image.open(path).convert("RGBA")
        except OSError as error:
            raise ScaleGroupError(
                f"stamp {path.name!r}: {error}", expected="a picture", mend="leave it out, or pass another --stamps"
            ) from None
        box = picture.getchannel("A").getbbox()
        if box is None or picture.getchannel("A").getextrema()[0] == 255:
            raise ScaleGroupError(
                f"stamp {path.name!r}", expected="a cut-out with a transparent surround", mend="leave it out"
            )
        picture = picture.crop(box)
        side = max(picture.size)
        square = Image.new("RGBA", (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        resized = square.convert("RGBa").resize((_LARGE, _LARGE), Image.Resampling.LANCZOS)
        read.append(torch.from_numpy(np.array(resized)).movedim(-1, 0))
    return torch.stack(read)


def draw_stamps(
    stamps: Tensor,
    rows: Sequence[int],
    sizes: Sequence[float],
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    cluttered: bool,
    inside: bool = True,
) -> Scene:
    """A scene of some of the stamps, by row, which is their label; those for which there is no room are left out.

    >>> stamps = torch.full((2, 4, 192, 192), 255, dtype=torch.uint8)
    >>> scene = draw_stamps(stamps, [1, 0], [1.0], np.random.default_rng(0), shape=(64, 96), cluttered=False)
    >>> scene.image.shape, scene.labels.tolist(), (scene.boxes[:, 3] - scene.boxes[:, 1]).tolist()
    (torch.Size([3, 64, 96]), [1, 0], [24.0, 24.0])
    """
    page = _clouds(shape, rng)
    if cluttered:
        for _ in range(rng.poisson(4 * shape[0] * shape[1] / 128**2)):
            stamp = _resized(stamps[int(rng.integers(len(stamps)))], float(rng.choice(sizes)))
            third = stamp.shape[1] // 3
            piece = stamp[:, third : 2 * third, third : 2 * third]
            _paste(page, piece, *(int(rng.integers(-third, length)) for length in shape))
    put = lay_out(page, rows, sizes, rng, lambda row, size: _resized(stamps[row], size), _paste, box=1.0, inside=inside)
    return put.scene(torch.from_numpy(page.clip(0, 1)), torch.arange(len(stamps)))


def _clouds(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """`[3, y, x]`: alike at all scales from the finest to the coarsest, grey and with a touch of colour."""

    def noise() -> np.ndarray:
        clouds = (
            gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap") for sigma in _CLOUDS
        )
        return sum((cloud / cloud.std() for cloud in clouds), start=np.zeros(shape, dtype=np.float32))

    grey = 0.05 * noise()
    return np.stack([rng.uniform(0.3, 0.7) + grey + 0.02 * noise() for _ in range(3)]).astype(np.float32)


def _resized(stamp: Tensor, size: float) -> np.ndarray:
    """`[4, y, x]` in [0, 1], premultiplied."""
    pixels = round(UNIT * size)
    picture = Image.fromarray(stamp.movedim(0, -1).numpy(), "RGBa").resize((pixels, pixels), Image.Resampling.LANCZOS)
    values = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255
    return gaussian_filter(values, (0, 3 / 8 * size, 3 / 8 * size), mode="constant")


def _paste(page: np.ndarray, stamp: np.ndarray, y: int, x: int) -> None:
    """Over what is there; what lies outside the page is cut off."""
    part, seen = overlap(page, stamp, y, x)
    part *= 1 - seen[3:]
    part += seen[:3]
