"""What modules give: class scores, maps, or fields over scale and plane; and where scaling moves their samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scalegroup.algebra.group import GroupElement
from scalegroup.errors import ScaleGroupError
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Axis, Grids

Pairs = list[tuple[int, int]]
"""(before, after) of two things that are compared."""


@dataclass(frozen=True)
class OutputType:
    """What the axes of a module's output are; `b c scale y x` in full, axes that it lacks left out."""

    name: str
    axes: str

    def unfold(self, output: Tensor) -> Float[Tensor, "b c scale y x"]:
        """The output with all five axes, those that it lacks of length one."""
        if output.ndim != len(self.axes.split()):
            raise ScaleGroupError(
                f"an output of shape {list(output.shape)}",
                expected=f"{self.name}: axes [{self.axes}]",
                mend="give the output type that the module has, or leave it to be found from the shape",
            )
        all_axes = ("b", "c", "scale", "y", "x")
        full = " ".join(axis if axis in self.axes.split() else "1" for axis in all_axes)
        return rearrange(output, f"{self.axes} -> {full}")


SCORES = OutputType("class scores", "b c")
SCALE_SCORES = OutputType("class scores of every scale channel", "b c scale")
MAPS = OutputType("maps", "b c y x")
FIELDS = OutputType("fields over scale and plane", "b c scale y x")
OUTPUT_TYPES = {"scores": SCORES, "scale_scores": SCALE_SCORES, "maps": MAPS, "fields": FIELDS}


def place_of(module: Callable[[Tensor], Any]) -> tuple[torch.dtype, torch.device]:
    """Where the module computes, by its parameters."""
    owner = getattr(module, "func", module)  # of a partial one such as partial(net.field, pooled=False)
    owner = getattr(owner, "__self__", owner)  # of a bound method such as net.scale_logits
    first = next(owner.parameters(), None) if isinstance(owner, nn.Module) else None
    return (torch.float64, torch.device("cpu")) if first is None else (first.dtype, first.device)


def run_module(
    module: Callable[[Tensor], Any], images: Tensor, output: OutputType | None
) -> tuple[list[Float[Tensor, "b c y x"]], ScaleField | OutputType]:
    """The output in float64, one tensor for each scale channel, and what it is.

    Raises:
        ScaleGroupError: if it is neither a field nor a tensor with the axes of an output type.
    """
    with torch.no_grad():
        result = module(images)
    if isinstance(result, ScaleField):
        factors = [result.window.group.factor(-exponent) for exponent in result.exponents]
        weights = torch.tensor(factors, dtype=torch.float64, device=images.device)[:, None, None]
        return [result.channel(n).double() * weights for n in range(len(result.grids.grids))], result
    axes = getattr(result, "ndim", None)
    kind = output or next((kind for kind in OUTPUT_TYPES.values() if axes == len(kind.axes.split())), None)
    if kind is None or axes is None:
        raise ScaleGroupError(
            f"an output of shape {list(getattr(result, 'shape', []))} ({type(result).__name__})",
            expected="a field, or a tensor of two axes (class scores) to five (fields)",
            mend="wrap the module so that it gives one of these",
        )
    return list(kind.unfold(result).double().unbind(2)), kind


def scale_shift(kind: ScaleField | OutputType, element: GroupElement, channels: int) -> tuple[int, list[str]]:
    """By how many channels the scaling moves the scale axis, and the channels' names."""
    if isinstance(kind, ScaleField):
        if not kind.type.over_scale:
            return 0, ["pooled over scale"]
        names = [f"σ₀ {sigma:.3g}" for sigma in kind.window.sigmas]
        return element.as_element_of(kind.window.group).power, names
    if "scale" not in kind.axes.split():
        return 0, [kind.name]
    return element.power, [f"channel {n}" for n in range(channels)]


def grids_of(channels: list[Tensor], kind: ScaleField | OutputType) -> Grids:
    """Where the samples lie; tensors, and what has been read out of the plane, are taken for pixels."""
    if isinstance(kind, ScaleField) and kind.type.over_plane:
        return kind.grids
    rows, columns = channels[0].shape[-2:]
    return Grids.of_pixels((rows, columns), (1.0,) * len(channels))


def moved_samples(grids: Grids, before: int, after: int, factor: float) -> tuple[Pairs, Pairs]:
    """On both axes, (index before, index after) of the samples that scaling sends from one channel to another's."""
    ratio = factor * grids.spacings[before] / grids.spacings[after]  # 1 on self-similar grids

    def of(one: Axis, other: Axis) -> Pairs:
        targets = [(n, ratio * position - other.first) for n, position in enumerate(one.positions)]
        return [(n, round(t)) for n, t in targets if abs(t - round(t)) < 1e-9 and 0 <= round(t) < other.length]

    one, other = grids.grids[before], grids.grids[after]
    return of(one.y, other.y), of(one.x, other.x)
