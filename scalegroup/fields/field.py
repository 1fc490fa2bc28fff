"""Feature fields on group × plane, and the ways to act on them.

`transform` is the action of scalings: it relabels, touches no sample, and its laws hold bitwise. `rotate` is that of
quarter turns, which move samples to samples. `restrict` keeps the scale channels of another window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace

import torch
from einops import einsum
from torch import Tensor

from scalegroup.algebra.group import GroupElement
from scalegroup.algebra.rotation import Rotation
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_integer
from scalegroup.fields.channels import Run, by_channel, concatenated
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.fields.window import ScaleWindow


@dataclass(frozen=True, eq=False, repr=False)
class ScaleField(Refusing):
    """A feature field: maps on the grids of its scale channels, with its type and scale window.

    Args:
        maps: per run of scale channels that share a grid, `[channels·batch, feature, y, x]`.
        type: what the features are.
        window: which scale channels these are, by physical σ₀.
        grids: where the samples lie, one grid per scale channel (one in all, once pooled over scale).
        power: the image has been scaled by γ^power, by relabelling, since it was lifted.
        live: beyond these samples all maps are as they are at the border of these; None: nothing is known of them.

    Raises `ScaleGroupError` if the parts do not fit together.
    """

    maps: tuple[Tensor, ...]
    type: FieldType
    window: ScaleWindow
    grids: Grids
    power: int = 0
    live: Grids | None = None

    def __post_init__(self) -> None:
        check_instance("type", self.type, FieldType, mend="use FieldType.scalars(size)")
        check_instance("window", self.window, ScaleWindow, mend="make one: ScaleWindow(group, 1.0, 8)")
        check_instance("grids", self.grids, Grids, mend="make fields from images with functional.lift")
        if self.live is not None:
            check_instance("live", self.live, Grids, mend="leave it out")
        for maps in check_instance("maps", self.maps, tuple, mend="make fields with functional.lift"):
            check_instance("maps", maps, Tensor, mend="make fields from images with functional.lift")
            if maps.ndim != 4 or not maps.is_floating_point():
                raise ScaleGroupError(
                    f"maps of shape {list(maps.shape)} and dtype {maps.dtype}",
                    expected="floating point [channels·batch, feature, y, x]",
                    mend="make fields from images with functional.lift",
                )
        channels, held = self.window.channels if self.type.over_scale else 1, self.grids.grids
        shapes, batch, counts = [maps.shape for maps in self.maps], self.batch, self.counts
        alike = all(shape[0] == count * batch for shape, count in zip(shapes, counts, strict=True))
        if len(held) != channels or sum(counts) != channels or not batch or not alike:
            raise ScaleGroupError(
                f"{len(held)} grids and maps of shapes {[list(shape) for shape in shapes]}",
                expected=f"{channels} scale channels of as many images each",
                mend="give the field type and the window that the maps were made with",
            )
        start = 0
        for shape, count in zip(shapes, counts, strict=True):
            grid, *others = held[start : start + count]
            expected = self.type.size, grid.y.length, grid.x.length
            if shape[1:] != expected or any(other is not grid and other != grid for other in others):
                raise ScaleGroupError(
                    f"maps of shape {list(shape)} on {len({grid, *others})} grid(s) of {grid.shape}",
                    expected=f"[channels·batch, {', '.join(map(str, expected))}] on one grid",
                    mend="a layer gives the samples that its input holds less its reach: use dilated(-reach)",
                )
            start += count
        object.__setattr__(self, "power", check_integer("power", self.power))

    @staticmethod
    def of(tensor: Tensor, type: FieldType, window: ScaleWindow) -> ScaleField:
        """The field of a tensor `[batch, feature, scale, y, x]`, every scale channel on pixels of spacing 1.

        Raises `ScaleGroupError` if it has other axes than the type and window say.
        """
        check_instance("tensor", tensor, Tensor, mend="make fields from images with functional.lift")
        check_instance("window", window, ScaleWindow, mend="make one: ScaleWindow(group, 1.0, 8)")
        if tensor.ndim != 5 or 0 in tensor.shape or tensor.shape[2] != window.channels:
            raise ScaleGroupError(
                f"a tensor of shape {list(tensor.shape)}",
                expected=f"[batch, feature, {window.channels}, y, x], not empty",
                mend="make fields from images with functional.lift",
            )
        grids = Grids.of_pixels((tensor.shape[3], tensor.shape[4]), window.sigmas)
        return ScaleField(tensor.unbind(2), type, window, grids)

    @property
    def batch(self) -> int:
        """How many images."""
        return sum(maps.shape[0] for maps in self.maps) // len(self.grids.grids)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many scale channels each of the maps holds: numbers, where that of images is a symbol in a graph."""
        channels = len(self.grids.grids)
        if len(self.maps) in (1, channels):
            return (channels // len(self.maps),) * len(self.maps)
        images = sum(maps.shape[0] for maps in self.maps)
        return tuple(int(maps.shape[0] * channels // images) for maps in self.maps)

    @property
    def runs(self) -> Iterator[Run]:
        """The runs of scale channels that share a grid, finest first."""
        start = 0
        for maps, count in zip(self.maps, self.counts, strict=True):
            stop = start + count
            yield Run(maps, self.grids.grids[start], start, stop)
            start = stop

    @property
    def tensor(self) -> Tensor:
        """`[batch, feature, scale, y, x]`, where all scale channels hold as many samples.

        Raises `ScaleGroupError` if they do not, on grids of their own.
        """
        if len({grid.shape for grid in self.grids.grids}) > 1:
            raise ScaleGroupError(
                f"scale channels of {[grid.shape for grid in self.grids.grids]} samples",
                expected="as many samples in each",
                mend="take them one by one, field.channel(n), or put nn.ReadOut(readout=Dense()) behind",
            )
        parts = [by_channel(maps, count) for maps, count in zip(self.maps, self.counts, strict=True)]
        return concatenated(parts).permute(1, 2, 0, 3, 4)

    @property
    def exponents(self) -> tuple[int, ...]:
        """Per feature, the integer e of a factor γ^(-e) that `transform` has put in front of the values."""
        return tuple(weight * self.power for weight in self.type.fibre.weights)

    @property
    def values(self) -> Tensor:
        """The tensor with the factors γ^(-exponent) of its fibre multiplied out."""
        if not any(self.exponents):
            return self.tensor
        factors = [self.window.group.factor(-exponent) for exponent in self.exponents]
        return self.tensor * self.tensor.new_tensor(factors)[:, None, None, None]

    def channel(self, index: int) -> Tensor:
        """The maps `[batch, feature, y, x]` of one scale channel. Raises `ScaleGroupError` for another index."""
        if index not in range(len(self.grids.grids)):
            raise ScaleGroupError(
                f"channel {index!r} of {len(self.grids.grids)}", expected="one that there is", mend="count them from 0"
            )
        run = next(run for run in self.runs if index < run.stop)
        return run.channels[index - run.start]

    def transform(self, element: GroupElement) -> ScaleField:
        """The field of the scaled image (eq 2), by relabelling: total, and exact to the bit.

        The window moves by the element's power, the pixels grow with it, and the fibre takes its factor, all of them
        integers; no value is touched.

        >>> from scalegroup import ScaleGroup
        >>> G = ScaleGroup(2)
        >>> field = ScaleField.of(torch.ones(1, 1, 3, 5, 5), FieldType.scalars(1), ScaleWindow(G, 1.0, 3))
        >>> field.transform(G.element(2)).window
        3 scale channels with σ₀ from 4 to 16 by powers of 2
        """
        return replace(self, window=self.window.transform(element), power=self.power + element.power)

    def rotate(self, rotation: Rotation) -> ScaleField:
        """The field of the image turned by quarter turns: samples move to samples and features mix, exactly.

        Raises `ScaleGroupError` if the rotation is no quarter turn, or of another group than the features, or the
        samples held do not lie symmetrically.

        >>> from scalegroup import RotationGroup, ScaleGroup
        >>> C4 = RotationGroup(4)
        >>> ramp = torch.arange(3.).expand(1, 4, 1, 3, 3)
        >>> field = ScaleField.of(ramp, FieldType.rotating(C4.regular), ScaleWindow(ScaleGroup(2), 1.0, 1))
        >>> field.rotate(C4.element(1)).tensor[0, 0, 0, :, 0].tolist()
        [2.0, 1.0, 0.0]
        """
        check_instance("rotation", rotation, Rotation, mend="use RotationGroup(4).element(1)")
        axes = [axis for grid in self.grids.grids for axis in (grid.y, grid.x)]
        centred = not self.type.over_plane or all(axis.first + axis.stop == 1 for axis in axes)
        if rotation.quarter_turns is None or not centred:
            raise ScaleGroupError(
                f"{rotation!r} of {self!r}",
                expected="quarter turns of samples about the centre, which move samples to samples",
                mend="sample the turned image from its closed form: scalegroup.testing",
            )
        turned = tuple(torch.rot90(maps, rotation.quarter_turns, (2, 3)) for maps in self.maps)
        if self.type.rotation is not None:
            matrix = self.type.rotation.matrix(rotation)
            turned = tuple(einsum(matrix.to(maps), maps, "o i, b i y x -> b o y x") for maps in turned)
        if rotation.quarter_turns % 2 == 0:
            return replace(self, maps=turned, live=None)
        grids = self.grids.map(lambda grid: replace(grid, y=grid.x, x=grid.y))
        return replace(self, maps=turned, grids=replace(grids, size=grids.size[::-1]), live=None)

    def restrict(self, window: ScaleWindow) -> ScaleField:
        """The field in the scale channels of another window: those that both have. Others are undefined, and not there.

        Raises `ScaleGroupError` if the windows share none, are of other groups or grids, or scale has been pooled away.
        """
        if not self.type.over_scale:
            raise ScaleGroupError(repr(self), expected="a field over scale", mend="restrict before pooling over scale")
        shared = self.window.overlap(window)
        if shared is None:
            raise ScaleGroupError(
                f"{window!r} for {self.window!r}", expected="a scale channel of both", mend="use windows that overlap"
            )
        start = shared.first - self.window.first
        stop = start + shared.channels
        maps = [
            run.channels[max(start - run.start, 0) : stop - run.start].flatten(0, 1)
            for run in self.runs
            if run.start < stop and start < run.stop
        ]
        live = None if self.live is None else self.live.select(start, stop)
        return replace(self, maps=tuple(maps), window=shared, grids=self.grids.select(start, stop), live=live)

    def crop(self, grids: Grids) -> ScaleField:
        """The samples of other grids, all of which must be held, or known. Raises `ScaleGroupError` if they are not."""
        if grids.grids == self.grids.grids:
            return self
        held = self.grids.contains(grids)
        if not (held or self.knows(grids)):
            raise ScaleGroupError(
                f"{self!r}",
                expected=f"at least the samples {grids.grids[0]}, and so on",
                mend="let the plan choose what is held: call the network on images, or make `needs` say all",
            )
        maps: list[Tensor] = []
        for run in self.runs:
            wanted = grids.grids[run.start : run.stop]
            if all(grid is wanted[0] or grid == wanted[0] for grid in wanted):
                maps.append(run.grid.crop(run.maps, wanted[0]))
            else:
                maps += [run.grid.crop(channel, grid) for channel, grid in zip(run.channels, wanted, strict=True)]
        field = replace(self, maps=tuple(maps), grids=grids)
        if not held and len(maps) > len(grids.runs):
            runs = list(field.runs)
            parts = [[run.maps for run in runs if start <= run.start < stop] for start, stop in grids.runs]
            # one call for all channels that have become alike
            return replace(field, maps=tuple(map(concatenated, parts)))
        return field

    def with_live(self, live: Grids | None) -> ScaleField:
        """The same field, beyond whose samples `live` all maps are known to be as at the border of these."""
        if live is self.live:
            return self
        field = copy(self)  # nothing that has to fit has changed
        object.__setattr__(field, "live", live)
        return field

    def knows(self, grids: Grids) -> bool:
        """Whether these samples are held, or as those at the border of what is."""
        if self.live is not None:
            grids = grids.within_reach(self.live)
        return self.grids.contains(grids)

    def on_runs(
        self, function: Callable[[Run], Tensor], *, type: FieldType | None = None, grids: Grids | None = None
    ) -> ScaleField:
        """The field whose maps are a function of each run's, of another type and on other grids where given.

        What is beyond its samples is not known.
        """
        maps = tuple(function(run) for run in self.runs)
        return replace(self, maps=maps, type=type or self.type, grids=grids or self.grids, live=None)

    def __repr__(self) -> str:
        shapes = dict.fromkeys(f"{rows}×{columns}" for rows, columns in (grid.shape for grid in self.grids.grids))
        return (
            f"a batch of {self.batch} fields of {self.type!r} with {self.window!r}, {' … '.join(shapes)} samples of a "
            f"{self.grids.size[0]}×{self.grids.size[1]} image"
        )
