"""Layers that look at one scale channel, or at one sample, at a time."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from scalegroup.errors import ScaleGroupError
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.nn.layer import Layer


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
        seen = field if self.stride == 1 else field.crop(self._needed(self._given(_with_centres(field.grids))))
        return seen.on_runs(
            lambda run: self.maps(run.maps, run.grid.samples_per_sigma),
            type=self.out_type,
            grids=self._given(seen.grids),
        )

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return self._needed(wanted)

    def live(self, live: Grids) -> Grids:
        """As far as a value looks at what is live: the outermost sees what is beyond alone."""
        seen = live.dilated(tuple(reach + self.stride - 1 for reach in self._reaches(live)))
        return seen if self.stride == 1 else seen.every_second()

    def canvas(self, canvas: Grids) -> Grids:
        return canvas if self.stride == 1 else _with_centres(canvas).every_second()

    def _reaches(self, grids: Grids) -> tuple[int, ...]:
        """Of each scale channel."""
        densities = [grid.samples_per_sigma for grid in grids.grids]
        reach = {density: self.reach(density) for density in set(densities)}
        return tuple(reach[density] for density in densities)

    def _needed(self, wanted: Grids) -> Grids:
        finer = wanted if self.stride == 1 else wanted.halfway()
        return finer.dilated(self._reaches(finer))

    def _given(self, held: Grids) -> Grids:
        reaches = self._reaches(held)
        valid = held.dilated(tuple(-reach for reach in reaches))
        if min(min(grid.shape) for grid in valid.grids) < 1:
            raise ScaleGroupError(
                f"{[grid.shape for grid in held.grids]} samples for {type(self).__name__}",
                expected=f"more than {2 * max(reaches)} on each axis",
                mend="call the network on images, which lifts as much as is needed, or lift more: `wanted=`",
            )
        return valid if self.stride == 1 else valid.every_second()


def _with_centres(grids: Grids) -> Grids:
    """Grids with a sample in the centre, to count every second one from; else a `ScaleGroupError`."""
    if not all(axis.on_integers for grid in grids.grids for axis in (grid.y, grid.x)):
        raise ScaleGroupError(
            "an image of even size on its own grid",
            expected="a sample in the centre, to count every second one from",
            mend="use self-similar grids, an odd size, or stride=1",
        )
    return grids


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
