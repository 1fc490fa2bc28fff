"""The layer of affine Gaussian jets."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError, check_integer, check_positive
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.jets.affine import affine_jet_conv, affine_reach
from scalegroup.jets.kernels import DiscreteGaussian
from scalegroup.nn.jet_conv import JetConv


class AffineJetConv(JetConv):
    """Learnt combinations of the derivatives of elongated Gaussians in several directions, shared over scale.

    A bank of directions θⱼ = jπ/M, from x to y (Lindeberg, Normative theory of visual receptive fields, Heliyon 2021,
    eq 23 and 31). In each, the image is smoothed by the affine Gaussian of σ = beta·σ₀ across and elongation·σ along
    the direction, and differentiated across and along, each with the σ of its own axis. What the lifting has smoothed
    already is taken off. All orientations are fused into one convolution, so its cost grows with elongation²; at
    elongation 1 it is a `JetConv`, jets being steerable.

    Args:
        in_type: scalar features over scale and plane, of which nothing is said about rotations.
        out_type: the same, or just how many features.
        orientations: M, at least 1.
        elongation: how many times longer the Gaussians are along than across, at least 1.
        tail: the mass that truncation may lose along an axis.
        **options: `jet`, `groups`, `beta`, `stride` and `first_offset`, as of `JetConv`.

    Attributes:
        coefficients: `[out, in / groups, orientations, jet.size]`, of u, v, uu, uv, vv: u along, v across.
            `scalegroup.steer_affine` turns them.
        offset: `[out]`, C₀.

    Raises `ScaleGroupError` if the types do not fit, or an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(2, 1, 49, 49), ScaleWindow(ScaleGroup(2), 1.0, 2))
    >>> layer = AffineJetConv(field.type, 4, elongation=2.0)
    >>> layer.coefficients.shape, [layer(field).channel(n).shape for n in range(2)]
    (torch.Size([4, 1, 4, 5]), [torch.Size([2, 4, 21, 21]), torch.Size([2, 4, 5, 5])])
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType | int,
        *,
        orientations: int = 4,
        elongation: float = 2.0,
        tail: float = 5e-3,
        **options: Any,
    ) -> None:
        # before nn.Module's own, which numbers may be: the parameters that the base makes are so many
        self.orientations = check_integer("orientations", orientations, at_least=1)
        super().__init__(in_type, out_type, kernel=DiscreteGaussian(tail=tail), **options)
        self.elongation = check_positive("elongation", elongation)
        if self.elongation < 1:
            raise ScaleGroupError(
                f"elongation {self.elongation:g}",
                expected="at least 1: along their direction Gaussians are longer",
                mend=f"pass elongation={1 / self.elongation:g} and beta={self.beta * self.elongation:g}",
            )

    def _make_parameters(self) -> None:
        super()._make_parameters()
        out, features, size = self.coefficients.shape
        self.coefficients = nn.Parameter(torch.empty(out, features, self.orientations, size))

    def reach(self, samples_per_sigma: float) -> int:
        return affine_reach(*self._sigmas(samples_per_sigma), self.elongation, self.jet, self.kernel.tail)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        sigma, smoothed = self._sigmas(samples_per_sigma)
        bank: dict[str, Any] = {"elongation": self.elongation, "jet": self.jet, "tail": self.kernel.tail}
        arguments = maps, self.coefficients, self.offset
        return affine_jet_conv(*arguments, sigma=sigma, smoothed=smoothed, stride=self.stride, **bank)

    def multiply_adds(self, wanted: Grid) -> int:
        width = 2 * self.reach(wanted.samples_per_sigma * self.stride) + 1
        return self.coefficients.shape[:2].numel() * width**2 * math.prod(wanted.shape)

    def detail(self, wanted: Grids) -> str:
        return f"{super().detail(wanted)}, {self.orientations} orientations of elongation {self.elongation:g}"

    @property
    def paper_parameter_count(self) -> int:
        """The paper has no such layer: what is there."""
        return self.coefficients.numel() + self.offset.numel()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, orientations={self.orientations}, elongation={self.elongation:g}"
