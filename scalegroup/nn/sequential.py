"""Layers in sequence: a layer itself, and a network where the first one lifts images."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError, check_images, check_instance, check_integer, check_like
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType, ImageType
from scalegroup.fields.grid import Grids
from scalegroup.fields.score_volume import ScoreVolume
from scalegroup.fields.window import ScaleWindow
from scalegroup.nn.checkpointing import forgetting
from scalegroup.nn.dense import TILE, dense_field
from scalegroup.nn.layer import Layer, live_part, of_channels
from scalegroup.planning.plan import Plan, Step


class Sequential(Layer):
    """Layers whose types fit each other, checked when it is built. It nests, and can be indexed, sliced and iterated.

    With an `nn.Lift` first it is a network from images. It then works out backwards from its end what every layer
    needs, lifts that much of the image's surroundings, and hands each layer no more than that; `plan` shows it.

    Args:
        layers: layers, or functions that make a layer for the type before it (layer classes are).
        checkpointing: keep the maps of about every √n-th layer for the backward pass, and make the others again there.

    Raises `ScaleGroupError` if a layer does not take what the one before it gives.

    >>> from functools import partial
    >>> from scalegroup import ScaleGroup, ScaleWindow, nn
    >>> window = ScaleWindow(ScaleGroup(2 ** 0.5), sigma0=1.0, channels=4)
    >>> net = nn.Sequential(nn.Lift(window), partial(nn.JetConv, out_type=10), nn.ReadOut, nn.ScalePool)
    >>> net(torch.randn(2, 1, 33, 33)).shape, len(net[1:])
    (torch.Size([2, 10]), 3)
    """

    def __init__(self, *layers: Layer | Callable[[FieldType], Layer], checkpointing: bool = False) -> None:
        chain = _chain(layers)
        super().__init__(chain[0].in_type, chain[-1].out_type)
        self.layers = nn.ModuleList(chain)
        self.checkpointing = check_instance("checkpointing", checkpointing, bool, mend="pass checkpointing=True")

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)  # type: ignore[arg-type]

    def __getitem__(self, index: int | slice) -> Any:
        """A layer, or some of them as a `Sequential` of the same layers."""
        if isinstance(index, slice):
            return Sequential(*list(self)[index], checkpointing=self.checkpointing)
        return self.layers[index]

    @property
    def within(self) -> Sequence[Layer]:
        return list(self)

    def append(self, layer: Layer | Callable[[FieldType], Layer]) -> Sequential:
        """With one more layer at the end, in place."""
        *_, last = _chain([self[-1], layer])
        self.layers.append(last)
        self.out_type = last.out_type
        return self

    def forward(self, field: Any, *, window: ScaleWindow | None = None, wanted: Grids | None = None) -> Any:
        """A field, or images `[batch, channel, y, x]`; class scores come as `[batch, features]`, all else as a field.

        Args:
            field: of the type that the first layer takes.
            window: other scale channels, for images: of any γ, with the same weights.
            wanted: samples of the output; then a field is given whatever it is. Default: for images what the image
                covers, for fields what they suffice for.

        Raises `ScaleGroupError` if the input cannot be used.
        """
        result = self._through(list(self), field, window, wanted)
        return result if wanted is not None else plain(result)

    def field(self, images: Tensor, *, window: ScaleWindow | None = None, pooled: bool = True) -> Any:
        """The field that the last layer gives; with `pooled=False` the one in front of the pooling over scale."""
        layers = list(self)
        if not pooled:
            layers = layers[: next((n for n, layer in enumerate(layers) if not layer.keeps_scale), None)]
        return self._through(layers, images, window, None)

    def dense_scores(self, images: Tensor, *, window: ScaleWindow | None = None, tile: int = TILE) -> ScoreVolume:
        """What the layers in front of the projections give, everywhere: scores of every place, in every scale channel.

        Any network can be read so, with the weights that it has, whatever it was trained to read out (one with a field
        of view with `field_of_view=None`). The image is lifted as a whole; the layers behind run tile by tile, each
        from as much as it reaches, so that their memory is bounded and the result is the same.

        Args:
            images: `[batch, channel, y, x]`, of any size.
            window: other scale channels, with the same weights.
            tile: pixels across of what is computed at a time.

        Raises `ScaleGroupError` if the images cannot be used, or the network sees a part of them only.

        >>> from functools import partial
        >>> from scalegroup import ScaleGroup, ScaleWindow, nn
        >>> window = ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=2)
        >>> net = nn.Sequential(nn.Lift(window), partial(nn.JetConv, out_type=10), nn.ReadOut, nn.ScalePool)
        >>> [tuple(maps.shape) for maps in net.dense_scores(torch.zeros(1, 1, 21, 33)).maps]
        [(1, 10, 15, 23), (1, 10, 7, 11)]
        """
        size, chosen = self._check_images(images), self._chosen(window)
        lift, *layers = self[: next((n for n, layer in enumerate(self) if layer.projects), len(self))]
        behind = Sequential(*layers, checkpointing=self.checkpointing)
        canvas = Grids.of_pixels(size, chosen.sigmas)
        return ScoreVolume.of(dense_field(lift, behind, images, canvas, tile, window=chosen))

    def run(self, field: Any, wanted: Any, **options: Any) -> Any:
        return self(field, wanted=wanted, **options)

    def needs(self, wanted: Any, canvas: Grids) -> Grids:
        return self._regions(list(self), wanted, self._canvases(list(self), canvas))[0]

    def canvas(self, canvas: Grids) -> Any:
        return self._canvases(list(self), canvas)[-1]

    def live(self, live: Grids) -> Grids | None:
        return self._live(list(self), live, self._canvases(list(self), live.canvas()))[-1]

    def view(self, canvas: Grids) -> Grids | None:
        return self._live(list(self), None, self._canvases(list(self), canvas))[-1]

    def steps(self, wanted: Any, canvas: Grids, name: str = "", live: Grids | None = None) -> Iterator[Step]:
        canvases = self._canvases(list(self), canvas)
        regions = self._regions(list(self), wanted, canvases)
        seen = self._live(list(self), canvas if isinstance(self.in_type, ImageType) else live, canvases)
        each = zip(self, regions[1:], canvases[:-1], [*seen[:-1], None], strict=True)
        for number, (layer, region, before, new) in enumerate(each):
            inner = f"{name}[{number}]." if name else ""
            yield from layer.steps(live_part(region, new), before, f"{inner}{type(layer).__name__}", live)
            live = seen[number]

    @property
    def across_scale(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as all of them together."""
        return sum(layer.across_scale for layer in self)

    @property
    def window(self) -> ScaleWindow:
        """The scale channels that images are lifted to. Raises `ScaleGroupError` if the first layer lifts none."""
        window = getattr(self[0], "window", None)
        if window is None:
            raise ScaleGroupError(repr(self[0]), expected="nn.Lift first", mend="start with nn.Lift(window)")
        return window

    def __dir__(self) -> list[str]:
        """Without `window` where there is none: `torch.jit.trace` asks every part for all that it finds here."""
        return [name for name in super().__dir__() if name != "window" or isinstance(self.in_type, ImageType)]

    def _chosen(self, window: ScaleWindow | None) -> ScaleWindow:
        return check_instance(
            "window",
            self.window if window is None else window,
            ScaleWindow,
            mend="make one: ScaleWindow(group, 1.0, 8)",
        )

    def plan(self, size: tuple[int, int], *, window: ScaleWindow | None = None) -> Plan:
        """What every layer computes for images of `size` (rows, columns), and what that takes."""
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise ScaleGroupError(f"size {size!r}", expected="(rows, columns)", mend="pass two numbers")
        size = check_integer("size", size[0], at_least=1), check_integer("size", size[1], at_least=1)
        window = self._chosen(window)
        canvas = Grids.of_pixels(size, window.sigmas)
        return Plan(size, window, tuple(self.steps(self.canvas(canvas), canvas)))

    def _through(self, layers: Sequence[Layer], x: Any, window: ScaleWindow | None, wanted: Any) -> Any:
        """The layers on images, or on a field."""
        options = {} if window is None else {"window": window}
        if isinstance(self.in_type, ImageType):
            canvas = Grids.of_pixels(self._check_images(x), self._chosen(window).sigmas)
        elif window is not None:
            raise ScaleGroupError(
                "window= with a field", expected="images, to be lifted to other scale channels", mend="leave it out"
            )
        elif wanted is None:
            for layer in layers:
                x = layer(x)
            return x
        else:
            self.check_input(x)
            canvas = x.grids.canvas()
        canvases = self._canvases(layers, canvas)
        regions = self._regions(layers, wanted, canvases)
        seen = self._live(layers, canvas if isinstance(self.in_type, ImageType) else x.live, canvases)
        todo = [
            partial(_run, layer, region, live)
            for layer, region, live in zip(layers, regions[1:], [*seen[:-1], None], strict=True)
        ]
        todo[0] = partial(todo[0], **options)
        if not (self.checkpointing and torch.is_grad_enabled()):
            return _one_after_the_other(todo, x)
        step = max(1, isqrt(len(todo)))
        for start in range(0, len(todo), step):
            x = forgetting(partial(_one_after_the_other, todo[start : start + step]), x)
        return x

    def _check_images(self, images: Tensor) -> tuple[int, int]:
        """Their rows and columns."""
        check_images(images, self.in_type.channels)
        for name, parameter in self.named_parameters():
            check_like(name, parameter, images)
        rows, columns = map(operator.index, images.shape[-2:])  # constants: a compiled graph is for one size
        return rows, columns

    @staticmethod
    def _canvases(layers: Sequence[Layer], canvas: Grids) -> list[Any]:
        """The whole image, sampled as each layer's input is, and as the last one's output."""
        return list(accumulate(layers, lambda before, layer: layer.canvas(before), initial=canvas))

    @staticmethod
    def _live(layers: Sequence[Layer], live: Grids | None, canvases: Sequence[Any]) -> list[Grids | None]:
        """What is live of each layer's output."""
        seen = []
        for layer, canvas in zip(layers, canvases[:-1], strict=True):
            live = layer.view(canvas) if live is None else layer.live(live)
            seen.append(live)
        return seen

    @staticmethod
    def _regions(layers: Sequence[Layer], wanted: Any, canvases: Sequence[Any]) -> list[Any]:
        """The samples of each layer's input, and of the last one's output (None: what an image covers)."""
        *before, whole = canvases
        regions = [whole if wanted is None else wanted]
        for layer, canvas in zip(reversed(layers), reversed(before), strict=True):
            regions.append(layer.needs(regions[-1], canvas))
        return regions[::-1]


def plain(result: Any) -> Any:
    """Features that are all that is left of a field as `[batch, features]`; a dictionary's each; all else as it is."""
    if isinstance(result, dict):
        return {name: plain(part) for name, part in result.items()}
    vector = isinstance(result, ScaleField) and not (result.type.over_scale or result.type.over_plane)
    return result.tensor.flatten(1) if vector else result


def _run(layer: Layer, wanted: Any, live: Grids | None, x: Any, **options: Any) -> Any:
    """What is wanted of a layer, in the scale channels that there still are."""
    return layer.run_live(x, of_channels(wanted, x), of_channels(live, x), **options)


def _one_after_the_other(functions: Iterable[Callable[[Any], Any]], x: Any) -> Any:
    for function in functions:
        x = function(x)
    return x


def _chain(items: Sequence[Layer | Callable[[FieldType], Layer]]) -> list[Layer]:
    """The layers, made where they are functions of a type, and checked to fit each other."""
    chain: list[Layer] = []
    for number, item in enumerate(items, start=1):
        layer = item
        if chain and callable(item) and not isinstance(item, nn.Module):
            try:
                layer = item(chain[-1].out_type)
            except TypeError as error:
                raise ScaleGroupError(
                    f"{item!r} as layer {number} ({error})",
                    expected="a layer, or a function that makes one for the field type before it",
                    mend="give layers their other arguments with functools.partial; wrap pointwise functions: "
                    "partial(nn.Pointwise, function=...)",
                ) from error
        if not isinstance(layer, Layer):
            raise ScaleGroupError(
                f"{layer!r:.80} as layer {number}",
                expected="a layer of scalegroup.nn" if chain else "nn.Lift, or a layer that has been made, first",
                mend="pass layers one by one: nn.Sequential(*layers)"
                if isinstance(layer, (list, tuple))
                else "wrap pointwise functions: nn.Pointwise(type, function)",
            )
        if chain and layer.in_type != chain[-1].out_type:
            before = chain[-1]
            raise ScaleGroupError(
                f"{type(before).__name__} (layer {number - 1}) giving {before.out_type!r}",
                expected=f"{layer.in_type!r}, which {type(layer).__name__} (layer {number}) takes",
                mend="make the two types equal",
            )
        chain.append(layer)
    if not chain:
        raise ScaleGroupError("no layers", expected="one or more", mend="start with nn.Lift(window)")
    return chain
