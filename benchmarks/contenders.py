"""Who is compared by `python -m benchmarks speed`: every network, with the setting that its rows carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.baselines import plain_cnn, steerable_cnn
from benchmarks.baselines.plain_cnn import three_halvings
from benchmarks.data import BACKGROUND
from benchmarks.steps import Forward, call
from benchmarks.yardsticks import DenseLayer, JetLayer, JetNetwork, TextbookLayer
from scalegroup import SAMPLES_PER_SIGMA, Background, ScaleWindow
from scalegroup.models import PRESETS, GaussianDerivativeNet

DENSITIES = (0.5, SAMPLES_PER_SIGMA, 1.0)
OURS = f"ours, g {SAMPLES_PER_SIGMA:.3g}"
"""The name of our network as it is by default."""

FINEST = 1.0  # dense kernels are measured in scale channels up to this σ₀
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def bfloat16(net: nn.Module, images: Tensor) -> Tensor:
    """Under autocast."""
    with torch.autocast(images.device.type, torch.bfloat16):
        return net(images)


@dataclass(frozen=True)
class Contender:
    """A network to be timed.

    Args:
        name: of its rows, unique in a section.
        build: makes it.
        setting: all that the name leaves open.
        forward: how it is called.
        compiled: call it through `torch.compile`.
        slow: it gets few repeats.
    """

    name: str
    build: Callable[[], nn.Module]
    setting: dict[str, Any]
    forward: Forward = call
    compiled: bool = False
    slow: bool = False

    @property
    def channels_last(self) -> bool:
        """Whether it takes weights and images in that format."""
        return self.setting.get("memory_format") == "channels-last"


def ours(window: ScaleWindow, widths: Sequence[int], samples_per_sigma: float = SAMPLES_PER_SIGMA) -> Contender:
    """Our network on self-similar grids."""
    name = f"ours, g {samples_per_sigma:.3g}"
    return _gaussian_derivative(name, window, widths, samples_per_sigma=samples_per_sigma)


def at_all_densities(window: ScaleWindow, widths: Sequence[int]) -> list[Contender]:
    """(a): our networks at every number of samples per σ₀."""
    return [ours(window, widths, g) for g in DENSITIES]


def grid_image(window: ScaleWindow, widths: Sequence[int]) -> Contender:
    """(b): the same network on the image's own pixels in every scale channel."""
    return replace(_gaussian_derivative("grid image", window, widths, grid="image"), slow=True)


def plain_cnns(widths: Sequence[int]) -> list[Contender]:
    """(e): ordinary CNNs, each in both memory formats; the last halves its maps three times."""
    halvings = list(three_halvings(widths))
    return [
        Contender(
            f"{what} {size}×{size}, {name}",
            partial(plain_cnn, tuple(widths), kernel_size=size, downsample=downsample),
            {"widths": list(widths), "kernel": f"{size}×{size}", "boundary": "zero", "memory_format": name}
            | {"downsample": downsample},
        )
        for what, size, downsample in (("CNN", 3, []), ("CNN", 5, []), ("halved CNN", 3, halvings))
        for name in FORMATS
    ]


def steerable_cnns(widths: Sequence[int], *, equal_fields: bool) -> list[Contender]:
    """(f): networks of escnn of equal width, and one of C8 of as many fields as the widths say."""
    sizes = [(order, list(widths), "equal width") for order in (1, 4, 8)]
    if equal_fields:
        sizes.append((8, [8 * width for width in widths], "equal fields"))
    return [
        Contender(
            f"escnn C{order}, {what}",
            partial(steerable_cnn, order, features, kernel_size=5),
            {
                "widths": features,
                "fields": [width // order for width in features],
                "kernel": "5×5",
                "boundary": "zero",
                "memory_format": "contiguous",
            },
            slow=what == "equal fields",
        )
        for order, features, what in sizes
    ]


def textbook(window: ScaleWindow, widths: Sequence[int]) -> Contender:
    """(c): every scale channel at full resolution, five maps."""
    return _yardstick("textbook", TextbookLayer, window, widths)


def one_channel(window: ScaleWindow, widths: Sequence[int]) -> Iterator[tuple[Contender, Contender]]:
    """(d): our network and dense kernels for the same one scale channel, for every channel that those fit."""
    for n, sigma0 in enumerate(window.sigmas):
        if sigma0 <= FINEST * (1 + 1e-9):
            alone = window.select(n, n + 1)
            yield ours(alone, widths), _yardstick("dense kernels", DenseLayer, alone, widths)


def on_accelerators(window: ScaleWindow, widths: Sequence[int]) -> list[Contender]:
    """Half precision and compilation, of our network and of the ordinary CNN."""
    return [
        change
        for one in (ours(window, widths), plain_cnns(widths)[1])
        for change in (
            replace(one, name=f"{one.name}, bfloat16", forward=bfloat16),
            replace(one, name=f"{one.name}, compiled", compiled=True),
            replace(one, name=f"{one.name}, bfloat16, compiled", forward=bfloat16, compiled=True),
        )
    ]


def _gaussian_derivative(name: str, window: ScaleWindow, widths: Sequence[int], **parts: Any) -> Contender:
    around = Background(BACKGROUND)
    architecture = PRESETS["larger"].changed(window=window, widths=tuple(widths), boundary=around, **parts)
    setting = {
        "widths": list(widths),
        "sigma0": list(window.sigmas),
        "grid": architecture.grid,
        "samples_per_sigma": architecture.samples_per_sigma,
        "min_grid_sigma": architecture.min_grid_sigma,
        "kernel": repr(architecture.kernel),
        "boundary": f"Background({BACKGROUND:.6g})",
    }
    return Contender(name, partial(GaussianDerivativeNet, architecture), setting)


def _yardstick(name: str, layer: type[JetLayer], window: ScaleWindow, widths: Sequence[int]) -> Contender:
    setting = {
        "widths": list(widths),
        "sigma0": list(window.sigmas),
        "kernel": f"discrete Gaussian cut at {layer.radius:g}σ",
        "boundary": "zero",
        "memory_format": "contiguous",
    }
    return Contender(name, partial(JetNetwork, layer, window, tuple(widths)), setting, slow=True)
