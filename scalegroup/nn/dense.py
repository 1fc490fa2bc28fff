"""Running layers over a whole image, tile by tile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tqdm import tqdm

from scalegroup.errors import ScaleGroupError, check_integer
from scalegroup.fields.channels import folded
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grids
from scalegroup.planning.tiles import tiles

TILE = 512
"""Pixels across of what is computed at a time, by default."""

_PATIENCE = 2.0  # seconds before a bar is shown


def dense_field(lift: Any, behind: Any, images: Any, canvas: Grids, tile: int, **options: Any) -> ScaleField:
    """What layers behind a lifting give at all places of images.

    The images are lifted as a whole; the layers run tile by tile, each from as much as they reach.

    Args:
        lift: an `nn.Lift`.
        behind: a layer of the fields that it gives.
        images: `[batch, channel, y, x]`.
        canvas: the whole image, in pixels, of every scale channel.
        tile: pixels across.
        **options: of the lifting.

    Raises `ScaleGroupError` if the layers see a part of the images only.
    """
    check_integer("tile", tile, at_least=1)
    lifted_canvas = lift.canvas(canvas)
    if behind.view(lifted_canvas) is not None:
        raise ScaleGroupError(
            "a network that sees the middle of an image only",
            expected="one that reads every place alike",
            mend="leave its nn.FieldOfView out: field_of_view=None, with the same weights",
        )
    whole = behind.canvas(lifted_canvas)
    lifted = lift.run_live(images, behind.needs(whole, lifted_canvas), lift.live(canvas), **options)
    first, *others = tiles(whole, tile)
    field = behind(lifted, wanted=first).crop(first)
    if not others:
        return field
    maps = [field.maps[0].new_empty(len(images), field.type.size, *grid.shape) for grid in whole.grids]
    for part in tqdm([first, *others], delay=_PATIENCE, disable=None, leave=False, unit="tile"):
        if part is not first:
            field = behind(lifted, wanted=part).crop(part)
        for n, (grid, held) in enumerate(zip(part.grids, whole.grids, strict=True)):
            held.place(maps[n], grid, field.channel(n))
    return replace(field, maps=folded(maps, whole), grids=whole, live=None)
