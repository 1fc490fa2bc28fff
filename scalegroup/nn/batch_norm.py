"""Batch normalisation, shared by the scale channels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalegroup.errors import ScaleGroupError, check_positive
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.nn.checkpointing import is_recomputing
from scalegroup.nn.statistics import Normalisation, joined

_EPS = 2.0**-8
"""CUDA refuses a batch norm with eps = 0. In every dtype 1 - _EPS is exact, and so is the 1 that they add up to."""


class _BatchNormOfTorch(nn.modules.batchnorm._BatchNorm):
    """By which torch's tools, such as `update_bn`, know batch norms; nothing else is taken from it."""

    def __init__(self) -> None:
        nn.Module.__init__(self)


class BatchNorm(Normalisation, _BatchNormOfTorch):
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
        momentum: weight of the newest batch in the running statistics; None: all batches since `reset_running_stats`
            have the same, as for `torch.optim.swa_utils.update_bn`. A batch whose moments are not finite leaves them.

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(8, 1, 9, 9), ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> normalised = BatchNorm(field.type, half_width=float("inf"))(field)
    >>> round(normalised.tensor.square().mean().item(), 3)
    1.0
    """

    running_mean: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
    running_variance: Tensor

    join_moments: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]] | None = None
    """Set while several processes train on parts of one batch (`joint_batch_norm`): the (mean, variance) of a part,
    both `[feature]`, and its number of images, to those of all parts. It must be differentiable."""

    track_running_stats = False  # by torch's names and rules: they are under others here
    batches = 0

    def __init__(
        self, type: FieldType, *, half_width: float = 10.0, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(type, half_width, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros_like(self.bias))
        self.register_buffer("running_variance", torch.ones_like(self.weight))

    def reset_running_stats(self) -> None:
        """As they were before training."""
        self.running_mean.zero_()
        self.running_variance.fill_(1)
        self.batches = 0

    @property
    def num_features(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What torch's conversions make another layer of, which would know nothing of scale: refused."""
        raise ScaleGroupError(
            "a batch norm over scale to be converted to one of torch",
            expected="the layer as it is: it is not over batch and plane alone",
            mend="for joint statistics of several processes, train within nn.joint_batch_norm(net)",
        )

    def __dir__(self) -> list[str]:
        """Without it: `torch.jit.trace` asks every part for all that it finds here."""
        return [name for name in super().__dir__() if name != "num_features"]

    def _check_momentum(self, momentum: Any) -> float | None:
        if momentum is None:
            return None
        if check_positive("momentum", momentum) > 1:
            raise ScaleGroupError(f"momentum {momentum:g}", expected="a weight in (0, 1]", mend="try momentum=0.1")
        return float(momentum)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """In training the statistics domain as well; what has been settled needs no more than what is wanted."""
        return super().needs(wanted, canvas) if self.training else wanted

    def forward(self, field: ScaleField) -> ScaleField:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The normalised field."""
        self.check_input(field)
        if not self.training:
            settled = map(self.of_features, (self.running_mean, self.running_variance, self.weight, self.bias))
            mean, variance, weight, bias = settled
            return field.on_runs(
                lambda run: F.batch_norm(run.maps, mean, variance, weight, bias, eps=self.eps), type=self.out_type
            )
        mean, variance = self._joint(field)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        scale, shift = self.of_features(scale), self.of_features(self.bias - mean * scale)
        zero, rest = torch.zeros_like(shift), torch.full_like(scale, 1 - _EPS)
        # maps·scale + shift, in one pass forward and one backward
        return field.on_runs(lambda run: F.batch_norm(run.maps, zero, rest, scale, shift, eps=_EPS), type=self.out_type)

    def _joint(self, field: ScaleField) -> tuple[Tensor, Tensor]:
        """Joint mean and variance, each scale channel with the same weight; updates the running statistics."""
        mean, variance = joined(*self.moments(field), (0, 1))
        if self.orbits is not None:
            mean, of_features = self._over_orbits(mean), mean
            variance = self._over_orbits(variance + (of_features - mean[self.orbits]).square())
        if self.join_moments is not None:
            mean, variance = self.join_moments(mean, variance, field.batch)
        if not is_recomputing():
            with torch.no_grad():
                weight = self.momentum
                if weight is None:
                    self.batches += 1
                    weight = 1 / self.batches
                finite = mean.isfinite().all() & variance.isfinite().all()
                for running, newest in ((self.running_mean, mean), (self.running_variance, variance)):
                    running.lerp_(torch.where(finite, newest.to(running.dtype), running), weight)
        return mean, variance

    def _over_orbits(self, values: Tensor) -> Tensor:
        """The mean over the features of each orbit."""
        sums = values.new_zeros(len(self.weight)).index_add(0, self.orbits, values)
        return sums / values.new_zeros(len(self.weight)).index_add(0, self.orbits, torch.ones_like(values))
