"""Where an equivariance error comes from: the observed error of a network, split by source, after each of its layers.

The sources are switched off one after another, each on top of those before it. What the error falls by is that
source's part (a part may be negative, where two errors had cancelled); with what is left at the end, the parts add up
to the error observed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scalegroup import nn
from scalegroup.boundary import Background
from scalegroup.errors import ScaleGroupError, check_instance, check_integer
from scalegroup.field import ScaleField, join
from scalegroup.group import GroupElement
from scalegroup.kernels import SampledDerivatives
from scalegroup.readout import CentrePixel
from scalegroup.testing.closed_form import ContinuousImage
from scalegroup.testing.equivariance import object_images, signal_normalised
from scalegroup.window import ScaleWindow

_NO_TAIL = 1e-6  # truncation is off
_REACH = 4.0  # the boundary is off: the canvas holds this many σ of all layers together, to each side
_SUSPECT = 0.05  # of the signal: less than this left over is no cause for alarm
_FINE = 3.0  # aliasing is off: σ₀ is at least this many samples, of the closed form


@dataclass(frozen=True)
class Setting:
    """Which sources of error are still on: everything that can be idealised about a run of a network."""

    rounding: bool = True
    resampling: bool = True
    truncation: bool = True
    image_boundary: bool = True
    scale_boundary: bool = True
    discretisation: bool = True
    activation_aliasing: bool = True


SOURCES = tuple(Setting.__dataclass_fields__)
"""In the order in which they are switched off."""


@dataclass(frozen=True)
class ErrorBudget:
    """What `error_budget` measured.

    Args:
        factor: S.
        layers: names of the rows: every 2-jet layer, and the network's output ("pooled" where that is over scale).
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
        lines = [f"error budget for scaling by {self.factor:.4g}, in percent of the signal"]
        lines.append(" ".join([" " * first, *(head.rjust(width) for head, width in zip(heads, widths, strict=True))]))
        for layer, total, row in zip(self.layers, self.observed, self.parts, strict=True):
            cells = (f"{100 * value:.3f}".rjust(width) for value, width in zip((total, *row), widths, strict=True))
            lines.append(" ".join([layer.ljust(first), *cells]))
        if self.parts[-1][-1] > max(self.observed[-1], _SUSPECT) / 2:
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


def error_budget(
    net: nn.Sequential,
    element: GroupElement,
    images: ContinuousImage | None = None,
    *,
    size: int = 129,
    background: float | Tensor | None = None,
) -> ErrorBudget:
    """Split the equivariance error of a network by source, layer by layer, at the centre pixel.

    The last row is the network's output: as its read-out and its pooling give it, or at the centre of its maps.

    | source | switched off by |
    |---|---|
    | rounding | float64 |
    | resampling | no strides |
    | truncation | kernels cut at a mass of 1e-6 |
    | image boundary | a canvas that holds 4σ of all layers together |
    | scale boundary | pooling over the channels that scaling sends to each other (only a pooled row has any) |
    | discretisation | sampled Gaussian derivatives, exponentially exact from σ = 1 |
    | activation aliasing | images sampled so finely that σ₀ ≥ 3 samples (below σ = 1 some discretisation counts here) |

    Args:
        net: from images to class scores, maps or fields; run in evaluation mode, on the CPU, as a copy.
        element: the scaling.
        images: with a closed form; default four `object_images`.
        size: rows and columns of the canvas.
        background: the value around the objects, or one per image channel; default the network's own, or 0.

    Raises:
        ScaleGroupError: if the network is none of this library, has 2-jet layers behind its read-out, or scaling sends
            no scale channel of it to another.

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
    window = net.lift.window
    pairs = moved_channels(window, element)
    if not pairs:
        raise ScaleGroupError(
            f"a network with {window!r} under scaling by {element.scale_factor:g}",
            expected="a channel that scaling sends to another",
            mend="use more scale channels or a smaller factor",
        )
    if any(isinstance(layer, nn.JetConv) for layer in _joint(net)):
        raise ScaleGroupError(
            "a network with 2-jet layers behind its read-out",
            expected="layers whose centre pixel the read-out keeps",
            mend="leave the dense read-out out, or put it last",
        )
    if images is None:
        images = object_images(size, element.scale_factor, count=4)
    check_instance("images", images, ContinuousImage, mend="pass a mixture of blobs, say: object_images(size, factor)")
    if background is None:
        background = 0.0 if net.lift.background is None else net.lift.background
    bench = _Bench(copy.deepcopy(net).cpu().eval(), element.scale_factor, pairs, images, size, background)
    setting = Setting()
    errors = [bench.errors(setting)]
    for source in SOURCES:
        setting = replace(setting, **{source: False})
        errors.append(bench.errors(setting))
    falls = [[a - b for a, b in zip(before, after, strict=True)] for before, after in pairwise(errors)]
    depth = len(errors[0]) - 1
    return ErrorBudget(
        factor=element.scale_factor,
        layers=(*(f"layer {n + 1}" for n in range(depth)), "pooled" if _is_pooled(net) else "output"),
        sources=(*(source.replace("_", " ") for source in SOURCES), "left over"),
        parts=tuple(zip(*falls, errors[-1], strict=True)),
    )


def moved_channels(window: ScaleWindow, element: GroupElement) -> list[tuple[int, int]]:
    """The pairs (before, after) of positions in a window of the channels that a scaling sends to each other.

    Raises:
        ScaleGroupError: if the window's group does not hold the scaling.
    """
    shift = element.as_element_of(window.group).power
    return [(n, n + shift) for n in range(window.channels) if 0 <= n + shift < window.channels]


def _joint(net: nn.Sequential) -> list[nn.Layer]:
    """The layers that see all scale channels together: those behind `net.apart`."""
    return list(net.layers)[1 + len(net.apart) :]  # type: ignore[return-value]


def _is_pooled(net: nn.Sequential) -> bool:
    return any(isinstance(layer, nn.ScalePool) for layer in _joint(net))


@dataclass(frozen=True)
class _Bench:
    """One network and one pair of images, to be run under one setting after another."""

    net: nn.Sequential
    factor: float
    pairs: list[tuple[int, int]]
    images: ContinuousImage
    size: int
    background: float | Tensor

    def errors(self, setting: Setting) -> list[float]:
        """The signal-normalised error after every 2-jet layer, and of the output."""
        net = self._idealised(setting)
        window = self.net.lift.window
        runs = [
            [self._run(net, window.select(n, n + 1), scaling, setting) for n in range(window.channels)]
            for scaling in (1.0, self.factor, None)
        ]  # [original, scaled, blank][channel][layer]
        before, after = zip(*self.pairs, strict=True)
        shared = (before, after, after)
        everything = [range(window.channels)] * 3
        layers = [_joined(runs, depth, shared) for depth in range(len(runs[0][0]) - 1)]
        output = _joined(runs, -1, everything if _is_pooled(net) and setting.scale_boundary else shared)
        for layer in _joint(net):
            output = [layer(field) for field in output]
        return [signal_normalised(*(field.tensor.flatten(1) for field in fields)) for fields in (*layers, output)]

    def _idealised(self, setting: Setting) -> nn.Sequential:
        net = copy.deepcopy(self.net)
        for layer in net.layers:
            if isinstance(layer, nn.JetConv):
                tail = layer.kernel.tail if setting.truncation else _NO_TAIL
                layer.kernel = (
                    replace(layer.kernel, tail=tail) if setting.discretisation else SampledDerivatives(tail=tail)
                )
        if not setting.resampling:
            net.min_grid_sigma = None
        return net if setting.rounding else net.double()

    @torch.no_grad()
    def _run(
        self, net: nn.Sequential, window: ScaleWindow, scaling: float | None, setting: Setting
    ) -> list[ScaleField]:
        """One scale channel's centre after every 2-jet layer, and behind the last of the layers that run apart."""
        (sigma0,) = window.sigmas_on(spacing=net.lift.spacing)
        finer = 1.0 if setting.activation_aliasing else max(1.0, _FINE / sigma0)  # samples per pixel
        half = (self.size - 1) / 2
        if not setting.image_boundary:
            betas = [layer.beta for layer in net.layers if isinstance(layer, nn.JetConv)]
            half = max(half, _REACH * sigma0 * math.hypot(*betas))
        size = 2 * math.ceil(half * finer) + 1
        net.lift.window = replace(window, sigma0=window.sigma0 * finer)
        net.lift.margin = math.ceil(self.net.lift.margin * finer)
        if scaling is None:
            samples = torch.zeros(1, 1, size, size, dtype=torch.float64)
        else:
            samples = self.images.sample(size, size, factor=scaling * finer)
        samples = samples.expand(-1, net.lift.in_type.channels, -1, -1)
        samples = samples + Background(self.background).constant(samples)[:, None, None]
        dtype = next((parameter.dtype for parameter in net.parameters()), samples.dtype)
        layers, stages = (net.lift, *net.apart), net.stages(samples.to(dtype))
        centres = [(layer, _centre(field)) for layer, (field,) in zip(layers, stages, strict=True)]
        return [*(centre for layer, centre in centres if isinstance(layer, nn.JetConv)), centres[-1][1]]


def _joined(runs: list[list[list[ScaleField]]], depth: int, channels: Sequence[Sequence[int]]) -> list[ScaleField]:
    """Of every run, the given channels at one depth, as one field."""
    return [join([run[n][depth] for n in of_run]) for run, of_run in zip(runs, channels, strict=True)]


def _centre(field: ScaleField) -> ScaleField:
    """The field at the centre alone, in float64; what has been read out of the plane is there already."""
    centre = field.held.crop(field.tensor, field.held.around(0.5))
    return replace(field, tensor=CentrePixel().reduce(centre).double(), grid=None, background=None)
