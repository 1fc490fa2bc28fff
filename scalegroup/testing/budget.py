"""Where an equivariance error comes from: the observed error of a network, split by source, after each of its layers.

The sources are switched off one after another, each on top of those before it. What the error falls by is that
source's part (a part may be negative, where two errors had cancelled); with what is left at the end, the parts add up
to the error observed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scalegroup import nn
from scalegroup.errors import ScaleGroupError, check_instance, check_integer
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
        layers: names of the rows: every 2-jet layer, and the scores pooled over scale.
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
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.set(ylabel="error, as a fraction of the signal", title=f"error budget for scaling by {self.factor:.4g}")
        axes.tick_params("x", rotation=30)
        axes.legend(fontsize="small", frameon=False)


def error_budget(
    net: nn.Sequential,
    element: GroupElement,
    images: ContinuousImage | None = None,
    *,
    size: int = 129,
    background: float | None = None,
) -> ErrorBudget:
    """Split the equivariance error of a network at the centre pixel by source, layer by layer.

    | source | switched off by |
    |---|---|
    | rounding | float64 |
    | resampling | no strides |
    | truncation | kernels cut at a mass of 1e-6 |
    | image boundary | a canvas that holds 4σ of all layers together |
    | scale boundary | pooling over the channels that scaling sends to each other (only the last row has any) |
    | discretisation | sampled Gaussian derivatives, exponentially exact from σ = 1 |
    | activation aliasing | images sampled so finely that σ₀ ≥ 3 samples (below σ = 1 some discretisation counts here) |

    Args:
        net: from images to class scores; run in evaluation mode, on the CPU, as a copy.
        element: the scaling.
        images: with a closed form; default four `object_images`.
        size: rows and columns of the canvas.
        background: the value around the objects; default the network's own, or 0.

    Raises:
        ScaleGroupError: if the network is none of this library, or scaling sends no channel of it to another.

    >>> from scalegroup import Background, ScaleGroup, ScaleWindow
    >>> from scalegroup.models import gaussian_derivative_net
    >>> window = ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=3)
    >>> net = gaussian_derivative_net(window=window, widths=(3,), boundary=Background(0.0))
    >>> budget = error_budget(net, window.group.element(1), size=65)
    >>> budget.layers
    ('layer 1', 'layer 2', 'pooled')
    """
    check_instance("net", net, nn.Sequential, mend="a budget needs to see the layers: pass the scalegroup network")
    check_integer("size", size, at_least=1)
    window = net.lift.window
    shift = element.as_element_of(window.group).power
    if window.overlap(window.transform(window.group.element(shift))) is None or not _is_classifier(net):
        raise ScaleGroupError(
            f"a network with {window!r} under scaling by {element.scale_factor:g}",
            expected="scores pooled over scale, and a channel that scaling sends to another",
            mend="use more scale channels or a smaller factor, and end the network with nn.ReadOut and nn.ScalePool",
        )
    if images is None:
        images = object_images(size, element.scale_factor, count=4)
    if background is None:
        background = float(net.lift.background or 0.0)
    bench = _Bench(copy.deepcopy(net).cpu().eval(), element.scale_factor, shift, images, size, background)
    setting = Setting()
    errors = [bench.errors(setting)]
    for source in SOURCES:
        setting = replace(setting, **{source: False})
        errors.append(bench.errors(setting))
    falls = [[a - b for a, b in zip(before, after, strict=True)] for before, after in pairwise(errors)]
    depth = len(errors[0]) - 1
    return ErrorBudget(
        factor=element.scale_factor,
        layers=(*(f"layer {n + 1}" for n in range(depth)), "pooled"),
        sources=(*(source.replace("_", " ") for source in SOURCES), "left over"),
        parts=tuple(zip(*falls, errors[-1], strict=True)),
    )


def _is_classifier(net: nn.Sequential) -> bool:
    return not (net.out_type.over_scale or net.out_type.over_plane)


@dataclass(frozen=True)
class _Bench:
    """One network and one pair of images, to be run under one setting after another."""

    net: nn.Sequential
    factor: float
    shift: int
    images: ContinuousImage
    size: int
    background: float

    def errors(self, setting: Setting) -> list[float]:
        """The signal-normalised error after every 2-jet layer, and of the pooled scores."""
        net = self._idealised(setting)
        window = self.net.lift.window
        runs = [
            [list(self._run(net, window.select(n, n + 1), scaling, setting)) for n in range(window.channels)]
            for scaling in (1.0, self.factor, None)
        ]  # [original, scaled, blank][channel][layer]
        pairs = [(n, n + self.shift) for n in range(window.channels) if 0 <= n + self.shift < window.channels]
        errors = []
        for depth in range(len(runs[0][0])):
            original = torch.cat([runs[0][before][depth] for before, _ in pairs], dim=1)
            scaled, blank = (torch.cat([run[after][depth] for _, after in pairs], dim=1) for run in runs[1:])
            errors.append(signal_normalised(original, scaled, blank))
        everything = range(window.channels)
        before, after = (everything, everything) if setting.scale_boundary else zip(*pairs, strict=True)
        pooled = [
            self._pool(torch.stack([run[channel][-1] for channel in channels], dim=2))
            for run, channels in zip(runs, (before, after, after), strict=True)
        ]
        return [*errors, signal_normalised(*pooled)]

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
    ) -> Iterator[Tensor]:
        """The centre `[batch, features]` after every 2-jet layer, in one scale channel."""
        (sigma0,) = window.sigmas
        finer = 1.0 if setting.activation_aliasing else max(1.0, _FINE / sigma0)  # samples per pixel
        half = (self.size - 1) / 2
        if not setting.image_boundary:
            betas = [layer.beta for layer in net.layers if isinstance(layer, nn.JetConv)]
            half = max(half, _REACH * sigma0 * math.hypot(*betas))
        size = 2 * math.ceil(half * finer) + 1
        net.lift.window = replace(window, sigma0=window.sigma0 * finer)
        if scaling is None:
            samples = torch.zeros(1, 1, size, size, dtype=torch.float64)
        else:
            samples = self.images.sample(size, size, factor=scaling * finer)
        dtype = next(net.parameters()).dtype
        samples = (samples + self.background).to(dtype).expand(-1, net.lift.in_type.channels, -1, -1)
        _, *stages = net.stages(samples)
        for layer, (field,) in zip(net.apart, stages, strict=True):
            if isinstance(layer, nn.JetConv):
                centre = field.held.crop(field.tensor, field.held.around(0.5))
                yield CentrePixel().reduce(centre).flatten(1).double()

    def _pool(self, scores: Tensor) -> Tensor:
        """`[batch, classes, scale]` to `[batch, classes]`, by the network's own pooling."""
        pool = next(layer for layer in self.net.layers if isinstance(layer, nn.ScalePool))
        return pool.pooling.reduce(scores, 2).squeeze(2)
