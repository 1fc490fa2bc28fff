"""The Gaussian 2-jet layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from scalegroup import jet
from scalegroup.boundary import Boundary, Reflect
from scalegroup.errors import check_instance, check_positive
from scalegroup.field import FieldType, ScaleField
from scalegroup.functional import jet_conv_region
from scalegroup.grid import Grid
from scalegroup.kernels import DiscreteGaussian, Kernel
from scalegroup.nn.layer import Layer, check_map_type


class JetConv(Layer):
    """Learnt combinations of scale-normalised Gaussian derivatives up to order two (eq 6 and 11), shared over scale.

    In the scale channel σ₀ the derivatives are taken at σ = beta·σ₀ (eq 13: beta = r^(k-1) in layer k).

    Args:
        in_type: scalar features over scale and plane.
        out_type: the same, or just how many features.
        beta: the relative scale of this layer, > 0; it never moves the window.
        kernel: the discretisation.
        boundary: what a map is outside its border; None: the field's background where that is known, else reflection.

    Attributes:
        coefficients: `[out, in, 5]`, Cx, Cy, Cxx, Cxy, Cyy.
        offset: `[out]`, C₀; one per output is the same function as the paper's one per pair.

    Raises:
        ScaleGroupError: if the types do not fit, or beta is not positive.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> G = ScaleGroup(2)
    >>> layer = JetConv(FieldType.scalars(G, 1), 4)
    >>> layer(functional.lift(torch.randn(2, 1, 9, 9), ScaleWindow(G, 1.0, 3))).tensor.shape
    torch.Size([2, 4, 3, 9, 9])
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType | int,
        *,
        beta: float = 1.0,
        kernel: Kernel | None = None,
        boundary: Boundary | None = None,
    ) -> None:
        group = check_map_type("in_type", in_type).group
        out_type = FieldType.scalars(group, out_type) if isinstance(out_type, int) else out_type
        group.check_same(check_map_type("out_type", out_type), FieldType)
        super().__init__(in_type, out_type)
        self.beta = check_positive("beta", beta)
        self.kernel = check_instance("kernel", kernel or DiscreteGaussian(tail=1e-3), Kernel, mend="try Iso()")
        if boundary is not None:
            check_instance("boundary", boundary, Boundary, mend="try Reflect()")
        self.boundary = boundary
        self.coefficients = nn.Parameter(torch.empty(out_type.size, in_type.size, jet.SIZE))
        self.offset = nn.Parameter(torch.zeros(out_type.size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal coefficients of variance 2 / (5·in), the offset zero."""
        _, features, size = self.coefficients.shape
        nn.init.normal_(self.coefficients, std=math.sqrt(2 / (size * features)))
        nn.init.zeros_(self.offset)

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """All samples within the reach of the filters."""
        return wanted.dilated(self.kernel.filters(self.beta * sigma0).radius)

    def forward(self, field: ScaleField, wanted: Grid | None = None) -> ScaleField:
        """The jets at the samples `wanted` of the image (default: those that the field holds)."""
        self.check_input(field)
        wanted = wanted or field.held
        maps, backgrounds = [], []
        for channel, (sigma0, defined) in enumerate(zip(field.grid_sigmas, field.defined, strict=True)):
            if not defined:
                shape = (len(field.tensor), self.out_type.size, *wanted.shape)
                maps.append(field.tensor.new_full(shape, math.nan))
                backgrounds.append(None if field.background is None else torch.zeros_like(self.offset))
                continue
            sigma = self.beta * sigma0
            result, background = jet_conv_region(
                field.channel(channel),
                self.coefficients,
                self.offset,
                sigma=sigma,
                filters=self.kernel.filters(sigma),
                boundary=self.boundary or field.channel_background(channel) or Reflect(),
                held=field.held,
                wanted=wanted,
            )
            maps.append(result)
            backgrounds.append(background)
        known = [background for background in backgrounds if background is not None]
        return replace(
            field,
            tensor=torch.stack(maps, dim=2) if len(maps) > 1 else maps[0].unsqueeze(2),
            type=self.out_type,
            exponents=(),
            background=torch.stack(known, dim=1) if len(known) == len(maps) else None,
            grid=wanted,
        )

    def on(self, fields: Sequence[ScaleField], wanted: Sequence[Grid]) -> tuple[ScaleField, ...]:
        """See `Layer`."""
        return tuple(self(field, grid) for field, grid in zip(fields, wanted, strict=True))

    def extra_repr(self) -> str:
        """The types, beta, kernel and boundary."""
        return f"{super().extra_repr()}, beta={self.beta:g}, kernel={self.kernel!r}, boundary={self.boundary!r}"
