"""From images to fields."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from scalegroup import functional
from scalegroup.errors import check_images, check_instance
from scalegroup.fields.boundary import Boundary, Reflect
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType, ImageType
from scalegroup.fields.grid import Grids
from scalegroup.fields.lifting import Sampling, sampling_of
from scalegroup.fields.lifting_kernels import LiftingKernel
from scalegroup.fields.window import ScaleWindow
from scalegroup.nn.layer import Layer
from scalegroup.planning.plan import Step, ends


class Lift(Layer):
    """Images to a field on group × plane (eq 9): every scale channel samples the image on a grid of its own.

    Args:
        window: the scale channels, by physical σ₀ in pixels. Not part of `state_dict`: a trained network takes another
            one, `net(images, window=...)`.
        channels: image channels, 1 for grey and 3 for colour.
        boundary: what the image is outside its border; `Background(value)` where that is known.
        samples_per_sigma: g, samples per σ₀, the same in all scale channels; default `SAMPLES_PER_SIGMA`.
        grid: `"self-similar"`, or `"image"` for the image's own pixels in all channels (the paper's literal
            implementation, for reference).
        kernel: of the lifting; default `BandLimited()`.

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> lift = Lift(ScaleWindow(ScaleGroup(2), 1.0, 3), samples_per_sigma=1.0)
    >>> [lift(torch.zeros(2, 1, 9, 9)).channel(n).shape for n in range(3)]
    [torch.Size([2, 1, 9, 9]), torch.Size([2, 1, 5, 5]), torch.Size([2, 1, 3, 3])]
    """

    def __init__(
        self,
        window: ScaleWindow,
        channels: int = 1,
        *,
        boundary: Boundary = Reflect(),  # noqa: B008
        samples_per_sigma: float | None = None,
        grid: str = "self-similar",
        kernel: LiftingKernel | None = None,
    ) -> None:
        in_type = ImageType(channels)
        sampling = sampling_of(grid, samples_per_sigma, kernel)
        super().__init__(in_type, FieldType.scalars(in_type.channels, smoothed=sampling.smoothed))
        self.window = window
        self.boundary = boundary
        self.sampling = sampling

    def _check_window(self, window: Any) -> ScaleWindow:
        return check_instance("window", window, ScaleWindow, mend="make one: ScaleWindow(group, 1.0, 8)")

    def _check_boundary(self, boundary: Any) -> Boundary:
        check_instance("boundary", boundary, Boundary, mend="pass one of scalegroup, such as Background(0.0)")
        boundary.constant(torch.empty(1, self.in_type.channels, 1, 1))  # refuses what does not fit
        return boundary

    def _check_sampling(self, sampling: Any) -> Sampling:
        return check_instance("sampling", sampling, Sampling, mend="pass SelfSimilar(0.7) or ImageGrid()")

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] (images, not fields)
        self, images: Tensor, *, window: ScaleWindow | None = None, wanted: Grids | None = None
    ) -> ScaleField:
        """`[batch, channel, y, x]` → a field: of the whole image, or at the samples `wanted`."""
        check_images(images, self.in_type.channels)
        window = self.window if window is None else window
        return functional.lift(images, window, boundary=self.boundary, sampling=self.sampling, wanted=wanted)

    def run(self, field: Any, wanted: Grids, **options: Any) -> ScaleField:
        """See `Layer`: of an image nothing more is needed than there is."""
        return self(field, wanted=wanted, **options)

    def live(self, live: Grids) -> Grids | None:
        """See `Layer`: in a constant world there is nothing more to see far from the image."""
        return self.sampling.live(self.canvas(live)) if self.boundary.is_constant else None

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """All of the image."""
        return canvas

    def canvas(self, canvas: Grids) -> Grids:
        return self.sampling.canvas(canvas.size, canvas.sigmas)

    def steps(self, wanted: Grids, canvas: Grids, name: str = "", live: Grids | None = None) -> Iterator[Step]:
        rows, columns = canvas.size
        work = [grid.shape[0] * columns * (rows + grid.shape[1]) * self.out_type.size for grid in wanted.grids]
        yield Step(name or "Lift", self.detail(wanted), wanted, self.out_type.size, tuple(work))

    def detail(self, wanted: Grids) -> str:
        pairs = zip(wanted.grids, self.canvas(wanted).grids, strict=True)
        outside = ends(f"{max(0, int(inside.y.first - grid.y.first))}" for grid, inside in pairs)
        return f"{self.sampling!r}, {outside} samples outside: {self.boundary!r}"

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.window!r}, {self.sampling!r}, {self.boundary!r}"
