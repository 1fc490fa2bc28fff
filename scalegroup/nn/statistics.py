"""Normalisation by what is seen around the centre of all scale channels: what `BatchNorm` and `GroupNorm` share."""

from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.constants import cast, working_dtype
from scalegroup.errors import check_positive
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType, orbits_of
from scalegroup.fields.grid import Grids
from scalegroup.nn.layer import Layer, check_map_type, check_permuted


class Normalisation(Layer):
    """Features less a mean, over a deviation, times a weight and plus a bias for each feature.

    Means and variances belong to the model, not to what happens to be computed: every scale channel gives the moments
    of the centred square of half-width `half_width`·σ₀, the same samples in each (of those that are held: a plan holds
    all of them), and all channels weigh the same. Variances are the biased ones. Features that rotations permute share
    weights.
    """

    orbits: Any
    """Of each feature the number of its orbit under rotations; None where every feature is one."""

    def __init__(self, type: FieldType, half_width: float, eps: float) -> None:
        super().__init__(check_permuted("type", check_map_type("type", type)), type.unsmoothed)
        self.half_width = half_width
        self.eps = eps
        orbits, size = orbits_of(type)
        self.register_buffer("orbits", orbits, persistent=False)
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def _check_half_width(self, half_width: Any) -> float:
        return half_width if half_width == float("inf") else check_positive("half_width", half_width)

    def _check_eps(self, eps: Any) -> float:
        return check_positive("eps", eps)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The statistics domain as well as what is wanted."""
        return wanted.union(self.domain(canvas))

    def live(self, live: Grids) -> Grids:
        return live

    def domain(self, canvas: Grids) -> Grids:
        """The samples that statistics are taken of."""
        if self.half_width == float("inf"):
            return canvas
        return canvas.around(self.half_width)

    def moments(self, field: ScaleField) -> tuple[Tensor, Tensor]:
        """Mean and variance of each map in the domain, `[channel, batch, feature]`; of half precision in float32."""
        domain, found = self.domain(field.grids.canvas()).intersection(field.grids), []
        for run in field.crop(domain).runs:
            samples = run.maps.permute(0, 2, 3, 1).flatten(1, 2)  # fast on channels-last maps
            found.append(torch.var_mean(cast(samples, working_dtype(samples)), 1, correction=0))
        channels = len(domain.grids)
        variances, means = (torch.cat(parts).unflatten(0, (channels, -1)) for parts in zip(*found, strict=True))
        return means, variances

    def of_features(self, values: Tensor) -> Tensor:
        """What there is one of for each orbit, for each feature."""
        return values if self.orbits is None else values[self.orbits]

    def extra_repr(self) -> str:
        return f"{self.out_type.size} features, half_width={self.half_width:g}"


def joined(means: Tensor, variances: Tensor, dim: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and variance of all parts along some axes, which weigh the same: within the parts, and between them."""
    return means.mean(dim), variances.mean(dim) + means.var(dim, correction=0)
