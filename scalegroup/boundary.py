"""What an image is outside its border: strategies that extend it (extend once by the whole reach, then compute valid).

Reflect and replicate scale exactly when N' = S(N - 1) + 1. A background is an infinite constant world around the image;
it is the right choice wherever the value of the background is known. Plain zero padding is the trap: deeper in a
network it makes edges out of biases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError
from scalegroup.grid import Grid, pad


class Boundary(ABC):
    """How maps `[batch, channel, y, x]` continue outside the image."""

    @abstractmethod
    def split(self, images: Tensor) -> tuple[Tensor, Extension, Tensor | None]:
        """(rest, how the rest is extended, the constant `[channel]` with images = rest + constant, or None for 0)."""


class Extension(Boundary):
    """A boundary whose outside is made of the samples inside."""

    def split(self, images: Tensor) -> tuple[Tensor, Extension, Tensor | None]:
        """The images themselves, and no constant."""
        return images, self, None

    @abstractmethod
    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        """The index inside an axis of `size` samples that each position takes its value from; -1 where it is zero."""

    def extend(self, images: Tensor, held: Grid, wanted: Grid, radius: int) -> Tensor:
        """The samples within `radius` of the `wanted` ones, inside the image or not, from a tensor that holds `held`.

        `held` must contain all those that lie inside the image, which is how regions are planned; whatever an
        extension mirrors is among them.
        """
        inside = wanted.dilated(radius)
        maps = held.crop(images, inside)
        for dim, axis, part in ((-2, wanted.y, inside.y), (-1, wanted.x, inside.x)):
            positions = np.arange(axis.start - radius, axis.stop + radius)
            if len(positions) > part.length:
                index = torch.as_tensor(self.source(positions, axis.size) - part.start, device=maps.device)
                maps = maps.index_select(dim, index)
        return maps


@dataclass(frozen=True)
class Zero(Extension):
    """Zeros outside. Here as the control that covariance tests must catch, and to compare with others."""

    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        """See `Extension.source`."""
        return np.where((positions >= 0) & (positions < size), positions, -1)

    def extend(self, images: Tensor, held: Grid, wanted: Grid, radius: int) -> Tensor:
        """See `Extension.extend`; one padding does it."""
        y, x = wanted.y, wanted.x
        return pad(
            images,
            held.y.margins(y.start - radius, y.stop + radius),
            held.x.margins(x.start - radius, x.stop + radius),
        )


@dataclass(frozen=True)
class Replicate(Extension):
    """The nearest sample of the image."""

    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        """See `Extension.source`."""
        return np.clip(positions, 0, size - 1)


@dataclass(frozen=True)
class Reflect(Extension):
    """The mirror image about the border sample, folded again and again where the reach exceeds the image."""

    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        """See `Extension.source`."""
        period = max(2 * (size - 1), 1)
        folded = np.mod(positions, period)
        return np.minimum(folded, period - folded) if size > 1 else folded


@dataclass(frozen=True, eq=False)
class Background(Boundary):
    """An infinite constant world of the given value around the image.

    Args:
        value: the background, one number or one per channel (`[channel]` tensor).
    """

    value: float | Tensor

    def __post_init__(self) -> None:
        try:
            value = torch.as_tensor(self.value)
            unseen = torch.compiler.is_compiling() or value.is_meta  # numbers that cannot be looked at
            usable = value.ndim <= 1 and not value.is_complex() and (unseen or bool(value.isfinite().all()))
        except (TypeError, ValueError, RuntimeError):
            usable = False
        if not usable:
            raise ScaleGroupError(
                f"background {self.value!r}",
                expected="a finite number, or a tensor of one per channel",
                mend="pass the value of the world around the image",
            )

    def split(self, images: Tensor) -> tuple[Tensor, Extension, Tensor | None]:
        """What stands out from the background (zero outside), and the background."""
        constant = self.constant(images)
        return images - constant[:, None, None], Zero(), constant

    def constant(self, images: Tensor) -> Tensor:
        """The background as a `[channel]` tensor that fits the images.

        Raises:
            ScaleGroupError: if the value is neither one number nor one per channel.
        """
        channels = images.shape[1]
        value = torch.as_tensor(self.value, dtype=images.dtype, device=images.device)
        if value.ndim > 1 or (value.ndim == 1 and len(value) not in (1, channels)):
            raise ScaleGroupError(
                f"a background of shape {list(value.shape)} for {channels} channels",
                expected="one number, or one per channel",
                mend=f"pass a tensor of shape [{channels}]",
            )
        return value.expand(channels)
