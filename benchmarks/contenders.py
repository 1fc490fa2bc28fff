"""Who is compared by `python -m benchmarks speed`: every network, with the setting that its rows carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.data import BACKGROUND
from benchmarks.timing import Forward
from benchmarks.yardsticks import DenseLayer, JetLayer, JetNetwork, TextbookLayer
from scalegroup import Background, ScaleWindow
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net, plain_cnn, steerable_cnn
from scalegroup.nn import JetConv

GRID_SIGMAS = (1.0, 2**0.5, 2.0, None)
FINEST = 1.0  # dense kernels are measured in scale channels up to this σ₀
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def call(net: nn.Module, images: Tensor) -> Tensor:
    """The network, called."""
    return net(images)


def plain_path(net: nn.Module, images: Tensor) -> Tensor:
    """A Gaussian derivative network without its plan."""
    return cast("GaussianDerivativeNet", net).dense(images).tensor.flatten(1)


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


def planned(window: ScaleWindow, widths: Sequence[int], min_grid_sigma: float | None) -> Contender:
    """Our network on its plan."""
    strides = "no strides" if min_grid_sigma is None else f"min_grid_sigma {min_grid_sigma:.4g}"
    build = partial(
        gaussian_derivative_net,
        "larger",
        window=window,
        widths=tuple(widths),
        boundary=Background(BACKGROUND),
        min_grid_sigma=min_grid_sigma,
    )
    layer = next(layer for layer in build().layers if isinstance(layer, JetConv))
    setting = {
        "widths": list(widths),
        "sigma0": list(window.sigmas),
        "min_grid_sigma": min_grid_sigma,
        "kernel": repr(layer.kernel),
        "boundary": f"Background({BACKGROUND:.6g})",
    }
    return Contender(f"planned, {strides}", build, setting)


def all_planned(window: ScaleWindow, widths: Sequence[int]) -> list[Contender]:
    """(a): at every `min_grid_sigma`."""
    return [planned(window, widths, least) for least in GRID_SIGMAS]


def plain_cnns(widths: Sequence[int]) -> list[Contender]:
    """(e): ordinary CNNs, each in both memory formats."""
    return [
        Contender(
            f"CNN {size}×{size}, {name}",
            partial(plain_cnn, tuple(widths), kernel_size=size),
            {"widths": list(widths), "kernel": f"{size}×{size}", "boundary": "zero", "memory_format": name},
        )
        for size in (3, 5)
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
    """(d): our plan and dense kernels for the same one scale channel, for every channel that those fit."""
    for n, sigma0 in enumerate(window.sigmas):
        if sigma0 <= FINEST * (1 + 1e-9):
            alone = window.select(n, n + 1)
            yield planned(alone, widths, 1.0), _yardstick("dense kernels", DenseLayer, alone, widths)


def on_accelerators(window: ScaleWindow, widths: Sequence[int]) -> list[Contender]:
    """Half precision and compilation, of our network and of the ordinary CNN."""
    ours, cnn = planned(window, widths, 1.0), plain_cnns(widths)[1]
    return [
        change
        for one in (ours, cnn)
        for change in (
            replace(one, name=f"{one.name}, bfloat16", forward=bfloat16),
            replace(one, name=f"{one.name}, compiled", compiled=True),
            replace(one, name=f"{one.name}, bfloat16, compiled", forward=bfloat16, compiled=True),
        )
    ]


def without_plan(window: ScaleWindow, widths: Sequence[int]) -> Contender:
    """(b): layer by layer on whole fields."""
    return replace(planned(window, widths, None), name="plain path", forward=plain_path, slow=True)


def _yardstick(name: str, layer: type[JetLayer], window: ScaleWindow, widths: Sequence[int]) -> Contender:
    setting = {
        "widths": list(widths),
        "sigma0": list(window.sigmas),
        "kernel": f"discrete Gaussian cut at {layer.radius:g}σ",
        "boundary": "zero",
        "memory_format": "contiguous",
    }
    return Contender(name, partial(JetNetwork, layer, window, tuple(widths)), setting, slow=True)
