"""The networks for natural pictures: residual, with a part changed at a time, plain, and ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torchvision.transforms.v2 import Normalize

from benchmarks.baselines import resnet
from benchmarks.data import Source
from scalegroup import Jet, LogSumExp, Max, Mean, ScaleWindow, SpatialMax
from scalegroup.models import RESNET_PRESETS, GaussianDerivativeNet

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each image channel."""


@dataclass(frozen=True)
class Setup:
    """What all networks are made for.

    Args:
        source: the data.
        window: scale channels in training.
        dropped: how many of the finest are dropped at most, at random.
        moments: that images are normalised by.
        field_of_view: of ours with a read-out at the centre, in units of σ₀.
    """

    source: Source
    window: ScaleWindow
    dropped: int
    moments: Moments | None
    field_of_view: float


@dataclass(frozen=True)
class Entry:
    """A network of the table.

    Args:
        build: makes it.
        changes: of the images in training, beside those that all networks have.
    """

    build: Callable[[Setup], nn.Module]
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

    def __call__(self, setup: Setup) -> GaussianDerivativeNet:
        source, window = setup.source, setup.window
        own: dict[str, Any] = {"in_channels": source.channels, "num_classes": source.classes}
        own |= {"boundary": source.boundary, "window": window, "scale_dropout": setup.dropped, "pooling": _POOLING}
        if self.single:
            alone = ScaleWindow(window.group, sigma0=SINGLE_SIGMA, channels=1)
            own |= {"window": alone, "scale_dropout": 0}
        if setup.moments is not None:
            own["mean"], own["std"] = setup.moments
        seen = RESNET_PRESETS[self.preset].changed(field_of_view=setup.field_of_view)
        return GaussianDerivativeNet(seen.changed(**own | dict(self.parts)))


def ordinary(setup: Setup) -> nn.Module:
    """A ResNet of as many weights as the residual network has; it knows nothing of scale channels."""
    net = resnet(in_channels=setup.source.channels, num_classes=setup.source.classes)
    return net if setup.moments is None else nn.Sequential(Normalize(*setup.moments), net)


SINGLE_SIGMA = 0.5**0.5
"""σ₀ in pixels, of what is trained at size 1."""

_POOLING = LogSumExp()
"""On validation pictures it read more at the trained size than the maximum, and lost less at others than the mean."""

_PLAIN = {"residual": False, "widths": (18, 26, 38, 52, 68), "r": 1.25}  # of equal cost
_PAPER = {**_PLAIN, "jet": Jet(2)}  # whose layers (eq 10) have no zero-order term

NETWORKS: dict[str, Entry] = {
    "residual_multi_scale": Entry(Ours()),
    "plain_multi_scale": Entry(Ours(parts=_PAPER)),
    "residual_single_scale": Entry(Ours(single=True)),
    "resnet": Entry(ordinary),
    "resnet_augmented": Entry(ordinary, changes=("scale",)),
    "maximum_over_scale": Entry(Ours(parts={"pooling": Max()})),
    "mean_over_scale": Entry(Ours(parts={"pooling": Mean()})),
    "spatial_maximum": Entry(Ours(parts={"readout": SpatialMax()})),
    "order_3": Entry(Ours(parts={"jet": Jet(3, zero=True)})),
    "plain_zero_order": Entry(Ours(parts=_PLAIN)),
    "no_zero_order": Entry(Ours(parts={"jet": Jet(2)})),
    "across_scale": Entry(Ours(parts={"neighbours": 1})),
    "separable": Entry(Ours(preset="separable_small")),
}
"""The first five are the comparison; of the others each is `residual_multi_scale` with one part changed, but for
`plain_zero_order`, the plain network with the residual one's jets: which part is it that wins?"""
MAIN = tuple(NETWORKS)[:5]
