"""The Gaussian jet layer."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.errors import (
    ScaleGroupError,
    check_finite,
    check_instance,
    check_integer,
    check_positive,
    check_unchanged,
)
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.jets.jet import TWO_JET, Jet
from scalegroup.jets.kernel import Kernel
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.nn.layer import check_unrotated
from scalegroup.nn.per_channel import PerChannel
from scalegroup.planning.plan import ends


class JetConv(PerChannel):
    """Learnt combinations of scale-normalised Gaussian derivatives (eq 6 and 11: up to order 2), shared over scale.

    In the scale channel σ₀ the derivatives are taken at σ = beta·σ₀ (eq 13: beta = r^(k-1) in layer k); what the
    lifting has smoothed already is taken off.

    Args:
        in_type: scalar features over scale and plane, of which nothing is said about rotations.
        out_type: the same, or just how many features.
        jet: which derivatives are combined.
        groups: of features that see each other, as in `conv2d`; as many as there are: each for itself (depthwise).
        beta: the relative scale of this layer, > 0; it never moves the window.
        kernel: the discretisation; default `DiscreteGaussian(tail=5e-3)`.
        stride: 2 gives every second sample, from the centre on: for late layers, by one rule in all scale channels.
        first_offset: what C₀ is before training.

    Attributes:
        coefficients: `[out, in / groups, jet.size]`, Cx, Cy, Cxx, Cxy, Cyy.
        offset: `[out]`, C₀; one per output is the same function as the paper's one per pair.

    Raises `ScaleGroupError` if the types do not fit, beta is not more than what is smoothed already, or the kernel has
    no stencils for the jet.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(2, 1, 33, 33), ScaleWindow(ScaleGroup(2), 1.0, 2))
    >>> layer = JetConv(field.type, 4)
    >>> [layer(field).channel(n).shape for n in range(2)]
    [torch.Size([2, 4, 17, 17]), torch.Size([2, 4, 5, 5])]
    """

    _accepted = staticmethod(check_unrotated)

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType | int,
        *,
        jet: Jet = TWO_JET,
        groups: int = 1,
        beta: float = 1.0,
        kernel: Kernel | None = None,
        stride: int = 1,
        first_offset: float = 0.0,
    ) -> None:
        self._accepted("in_type", in_type)
        if not isinstance(out_type, FieldType):
            out_type = FieldType.scalars(check_integer("out_type", out_type, at_least=1))
        super().__init__(in_type, self._accepted("out_type", out_type), stride=stride)
        self.jet = jet
        self.groups = check_integer("groups", groups, at_least=1)
        if in_type.size % self.groups or self.out_type.size % self.groups:
            raise ScaleGroupError(
                f"{self.groups} groups of {in_type.size} → {self.out_type.size} features",
                expected="a divisor of both numbers",
                mend=f"pass groups={math.gcd(in_type.size, self.out_type.size)}, which is the most",
            )
        self.beta = beta
        self.kernel = DiscreteGaussian(tail=5e-3) if kernel is None else kernel
        self.first_offset = check_finite("first_offset", first_offset)
        self._make_parameters()
        self.reset_parameters()

    def _check_jet(self, jet: Any) -> Jet:
        return check_unchanged(self, "jet", check_instance("jet", jet, Jet, mend="pass Jet(2)"))

    def _check_groups(self, groups: Any) -> int:
        return check_unchanged(self, "groups", groups)

    def _check_beta(self, beta: Any) -> float:
        beta, before = check_positive("beta", beta), self.in_type.smoothed
        if beta <= before:
            raise ScaleGroupError(
                f"beta {beta:g} behind a smoothing by {before:g}·σ₀",
                expected="more smoothing than the lifting has done",
                mend=f"pass a beta above {before:g}",
            )
        return beta

    def _check_kernel(self, kernel: Any) -> Kernel:
        check_instance("kernel", kernel, Kernel, mend="try Iso()").stencils(self.jet)  # refused, where there are none
        return kernel

    def _make_parameters(self) -> None:
        shape = self.out_type.size, self.in_type.size // self.groups, self.jet.size
        self.coefficients: Tensor = nn.Parameter(torch.empty(shape))
        self.offset: Tensor = nn.Parameter(torch.empty(self.out_type.size))

    def reset_parameters(self) -> None:
        """Normal coefficients of variance 2 / (jet.size·in / groups), the offset `first_offset`."""
        nn.init.normal_(self.coefficients, std=math.sqrt(2 / self.coefficients[0].numel()))
        nn.init.constant_(self.offset, self.first_offset)

    def reach(self, samples_per_sigma: float) -> int:
        return self.kernel.reach(*self._sigmas(samples_per_sigma), self.jet)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        sigma, smoothed = self._sigmas(samples_per_sigma)
        return self.kernel.combine(
            maps, self.coefficients, self.offset, sigma=sigma, smoothed=smoothed, stride=self.stride, jet=self.jet
        )

    def multiply_adds(self, wanted: Grid) -> int:
        sigmas = self._sigmas(wanted.samples_per_sigma * self.stride)
        sizes = self.in_type.size, self.out_type.size
        return self.kernel.multiply_adds(*sigmas, *sizes, wanted.shape, self.stride, self.jet, self.groups)

    def detail(self, wanted: Grids) -> str:
        densities = [grid.samples_per_sigma * self.stride for grid in wanted.grids]
        sigmas, reaches = (ends(f"{of(g):.3g}" for g in densities) for of in (lambda g: self.beta * g, self.reach))
        stride = "" if self.stride == 1 else f", every {self.stride}nd sample"
        return f"{type(self.kernel).__name__}, σ {sigmas}, reach {reaches}{stride}"

    @property
    def paper_parameter_count(self) -> int:
        """Six per pair of an input and an output feature, C₀ among them; of layers that it has not, what is there."""
        of_paper = self.jet == TWO_JET and self.groups == 1
        shared = self.coefficients.numel() + self.offset.numel()
        return (TWO_JET.size + 1) * self.out_type.size * self.in_type.size if of_paper else shared

    def _sigmas(self, samples_per_sigma: float) -> tuple[float, float]:
        """Its σ, and what is smoothed already, in samples."""
        return self.beta * samples_per_sigma, self.in_type.smoothed * samples_per_sigma

    def extra_repr(self) -> str:
        usual = {"stride": 1, "jet": TWO_JET, "groups": 1}
        others = [f", {name}={value!r}" for name in usual if (value := getattr(self, name)) != usual[name]]
        return f"{super().extra_repr()}, beta={self.beta:g}, kernel={self.kernel!r}{''.join(others)}"
