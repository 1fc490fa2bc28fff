"""Who is compared by `python -m benchmarks compare`: every network, made for the images of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from benchmarks.baselines import plain_cnn, riesz_net, scale_channel_cnn, steerable_cnn, steerable_hermite
from benchmarks.baselines.plain_cnn import three_halvings
from benchmarks.data import Source
from scalegroup import Max, Mean, Pooling, ScaleWindow
from scalegroup.models import PRESETS, gaussian_derivative_net, rotation_scale_net

WIDTHS = PRESETS["larger"].widths
PARAMETERS = 32642  # of our larger network: what "equal parameters" are equal to
_CHANNELS = (4, 8, 12)
_DROPPED = {"scale_dropout": 2}  # of our networks of several scale channels


@dataclass(frozen=True)
class Peer:
    """A network to be compared.

    Args:
        name: of its row.
        family: of those that are trained by one recipe.
        make: from the data set and widths to the network.
        widths: of the hidden layers.
        augmented: trained on images scaled at random.
        setting: what its name leaves open, for the results.
        trained_with: other parts, for `make`, of the network that is trained; costs are those of it without.
    """

    name: str
    family: str
    make: Callable[..., nn.Module]
    widths: tuple[int, ...] = WIDTHS
    augmented: bool = False
    setting: tuple[tuple[str, Any], ...] = ()
    trained_with: Mapping[str, Any] = field(default_factory=dict)

    def build(self, source: Source, *, narrow: bool = False, to_train: bool = False) -> nn.Module:
        """The network, with fresh weights; `narrow`: eight features in each of two hidden layers, to try it."""
        return self.make(source, (8, 8) if narrow else self.widths, **(self.trained_with if to_train else {}))


def windows(source: Source) -> dict[int, ScaleWindow]:
    """Windows of 4, 8 and 12 scale channels about the data's own: what is left out or added is at both ends."""
    own = source.window
    return {n: replace(own, first=own.first + (own.channels - n) // 2, channels=n) for n in _CHANNELS}


def _of(source: Source) -> dict[str, Any]:
    return {"in_channels": source.channels, "num_classes": source.classes}


def _plain(kernel_size: int) -> Callable[[Source, Sequence[int]], nn.Module]:
    def make(source: Source, widths: Sequence[int]) -> nn.Module:
        return plain_cnn(widths, kernel_size=kernel_size, downsample=three_halvings(widths), **_of(source))

    return make


def _steerable(order: int, *, reflections: bool = False) -> Callable[[Source, Sequence[int]], nn.Module]:
    def make(source: Source, widths: Sequence[int]) -> nn.Module:
        return steerable_cnn(order, widths, reflections=reflections, downsample=three_halvings(widths), **_of(source))

    return make


def _scale_channels(pooling: Pooling) -> Callable[[Source, Sequence[int]], nn.Module]:
    def make(source: Source, widths: Sequence[int]) -> nn.Module:
        return scale_channel_cnn(
            widths,
            downsample=(1,),
            pooling=pooling,
            scale_factors=source.sizes,
            view=source.unit,
            background=source.background,
            **_of(source),
        )

    return make


def _gaussian_derivative(preset: str) -> Callable[..., nn.Module]:
    def make(source: Source, widths: Sequence[int], **parts: Any) -> nn.Module:
        window = PRESETS[preset].window if preset == "single_scale" else source.window
        own = {"window": window, "boundary": source.boundary, **_of(source)}
        return gaussian_derivative_net(preset, widths=widths, **own, **parts)

    return make


def _rotation_scale(source: Source, widths: Sequence[int], **parts: Any) -> nn.Module:
    own = {"window": source.window, "boundary": source.boundary, **_of(source)}
    return rotation_scale_net(8, widths=widths, **own, **parts)


def _escnn() -> list[Peer]:
    """Of escnn's networks each at our widths and, to 4 % (in whole fields), at our number of parameters."""
    peers = []
    for name, order, reflections, widths in (
        ("escnn_trivial", 1, False, (10, 16, 21, 31, 42)),
        ("escnn_c4", 4, False, (24, 32, 44, 68, 88)),
        ("escnn_c8", 8, False, (32, 48, 64, 96, 128)),
        ("escnn_d4", 4, True, (32, 48, 64, 96, 128)),
    ):
        make = _steerable(order, reflections=reflections)
        peers += [Peer(name, "escnn", make), Peer(f"{name}_equal_parameters", "escnn", make, widths)]
    return peers


def all_peers() -> dict[str, Peer]:
    """By name, in the order of the table."""
    ours = "gaussian_derivative"
    peers = [
        Peer("gaussian_derivative_larger", ours, _gaussian_derivative("larger"), trained_with=_DROPPED),
        Peer(
            "gaussian_derivative_default",
            ours,
            _gaussian_derivative("multi_scale"),
            PRESETS["multi_scale"].widths,
            trained_with=_DROPPED,
        ),
        Peer(
            "gaussian_derivative_single_scale",
            ours,
            _gaussian_derivative("single_scale"),
            PRESETS["single_scale"].widths,
        ),
        Peer("rotation_scale", "rotation_scale", _rotation_scale, setting=(("order", 8),), trained_with=_DROPPED),
        Peer("plain_cnn_3x3", "plain_cnn", _plain(3)),
        Peer("plain_cnn_5x5", "plain_cnn", _plain(5)),
        Peer("plain_cnn_3x3_augmented", "plain_cnn_augmented", _plain(3), augmented=True),
        *_escnn(),
        Peer("scale_channel_cnn", "scale_channel_cnn", _scale_channels(Max()), setting=(("pooling", "max"),)),
        Peer(
            "scale_channel_cnn_average", "scale_channel_cnn", _scale_channels(Mean()), setting=(("pooling", "average"),)
        ),
        Peer("riesz", "riesz", lambda source, widths: riesz_net(widths, **_of(source)), (12, 16, 24, 32, 80)),
        Peer(
            "steerable_hermite",
            "steerable_hermite",
            lambda source, widths: steerable_hermite(widths, **_of(source)),
            (12, 16, 24, 32),
        ),
    ]
    return {peer.name: peer for peer in peers}
