"""The networks for natural pictures: residual, with a part changed at a time, plain, and ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.baselines import resnet
from benchmarks.data import Source
from scalegroup import Jet, Mean, ScaleWindow, SpatialMax
from scalegroup.models import RESNET_PRESETS, Architecture, GaussianDerivativeNet

Build = Callable[[Source, ScaleWindow, int], nn.Module]
"""From data, scale channels and how many of the finest are dropped in training."""


@dataclass(frozen=True)
class Entry:
    """A network of the table.

    Args:
        build: makes it.
        changes: of the images in training, beside those that all networks have.
    """

    build: Build
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ours:
    """A Gaussian derivative network.

    Args:
        preset: of `gaussian_derivative_resnet`.
        parts: of its architecture, in place of the preset's.
        single: in one scale channel, that of `SINGLE_SIGMA`.
    """

    preset: str = "small"
    parts: Mapping[str, Any] = field(default_factory=dict)
    single: bool = False

    def __call__(self, source: Source, window: ScaleWindow, dropped: int) -> GaussianDerivativeNet:
        return GaussianDerivativeNet(self.architecture(source, window, dropped))

    def architecture(self, source: Source, window: ScaleWindow, dropped: int) -> Architecture:
        """Of the network, for the channels, classes and surroundings of the data."""
        own: dict[str, Any] = {"in_channels": source.channels, "num_classes": source.classes}
        own |= {"boundary": source.boundary, "window": window, "scale_dropout": dropped}
        if self.single:
            alone = ScaleWindow(window.group, sigma0=SINGLE_SIGMA, channels=1)
            own |= {"window": alone, "scale_dropout": 0}
        if moments := source.moments([1.0]):
            own["mean"], own["std"] = moments
        return RESNET_PRESETS[self.preset].changed(**own | dict(self.parts))


class Normalised(nn.Module):
    """A network of normalised images."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self.net((images - self.mean) / self.std)


def ordinary(source: Source, _window: ScaleWindow, _dropped: int) -> nn.Module:
    """A ResNet of as many weights as the residual network has; it knows nothing of scale channels."""
    net = resnet(in_channels=source.channels, num_classes=source.classes)
    moments = source.moments([1.0])
    return Normalised(net, *moments) if moments else net


SINGLE_SIGMA = 0.5**0.5
"""σ₀ in pixels, of what is trained at size 1."""

_PLAIN = {"residual": False, "widths": (20, 28, 40, 56, 72), "r": 1.25}  # of equal cost

NETWORKS: dict[str, Entry] = {
    "residual_multi_scale": Entry(Ours()),
    "plain_multi_scale": Entry(Ours(parts=_PLAIN)),
    "residual_single_scale": Entry(Ours(single=True)),
    "resnet": Entry(ordinary),
    "resnet_augmented": Entry(ordinary, changes=("scale",)),
    "mean_over_scale": Entry(Ours(parts={"pooling": Mean()})),
    "spatial_maximum": Entry(Ours(parts={"readout": SpatialMax()})),
    "order_3": Entry(Ours(parts={"jet": Jet(3)})),
    "zero_order": Entry(Ours(parts={"jet": Jet(2, zero=True)})),
    "across_scale": Entry(Ours(parts={"neighbours": 1})),
    "separable": Entry(Ours(preset="separable_small")),
}
"""The first five are the comparison; of the others each is `residual_multi_scale` with one part changed."""
MAIN = tuple(NETWORKS)[:5]
