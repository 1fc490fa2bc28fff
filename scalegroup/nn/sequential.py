"""Layers in sequence, from images to scores, run by a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from scalegroup.boundary import Background, Reflect
from scalegroup.errors import ScaleGroupError, check_images, check_integer, check_like, check_positive
from scalegroup.field import FieldType, ScaleField, join
from scalegroup.grid import Grid
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.layer import Layer
from scalegroup.nn.lift import Lift
from scalegroup.nn.project import ReadOut, ScalePool
from scalegroup.plan import Plan, make_plan
from scalegroup.resample import halve

_ENDS = (ReadOut, ScalePool)  # where scale channels stop to run apart: after the one, before the other


class Sequential(nn.Module):
    """A network: a `Lift` and layers whose types fit each other, checked when it is built.

    Up to the read-out every scale channel is run apart, on the grid and the regions of `plan`; `dense` is the same
    network without a plan, layer by layer on whole fields, which the planned path is tested against.

    Args:
        layers: a `Lift` first; then layers, or functions that make a layer for the type before it (layer classes are).
        min_grid_sigma: let channels run on coarser grids while their σ₀ stays at least this many samples; None: never.

    Raises:
        ScaleGroupError: if a layer does not take what the one before it gives.

    >>> from functools import partial
    >>> from scalegroup import ScaleGroup, ScaleWindow, nn
    >>> window = ScaleWindow(ScaleGroup(2 ** 0.5), sigma0=1.0, channels=4)
    >>> net = nn.Sequential(nn.Lift(window), partial(nn.JetConv, out_type=10), nn.ReadOut, nn.ScalePool)
    >>> net(torch.randn(2, 1, 33, 33)).shape
    torch.Size([2, 10])
    """

    def __init__(self, *layers: Layer | Callable[[FieldType], Layer], min_grid_sigma: float | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_chain(layers))
        self.min_grid_sigma = None if min_grid_sigma is None else check_positive("min_grid_sigma", min_grid_sigma)
        self._plans: dict[Any, Plan] = {}

    @property
    def lift(self) -> Lift:
        """The first layer."""
        return self.layers[0]  # type: ignore[return-value]

    @property
    def out_type(self) -> FieldType:
        """What the last layer gives."""
        return self.layers[-1].out_type  # type: ignore[return-value]

    @property
    def apart(self) -> Sequence[Layer]:
        """The layers that run on each scale channel apart: up to the read-out, or to the first pooling over scale."""
        body = list(self.layers)[1:]
        stop = next((n + isinstance(layer, ReadOut) for n, layer in enumerate(body) if isinstance(layer, _ENDS)), None)
        return body[:stop]  # type: ignore[return-value]

    def plan(self, size: tuple[int, int]) -> Plan:
        """The plan for images of `size` (rows, columns). Made once per size, window, kernels and `min_grid_sigma`."""
        for length in size:
            check_integer("size", length, at_least=1)
        for layer in self.layers:
            if isinstance(layer, ScalePool):
                layer.pooling.check(self.lift.window.channels)
        kernels = tuple(layer.kernel for layer in self.apart if isinstance(layer, JetConv))
        key = (tuple(size), self.lift.window, self.lift.spacing, self.min_grid_sigma, kernels)
        if key not in self._plans:
            self._plans[key] = make_plan(
                self.lift.window,
                self.apart,
                size,
                spacing=self.lift.spacing,
                min_grid_sigma=self.min_grid_sigma,
            )
        return self._plans[key]

    def forward(self, images: Tensor) -> Any:
        """Images `[batch, channel, y, x]` to scores `[batch, features]` where plane and scale are projected away.

        Any other network gives its `ScaleField`. Raises `ScaleGroupError` on images that cannot be used.
        """
        field = self.field(images)
        return field.tensor.flatten(1) if field.type.is_vector else field

    def field(self, images: Tensor, *, pooled: bool = True) -> ScaleField:
        """The last field; with `pooled=False` the one before the first pooling over scale."""
        *_, fields = self.stages(images)
        if fields[0].type.over_plane:  # a dense field: all channels on the grid of the image
            height, width = images.shape[-2:]
            fields = tuple(field.unstrided((height, width)) for field in fields)
        return self._finish(join(fields), pooled)

    def stages(self, images: Tensor) -> Iterator[tuple[ScaleField, ...]]:
        """One field per scale channel, each on its own grid: after the lifting, and after each layer of `apart`."""
        self._check(images)
        height, width = images.shape[-2:]
        plan = self.plan((height, width))
        fields = self._enter(images, plan)
        yield fields
        for stage, layer in enumerate(self.apart):
            fields = layer.on(fields, [channel.after[stage] for channel in plan.channels])
            yield fields

    def dense(self, images: Tensor, *, pooled: bool = True) -> ScaleField:
        """The plain path: every layer on whole fields at full resolution, no plan."""
        self._check(images)
        field = self.lift(images)
        for layer in self.apart:
            field = layer(field)
        return self._finish(field, pooled)

    def _check(self, images: Tensor) -> None:
        check_images(images, self.lift.in_type.channels)
        for name, parameter in self.named_parameters():
            check_like(name, parameter, images)

    def _finish(self, field: ScaleField, pooled: bool) -> ScaleField:
        for layer in self.layers[1 + len(self.apart) :]:
            if isinstance(layer, ScalePool) and not pooled:
                return field
            field = layer(field)
        return field

    def _enter(self, images: Tensor, plan: Plan) -> tuple[ScaleField, ...]:
        """One lifted field per scale channel, on its grid, cut to the region that its layers need."""
        first = next((layer.boundary for layer in self.apart if isinstance(layer, JetConv)), None)
        boundary = first or (Reflect() if self.lift.background is None else Background(self.lift.background))
        reduced = {1: images}
        fields = []
        for channel in plan.channels:
            stride = channel.stride
            for coarser in (2**m for m in range(1, stride.bit_length())):
                if coarser not in reduced:
                    reduced[coarser] = halve(reduced[coarser // 2], boundary)
            whole = Grid.whole(*reduced[stride].shape[-2:], stride=stride)
            fields.append(self.lift.channel(whole.crop(reduced[stride], channel.entry), channel.window, channel.entry))
        return tuple(fields)


def _chain(items: Sequence[Layer | Callable[[FieldType], Layer]]) -> list[Layer]:
    """The layers, made where they are functions of a type, and checked to fit each other."""
    if not items or not isinstance(items[0], Lift):
        first = f"a {type(items[0]).__name__}" if items else "nothing"
        raise ScaleGroupError(f"{first} as the first layer", expected="nn.Lift", mend="start with nn.Lift(window)")
    chain: list[Layer] = [items[0]]
    for number, item in enumerate(items[1:], start=2):
        before = chain[-1]
        layer = item
        if callable(item) and not isinstance(item, nn.Module):
            try:
                layer = item(before.out_type)
            except TypeError as error:
                raise ScaleGroupError(
                    f"{item!r} as layer {number} ({error})",
                    expected="a layer, or a function that makes one for the field type before it",
                    mend="give layers their other arguments with functools.partial; wrap pointwise functions: "
                    "partial(nn.Pointwise, function=...)",
                ) from error
        if not isinstance(layer, Layer):
            raise ScaleGroupError(
                f"a {type(layer).__name__} as layer {number}",
                expected="a layer of scalegroup.nn",
                mend="wrap pointwise functions: nn.Pointwise(type, function)",
            )
        if layer.in_type != before.out_type:
            raise ScaleGroupError(
                f"{type(before).__name__} (layer {number - 1}) giving {before.out_type!r}",
                expected=f"{layer.in_type!r}, which {type(layer).__name__} (layer {number}) takes",
                mend="make the two types equal",
            )
        chain.append(layer)
    return chain
