"""Convolution along the scale axis."""

import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from scalegroup.algebra.group import ScaleGroup
from scalegroup.constants import cast
from scalegroup.errors import check_instance, check_integer
from scalegroup.fields.channels import folded
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.fields.neighbours import needed_across_scale, seen_across_scale
from scalegroup.nn.layer import Layer, check_unrotated


class ScaleConv(Layer):
    """Learnt combinations of every scale channel with its neighbours: a convolution over {γ^i}.

    y_i(p) = Σ_k W_k·x_{i+k}(p), |k| ≤ neighbours, p a place in the picture: the scale interaction of Worrall and
    Welling (NeurIPS 2019) and of Sosnovik et al. (ICLR 2020), there as wide as the plane's filters. Maps of neighbours
    are resampled by γ^±1, by the same matrices in all channels. At the ends of the window those that are not there are
    masked, never zero: the taps that are left are scaled up (`python -m benchmarks covariance`).

    Args:
        in_type: scalar features over scale and plane, of which nothing is said about rotations.
        out_type: how many features.
        group: {γ^i}; on windows of another one the layer would mean something else.
        neighbours: on either side.

    Attributes:
        weight: `[2·neighbours + 1, out, in]`, finest neighbour first.

    Raises `ScaleGroupError` if an argument cannot be used; later, for windows of another group.

    >>> ScaleConv(FieldType.scalars(1), 4, ScaleGroup(2)).weight.shape
    torch.Size([3, 4, 1])
    """

    def __init__(self, in_type: FieldType, out_type: int, group: ScaleGroup, *, neighbours: int = 1) -> None:
        check_unrotated("in_type", in_type)
        super().__init__(in_type, FieldType.scalars(check_integer("out_type", out_type, at_least=1)))
        self.group = check_instance("group", group, ScaleGroup, mend="pass window.group")
        self.across_scale = check_integer("neighbours", neighbours, at_least=1, at_most=1000)
        self.weight = nn.Parameter(torch.empty(2 * neighbours + 1, out_type, in_type.size))
        nn.init.normal_(self.weight, std=math.sqrt(1 / (len(self.weight) * in_type.size)))

    def forward(self, field: ScaleField) -> ScaleField:
        self.check_input(field)
        grids, seen = seen_across_scale(field, self.group, self.across_scale)
        maps = []
        for near in seen:
            weights = torch.cat([self.weight[self.across_scale + offset] for offset in near], dim=1)
            weights = weights[..., None, None] * (len(self.weight) / len(near))
            maps.append(F.conv2d(cast(torch.cat(list(near.values()), dim=1), weights.dtype), weights))
        return replace(field, maps=folded(maps, grids), type=self.out_type, grids=grids)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return needed_across_scale(wanted, canvas, self.group, self.across_scale)
