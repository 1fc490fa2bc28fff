"""Squeeze and excitation: features that switch each other on and off."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalegroup.constants import cast
from scalegroup.errors import check_instance, check_integer, check_positive
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.jets.jet import Jet
from scalegroup.jets.kernel import Kernel
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.nn.layer import check_unrotated
from scalegroup.nn.per_channel import PerChannel
from scalegroup.planning.plan import ends

_AVERAGE = Jet(0, zero=True)


class SqueezeExcite(PerChannel):
    """y = s·x, s = sigmoid(W₂ max(0, W₁z + b₁) + b₂), z the surroundings of a place (Hu et al. 2018, eq 2 to 4).

    There z is the mean over the picture. How much of a picture an object fills changes with its size, so that such a
    mean, and all that it gates, is not scale covariant, nor local. Here z = g(σ) ∗ x, σ = width·σ₀: a Gaussian average
    around each place (the zero-order term of the jet), which commutes with scalings and translations. W₁ of an average
    is the average of W₁: both are one call of the kernel. All scale channels share the weights.

    Args:
        type: scalar features over scale and plane, of which nothing is said about rotations.
        reduction: there are so many times fewer features in the middle, at least one.
        width: σ of the average in units of σ₀, more than the lifting has smoothed.
        kernel: the discretisation of the Gaussian; default `DiscreteGaussian(tail=5e-3)`.

    Attributes:
        squeeze, squeeze_offset: W₁ `[hidden, in]` and b₁ `[hidden]`.
        excite, excite_offset: W₂ `[in, hidden]` and b₂ `[in]`.

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> layer = SqueezeExcite(FieldType.scalars(16))
    >>> layer.squeeze.shape, layer.excite.shape
    (torch.Size([4, 16]), torch.Size([16, 4]))
    """

    def __init__(
        self, type: FieldType, *, reduction: int = 4, width: float = 2.0, kernel: Kernel | None = None
    ) -> None:
        super().__init__(check_unrotated("type", type), type.unsmoothed)
        self.reduction = check_integer("reduction", reduction, at_least=1)
        self.width = check_positive("width", width, more_than=type.smoothed)
        self.kernel = DiscreteGaussian(tail=5e-3) if kernel is None else kernel
        hidden = max(1, type.size // self.reduction)
        self.squeeze = nn.Parameter(torch.empty(hidden, type.size))
        self.squeeze_offset = nn.Parameter(torch.zeros(hidden))
        self.excite = nn.Parameter(torch.empty(type.size, hidden))
        self.excite_offset = nn.Parameter(torch.zeros(type.size))
        nn.init.normal_(self.squeeze, std=math.sqrt(2 / type.size))
        nn.init.normal_(self.excite, std=math.sqrt(1 / hidden))

    def _check_kernel(self, kernel: Any) -> Kernel:
        return check_instance("kernel", kernel, Kernel, mend="try Iso()")

    def reach(self, samples_per_sigma: float) -> int:
        return self.kernel.reach(*self._sigmas(samples_per_sigma), _AVERAGE)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        sigma, smoothed = self._sigmas(samples_per_sigma)
        weights = self.squeeze[..., None]
        hidden = self.kernel.combine(maps, weights, self.squeeze_offset, sigma=sigma, smoothed=smoothed, jet=_AVERAGE)
        gates = F.conv2d(hidden.relu(), self.excite[..., None, None], self.excite_offset).sigmoid()
        inner = F.pad(maps, [-self.reach(samples_per_sigma)] * 4)  # whose gradient keeps the memory format: `Grid.crop`
        return cast(inner, gates.dtype) * gates

    def multiply_adds(self, wanted: Grid) -> int:
        hidden, size = self.squeeze.shape
        sigmas = self._sigmas(wanted.samples_per_sigma)
        blurred = self.kernel.multiply_adds(*sigmas, size, hidden, wanted.shape, 1, _AVERAGE)
        return blurred + (hidden + 1) * size * math.prod(wanted.shape)

    def detail(self, wanted: Grids) -> str:
        reaches = ends(f"{self.reach(grid.samples_per_sigma)}" for grid in wanted.grids)
        return f"{type(self.kernel).__name__}, σ {self.width:g}·σ₀, reach {reaches}"

    def _sigmas(self, samples_per_sigma: float) -> tuple[float, float]:
        """Of the average, and what is smoothed already, in samples."""
        return self.width * samples_per_sigma, self.in_type.smoothed * samples_per_sigma

    def extra_repr(self) -> str:
        return (
            f"{self.out_type.size} features, reduction={self.reduction}, width={self.width:g}, kernel={self.kernel!r}"
        )
