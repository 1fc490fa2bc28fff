"""Batch normalisation, shared by the scale channels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalegroup.constants import working_dtype
from scalegroup.errors import ScaleGroupError, check_positive
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.nn.checkpointing import is_recomputing
from scalegroup.nn.layer import Layer, check_map_type, check_permuted


class BatchNorm(Layer):
    """Batch norm with one set of statistics and weights for all scale channels (§6), so that it commutes with scaling.

    The statistics belong to the model, not to what happens to be computed: every scale channel gives the moments of the
    centred square of half-width `half_width`·σ₀, the same samples in each (of those that are held: a plan holds all of
    them), and all channels weigh the same. In training mode the layer is then equivariant under relabelling. The
    variance is the biased one, in training and in the running statistics. Features that rotations permute share
    statistics and weights.

    Args:
        type: scalar features over scale and plane.
        half_width: of the statistics domain, in units of the channel's σ₀; `math.inf` for the whole image.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(8, 1, 9, 9), ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> normalised = BatchNorm(field.type, half_width=float("inf"))(field)
    >>> round(normalised.tensor.square().mean().item(), 3)
    1.0
    """

    running_mean: Tensor
    running_variance: Tensor
    orbits: Any
    """Of each feature the number of its orbit under rotations; None where every feature is one."""

    join: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Set while several processes train on parts of one batch: the (mean, variance) of a part, both `[feature]`, to
    those of all parts. It must be differentiable."""

    def __init__(self, type: FieldType, *, half_width: float = 10.0, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(check_permuted("type", check_map_type("type", type)), type.unsmoothed)
        self.half_width = half_width if half_width == float("inf") else check_positive("half_width", half_width)
        self.eps = check_positive("eps", eps)
        self.momentum = check_positive("momentum", momentum)
        if self.momentum > 1:
            raise ScaleGroupError(f"momentum {self.momentum:g}", expected="a weight in (0, 1]", mend="try momentum=0.1")
        orbits = None if type.rotation is None else torch.tensor(type.rotation.orbits)
        self.register_buffer("orbits", orbits, persistent=False)
        size = type.size if orbits is None else int(orbits.max()) + 1
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_variance", torch.ones(size))

    def forward(self, field: ScaleField) -> ScaleField:
        """The normalised field."""
        self.check_input(field)
        mean, variance = self._joint(field) if self.training else (self.running_mean, self.running_variance)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        if self.orbits is not None:
            scale, shift = scale[self.orbits], shift[self.orbits]
        zero, one = torch.zeros_like(shift), torch.ones_like(scale)
        # maps·scale + shift, in one pass forward and one backward
        return field.on_runs(lambda run: F.batch_norm(run.maps, zero, one, scale, shift, eps=0.0), type=self.out_type)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The statistics domain as well as what is wanted."""
        return wanted.map(Grid.union, self.domain(canvas))

    def live(self, live: Grids) -> Grids:
        return live

    def domain(self, canvas: Grids) -> Grids:
        """The samples that statistics are taken of."""
        if self.half_width == float("inf"):
            return canvas
        return canvas.map(lambda grid: grid.around(self.half_width * grid.samples_per_sigma))

    def _joint(self, field: ScaleField) -> tuple[Tensor, Tensor]:
        """Joint mean and variance, each scale channel with the same weight; updates the running statistics."""
        domain = self.domain(field.grids.canvas()).map(Grid.intersection, field.grids)
        moments, weights = [], []
        for run in field.crop(domain).runs:
            pixels = run.maps.permute(0, 2, 3, 1).flatten(0, 2)  # fast on channels-last maps
            moments.append(torch.var_mean(pixels.to(working_dtype(pixels)), 0, correction=0))
            weights.append(run.stop - run.start)
        variances, means = (torch.stack(parts) for parts in zip(*moments, strict=True))
        share = means.new_tensor(weights)[:, None] / sum(weights)
        mean = (share * means).sum(0)
        variance = (share * (variances + (means - mean).square())).sum(0)  # within runs + between them
        if self.orbits is not None:
            mean, of_features = self._over_orbits(mean), mean
            variance = self._over_orbits(variance + (of_features - mean[self.orbits]).square())
        if self.join is not None:
            mean, variance = self.join(mean, variance)
        if not is_recomputing():
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_variance.lerp_(variance.to(self.running_variance.dtype), self.momentum)
        return mean, variance

    def _over_orbits(self, values: Tensor) -> Tensor:
        """The mean over the features of each orbit."""
        sums = values.new_zeros(len(self.weight)).index_add(0, self.orbits, values)
        return sums / values.new_zeros(len(self.weight)).index_add(0, self.orbits, torch.ones_like(values))

    def extra_repr(self) -> str:
        return f"{self.out_type.size} features, half_width={self.half_width:g}"
