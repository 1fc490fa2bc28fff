"""What modules give: class scores, maps, or fields over scale and plane; and where scaling moves their samples."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scalegroup.algebra.group import GroupElement
from scalegroup.errors import Refusing, ScaleGroupError, check_finite, check_instance
from scalegroup.fields.axis import Axis
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grids
from scalegroup.testing.precision import full_precision

Pairs = list[tuple[int, int]]
"""(before, after) of two things that are compared."""


@dataclass(frozen=True)
class OutputType(Refusing):
    """What the axes of a module's output are; `b c scale y x` in full, axes that it lacks left out.

    Args:
        name: what it is called.
        axes: separated by spaces.
        weight: w, where scaling by S multiplies values by S^(-w) as well; derivatives of order w that are not
            scale-normalised have this weight.
    """

    name: str
    axes: str
    weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("name", "axes"):
            check_instance(name, getattr(self, name), str, mend="take one of OUTPUT_TYPES")
        check_finite("weight", self.weight)

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
"""By name: what `check_module(output=)` and the command take."""


def output_type(name: str, *, weight: float = 0.0) -> OutputType:
    """The type of a name, with a weight. Raises `ScaleGroupError` for another name."""
    if name not in OUTPUT_TYPES:
        raise ScaleGroupError(f"output {name!r}", expected=f"one of {', '.join(OUTPUT_TYPES)}", mend="choose one")
    return replace(OUTPUT_TYPES[name], weight=check_finite("weight", weight))


def owner_of(module: Callable[[Tensor], Any]) -> Any:
    """The module itself, or that of a bound method such as net.scale_logits, or of partial(net.field, pooled=False)."""
    owner = getattr(module, "func", module)
    return getattr(owner, "__self__", owner)


def place_of(module: Callable[[Tensor], Any]) -> tuple[torch.dtype, torch.device]:
    """Where the module computes, by its parameters, or else by its buffers of real numbers."""
    owner = owner_of(module)
    held = chain(owner.parameters(), owner.buffers()) if isinstance(owner, nn.Module) else ()
    first = next((tensor for tensor in held if tensor.is_floating_point()), None)
    return (torch.float64, torch.device("cpu")) if first is None else (first.dtype, first.device)


def run_module(
    module: Callable[[Tensor], Any], images: Tensor, output: OutputType | None
) -> tuple[list[Float[Tensor, "b c y x"]], ScaleField | OutputType]:
    """The output in float64, one tensor for each scale channel, and what it is.

    Raises:
        ScaleGroupError: if it is neither a field nor a tensor of numbers with the axes of an output type, of as many
            images.
    """
    with torch.no_grad(), full_precision():
        try:
            result = module(images)
        except Exception as error:  # it is the module's own, and is to be seen as it is
            error.add_note(f"in the module that was checked, given images {list(images.shape)} of {images.dtype}")
            error.of_the_checked_module = True  # type: ignore[attr-defined]
            raise
    if isinstance(result, ScaleField):
        factors = [result.window.group.factor(-exponent) for exponent in result.exponents]
        weights = torch.tensor(factors, dtype=torch.float64, device=images.device)[:, None, None]
        return [result.channel(n).double() * weights for n in range(len(result.grids.grids))], result
    shape = list(result.shape) if isinstance(result, Tensor) else []
    kind = output or next((kind for kind in OUTPUT_TYPES.values() if len(shape) == len(kind.axes.split())), None)
    if kind is None or shape[:1] != [len(images)] or result.is_complex():
        raise ScaleGroupError(
            f"an output of shape {shape}, {result.dtype}" if shape else f"an output of type {type(result).__name__}",
            expected=f"a field, or a real tensor of two axes (class scores) to five (fields), for {len(images)} images",
            mend="wrap the module so that it gives one of these",
        )
    return list(kind.unfold(result).double().unbind(2)), kind


def has_scale(kind: ScaleField | OutputType) -> bool:
    """Whether scale channels are apart in an output."""
    return kind.type.over_scale if isinstance(kind, ScaleField) else "scale" in kind.axes.split()


def names_of(kind: ScaleField | OutputType, channels: int) -> list[str]:
    """Of the scale channels; one name where they are not apart."""
    if not has_scale(kind):
        return ["pooled over scale" if isinstance(kind, ScaleField) else kind.name]
    sigmas = kind.window.sigmas if isinstance(kind, ScaleField) else ()
    return [f"σ₀ {sigma:.3g}" for sigma in sigmas] or [f"channel {n}" for n in range(channels)]


def transformed(
    maps: list[Float[Tensor, "b c y x"]], kind: ScaleField | OutputType, element: GroupElement
) -> list[Float[Tensor, "b c y x"]]:
    """What a feature of some weight w becomes when the picture is scaled: it takes the factor S^(-w)."""
    if isinstance(kind, ScaleField):
        factors = kind.type.fibre.matrix(element).diagonal().to(maps[0].device)[:, None, None]
    else:
        factors = element.scale_factor**-kind.weight
    return [part * factors for part in maps]


@dataclass(frozen=True)
class Match:
    """The samples of one scale channel that scaling sends to those of another.

    Args:
        before: position of the one channel.
        after: of the other.
        y: (index before, index after) of the rows.
        x: and of the columns.
    """

    before: int
    after: int
    y: Pairs
    x: Pairs

    def of(self, original: list[Tensor], scaled: list[Tensor]) -> tuple[Tensor, Tensor]:
        """These samples of two outputs, `[b, c, y, x]` each."""
        (rows, below), (columns, beside) = zip(*self.y, strict=True), zip(*self.x, strict=True)
        one, other = original[self.before], scaled[self.after]
        return one[:, :, rows][..., columns], other[:, :, below][..., beside]

    def behind(self, grids: Grids, onto: Grids) -> "Match":
        """The samples after scaling, as far as other grids have some at the same places: where these are."""
        one = self.after
        there = map(dict, moved_samples(grids, one, onto, one, onto.spacings[one] / grids.spacings[one]))
        pairs = zip((self.y, self.x), there, strict=True)
        return Match(one, one, *([(at[n], at[n]) for _, n in along if n in at] for along, at in pairs))


def matches(
    original: ScaleField | OutputType,
    scaled: ScaleField | OutputType,
    outputs: list[Tensor],
    element: GroupElement,
    across: int = 0,
) -> list[Match]:
    """One for each scale channel that scaling sends to another one, the finest first.

    Args:
        original: what a module gives for pictures.
        scaled: and for the scaled ones: the same, unless its scale channels were moved with the pictures.
        outputs: for the scaled ones.
        element: the scaling.
        across: how many neighbours a scale channel looks at: as many at the ends lack some, and are left out.

    Raises:
        ScaleGroupError: if there is none.
    """
    shift = 0
    if has_scale(scaled):
        own = isinstance(scaled, ScaleField)
        shift = element.as_element_of(scaled.window.group).power if own else element.power
    one, other, factor = grids_of(outputs, original), grids_of(outputs, scaled), element.scale_factor
    whole = range(across, len(outputs) - across)
    pairs = [(n, n + shift) for n in whole if n + shift in whole]
    found = [Match(n, m, *moved_samples(one, n, other, m, factor)) for n, m in pairs]
    if not all([found, *(match.y and match.x for match in found)]):
        raise ScaleGroupError(
            f"outputs of shape {list(outputs[0].shape[1:])} (feature, y, x) in {len(outputs)} scale channel(s) under "
            f"scaling by {factor:g}",
            expected="a sample and a scale channel that scaling sends to another",
            mend="use a smaller factor, more scale channels, or an image size that gives maps of odd size",
        )
    return found


def grids_of(channels: list[Tensor], kind: ScaleField | OutputType) -> Grids:
    """Where the samples lie; tensors, and what has been read out of the plane, are taken for pixels."""
    if isinstance(kind, ScaleField) and kind.type.over_plane:
        return kind.grids
    rows, columns = channels[0].shape[-2:]
    return Grids.of_pixels((rows, columns), (1.0,) * len(channels))


def moved_samples(one: Grids, before: int, other: Grids, after: int, factor: float) -> tuple[Pairs, Pairs]:
    """On both axes, (index before, index after) of the samples that scaling sends from one channel to another's."""
    ratio = factor * one.spacings[before] / other.spacings[after]  # 1 on self-similar grids

    def of(axis: Axis, onto: Axis) -> Pairs:
        targets = [(n, ratio * position - onto.first) for n, position in enumerate(axis.positions)]
        return [(n, round(t)) for n, t in targets if abs(t - round(t)) < 1e-9 and 0 <= round(t) < onto.length]

    seen, shown = one.grids[before], other.grids[after]
    return of(seen.y, shown.y), of(seen.x, shown.x)
