"""Linear combinations of features: 1×1 convolutions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalegroup.constants import cast
from scalegroup.errors import ScaleGroupError, check_instance, check_integer
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid
from scalegroup.nn.per_channel import PerSample


class Mix(PerSample):
    """y = W·x at each place, the same W in all scale channels: 1×1 convolutions (Lin et al., ICLR 2014), intertwiners.

    Only features of one homogeneity weight mix. Typically the shortcut of a `Residual` whose body changes the width.

    Args:
        in_type: features over the plane, of which nothing is said about rotations.
        out_type: the same, or just how many scalar features.

    Attributes:
        weight: `[out, in, 1, 1]`, as a `torch.nn.Conv2d` has it; where homogeneity weights differ it is masked.

    Raises `ScaleGroupError` if the types do not fit, or leave no way from the one to a feature of the other.

    >>> layer = Mix(FieldType.scalars(3), 5)
    >>> layer.weight.shape
    torch.Size([5, 3, 1, 1])
    """

    def __init__(self, in_type: FieldType, out_type: FieldType | int) -> None:
        check_instance("in_type", in_type, FieldType, mend="use FieldType.scalars(size)")
        if not isinstance(out_type, FieldType):
            size = check_integer("out_type", out_type, at_least=1)
            out_type = FieldType.scalars(size, smoothed=in_type.smoothed)
        mask = in_type.fibre.intertwiners(out_type.fibre)
        if in_type.rotation or out_type.rotation or not mask.any(1).all():
            raise ScaleGroupError(
                f"mixing {in_type!r} to {out_type!r}",
                expected="features of the same weights, of which nothing is said about rotations",
                mend="choose an out_type with weights that in_type has; SteerableJetConv mixes rotating fields",
            )
        super().__init__(in_type, out_type)
        whole = mask.to(torch.get_default_dtype())[..., None, None]
        # mostly there is nothing to be masked
        self.register_buffer("mask", None if mask.all() else whole, persistent=False)
        self.weight = nn.Parameter(torch.empty(out_type.size, in_type.size, 1, 1))
        nn.init.normal_(self.weight, std=math.sqrt(1 / in_type.size))

    mask: Tensor | None

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        weight = self.weight if self.mask is None else self.weight * self.mask
        return F.conv2d(cast(maps, weight.dtype), weight)

    def multiply_adds(self, wanted: Grid) -> int:
        return self.weight.numel() * math.prod(wanted.shape)
