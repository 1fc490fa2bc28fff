"""Convolution along the scale axis."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F

from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError, check_instance, check_integer
from scalegroup.fields.field import ScaleField, folded
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.resample import resample, support, supported
from scalegroup.nn.layer import Layer, check_map_type


class ScaleConv(Layer):
    """Learnt combinations of every scale channel with its neighbours: a convolution over {γ^i}.

    A neighbour's map is resampled to the channel's own grid, by γ^±1: by the same matrices in all channels. At the ends
    of the window the neighbours that are not there are masked, never zero: the taps that are left are scaled up. What
    that costs is measured (`python -m benchmarks covariance`).

    Args:
        in_type: scalar features over scale and plane.
        out_type: how many features.
        group: {γ^i}; on windows of another one the layer would mean something else.
        neighbours: on either side.

    Attributes:
        weight: `[2·neighbours + 1, out, in]`, finest neighbour first.

    Raises `ScaleGroupError` if an argument cannot be used; later, for windows of another group.

    >>> layer = ScaleConv(FieldType.scalars(1), 4, ScaleGroup(2))
    >>> layer.weight.shape, layer.across_scale
    (torch.Size([3, 4, 1]), 1)
    """

    def __init__(self, in_type: FieldType, out_type: int, group: ScaleGroup, *, neighbours: int = 1) -> None:
        check_map_type("in_type", in_type)
        super().__init__(in_type, FieldType.scalars(check_integer("out_type", out_type, at_least=1)))
        self.group = check_instance("group", group, ScaleGroup, mend="pass window.group")
        self.across_scale = check_integer("neighbours", neighbours, at_least=1)
        self.weight = nn.Parameter(torch.empty(2 * neighbours + 1, out_type, in_type.size))
        nn.init.normal_(self.weight, std=math.sqrt(1 / (len(self.weight) * in_type.size)))

    def forward(self, field: ScaleField) -> ScaleField:
        self.check_input(field)
        if field.window.group != self.group:
            raise ScaleGroupError(
                f"{field.window!r}", expected=f"scale channels of {self.group!r}", mend="use the group it was made for"
            )
        held, maps = field.grids, []
        grids = self._joined(
            Grid.intersection, held, lambda n, m: supported(held.grids[n], self._factor(n, m, held), held.grids[m])
        )
        for n, grid in enumerate(grids.grids):
            near = self._near(n, held)
            seen = [resample(field.channel(m), held.grids[m], grid, self._factor(n, m, held)) for m in near]
            weights = torch.cat([self.weight[self.across_scale + m - n] for m in near], dim=1)
            weights = weights * (len(self.weight) / len(near))
            maps.append(F.conv2d(torch.cat(seen, dim=1).to(weights.dtype), weights[..., None, None]))
        return replace(field, maps=folded(maps, grids), type=self.out_type, grids=grids)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return self._joined(
            Grid.union, wanted, lambda m, n: support(wanted.grids[n], self._factor(n, m, canvas), canvas.grids[m])
        )

    def _near(self, n: int, grids: Grids) -> range:
        """The channel and its neighbours, of those that are there."""
        return range(max(0, n - self.across_scale), min(len(grids.grids), n + self.across_scale + 1))

    def _factor(self, n: int, m: int, grids: Grids) -> float:
        """The spacing of channel n, in samples of channel m."""
        return self.group.factor(n - m) * grids.grids[m].samples_per_sigma / grids.grids[n].samples_per_sigma

    def _joined(self, join: Callable[[Grid, Grid], Grid], like: Grids, of: Callable[[int, int], Grid]) -> Grids:
        """Of each channel what `of` gives for it and each of its neighbours, joined.

        To one grid for all channels, where they have one in `like`: then they stay folded.
        """
        grids = [reduce(join, [of(n, m) for m in self._near(n, like)]) for n in range(len(like.grids))]
        alike = len(set(like.grids)) == 1
        return replace(like, grids=(reduce(join, grids),) * len(grids) if alike else tuple(grids))
