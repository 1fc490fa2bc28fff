"""Pointwise non-linearities: they commute with scaling trivially (§4.3)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.layer import PerSample, check_map_type, check_permuted


class Pointwise(PerSample):
    """Any pointwise function of the values, a module's parameters included.

    Args:
        type: scalar features over scale and plane (a character's value may only be scaled, so its fibre is trivial), in
            fields that rotations permute where it says anything of rotations.
        function: a map of tensors that acts on each value alone, such as `torch.relu` or `torch.nn.SiLU()`.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> from scalegroup import ScaleField
    >>> tensor, window = torch.full((1, 1, 2, 3, 3), -2.0), ScaleWindow(ScaleGroup(2), 1.0, 2)
    >>> field = ScaleField.of(tensor, FieldType.scalars(1), window)
    >>> Pointwise(field.type, torch.square)(field).tensor.unique().tolist()
    [4.0]
    """

    def __init__(self, type: FieldType, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(check_permuted("type", check_map_type("type", type)), type.unsmoothed)
        self.function = function

    def _check_function(self, function: Any) -> Any:
        if not callable(function):
            raise ScaleGroupError(
                f"function {function!r}", expected="a map of tensors", mend="pass a function such as torch.relu"
            )
        return function

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return self.function(maps)

    def extra_repr(self) -> str:
        return f"{self.out_type.size} features, {getattr(self.function, '__name__', self.function)}"


class ReLU(Pointwise):
    """max(0, x), the paper's θ in eq 10."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, torch.relu)


class Identity(PerSample):
    """The field itself: the shortcut of a `Residual`."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(check_instance("type", type, FieldType, mend="leave nn.Lift out"), type)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return maps


class Subsample(PerSample):
    """Every second sample, from the centre on: the shortcut around a layer of stride 2.

    >>> from scalegroup import ScaleField, ScaleGroup, ScaleWindow
    >>> field = ScaleField.of(torch.rand(1, 1, 1, 9, 9), FieldType.scalars(1), ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> Subsample(field.type)(field).tensor.shape
    torch.Size([1, 1, 1, 5, 5])
    """

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, type, stride=2)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return maps[..., ::2, ::2]
