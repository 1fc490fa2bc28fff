"""Images brought to mean 0 and deviation 1 by numbers that are known before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from scalegroup.constants import cast, constant_tensor
from scalegroup.errors import ScaleGroupError, check_finite, check_positive
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.layer import check_map_type
from scalegroup.nn.per_channel import PerSample


class Normalise(PerSample):
    """(x - mean) / std, feature by feature, with fixed numbers: of the images that a network is trained on.

    Right behind `nn.Lift` it is the same as normalising the images, and the background of a `Background(value)` with
    them, since the kernel of the lifting has unit mass (to 1e-8 where its tails go on in a mirrored image): the network
    takes images, and the boundary its value, as they are. The numbers are settings and not in `state_dict`.

    Args:
        type: scalar features over scale and plane, of which nothing is said about rotations.
        mean: one finite number, or one per feature.
        std: the same, > 0.

    Raises `ScaleGroupError` if the type or the numbers cannot be used.

    >>> import torch
    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.full((1, 2, 5, 5), 0.5), ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> layer = Normalise(field.type, mean=(0.5, 0.25), std=(0.5, 0.125))
    >>> layer(field).tensor[0, :, 0, 2, 2].round(decimals=4).abs().tolist()
    [0.0, 2.0]
    """

    def __init__(self, type: FieldType, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__(check_map_type("type", type), type)
        if type.rotation is not None:
            raise ScaleGroupError(
                f"type {type!r}", expected="features that rotations leave alone", mend="put it right behind nn.Lift"
            )
        self.mean = _each("mean", mean, type.size, check_finite)
        self.std = _each("std", std, type.size, check_positive)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return cast((maps - _column(self.mean, like=maps)) / _column(self.std, like=maps), maps.dtype)

    def extra_repr(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{super().extra_repr()}, mean=({mean}), std=({std})"


@constant_tensor
def _column(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values)[:, None, None]


def _each(name: str, values: Any, size: int, check: Callable[[str, Any], float]) -> tuple[float, ...]:
    """One number per feature, or a `ScaleGroupError`."""
    several = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else (values,) * size
    if len(several) != size:
        raise ScaleGroupError(
            f"{name} of {len(several)} numbers", expected=f"one number, or one per feature: {size}", mend="pass so many"
        )
    return tuple(check(name, value) for value in several)
