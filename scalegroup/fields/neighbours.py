"""What a scale channel sees of its neighbours: their maps at its own samples."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

from torch import Tensor

from scalegroup.algebra.group import ScaleGroup
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.resample import resample, support, supported
from scalegroup.fields.window import ScaleWindow


def seen_across_scale(field: ScaleField, group: ScaleGroup, reach: int) -> tuple[Grids, list[dict[int, Tensor]]]:
    """Of each scale channel `{offset: maps [batch, feature, y, x]}`, finest neighbour first; and where they lie.

    Neighbours that are not there are left out. Raises `ScaleGroupError` for a field of another group.
    """
    group.check_same(field.window, ScaleWindow)
    held, at, factor = field.grids, field.grids.grids, _factors(group, field.grids)
    grids = _joined(Grid.intersection, held, reach, lambda n, m: supported(held.grids[n], factor(n, m), held.grids[m]))
    seen = [
        {m - n: resample(field.channel(m), at[m], grid, factor(n, m)) for m in _near(n, held, reach)}
        for n, grid in enumerate(grids.grids)
    ]
    return grids, seen


def needed_across_scale(wanted: Grids, canvas: Grids, group: ScaleGroup, reach: int) -> Grids:
    """The samples that those `wanted` are resampled from, of a field that is sampled as `canvas` is."""
    factor = _factors(group, canvas)
    return _joined(Grid.union, wanted, reach, lambda m, n: support(wanted.grids[n], factor(n, m), canvas.grids[m]))


def _near(n: int, grids: Grids, reach: int) -> range:
    return range(max(0, n - reach), min(len(grids.grids), n + reach + 1))


def _factors(group: ScaleGroup, grids: Grids) -> Callable[[int, int], float]:
    """Of two channels the spacing of the first, in samples of the second: the same number for all pairs alike."""
    densities = [grid.samples_per_sigma for grid in grids.grids]
    return lambda n, m: group.factor(n - m) * densities[m] / densities[n]


def _joined(join: Callable[[Grid, Grid], Grid], like: Grids, reach: int, of: Callable[[int, int], Grid]) -> Grids:
    """Of each channel what `of` gives for it and each of its neighbours, joined.

    To one grid for all channels, where they have one in `like`: then they stay folded.
    """
    grids = [reduce(join, [of(n, m) for m in _near(n, like, reach)]) for n in range(len(like.grids))]
    alike = len(set(like.grids)) == 1
    return replace(like, grids=(reduce(join, grids),) * len(grids) if alike else tuple(grids))
