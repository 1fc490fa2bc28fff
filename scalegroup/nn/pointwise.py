"""Pointwise non-linearities: they commute with scaling trivially (§4.3)."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError, can_be_looked_at, check_instance
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.layer import check_map_type, check_permuted
from scalegroup.nn.per_channel import PerSample


class Pointwise(PerSample):
    """Any pointwise function of the values, a module's parameters included.

    Args:
        type: scalar features over scale and plane (a character's value may only be scaled, so its fibre is trivial), in
            fields that rotations permute where it says anything of rotations.
        function: a map of tensors that acts on each value alone, such as `torch.relu` or `torch.nn.SiLU()`; when the
            layer is made, a few values are put through it, a module in training mode.

    Raises `ScaleGroupError` if the type is another one, or the function is none of that kind: it draws random numbers
    (`nn.Dropout` of this library is a layer), or looks at other values, or at places.

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
        if function is not torch.relu and not _is_pointwise(function, self.in_type.size):  # of most layers: known
            raise _no_pointwise(f"function {function!r}, which is not pointwise")
        return function

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return self.function(maps)

    def extra_repr(self) -> str:
        return f"{self.out_type.size} features, {getattr(self.function, '__name__', self.function)}"


def _no_pointwise(got: str) -> ScaleGroupError:
    return ScaleGroupError(
        got,
        expected="a map of tensors that acts on each value alone",
        mend="pass a function such as torch.relu; for others there are nn.Dropout, nn.BatchNorm and layers of your own",
    )


@torch.no_grad()
def _is_pointwise(function: Callable[..., Any], features: int) -> bool:
    """Whether it gives the same for the same values: twice, moved elsewhere, and where half of the others change.

    Each feature may have a function of its own, as `torch.nn.PReLU(features)` has. Raises `ScaleGroupError` if the
    function does not take maps, or gives no others like them.
    """
    place: dict[str, Any] = {"device": "cpu"}
    if isinstance(function, nn.Module):
        first = next(function.parameters(), None)
        place = place if first is None else {"device": first.device, "dtype": first.dtype}
        function = copy.deepcopy(function).train()
    size, shape = 324 * features, (4, features, 9, 9)  # odd sides: a neighbour of any kind is among the others
    probe = torch.linspace(-2, 2, size, **place).view(shape)
    stay = (torch.arange(size, device=probe.device) % 2 == 0).view(shape)
    moved = {"shifts": (1, 2, 3), "dims": (0, 2, 3)}
    try:
        with torch.random.fork_rng(devices=[]):
            here, again, elsewhere, beside = (
                function(maps.clone())
                for maps in (probe, probe, probe.roll(**moved), torch.where(stay, probe, 1 - 3 * probe))
            )
            if (here.shape, here.dtype) != (probe.shape, probe.dtype):
                raise _no_pointwise(f"function {function!r}, which gives {list(here.shape)} of {here.dtype}")
    except ScaleGroupError:
        raise
    except Exception as error:
        raise _no_pointwise(f"function {function!r} ({error})") from error
    pairs = [(here, again), (here.roll(**moved), elsewhere), (here[stay], beside[stay])]
    return not can_be_looked_at(here) or all(torch.allclose(a, b, rtol=1e-3, equal_nan=True) for a, b in pairs)


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
        super().__init__(check_instance("type", type, FieldType, mend="leave nn.Lift out"), type, stride=2)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return maps[..., ::2, ::2]
