"""Layers in sequence, from images to scores, run by a plan."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.boundary import Background, Boundary, Reflect
from scalegroup.errors import ScaleGroupError, check_images, check_integer, check_like, check_positive
from scalegroup.field import ScaleField, join
from scalegroup.field_type import FieldType
from scalegroup.grid import pad
from scalegroup.nn.channel import Channel
from scalegroup.nn.checkpointing import run_forgetfully
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.layer import Layer
from scalegroup.nn.lift import Lift
from scalegroup.nn.program import Program, make_program, run
from scalegroup.nn.project import ReadOut, ScalePool
from scalegroup.plan import Plan, make_plan
from scalegroup.window import ScaleWindow

_REMEMBERED = 64  # programs, of different image sizes, windows, dtypes or devices

_ENDS = (ReadOut, ScalePool)  # where scale channels stop to run apart: after the one, before the other


class Sequential(nn.Module):
    """A network: a `Lift` and layers whose types fit each other, checked when it is built.

    Up to the read-out every scale channel is run apart, on the grid and the regions of `plan`; `dense` is the same
    network without a plan, layer by layer on whole fields, which the planned path is tested against.

    Args:
        layers: a `Lift` first; then layers, or functions that make a layer for the type before it (layer classes are).
        min_grid_sigma: let layers run on coarser grids where σ₀ and their own σ are at least so many samples; None: no.
        checkpointing: keep less than half of the maps for the backward pass, and compute the others again there.

    Raises:
        ScaleGroupError: if a layer does not take what the one before it gives.

    >>> from functools import partial
    >>> from scalegroup import ScaleGroup, ScaleWindow, nn
    >>> window = ScaleWindow(ScaleGroup(2 ** 0.5), sigma0=1.0, channels=4)
    >>> net = nn.Sequential(nn.Lift(window), partial(nn.JetConv, out_type=10), nn.ReadOut, nn.ScalePool)
    >>> net(torch.randn(2, 1, 33, 33)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        *layers: Layer | Callable[[FieldType], Layer],
        min_grid_sigma: float | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_chain(layers))
        self.min_grid_sigma = None if min_grid_sigma is None else check_positive("min_grid_sigma", min_grid_sigma)
        self.checkpointing = checkpointing
        self._plans: dict[Any, Plan] = {}
        self._programs: list[Program] = []
        self._indices: dict[Any, int] = {}

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
        """The plan for images of `size` (rows, columns), made once: strides, regions, multiply-adds, bytes."""
        for length in size:
            check_integer("size", length, at_least=1)
        for layer in self.layers:
            if isinstance(layer, ScalePool):
                layer.pooling.check(self.lift.window.channels)
        key = (tuple(size), *self._settings)
        if key not in self._plans:
            _forget(self._plans)
            self._plans[key] = make_plan(
                self.lift.window,
                self.apart,
                size,
                margin=self.lift.margin,
                spacing=self.lift.spacing,
                min_grid_sigma=self.min_grid_sigma,
            )
        return self._plans[key]

    @property
    def _settings(self) -> tuple[Any, ...]:
        """All that plans depend on besides the size."""
        layers = tuple(layer.settings for layer in self.apart)
        lift = self.lift
        return lift.window, lift.spacing, lift.margin, lift.background is None, self.min_grid_sigma, layers

    def _prepare(self, size: tuple[int, int], like: Tensor) -> int:
        """Let the layers prepare for images of that size, on tensors like that, once: the program's index."""
        plan = self.plan(size)
        key = (tuple(size), *self._settings, like.dtype, like.device)
        if key not in self._indices:
            if _forget(self._indices):
                self._programs.clear()
            known = self.lift.background is not None
            self._programs.append(make_program(plan, self.apart, self._entry_boundary, known, like))
            self._indices[key] = len(self._programs) - 1
        return self._indices[key]

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be made again."""
        return self.__dict__ | {"_plans": {}, "_indices": {}, "_programs": []}

    def forward(self, images: Tensor) -> Any:
        """Images `[batch, channel, y, x]` to scores `[batch, features]` where plane and scale are projected away.

        Any other network gives its `ScaleField`. Raises `ScaleGroupError` on images that cannot be used.
        """
        field = self.field(images)
        return field.tensor.flatten(1) if field.type.is_vector else field

    def field(self, images: Tensor, *, pooled: bool = True) -> ScaleField:
        """The last field; with `pooled=False` the one before the first pooling over scale."""
        program, channels = self._enter(images)
        channels = (run_forgetfully if self.checkpointing else run)(self.apart, channels, program)
        fields = [channel.field(self._apart_type) for channel in channels]
        if self._apart_type.over_plane:  # a dense field: all channels on the grid of the image
            fields = [field.unstrided(program.plan.canvas) for field in fields]
        return self._finish(self._without_margin(join(fields)), pooled)

    def stages(self, images: Tensor) -> Iterator[tuple[ScaleField, ...]]:
        """One field per scale channel, each on its own grid: after the lifting, and after each layer of `apart`."""
        program, channels = self._enter(images)
        yield tuple(channel.field(self.lift.out_type) for channel in channels)
        for layer, steps in zip(self.apart, program.steps, strict=True):
            channels = layer.on(channels, steps)
            yield tuple(channel.field(layer.out_type) for channel in channels)

    @property
    def _apart_type(self) -> FieldType:
        return self.layers[len(self.apart)].out_type  # type: ignore[return-value]

    @property
    def _explicit_boundary(self) -> Boundary | None:
        """The first 2-jet layer's own, which is the images'."""
        return next((layer.boundary for layer in self.apart if isinstance(layer, JetConv)), None)

    @property
    def _entry_boundary(self) -> Boundary:
        """What images are outside their border, to the first layer and so to the reduction in front of it."""
        unknown = self.lift.background is None
        return self._explicit_boundary or (Reflect() if unknown else Background(self.lift.background))  # type: ignore[arg-type]

    def dense(self, images: Tensor, *, pooled: bool = True) -> ScaleField:
        """The plain path: every layer on whole fields at full resolution, no plan."""
        self._check(images)
        field = self.lift(images)
        for layer in self.apart:
            field = layer(field)
        return self._finish(self._without_margin(field), pooled)

    def _without_margin(self, field: ScaleField) -> ScaleField:
        if not (self.lift.margin and field.type.over_plane):
            return field
        return replace(field, tensor=pad(field.tensor, *[(-self.lift.margin, -self.lift.margin)] * 2), grid=None)

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

    def _enter(self, images: Tensor) -> tuple[Program, list[Channel]]:
        """The program, and per scale channel the images on its grid, cut to the region that its layers need."""
        self._check(images)
        # constants also where torch.compile has made sizes symbolic: a graph is for one plan
        height, width = map(operator.index, images.shape[-2:])
        program = self._programs[_prepare(self, height, width, self.lift.window, images.dtype, images.device)]
        images = self.lift.with_margin(images)
        rest, _, constant = self._entry_boundary.split(images)
        reduced = [rest]
        for reduction in program.reductions:
            reduced.append(reduction(reduced[-1]))
        world = constant
        if self._explicit_boundary is not None:
            background = self.lift.background
            world = None if background is None else Background(background).constant(images)
        channels = []
        for plan in program.plan.channels:
            level = plan.stride.bit_length() - 1
            maps = program.canvases[level].crop(reduced[level], plan.entry)
            channel = Channel(maps, constant, False, plan.window, self.lift.spacing, plan.entry)
            channels.append(channel.relative_to(world, known=world is not None))
        return program, channels


@torch.compiler.assume_constant_result
def _prepare(net: Sequential, height: int, width: int, _: ScaleWindow, dtype: torch.dtype, device: torch.device) -> int:
    """`net._prepare`, run when a graph is compiled and a constant to it; the window is given to guard it."""
    return net._prepare((height, width), torch.empty(0, dtype=dtype, device=device))


def _forget(remembered: dict[Any, Any]) -> bool:
    """Empty a memory that is full, and say whether it was."""
    full = len(remembered) >= _REMEMBERED
    if full:
        remembered.clear()
    return full


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
