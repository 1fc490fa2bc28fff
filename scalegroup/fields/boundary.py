"""What an image is outside its border: strategies that the lifting extends it with. No layer behind it knows of any.

Reflect and replicate scale exactly when N' = S(N - 1) + 1. A background is an infinite constant world around the image;
it is the right choice wherever the value of the background is known.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from scalegroup.constants import cast, constant_tensor
from scalegroup.errors import Refusing, ScaleGroupError


class Boundary(Refusing, ABC):
    """How an image continues outside its border."""

    is_constant = False
    """Whether the world outside is the same everywhere."""

    @abstractmethod
    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        """The pixel of an axis of `size` that each position takes its value from; -1 for what `constant` says."""

    def constant(self, images: Tensor) -> Tensor | None:
        """The world outside as a `[channel]` tensor that fits the images; None for zero."""
        return None

    def fold(self, positions: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
        """The matrix `[rows, size]` of weights `[rows, taps]` at positions that may lie outside the image.

        A constant world has no column: it is taken off the image before, and put back behind.
        """
        source = self.source(positions, size)
        matrix = np.zeros((len(positions), size))
        row, tap = np.nonzero(source >= 0)
        np.add.at(matrix, (row, source[row, tap]), weights[row, tap])
        return matrix


@dataclass(frozen=True)
class Zero(Boundary):
    """Zeros outside, an edge wherever the image is not zero there: here as the control that tests must catch."""

    is_constant = True

    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        return np.where((positions >= 0) & (positions < size), positions, -1)


@dataclass(frozen=True)
class Replicate(Boundary):
    """The nearest pixel of the image."""

    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        return np.clip(positions, 0, size - 1)


@dataclass(frozen=True)
class Reflect(Boundary):
    """The mirror image about the border pixel, folded again and again where the reach exceeds the image."""

    def source(self, positions: np.ndarray, size: int) -> np.ndarray:
        period = max(2 * (size - 1), 1)
        folded = np.mod(positions, period)
        return np.minimum(folded, period - folded) if size > 1 else folded


@dataclass(frozen=True)
class Background(Zero):
    """An infinite constant world of the given value around the image.

    Args:
        value: the background, one number or one per image channel.

    Raises `ScaleGroupError` if it is neither.

    >>> Background(torch.tensor([0.5, -1.0]))
    Background(value=(0.5, -1.0))
    """

    value: float | tuple[float, ...]

    def __post_init__(self) -> None:
        value = self.value.tolist() if isinstance(self.value, Tensor) else self.value
        try:
            several = isinstance(value, (tuple, list))
            value = tuple(map(float, value)) if several else float(value)  # type: ignore[arg-type]
            usable = bool(np.isfinite(value).all()) and np.size(value) > 0
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise ScaleGroupError(
                f"background {self.value!r}",
                expected="a finite number, or one per image channel",
                mend="pass the value of the world around the image",
            )
        object.__setattr__(self, "value", value)

    def constant(self, images: Tensor) -> Tensor:
        """See `Boundary`. Raises `ScaleGroupError` if the value is neither one number nor one per channel."""
        channels, values = images.shape[1], self.value if isinstance(self.value, tuple) else (self.value,)
        if len(values) not in (1, channels):
            raise ScaleGroupError(
                f"a background of {len(values)} values for {channels} channels",
                expected="one number, or one per channel",
                mend=f"pass a tensor of shape [{channels}]",
            )
        return cast(_world(values, like=images), images.dtype).expand(channels)


@constant_tensor
def _world(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values)
