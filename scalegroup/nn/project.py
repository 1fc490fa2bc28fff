"""The two projections: reading out of the plane, and pooling over scale."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.grid import Grid
from scalegroup.nn.channel import Channel
from scalegroup.nn.layer import Layer
from scalegroup.plan import Work
from scalegroup.pooling import Max, Pooling
from scalegroup.readout import CentrePixel
from scalegroup.readout import ReadOut as ReadOutStrategy


def _check_axis(name: str, type_: Any, axis: str) -> FieldType:
    if not isinstance(type_, FieldType) or not getattr(type_, axis) or not type_.fibre.is_trivial:
        raise ScaleGroupError(
            f"{name} of {type_!r}",
            expected=f"scalar features {axis.replace('_', ' ')}",
            mend="read out and pool each axis once",
        )
    return type_


class ReadOut(Layer):
    """Features over the plane to one value per feature and scale channel.

    Args:
        type: scalar features over the plane (and over scale, or already pooled).
        readout: what to look at: `CentrePixel()` (the paper's), `SpatialMax()`, `SpatialMean()` or `Dense()`.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.arange(9.).view(1, 1, 3, 3), ScaleWindow(ScaleGroup(2), 1.0, 2))
    >>> ReadOut(field.type)(field).tensor.flatten().tolist()
    [4.0, 4.0]
    """

    out_type: FieldType

    def __init__(self, type: FieldType, readout: ReadOutStrategy = CentrePixel()) -> None:  # noqa: B008
        _check_axis("a read-out", type, "over_plane")
        check_instance("readout", readout, ReadOutStrategy, mend="pass one of scalegroup, such as CentrePixel()")
        super().__init__(type, replace(type, over_plane=readout.keeps_plane))
        self.readout = readout

    def needs(self, wanted: Grid, sigma0: float) -> Grid:
        """What the read-out looks at."""
        return self.readout.region(wanted)

    def forward(self, field: ScaleField) -> ScaleField:
        """The read-out of every scale channel; the result is a field of one pixel (unless it is dense)."""
        self.check_input(field)
        tensor = self.readout.reduce(field.held.crop(field.tensor, self.readout.region(field.held)))
        if self.readout.keeps_plane:
            return replace(field, tensor=tensor, type=self.out_type)
        return replace(field, tensor=tensor, type=self.out_type, grid=None, background=None)

    def work(self, held: Grid, wanted: Grid, sigma0: float) -> Work:
        """One value per feature, unless it is dense."""
        return Work.of(wanted, self.out_type.size) if self.readout.keeps_plane else Work(0, 4 * self.out_type.size)

    def gives(self, held: Grid, wanted: Grid) -> Grid:
        """See `Layer`."""
        return wanted

    @property
    def settings(self) -> Hashable:
        """See `Layer`."""
        return self.readout

    def step(self, held: Grid, wanted: Grid, sigma0: float, known: bool, like: Tensor) -> Grid:
        """What the read-out looks at."""
        return self.readout.region(held)

    def on(self, channels: Sequence[Channel], steps: Sequence[Grid]) -> list[Channel]:
        """See `Layer`. Only what is looked at gets the constant added."""
        results = []
        for channel, region in zip(channels, steps, strict=True):
            seen = replace(channel, values=channel.grid.crop(channel.values, region), grid=region)
            maps = self.readout.reduce(seen.maps.unsqueeze(2)).squeeze(2)
            grid = region if self.readout.keeps_plane else Grid.whole(*maps.shape[-2:])
            kept = self.readout.keeps_plane and channel.known
            results.append(replace(seen, values=maps, constant=None, known=False, grid=grid))
            if kept:
                results[-1] = results[-1].relative_to(channel.constant, known=True)
        return results

    def extra_repr(self) -> str:
        """The types and the strategy."""
        return f"{super().extra_repr()}, {self.readout!r}"


class ScalePool(Layer):
    """Pooling over scale (eq 21): the projection of the regular representation to the trivial one.

    Undefined scale channels take no part.

    Args:
        type: scalar features over scale.
        pooling: `Max()` (the paper's), `Mean()`, `LogSumExp()` or `TopK(k)`.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.ones(1, 1, 3, 3), ScaleWindow(ScaleGroup(2), 1.0, 4))
    >>> ScalePool(field.type)(field).tensor.shape
    torch.Size([1, 1, 1, 3, 3])
    """

    out_type: FieldType

    def __init__(self, type: FieldType, pooling: Pooling = Max()) -> None:  # noqa: B008
        _check_axis("scale pooling", type, "over_scale")
        check_instance("pooling", pooling, Pooling, mend="pass one of scalegroup, such as Max()")
        super().__init__(type, replace(type, over_scale=False))
        self.pooling = pooling

    def forward(self, field: ScaleField) -> ScaleField:
        """The pooled field. Raises `ScaleGroupError` if no scale channel is defined."""
        self.check_input(field)
        channels = [channel for channel, defined in enumerate(field.defined) if defined]
        if not channels:
            raise ScaleGroupError(
                "a field without a defined scale channel",
                expected="at least one",
                mend="restrict to a window that overlaps the field's",
            )
        tensor = field.tensor if all(field.defined) else field.tensor[:, :, torch.tensor(channels)]
        pooled = self.pooling.reduce(tensor, 2)
        return replace(field, tensor=pooled, type=self.out_type, defined=(True,), background=None)

    def on(self, channels: Sequence[Channel], steps: Sequence[Any]) -> list[Channel]:
        """Pooling joins the scale channels: it has no meaning on them apart."""
        raise NotImplementedError("pool over scale after joining the channels")

    def extra_repr(self) -> str:
        """The types and the strategy."""
        return f"{super().extra_repr()}, {self.pooling!r}"
