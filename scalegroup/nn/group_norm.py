"""Group normalisation over features, scale and plane."""

import torch
from torch import Tensor

from scalegroup.constants import cast
from scalegroup.errors import ScaleGroupError, check_integer
from scalegroup.fields.channels import Run
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.layer import EVERY_CHANNEL
from scalegroup.nn.statistics import Normalisation, joined


class GroupNorm(Normalisation):
    """y = weight·(x - μ) / √(v + eps) + bias, μ and v of each image and group of features (Wu & He 2018, eq 1 and 7).

    The moments are those of the group's features, of *all* scale channels and of the samples in the centred square of
    half-width `half_width`·σ₀, the same samples in each channel; every feature and channel weighs the same. It is the
    same in training and in evaluation, and for an image alone and within a batch. One group makes it layer norm over
    features, scale and plane.

    It commutes with scaling where the window moves along with the image. In a fixed window channels come and go at the
    ends, as they do for pooling over scale, and here that changes the moments: by about one channel's share of them.
    Another window has other moments, too.

    Args:
        type: scalar features over scale and plane.
        groups: of equally many features, one behind the other. Features that rotations permute must be in one group;
            they share weights.
        half_width: of the statistics domain, in units of the channel's σ₀; `math.inf` for the whole image.
        eps: added to the variance.

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(2, 4, 9, 9), ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> normalised = GroupNorm(field.type, groups=2, half_width=float("inf"))(field).tensor
    >>> normalised.unflatten(1, (2, 2)).mean((2, 3, 4, 5)).abs().max().item() < 1e-5
    True
    """

    across_scale = EVERY_CHANNEL

    def __init__(self, type: FieldType, groups: int, *, half_width: float = 10.0, eps: float = 1e-5) -> None:
        super().__init__(type, half_width, eps)
        self.groups = check_integer("groups", groups, at_least=1)
        each, rest = divmod(type.size, self.groups)
        orbits = range(type.size) if self.orbits is None else self.orbits.tolist()
        parts = {(orbit, feature // max(each, 1)) for feature, orbit in enumerate(orbits)}
        if rest or len(parts) > len(set(orbits)):
            raise ScaleGroupError(
                f"{self.groups} groups of {type!r}",
                expected="as many features in each, and those that rotations permute in one",
                mend="pass a divisor of the number of features, or of fields that rotations permute, such as 1",
            )

    def forward(self, field: ScaleField) -> ScaleField:
        """The normalised field."""
        self.check_input(field)
        means, variances = (values.unflatten(2, (self.groups, -1)) for values in self.moments(field))
        mean, variance = (self._of_groups(values) for values in joined(means, variances, (0, 3)))
        scale = self.of_features(self.weight) * torch.rsqrt(variance + self.eps)
        shift = self.of_features(self.bias) - mean * scale

        def normalise(run: Run) -> Tensor:
            shifts, scales = (of.repeat(run.stop - run.start, 1)[..., None, None] for of in (shift, scale))
            return cast(torch.addcmul(shifts, run.maps, scales), run.maps.dtype)

        return field.on_runs(normalise, type=self.out_type)

    def _of_groups(self, values: Tensor) -> Tensor:
        """What there is one of for each group, for each feature: `[batch, group]` → `[batch, feature]`."""
        return values.repeat_interleave(self.out_type.size // self.groups, 1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, groups={self.groups}"
