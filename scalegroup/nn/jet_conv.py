"""The Gaussian 2-jet layer."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from scalegroup import jet
from scalegroup.boundary import Background, Boundary, Extension, Reflect, Zero
from scalegroup.errors import check_instance, check_positive
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.functional import jet_conv_region
from scalegroup.grid import Grid
from scalegroup.kernels import DiscreteGaussian, Kernel, PlannedJet
from scalegroup.nn.channel import Channel
from scalegroup.nn.layer import Layer, check_map_type
from scalegroup.plan import Work

_ROUNDING = 1e-14  # a constant response below this is none


@dataclass(frozen=True, eq=False)
class JetStep:
    """What a `JetConv` does in one scale channel of a plan.

    Args:
        grid: the samples it gives.
        sigma: in samples of that grid.
        jet: the filters, prepared for these samples.
        constant_response: `[5]`, the scale-normalised jet of the constant 1, or None where it is none.
    """

    grid: Grid
    sigma: float
    jet: PlannedJet
    constant_response: Tensor | None


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
        self._make_parameters()
        self.reset_parameters()

    def _make_parameters(self) -> None:
        self.coefficients: Tensor = nn.Parameter(torch.empty(self.out_type.size, self._map_type.size, jet.SIZE))
        self.offset: Tensor = nn.Parameter(torch.empty(self.out_type.size))

    def reset_parameters(self) -> None:
        """Normal coefficients of variance 2 / (5·in), the offset zero."""
        _, features, size = self.coefficients.shape
        nn.init.normal_(self.coefficients, std=math.sqrt(2 / (size * features)))
        nn.init.zeros_(self.offset)

    @property
    def smoothing(self) -> float:
        """Beta."""
        return self.beta

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """All samples within the reach of the filters."""
        return wanted.dilated(self.kernel.filters(self.beta * sigma0).radius)

    def work(self, held: Grid, wanted: Grid, sigma0: float) -> Work:
        """See `Layer`."""
        filters = self.kernel.filters(self.beta * sigma0)
        outputs, inputs = self.out_type.size, self._map_type.size
        multiply_adds, method = filters.work(held, wanted, inputs, outputs)
        reach = wanted.dilated(filters.radius)
        outside = filters.radius - (wanted.y.start - reach.y.start)
        kernel = f"{type(self.kernel).__name__}, σ {self.beta * sigma0:.3g}, reach {filters.radius}"
        return Work.of(wanted, inputs + outputs, multiply_adds, f"{kernel}, {outside} of it outside, {method}")

    def gives(self, held: Grid, wanted: Grid) -> Grid:
        """See `Layer`."""
        return wanted

    @property
    def settings(self) -> Hashable:
        """See `Layer`."""
        return self.kernel, self.beta, self.boundary

    def knows_background(self, known: bool) -> bool:
        """See `Layer`."""
        return known if self.boundary is None else isinstance(self.boundary, Background)

    def step(self, held: Grid, wanted: Grid, sigma0: float, known: bool, like: Tensor) -> JetStep:
        """See `Layer`."""
        sigma = self.beta * sigma0
        filters = self.kernel.filters(sigma)
        outside = self.boundary
        if outside is None or isinstance(outside, Background):
            outside = Zero() if self.knows_background(known) else Reflect()
        response = filters.constant_response * jet.normalisation(sigma)
        constant = torch.as_tensor(response, dtype=like.dtype, device=like.device)
        return JetStep(
            wanted,
            sigma,
            filters.planned(sigma, held, wanted, cast("Extension", outside), like),
            constant if abs(response).max() > _ROUNDING else None,
        )

    def forward(self, field: ScaleField, wanted: Grid | None = None) -> ScaleField:
        """The jets at the samples `wanted` of the image (default: those that the field holds)."""
        self.check_input(field)
        wanted = wanted or field.held
        coefficients, offset = self.coefficients, self.offset
        maps, backgrounds = [], []
        for channel, (sigma0, defined) in enumerate(zip(field.grid_sigmas, field.defined, strict=True)):
            if not defined:
                shape = (len(field.tensor), self.out_type.size, *wanted.shape)
                maps.append(field.tensor.new_full(shape, math.nan))
                backgrounds.append(None if field.background is None else torch.zeros_like(offset))
                continue
            sigma = self.beta * sigma0
            result, background = jet_conv_region(
                field.channel(channel),
                coefficients,
                offset,
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

    def on(self, channels: Sequence[Channel], steps: Sequence[JetStep]) -> list[Channel]:
        """See `Layer`. Scale channels whose σ is the same on their grids share one set of fused weights."""
        coefficients, offset = self.coefficients, self.offset
        prepared: dict[float, Tensor] = {}
        results = []
        for channel, step in zip(map(self._split, channels), steps, strict=True):
            if step.sigma not in prepared:
                with torch.no_grad():
                    prepared[step.sigma] = step.jet.prepare(coefficients)
            values = step.jet(channel.values, coefficients, prepared[step.sigma])
            constant = offset
            if step.constant_response is not None and channel.constant is not None:
                constant = constant + (coefficients @ step.constant_response) @ channel.constant
            results.append(replace(channel, values=values, constant=constant, grid=step.grid))
        return results

    def _split(self, channel: Channel) -> Channel:
        """The channel relative to the constant that its values continue with, as this layer's boundary has it."""
        if isinstance(self.boundary, Background):
            return channel.relative_to(self.boundary.constant(channel.values), known=True)
        if isinstance(self.boundary, Zero):
            return channel.relative_to(None, known=False)
        return channel if self.boundary is None else replace(channel, known=False)

    def extra_repr(self) -> str:
        """The types, beta, kernel and boundary."""
        return f"{super().extra_repr()}, beta={self.beta:g}, kernel={self.kernel!r}, boundary={self.boundary!r}"
