"""The one base of all layers: maps from field to field that say what they take, give and need."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

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
        result = self(needed if needed.live is None else replace(needed, live=None))
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
        return replace(result, live=of_channels(live, result))

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


def live_part(wanted: Grids, live: Grids | None) -> Grids:
    """The samples of each scale channel that are live, where that saves a quarter of those wanted at least.

    Else all: channels that share a grid are computed together.
    """

    def of(grid: Grid, seen: Grid) -> Grid:
        part = grid.within_reach(seen)
        return part if math.prod(part.shape) <= _WORTH * math.prod(grid.shape) else grid

    return wanted if live is None else wanted.map(of, live)


class PerChannel(Layer):
    """A layer that treats every scale channel alike and for itself: `maps` and `reach` are all there is to write.

    Args:
        in_type, out_type: of the fields.
        stride: every so many samples are given, those at multiples of it from the centre: 1 or 2.
    """

    def __init__(self, in_type: FieldType, out_type: FieldType, *, stride: int = 1) -> None:
        super().__init__(in_type, out_type)
        self.stride = stride

    def _check_stride(self, stride: Any) -> int:
        if stride not in (1, 2):
            raise ScaleGroupError(f"stride {stride!r}", expected="1 or 2", mend="put several layers of stride 2")
        return stride

    @abstractmethod
    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        """`[n, feature, y, x]` → `[n, feature', y - 2·reach, x - 2·reach]`, every `stride`-th sample from the first.

        Args:
            maps: of any number of images and scale channels.
            samples_per_sigma: σ₀ in samples, the same for all of them.
        """

    @abstractmethod
    def reach(self, samples_per_sigma: float) -> int:
        """How many samples of the input beyond its own place a value depends on."""

    def forward(self, field: ScaleField) -> ScaleField:
        self.check_input(field)
        seen = field if self.stride == 1 else field.crop(field.grids.map(self._from_even))
        return seen.on_runs(
            lambda run: self.maps(run.maps, run.grid.samples_per_sigma),
            type=self.out_type,
            grids=seen.grids.map(self._given),
        )

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return wanted.map(self._needed)

    def live(self, live: Grids) -> Grids:
        """As far as a value looks at what is live: the outermost sees what is beyond alone."""
        seen = live.map(lambda grid: grid.dilated(self.reach(grid.samples_per_sigma) + self.stride - 1))
        return seen if self.stride == 1 else seen.map(Grid.every_second)

    def canvas(self, canvas: Grids) -> Grids:
        return canvas if self.stride == 1 else canvas.map(lambda grid: _with_centre(grid).every_second())

    def _needed(self, wanted: Grid) -> Grid:
        finer = wanted if self.stride == 1 else wanted.halfway()
        return finer.dilated(self.reach(finer.samples_per_sigma))

    def _given(self, held: Grid) -> Grid:
        valid = held.dilated(-self.reach(held.samples_per_sigma))
        if min(valid.shape) < 1:
            raise ScaleGroupError(
                f"{held.shape} samples for {type(self).__name__}",
                expected=f"more than {2 * self.reach(held.samples_per_sigma)} on each axis",
                mend="call the network on images, which lifts as much as is needed, or lift more: `wanted=`",
            )
        return valid if self.stride == 1 else valid.every_second()

    def _from_even(self, held: Grid) -> Grid:
        """Without what no sample at an even place looks at."""
        return self._needed(self._given(_with_centre(held)))


def _with_centre(grid: Grid) -> Grid:
    """A grid with a sample in the centre, to count every second one from; else a `ScaleGroupError`."""
    if not (grid.y.on_integers and grid.x.on_integers):
        raise ScaleGroupError(
            "an image of even size on its own grid",
            expected="a sample in the centre, to count every second one from",
            mend="use self-similar grids, an odd size, or stride=1",
        )
    return grid


class PerSample(PerChannel):
    """A `PerChannel` that looks at one sample at a time."""

    def reach(self, samples_per_sigma: float) -> int:
        return 0


class SamePlaces(Layer):
    """A layer whose values depend on what is at their own place, in whatever scale channels."""

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The same samples."""
        return wanted

    def live(self, live: Grids) -> Grids:
        return live


def check_map_type(name: str, type_: Any) -> FieldType:
    """A type over scale and plane with trivial fibre, which is what jets act on; else a `ScaleGroupError`."""
    if not isinstance(type_, FieldType) or not (type_.over_scale and type_.over_plane and type_.fibre.is_trivial):
        raise ScaleGroupError(
            f"{name} {type_!r}",
            expected="scalar features over scale and plane",
            mend="use FieldType.scalars(size), and put read-outs and scale pooling last",
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
