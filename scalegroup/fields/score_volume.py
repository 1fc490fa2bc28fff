"""Scores over place and scale: what a network says of every place of an image, in every scale channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scalegroup.errors import Refusing, ScaleGroupError, check_instance
from scalegroup.fields.field import ScaleField


class Places(NamedTuple):
    """Where the samples of a scale channel lie along one axis: at `first` + k·`spacing`.

    In pixels from the image's upper or left edge, as boxes are told: the first pixel reaches from 0 to 1.
    """

    first: float
    spacing: float
    length: int

    def like(self, maps: Tensor) -> Tensor:
        """All of them, in the dtype of maps and on their device."""
        return self.first + self.spacing * torch.arange(self.length, dtype=maps.dtype, device=maps.device)


@dataclass(frozen=True, eq=False)
class ScoreVolume(Refusing):
    """Class scores of every scale channel, at places of its own.

    Args:
        maps: per scale channel, finest first, `[batch, class, y, x]`.
        y, x: per scale channel, where the rows and the columns are.
        sigmas: σ₀ of each scale channel, in pixels.
        size: rows and columns of the image, in pixels.

    Raises `ScaleGroupError` if these do not fit together.
    """

    maps: tuple[Tensor, ...]
    y: tuple[Places, ...]
    x: tuple[Places, ...]
    sigmas: tuple[float, ...]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        each = [(axes[0].length, axes[1].length) for axes in zip(self.y, self.x, strict=True)]
        shapes = [tuple(check_instance("maps", maps, Tensor, mend="pass tensors").shape) for maps in self.maps]
        alike = len({shape[:2] for shape in shapes}) == 1
        if not alike or [shape[2:] for shape in shapes] != each or len(self.sigmas) != len(each):
            raise ScaleGroupError(
                f"maps of shapes {[list(shape) for shape in shapes]} for {len(self.sigmas)} scale channels",
                expected=f"[batch, class, y, x] of each, (y, x) = {each}",
                mend="take it from net.dense_scores(images)",
            )

    @staticmethod
    def of(field: ScaleField) -> ScoreVolume:
        """The scores that a field over scale and plane holds.

        >>> from scalegroup import ScaleGroup, ScaleWindow, functional
        >>> field = functional.lift(torch.zeros(1, 1, 9, 9), ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=2))
        >>> ScoreVolume.of(field).y[1].like(torch.zeros(1))
        tensor([1.6716, 4.5000, 7.3284])
        """
        if not (field.type.over_scale and field.type.over_plane and field.type.fibre.is_trivial):
            raise ScaleGroupError(
                repr(field), expected="scalar features over scale and plane", mend="take it in front of the read-out"
            )
        grids, (rows, columns) = field.grids, field.grids.size
        pairs = list(zip(grids.grids, grids.spacings, strict=True))
        return ScoreVolume(
            maps=tuple(field.channel(n) for n in range(len(pairs))),
            y=tuple(Places(rows / 2 + grid.y.first * step, step, grid.y.length) for grid, step in pairs),
            x=tuple(Places(columns / 2 + grid.x.first * step, step, grid.x.length) for grid, step in pairs),
            sigmas=grids.sigmas,
            size=grids.size,
        )

    def at(self, channel: int, image: Tensor, label: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Scores `[n]` of images and classes at places in pixels, between samples by bilinear interpolation.

        Outside the outermost samples it is as at these.
        """
        maps, values = self.maps[channel], 0
        (top, below), (left, right) = _around(self.y[channel], y), _around(self.x[channel], x)
        for row, part in (top, below):
            for column, share in (left, right):
                values = values + part * share * maps[image, label, row, column]
        return values  # type: ignore[return-value]


def _around(places: Places, at: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The two samples about each place, with their weights."""
    exact = ((at - places.first) / places.spacing).clamp(0, places.length - 1)
    low = exact.floor()
    share, low = exact - low, low.long()
    return [(low, 1 - share), ((low + 1).clamp(max=places.length - 1), share)]
