"""Error curves: does a module's equivariance error fall as the same pictures are sampled more finely?

A module may be off a little for two reasons: it samples continuous pictures coarsely, or it is not equivariant. The
first falls when the same picture is sampled more finely, object, and where there are any, σ₀ and grid scaled together;
the second stays. The error is a fraction of that part of the response which no pointwise function of the input gives
(`pictures`), so that what changes the input hardly at all is judged by what it changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.algebra.group import GroupElement
from scalegroup.errors import ScaleGroupError, check_instance, refusing
from scalegroup.fields.boundary import Background
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grids
from scalegroup.testing.curve import NOT_DECIDED, Curve
from scalegroup.testing.outputs import (
    Match,
    OutputType,
    grids_of,
    has_scale,
    matches,
    moved_samples,
    names_of,
    place_of,
    run_module,
    transformed,
)
from scalegroup.testing.pictures import Family, families
from scalegroup.testing.world import holds_both, in_the_pictures_world

RESOLUTIONS = (1, 2, 4, 8)
"""How finely the pictures are sampled, as multiples of the coarsest: the first two where a bound is derived, else the
first three, and the last where these do not decide."""

SMALL = 2e-3
"""Less is nothing where no bound is derived: a finite canvas shows pictures no better."""

ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 0.05, torch.float16: 5e-3}
"""Less of the output is nothing, by dtype: the rounding of some dozen layers."""

LEAST_FACTOR = 1.05
"""Scalings nearer to 1 leave any picture nearly as it is, and so any module nearly equivariant."""

_TRIED = 1.01  # another scaling than that of the pictures, to see what the check sees

Explained = Callable[[Family, GroupElement, float, int], float]
"""At most this much of the output sampling explains: of pictures, a scaling, a resolution and a scale channel."""


@refusing
def error_curves(
    module: Callable[[Tensor], Any],
    elements: Sequence[GroupElement],
    *,
    size: int = 65,
    in_channels: int = 1,
    background: float | tuple[float, ...] = 0.0,
    output: OutputType | None = None,
    fixed_size: bool = False,
    explained: Explained | None = None,
    across: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[Curve, ...]:
    """The curve of every family and scaling; the module is run as it is.

    Args:
        module: from images `[batch, channel, y, x]` to class scores, maps or fields.
        elements: the scalings.
        size: rows and columns of the coarsest pictures.
        in_channels: image channels.
        background: the value around the objects, one or one for each image channel.
        output: what the axes of the output are; default: found from its shape.
        fixed_size: all pictures have the `size` of the finest, for modules that take no other.
        explained: a derived bound on the error, as a part of the module's output.
        across: how many neighbours a scale channel looks at: as many at the ends of a window are left out.
        progress: told what is being measured.

    Raises:
        ScaleGroupError: if an argument cannot be used, or nothing can be compared: a scaling nearer to 1 than
            `LEAST_FACTOR` among them.
    """
    for element in elements:
        check_instance("element", element, GroupElement, mend="pass group.element(power)")
        if max(element.scale_factor, element.inverse().scale_factor) < LEAST_FACTOR:
            raise ScaleGroupError(
                repr(element),
                expected=f"factors of {LEAST_FACTOR:g} and more, or of their inverses: others change too little to see",
                mend="pass higher powers",
            )
    world = Background(background)
    spread = max((element.scale_factor for element in elements), key=lambda factor: max(factor, 1 / factor))
    largest = max((element for element in elements if element.scale_factor > 1), key=_factor, default=None)
    first = 3 if explained is None else 2
    finest = RESOLUTIONS[first - 1]
    shown = families((size - 1) // finest + 1 if fixed_size else size, spread, in_channels)
    points: dict[tuple[Family, GroupElement], list[list[_Point]]] = {}  # by resolution, then by channel and feature

    def measure(resolution: int) -> None:
        canvas = size if fixed_size else resolution * (size - 1) + 1
        for family in shown:
            if progress is not None:
                progress(f"{family.name}, pictures of {canvas}×{canvas}")
            bench = _Bench(module, family, canvas, resolution, world, output, explained, across, largest)
            for element in elements:
                found = bench.points(element, last=resolution >= finest)
                points.setdefault((family, element), []).append(found)

    def curve(family: Family, element: GroupElement, one: int) -> Curve:
        of = [at[one] for at in points[family, element]]
        alike = [other for other in shown if other.alike] if family.alike else [family]
        structures = [
            math.hypot(*(points[other, element][n][one].structure for other in alike)) / math.sqrt(len(alike))
            for n in range(len(of))
        ]
        return _curve(family, element.scale_factor, of, structures)

    def worst() -> tuple[Curve, ...]:
        return tuple(
            max((curve(family, element, one) for one in range(len(of[0]))), key=lambda curve: curve.badness)
            for (family, element), of in points.items()
        )

    for resolution in RESOLUTIONS[:first]:
        measure(resolution)
    found = worst()
    if max(found, key=lambda curve: curve.badness).verdict == NOT_DECIDED and explained is None and not fixed_size:
        measure(RESOLUTIONS[first])
        found = worst()
    return found


@dataclass(frozen=True)
class _Point:
    """Root mean squares of one feature in one scale channel at one resolution, and what sampling explains of them."""

    channel: str
    error: float
    structure: float
    response: float
    moved: float
    rounding: float
    explained: float | None

    @property
    def is_nothing(self) -> bool:
        """Whether all pictures give the same; NaN is something to be seen."""
        return self.response <= self.rounding and self.error <= self.rounding


def _curve(family: Family, factor: float, points: Sequence[_Point], structures: Sequence[float]) -> Curve:
    """Of one feature in one scale channel: the error over the structure, or the response where that is nothing."""
    resolutions = RESOLUTIONS[: len(points)]
    pairs = zip(points, structures, strict=True)
    units = [(found if found > point.rounding else point.response) or 1.0 for point, found in pairs]
    bounds = [math.inf if point.explained is None else point.explained + point.rounding for point in points]
    last = points[-1]
    small = max(SMALL, family.peaks_lost(resolutions[-1]), last.rounding / units[-1])
    least = max(last.error, last.rounding if last.explained is not None else small * units[-1])
    return Curve(
        family=family.name,
        factor=factor,
        channel=last.channel,
        resolutions=resolutions,
        errors=tuple(point.error / unit for point, unit in zip(points, units, strict=True)),
        explained=None if math.inf in bounds else tuple(b / unit for b, unit in zip(bounds, units, strict=True)),
        responds=any(not point.is_nothing for point in points),
        small=small,
        visible=(_TRIED - 1) * least / last.moved if last.moved > last.rounding else math.inf,
    )


@dataclass(frozen=True)
class _Bench:
    """One module and one family of pictures at one resolution."""

    module: Callable[[Tensor], Any]
    family: Family
    size: int
    resolution: int
    background: Background
    output: OutputType | None
    explained: Explained | None
    across: int
    largest: GroupElement | None

    def points(self, element: GroupElement, *, last: bool) -> list[_Point]:
        """Of each feature in each scale channel that scaling sends to another; `moved` at the last resolution only.

        What an error is compared with is that of the largest pictures, which are sampled best.
        """
        largest = self.largest
        (first, kind), (scaled, after), (large, shown) = self._run(None), self._run(element), self._run(largest)
        stretched, blank = self._run(largest, stretched=True)[0], self._run(largest, blank=True)[0]
        wrong = self._run(largest, times=_TRIED)[0] if last else large
        original, names = transformed(first, kind, element), names_of(kind, len(scaled))
        found = []
        for match in matches(kind, after, scaled, element, self.across):
            before, behind = match.of(original, scaled)
            seen = match.behind(grids_of(scaled, after), grids_of(large, shown))
            response = structure = _rms(large[match.after] - blank[match.after])
            if self.family.symmetric:
                structure = self._structure(seen, grids_of(large, shown), large, stretched)
            values = zip(
                _rms(before - behind),
                structure,
                response.maximum(_rms(torch.sub(*seen.of(large, blank)))),
                _rms(torch.sub(*seen.of(large, wrong))),
                strict=True,
            )
            rounding = ROUNDING[place_of(self.module)[0]] * scaled[match.after].square().mean().sqrt().item()
            explained = self.explained and self.explained(self.family, element, self.resolution, match.before)
            for feature, numbers in enumerate(values):
                name = names[match.after] + (f", feature {feature}" if len(response) > 1 else "")
                found.append(_Point(name, *map(Tensor.item, numbers), rounding=rounding, explained=explained))
        return found

    def _moves_along(self, element: GroupElement | None) -> bool:
        """Whether the windows of the module are scaled with the pictures.

        So they are where their channels are pooled, and hold some that scaling sends to each other: what the ends of a
        window change is no sampling error, and no fault.
        """
        return element is not None and not has_scale(self._run(None)[1]) and holds_both(self.module, element)

    def _structure(
        self, match: Match, grids: Grids, large: list[Tensor], stretched: list[Tensor]
    ) -> Float[Tensor, " c"]:
        """What stretching changes, at the samples compared that it sends to others in the middle of the pictures."""
        one = match.after
        grid, spacing = grids.grids[one], grids.spacings[one]
        doubled = [pair for pair in moved_samples(grids, one, grids, one, 2.0)[1] if (pair[1], pair[1]) in match.x]
        reach = self.family.middle * _factor(self.largest) * self.resolution / spacing
        middle = [pair for pair in doubled if abs(grid.x.positions[pair[0]]) <= reach] or doubled
        changes = [
            torch.sub(*Match(one, one, *pairs).of(large, stretched))[of]
            for pairs, of in zip(((match.x, middle), (middle, match.x)), self.family.halves, strict=True)
        ]
        return _rms(torch.cat([change.flatten(2) for change in changes]))

    @cached_property
    def _given(self) -> dict[Any, Any]:
        return {}

    def _run(
        self, element: GroupElement | None, *, times: float = 1.0, stretched: bool = False, blank: bool = False
    ) -> tuple[list[Tensor], ScaleField | OutputType]:
        """What the module gives for the pictures, scaled and stretched, or for the background alone.

        `times`: as much larger as the module is told.
        """
        key = (element, times, stretched, blank)
        if key not in self._given:
            dtype, device = place_of(self.module)
            if blank:
                pictures = torch.zeros(1, len(self.family.images), self.size, self.size, dtype=torch.float64)
            else:
                factor = _factor(element) * times * self.resolution
                pictures = self.family.sample(self.size, factor=factor, stretched=stretched)
            pictures = pictures + self.background.constant(pictures)[:, None, None]
            along = _factor(element) if self._moves_along(element) else 1.0
            with in_the_pictures_world(self.module, self.resolution * along, self.background):
                self._given[key] = run_module(self.module, pictures.to(device, dtype), self.output)
        return self._given[key]


def _factor(element: GroupElement | None) -> float:
    """S; None scales nothing."""
    return 1.0 if element is None else element.scale_factor


def _rms(values: Float[Tensor, "b c *n"]) -> Float[Tensor, " c"]:
    """Root mean square of each feature."""
    return values.transpose(0, 1).flatten(1).square().mean(1).sqrt()
