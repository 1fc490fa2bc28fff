"""Cutting the samples of an image into rectangles, so that each can be computed with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil

from scalegroup.fields.axis import Axis
from scalegroup.fields.grid import Grid, Grids


def tiles(grids: Grids, tile: int) -> Iterator[Grids]:
    """Rectangles of every scale channel that make up `grids`, for squares of the image of at most `tile` pixels.

    Every channel is cut into as many parts, of as many whole samples; the last ones overlap where there are too few.

    >>> canvas = Grids.of_pixels((10, 5), [1.0])
    >>> [part.grids[0].shape for part in tiles(canvas, 5)]
    [(5, 5), (5, 5)]
    """
    rows, columns = (ceil(length / tile) for length in grids.size)
    for row, column in product(range(rows), range(columns)):
        yield grids.map(
            lambda grid, row=row, column=column: Grid(
                _part(grid.y, row, rows), _part(grid.x, column, columns), grid.samples_per_sigma
            )
        )


def _part(axis: Axis, number: int, count: int) -> Axis:
    length = ceil(axis.length / count)
    return Axis(axis.first + min(number * length, axis.length - length), length)
