"""The one base of all layers: maps from field to field that say what they take, give and need."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from scalegroup.constants import remembered
from scalegroup.errors import Refusing, ScaleGroupError
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType, ImageType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.planning.plan import Step

EVERY_CHANNEL = 2**31
"""`Layer.across_scale` of a layer that joins all scale channels: as far as there are any."""

_WORTH = 0.75  # of the samples of a scale channel


class Layer(Refusing, nn.Module, ABC):
    """A map between fields that says what it takes (`in_type`), what it gives (`out_type`) and what it `needs`.

    A layer is written once, for whatever grids the scale channels of a field have: its weights are shared by all of
    them, and σ₀ in samples (`Grid.samples_per_sigma`) is all it sees of scale. It is *valid*: it gives the samples that
    those it is given suffice for, and no others; nothing is padded. How far an image has to be lifted for that follows
    from what all layers need. In training a layer may leave scale channels out; those behind it then have what is left.
    Most layers are `PerChannel` or `Pointwise`, which answer for themselves.
    """

    in_type: Any  # a FieldType, or an ImageType where images are lifted
    out_type: FieldType

    projects = False  # whether it reads out of the plane, or pools over scale
    across_scale = 0
    """How many neighbouring scale channels, finer and coarser, a value depends on."""

    def __init__(self, in_type: FieldType | ImageType, out_type: FieldType) -> None:
        super().__init__()
        self.in_type = in_type
        self.out_type = out_type

    def __setattr__(self, name: str, value: Any) -> None:
        """A setting that a class can check, by a method `_check_NAME`, is checked whenever it is set."""
        check = getattr(type(self), f"_check_{name}", None)
        super().__setattr__(name, value if check is None else check(self, value))

    @abstractmethod
    def forward(self, field: ScaleField) -> Any:
        """The field behind the layer, at all samples that those of `field` suffice for."""

    @abstractmethod
    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The samples of the input, per scale channel, that the samples `wanted` of the output depend on.

        Args:
            wanted: samples of the output.
            canvas: the whole image, sampled as the input is.
        """

    def canvas(self, canvas: Grids) -> Grids:
        """The whole image, sampled as the output is, where the input is sampled as `canvas`."""
        return canvas

    def run(self, field: Any, wanted: Grids) -> Any:
        """The samples `wanted` of the output, from no more than what they need.

        Raises `ScaleGroupError` if that does not suffice: the layer needs more than it says.
        """
        self.check_input(field)
        needed = field.crop(self.needs(wanted, field.grids.canvas()))
        result = self(needed.with_live(None))
        wanted = of_channels(wanted, result)
        if not result.knows(wanted):
            raise ScaleGroupError(
                f"{type(self).__name__} giving {[grid.shape for grid in result.grids.grids]} samples",
                expected=f"at least {[grid.shape for grid in wanted.grids]}, from all that it says it needs",
                mend=f"make {type(self).__name__}.needs say every sample that forward looks at",
            )
        return result.crop(wanted)

    def run_live(self, field: Any, wanted: Any, live: Grids | None, **options: Any) -> Any:
        """As `run`, but no more of the samples `wanted` than the output's `live` ones, where these are known.

        Beyond them it is as at their border, and `ScaleField.crop` gives more where a layer needs them.
        """
        if live is None:
            return self.run(field, wanted, **options)
        result = self.run(field, live_part(wanted, live), **options)
        return result.with_live(of_channels(live, result))

    def live(self, live: Grids) -> Grids | None:
        """Beyond which samples the output is as at their border, where the input is so beyond `live`; None: unknown."""
        return None

    def view(self, canvas: Grids) -> Grids | None:
        """Beyond which samples the output is as at their border, whatever the input is; None: there are none.

        `canvas`: the whole image, sampled as the input is.
        """
        return None

    def steps(self, wanted: Grids, canvas: Grids, name: str = "", live: Grids | None = None) -> Iterator[Step]:
        """What is computed for the samples `wanted`, as a plan shows it: a step for every layer within.

        `live`: of the input, where that is known.
        """
        work = [self.multiply_adds(grid) for grid in wanted.grids]
        yield Step(name or type(self).__name__, self.detail(wanted), wanted, self.out_type.size, tuple(work))

    def multiply_adds(self, wanted: Grid) -> int:
        """What computing these samples of one scale channel takes, for one image."""
        return 0

    def detail(self, wanted: Grids) -> str:
        """What a plan says of it, beside its name."""
        return ""

    @property
    def paper_parameter_count(self) -> int:
        """Parameters as the paper counts them, those of the layers within."""
        return sum(layer.paper_parameter_count for layer in self.within)

    @property
    def within(self) -> Sequence[Layer]:
        """The layers that it is made of; most are made of none."""
        return ()

    @property
    def keeps_scale(self) -> bool:
        """Whether scale channels are still apart behind it: behind all that it is made of."""
        return all(layer.keeps_scale for layer in self.within) if self.within else self.out_type.over_scale

    def check_input(self, field: Any) -> None:
        """Raise `ScaleGroupError` unless `field` is a field of this layer's input type."""
        name = type(self).__name__
        if not isinstance(field, ScaleField):
            raise ScaleGroupError(
                f"{name} input of type {type(field).__name__}",
                expected="a ScaleField",
                mend="put nn.Lift(window) in front, or use functional.lift",
            )
        if field.type != self.in_type:
            raise ScaleGroupError(
                f"{name} input of {field.type!r}", expected=repr(self.in_type), mend="lift and compose with these types"
            )

    def extra_repr(self) -> str:
        if self.within:
            return ""
        size = self.in_type.channels if isinstance(self.in_type, ImageType) else self.in_type.size
        return f"{size} → {self.out_type.size} features"


def of_channels(samples: Any, field: Any) -> Any:
    """Of the samples of several scale channels, or of each of several outputs, those of the channels a field still has.

    A layer may leave some out in training. Images have none yet, and of what is not known there is nothing to take.
    """
    if isinstance(samples, dict):
        return {name: of_channels(part, field) for name, part in samples.items()}
    return samples.among(field.grids.sigmas) if samples is not None and isinstance(field, ScaleField) else samples


def live_part(wanted: Any, live: Grids | None) -> Any:
    """The samples of each scale channel that are live, where that saves a quarter of those wanted at least.

    Else all: channels that share a grid are computed together.
    """
    return wanted if live is None else _live_part(wanted, live)


@remembered
def _live_part(wanted: Grids, live: Grids) -> Grids:
    def of(grid: Grid, seen: Grid) -> Grid:
        part = grid.within_reach(seen)
        return part if math.prod(part.shape) <= _WORTH * math.prod(grid.shape) else grid

    return wanted.map(of, live)


def check_map_type(name: str, type_: Any) -> FieldType:
    """A type over scale and plane with trivial fibre, which is what jets act on; else a `ScaleGroupError`."""
    if not isinstance(type_, FieldType) or not (type_.over_scale and type_.over_plane and type_.fibre.is_trivial):
        raise ScaleGroupError(
            f"{name} {type_!r}",
            expected="scalar features over scale and plane",
            mend="use FieldType.scalars(size), and put read-outs and scale pooling last",
        )
    return type_


def check_unrotated(name: str, type_: Any) -> FieldType:
    """A map type of which nothing is said about rotations, for layers that do not keep them."""
    if check_map_type(name, type_).rotation is not None:
        raise ScaleGroupError(
            f"{name} {type_!r}",
            expected="features of which nothing is said about rotations",
            mend="use nn.SteerableJetConv, or nn.RotationPool in front and FieldType.scalars(size)",
        )
    return type_


def check_permuted(name: str, type_: FieldType) -> FieldType:
    """A type whose features rotations leave alone or permute, as pointwise functions need; else a `ScaleGroupError`."""
    if type_.rotation is not None and type_.rotation.orbits is None:
        raise ScaleGroupError(
            f"{name} {type_!r}",
            expected="features that rotations permute",
            mend="use trivial and regular fields between layers, and others at the end",
        )
    return type_
