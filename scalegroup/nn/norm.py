"""Batch normalisation, shared by the scale channels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalegroup.errors import ScaleGroupError, check_positive
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.grid import Grid
from scalegroup.nn.channel import Channel
from scalegroup.nn.layer import Layer, check_map_type, check_permuted


class BatchNorm(Layer):
    """Batch norm with one set of statistics and weights for all scale channels (§6), so that it commutes with scaling.

    The statistics belong to the model, not to what happens to be computed: each scale channel gives the moments of the
    centred square of half-width `half_width`·σ₀ (cut to the image), and all channels weigh the same. In training mode
    the layer is then equivariant under relabelling. The variance is the biased one, in training and in the running
    statistics. Features that rotations permute share statistics and weights.

    Args:
        type: scalar features over scale and plane.
        half_width: of the statistics domain, in units of the channel's σ₀; `math.inf` for the whole image.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics.

    Raises:
        ScaleGroupError: if an argument cannot be used; in training, if no scale channel is defined.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(8, 1, 9, 9), ScaleWindow(ScaleGroup(2), 1.0, 3))
    >>> normalised = BatchNorm(field.type, half_width=float("inf"))(field)
    >>> round(normalised.tensor.square().mean().item(), 3)
    1.0
    """

    running_mean: Tensor
    running_variance: Tensor
    orbits: Tensor | None
    """Of each feature the number of its orbit under rotations; None where every feature is one."""

    join: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Set while several processes train on parts of one batch: the (mean, variance) of a part, both `[feature]`, to
    those of all parts. It must be differentiable."""

    def __init__(self, type: FieldType, *, half_width: float = 10.0, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(check_permuted("type", check_map_type("type", type)), type)
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

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """The statistics domain as well as what is wanted."""
        return wanted.union(wanted.around(self.half_width * sigma0))

    @property
    def settings(self) -> Hashable:
        """See `Layer`."""
        return self.half_width

    def step(self, held: Grid, wanted: Grid, sigma0: float, known: bool, like: Tensor) -> Grid:
        """The statistics domain."""
        return wanted.around(self.half_width * sigma0)

    def forward(self, field: ScaleField) -> ScaleField:
        """The normalised field."""
        self.check_input(field)
        scale, shift = self.affine(_moments(domain, None) for domain in self._domains(field))

        def normalise(values: Tensor) -> Tensor:
            # values·scale + shift, in one pass forward and one backward
            return F.batch_norm(values, torch.zeros_like(shift), torch.ones_like(scale), scale, shift, eps=0.0)

        return field.pointwise(normalise)

    def on(self, channels: Sequence[Channel], steps: Sequence[Grid]) -> list[Channel]:
        """See `Layer`: the moments are taken over all channels together."""
        scale, shift = self.affine(map(self.moments, channels, steps))
        return [replace(c, values=c.values * scale[:, None, None], constant=c.shifted(scale, shift)) for c in channels]

    @staticmethod
    def moments(channel: Channel, domain: Grid) -> tuple[Tensor, Tensor]:
        """(variance, mean), both `[feature]`, of one scale channel over its statistics domain."""
        return _moments(channel.grid.crop(channel.values, domain), channel.constant)

    def affine(self, moments: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """(scale, shift), both `[feature]`, from the moments of all scale channels, which only training looks at."""
        mean, variance = self._joint(list(moments)) if self.training else (self.running_mean, self.running_variance)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (scale, shift) if self.orbits is None else (scale[self.orbits], shift[self.orbits])

    def _joint(self, moments: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Joint mean and variance, each scale channel with the same weight; updates the running statistics."""
        if not moments:
            raise ScaleGroupError(
                "a field without a defined scale channel",
                expected="at least one, to take statistics of",
                mend="restrict to a window that overlaps the field's",
            )
        variances, means = (torch.stack(parts) for parts in zip(*moments, strict=True))
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)  # within channels + between them
        if self.orbits is not None:
            mean, of_features = self._over_orbits(mean), mean
            variance = self._over_orbits(variance + (of_features - mean[self.orbits]).square())
        if self.join is not None:
            mean, variance = self.join(mean, variance)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_variance.lerp_(variance.to(self.running_variance.dtype), self.momentum)
        return mean, variance

    def _over_orbits(self, values: Tensor) -> Tensor:
        """The mean over the features of each orbit."""
        orbits = self.orbits
        assert orbits is not None
        sums = values.new_zeros(len(self.weight)).index_add(0, orbits, values)
        return sums / values.new_zeros(len(self.weight)).index_add(0, orbits, torch.ones_like(values))

    def _domains(self, field: ScaleField) -> Iterator[Tensor]:
        """The values in the statistics domain of each defined scale channel."""
        for channel, sigma0 in enumerate(field.grid_sigmas):
            if field.defined[channel]:
                domain = field.held.around(self.half_width * sigma0)
                yield field.held.crop(field.channel(channel), domain)

    def extra_repr(self) -> str:
        """The features and the statistics domain."""
        return f"{self.out_type.size} features, half_width={self.half_width:g}"


def _moments(maps: Tensor, constant: Tensor | None) -> tuple[Tensor, Tensor]:
    """Variance and mean per feature of `maps + constant`; torch.var_mean is far slower on channels-last maps."""
    mean = maps.mean((0, 2, 3))
    variance = (maps - mean[:, None, None]).square().mean((0, 2, 3))
    return variance, mean if constant is None else mean + constant
