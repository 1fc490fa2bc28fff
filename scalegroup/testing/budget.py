"""Where an equivariance error comes from: the observed error of a network, split by source, after each of its layers.

The sources are switched off one after another, each on top of those before it. What the error falls by is that
source's part (a part may be negative, where two errors had cancelled); with what is left at the end, the parts add up
to the error observed.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scalegroup import nn
from scalegroup.algebra.group import GroupElement
from scalegroup.errors import Refusing, ScaleGroupError, check_finite, check_instance, check_integer, refusing
from scalegroup.fields.boundary import Background
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grids
from scalegroup.fields.window import ScaleWindow
from scalegroup.jets.kernels import SampledDerivatives
from scalegroup.testing.closed_form import ContinuousImage
from scalegroup.testing.equivariance import object_images, signal_normalised
from scalegroup.testing.networks import background_of, central, chain_of, kernel_layers, needed_in_the_centre, on_pixels

SOURCES = ("rounding", "discretisation", "sampling", "image boundary", "scale boundary")
"""In the order in which they are switched off; discretisation on the image's own grid only."""

_EXACT = SampledDerivatives(tail=1e-6)  # discretisation is off
_LARGEST = 1e4  # of a background: objects of about one are lost to rounding beside it
_LIFTED = 5.0  # σ₀: so far the lifting looks beyond a sample, whose smoothing is less than that
_FINE = 3.0  # sampling is fine: σ₀ is at least this many pixels
_SUSPECT = 1e-6  # of the signal: less than this left over is no cause for alarm
_SUSPECT_ON_PIXELS = 0.025  # where the aliasing of the activation is left over


@dataclass(frozen=True)
class ErrorBudget(Refusing):
    """What `error_budget` measured.

    Args:
        factor: S.
        layers: names of the rows: every layer with a kernel, and the network's output ("pooled" over scale or not).
        sources: names of the columns; the last is what is left with all sources switched off.
        parts: `[layer][source]`, signed fractions of the signal.
    """

    factor: float
    layers: tuple[str, ...]
    sources: tuple[str, ...]
    parts: tuple[tuple[float, ...], ...]

    @property
    def observed(self) -> tuple[float, ...]:
        """Per layer the error of the network as it is, to which the parts add up."""
        return tuple(math.fsum(row) for row in self.parts)

    def __str__(self) -> str:
        heads = ("observed", *self.sources)
        widths = [max(len(head), 8) for head in heads]
        first = max(map(len, self.layers))
        table: list[tuple[str, ...]] = [("", *heads)]
        for layer, total, row in zip(self.layers, self.observed, self.parts, strict=True):
            table.append((layer, *(f"{value:.1e}" for value in (total, *row))))
        lines = [f"error budget for scaling by {self.factor:.4g}, as fractions of the signal"]
        lines += [" ".join([name.ljust(first), *map(str.rjust, cells, widths)]) for name, *cells in table]
        suspect = _SUSPECT_ON_PIXELS if "discretisation" in self.sources else _SUSPECT
        if self.parts[-1][-1] > max(self.observed[-1] / 2, suspect):
            lines.append("most of the error is left over: it comes from none of these sources; look for a mistake")
        return "\n".join(lines)

    def draw(self, axes: Any) -> None:
        """Draw the parts as stacked bars, one for each layer, into matplotlib `axes`."""
        above, below = [0.0] * len(self.layers), [0.0] * len(self.layers)
        for source, values in zip(self.sources, zip(*self.parts, strict=True), strict=True):
            bottom = [a if value >= 0 else b for value, a, b in zip(values, above, below, strict=True)]
            axes.bar(self.layers, values, bottom=bottom, label=source)
            above = [a + max(value, 0) for a, value in zip(above, values, strict=True)]
            below = [b + min(value, 0) for b, value in zip(below, values, strict=True)]
        axes.plot(self.layers, self.observed, "ko", label="observed")
        axes.use_sticky_edges = False  # parts of height zero would cut the topmost mark
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.set(ylabel="error, as a fraction of the signal", title=f"error budget for scaling by {self.factor:.4g}")
        axes.tick_params("x", rotation=30)
        axes.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))  # beside the bars


@refusing
def error_budget(
    net: nn.Sequential,
    element: GroupElement,
    images: ContinuousImage | None = None,
    *,
    size: int = 129,
    background: float | tuple[float, ...] | None = None,
) -> ErrorBudget:
    """Split the equivariance error of a network by source, layer by layer, at the centre of every scale channel.

    The last row is the network's output: as its read-out and its pooling give it, or at the centre of its maps.

    | source | switched off by |
    |---|---|
    | rounding | float64 |
    | discretisation | sampled Gaussian derivatives; no source on self-similar grids, where all channels have the same |
    | sampling | images sampled so finely that σ₀ ≥ 3 pixels: the lifting's error, or the aliasing of activations |
    | image boundary | a canvas that holds all that the centre of any channel sees |
    | scale boundary | pooling over the channels that scaling sends to each other; more neighbours to look at |

    Args:
        net: from images to class scores, maps or fields; run in evaluation mode, on the CPU, as a copy.
        element: the scaling.
        images: with a closed form; default four `object_images`.
        size: rows and columns of the canvas.
        background: the value around the objects, or one per image channel; default the network's, or 0.

    Raises:
        ScaleGroupError: if the network is none of this library, has several heads, or scaling sends no scale channel of
            it to another.

    >>> from scalegroup import Background, ScaleGroup, ScaleWindow
    >>> from scalegroup.models import gaussian_derivative_net
    >>> window = ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=3)
    >>> net = gaussian_derivative_net(window=window, widths=(3,), boundary=Background(0.0))
    >>> budget = error_budget(net, window.group.element(1), size=65)
    >>> budget.layers
    ('layer 1', 'layer 2', 'pooled')
    """
    check_instance("net", net, nn.Sequential, mend="a budget needs to see the layers: pass the scalegroup network")
    check_instance("element", element, GroupElement, mend="pass group.element(power)")
    check_integer("size", size, at_least=1)
    pairs = moved_channels(net.window, element)
    if not pairs:
        raise ScaleGroupError(
            f"a network with {net.window!r} under scaling by {element.scale_factor:g}",
            expected="a channel that scaling sends to another",
            mend="use more scale channels or a smaller factor",
        )
    if isinstance(net.out_type, dict):
        raise ScaleGroupError("a network with several heads", expected="one output", mend="pass it with one of them")
    if images is None:
        images = object_images(size, element.scale_factor, count=4)
    check_instance("images", images, ContinuousImage, mend="pass a mixture of blobs, say: object_images(size, factor)")
    if background is None:
        background = background_of(net)
    for value in background if isinstance(background, tuple) else (background,):
        if abs(check_finite("background", value)) > _LARGEST:
            raise ScaleGroupError(
                f"background {value:g}", expected="values of about one", mend="divide the images by their range"
            )
    bench = _Bench(copy.deepcopy(net).cpu().eval(), element.scale_factor, pairs, images, size, background)
    sources = [source for source in SOURCES if on_pixels(net) or source != "discretisation"]
    errors = [bench.errors(sources[:count]) for count in range(len(sources) + 1)]
    falls = [[a - b for a, b in zip(before, after, strict=True)] for before, after in pairwise(errors)]
    depth = len(errors[0]) - 1
    return ErrorBudget(
        factor=element.scale_factor,
        layers=(*(f"layer {n + 1}" for n in range(depth)), "output" if net.keeps_scale else "pooled"),
        sources=(*sources, "left over"),
        parts=tuple(zip(*falls, errors[-1], strict=True)),
    )


def moved_channels(window: ScaleWindow, element: GroupElement) -> list[tuple[int, int]]:
    """The pairs (before, after) of positions in a window of the channels that a scaling sends to each other.

    Raises:
        ScaleGroupError: if the window's group does not hold the scaling.
    """
    shift = element.as_element_of(window.group).power
    return [(n, n + shift) for n in range(window.channels) if 0 <= n + shift < window.channels]


@dataclass(frozen=True)
class _Bench:
    """One network and one pair of images, to be run with more and more sources switched off."""

    net: nn.Sequential
    factor: float
    pairs: list[tuple[int, int]]
    images: ContinuousImage
    size: int
    background: Any
    seen: dict[tuple[str, ...], list[Tensor]] = field(default_factory=dict)

    def errors(self, off: Sequence[str]) -> list[float]:
        """The signal-normalised error after every layer with a kernel, and of the output."""
        net = copy.deepcopy(self.net)
        if "rounding" in off:
            net.double()
        if "discretisation" in off:
            for layer in kernel_layers(net):
                layer.kernel = _EXACT
        layers = chain_of(net)
        apart = next((n for n, layer in enumerate(layers) if not layer.keeps_scale), len(layers))
        body, pool, window = nn.Sequential(*layers[:apart]), layers[apart:], self.net.window
        changing = tuple(source for source in off if source != "scale boundary" or body.across_scale)
        if changing not in self.seen:
            alone = {"sampling", "image boundary"} & set(off)  # then each channel has samples of its own
            whole = range(window.channels)
            runs = [self._run(body, window, channels, off) for channels in ([[n] for n in whole] if alone else [whole])]
            self.seen[changing] = [torch.cat(values, dim=2) for values in zip(*runs, strict=True)]
        rows = self.seen[changing]  # [images, feature, scale]
        before, after = ([pair[side] for pair in self.pairs] for side in (0, 1))
        count = len(rows[-1]) // 2
        every = [row.split([count, count, 1]) for row in rows]
        shared = [[part[:, :, at] for part, at in zip(row, (before, after, after), strict=True)] for row in every]
        if pool:
            seen = shared[-1] if "scale boundary" in off else every[-1]
            shared[-1] = [_pooled(pool, values, window) for values in seen]
        return [signal_normalised(*(values.flatten(1) for values in row)) for row in shared]

    @torch.no_grad()
    def _run(
        self, body: nn.Sequential, window: ScaleWindow, channels: Sequence[int], off: Sequence[str]
    ) -> list[Tensor]:
        """The centre of adjacent scale channels, `[images, scaled images and background; feature, scale]`, in float64.

        Behind every layer with a kernel, and behind the last one. What they look at of others is run with them.
        """
        across = min(body.across_scale, window.channels)
        start, stop = channels[0] - across, channels[-1] + across + 1
        if "scale boundary" not in off:
            start, stop = max(start, 0), min(stop, window.channels)
        near = replace(window, channels=stop - start, first=window.first + start)  # and beyond its ends
        finer = max(1.0, _FINE / near.sigmas[0]) if "sampling" in off else 1.0  # samples per pixel
        near = replace(near, sigma0=near.sigma0 * finer)
        half = (self.size - 1) / 2 * finer
        if "image boundary" in off:
            seen = needed_in_the_centre(body, (1, 1), near.sigmas)
            each = zip(seen.grids, seen.spacings, seen.sigmas, strict=True)
            ends = ((axis, spacing, sigma) for grid, spacing, sigma in each for axis in (grid.y, grid.x))
            half = max(half, *(-spacing * axis.first + _LIFTED * sigma for axis, spacing, sigma in ends))
        size = self.size + 2 * math.ceil(half - (self.size - 1) / 2)
        samples = [self.images.sample(size, size, factor=factor * finer) for factor in (1.0, self.factor)]
        both = torch.cat([*samples, torch.zeros_like(samples[0][:1])]).expand(-1, body[0].out_type.size, -1, -1)
        both = both + Background(self.background).constant(both)[:, None, None]
        here = [channel - start for channel in channels]
        values: list[Tensor] = []
        handles = [
            layer.register_forward_hook(lambda *call: values.append(_centre(call[-1], here)))
            for layer in kernel_layers(body)
        ]
        try:
            dtype = next((parameter.dtype for parameter in body.parameters()), both.dtype)
            canvas = body.canvas(Grids.of_pixels((size, size), near.sigmas))
            field = body(both.to(dtype), window=near, wanted=canvas.map(central))
            values.append(_centre(field, here))
        finally:
            for handle in handles:
                handle.remove()
        return values


def _centre(field: ScaleField, channels: Sequence[int]) -> Tensor:
    """`[batch, feature, scale]`: channels at the centre, in units of their σ₀: features of weight w times σ₀^w."""
    centres = field.crop(field.grids.map(central))
    weights = field.type.fibre.weights
    found = [centres.channel(n).mean((-2, -1)).double() for n in channels]
    sigmas = [field.grids.sigmas[n] for n in channels]
    return torch.stack(found, 2) * found[0].new_tensor([[sigma**weight for sigma in sigmas] for weight in weights])


def _pooled(layers: Sequence[nn.Layer], values: Tensor, window: ScaleWindow) -> Tensor:
    """`[batch, feature, scale]` through the pooling over scale, and whatever comes behind it."""
    field = ScaleField.of(values[..., None, None], layers[0].in_type, window.select(0, values.shape[2]))
    for layer in layers:
        field = layer(field)
    return field.tensor
