"""Layers side by side, and branches from one field that are put together again."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.channels import folded
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.nn.layer import Layer
from scalegroup.planning.plan import Step


class Parallel(Layer):
    """Layers side by side on one field: what `Branches` and `Heads` share."""

    @abstractmethod
    def of_each(self, wanted: Any) -> Iterable[tuple[str, Layer, Any]]:
        """Each layer with its name in a plan and what is wanted of it."""

    def run(self, field: Any, wanted: Any) -> Any:
        self.check_input(field)
        needed = field.crop(self.needs(wanted, field.grids.canvas()))
        return self(needed.with_live(None), wanted=wanted)

    def needs(self, wanted: Any, canvas: Grids) -> Grids:
        """The union of what the layers need."""
        needed = [layer.needs(part, canvas) for _, layer, part in self.of_each(wanted)]
        return reduce(Grids.union, needed)

    def steps(self, wanted: Any, canvas: Grids, name: str = "", live: Grids | None = None) -> Iterator[Step]:
        for key, layer, part in self.of_each(wanted):
            yield from layer.steps(part, canvas, f"{name or type(self).__name__}{key}.{type(layer).__name__}")

    @property
    def across_scale(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as any of the layers."""
        return max(layer.across_scale for layer in self.within)


def check_alike(name: str, layers: Sequence[Any]) -> None:
    """Raise `ScaleGroupError` unless these are layers, one or more, of one input type."""
    for layer in layers or (None,):
        check_instance(name, layer, Layer, mend="pass layers: nn.JetConv(type, 16)")
    if any(layer.in_type != layers[0].in_type for layer in layers):
        raise ScaleGroupError(
            f"{name} types {[layer.in_type for layer in layers]}",
            expected="one type",
            mend="build them for the same in_type",
        )


class Branches(Parallel):
    """Layers side by side, from one field to the samples that all of them give.

    Args:
        branches: layers of one input type.

    Raises `ScaleGroupError` if there are none, or they do not fit together.
    """

    def __init__(self, *branches: Layer) -> None:
        check_alike("branch", branches)
        super().__init__(branches[0].in_type, self.joined_type([branch.out_type for branch in branches]))
        self.branches: Any = nn.ModuleList(branches)

    @abstractmethod
    def joined_type(self, types: Sequence[FieldType]) -> FieldType:
        """What is given, where the branches give these; raises `ScaleGroupError` where they do not fit."""

    @abstractmethod
    def join(self, maps: Sequence[Tensor]) -> Tensor:
        """The maps `[n, feature, y, x]` of all branches, put together."""

    def forward(self, field: ScaleField, *, wanted: Grids | None = None) -> ScaleField:
        """See `Layer`; or the samples `wanted` alone."""
        given = [branch(field) if wanted is None else branch.run(field, wanted) for branch in self.within]
        fields = shared_samples(given)
        maps = tuple(self.join(parts) for parts in zip(*(part.maps for part in fields), strict=True))
        return replace(fields[0], maps=maps, type=self.out_type)

    def of_each(self, wanted: Grids) -> Iterable[tuple[str, Layer, Grids]]:
        return [(f"[{number}]", branch, wanted) for number, branch in enumerate(self.within)]

    def live(self, live: Grids) -> Grids | None:
        """The union of what is live of the branches."""
        seen = [part for branch in self.within if (part := branch.live(live)) is not None]
        return reduce(Grids.union, seen) if len(seen) == len(self.within) else None

    def canvas(self, canvas: Grids) -> Grids:
        """See `Layer`. Raises `ScaleGroupError` if the branches sample it differently."""
        first, *others = (branch.canvas(canvas) for branch in self.within)
        if any(other != first for other in others):
            raise ScaleGroupError(
                f"branches of {type(self).__name__} on different grids",
                expected="one sampling behind all of them",
                mend="put nn.Subsample into those without a stride",
            )
        return first

    @property
    def within(self) -> Sequence[Layer]:
        return list(self.branches)


def shared_samples(fields: Sequence[ScaleField]) -> list[ScaleField]:
    """The fields on the samples that all of them hold, in the same runs.

    Raises `ScaleGroupError` if they have other scale channels or images, or no sample in common.
    """
    first, *others = fields
    grids = first.grids
    for other in others:
        if (other.window, other.grids.size, other.grids.sigmas) != (first.window, grids.size, grids.sigmas):
            raise ScaleGroupError(
                f"{other!r} beside {first!r}", expected="fields of one image", mend="branch from one field"
            )
        grids = grids.intersection(other.grids)
    cropped = [field.crop(grids) for field in fields]
    if len({field.counts for field in cropped}) > 1:  # not all came from channels that were alike
        channels = range(len(grids.grids))
        return [replace(field, maps=folded([field.channel(n) for n in channels], grids)) for field in cropped]
    return cropped
