"""Branches from one field that are put together again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce

from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.field import ScaleField, shared_samples
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grid, Grids
from scalegroup.nn.layer import Layer
from scalegroup.planning.plan import Step


class Branches(Layer):
    """Layers side by side, from one field to the samples that all of them give.

    Args:
        branches: layers of one input type.

    Raises:
        ScaleGroupError: if there are none, or they do not fit together.
    """

    def __init__(self, *branches: Layer) -> None:
        for branch in branches or (None,):
            check_instance("branch", branch, Layer, mend="pass layers: nn.JetConv(type, 16)")
        if any(branch.in_type != branches[0].in_type for branch in branches):
            raise ScaleGroupError(
                f"branches that take {[branch.in_type for branch in branches]}",
                expected="one type",
                mend="build them for the same in_type",
            )
        super().__init__(branches[0].in_type, self.joined_type([branch.out_type for branch in branches]))
        self.branches = nn.ModuleList(branches)

    @abstractmethod
    def joined_type(self, types: Sequence[FieldType]) -> FieldType:
        """What is given, where the branches give these; raises `ScaleGroupError` where they do not fit."""

    @abstractmethod
    def join(self, maps: Sequence[Tensor]) -> Tensor:
        """The maps `[n, feature, y, x]` of all branches, put together."""

    def forward(self, field: ScaleField) -> ScaleField:
        """See `Layer`."""
        fields = shared_samples([branch(field) for branch in self.within])
        maps = tuple(self.join(parts) for parts in zip(*(part.maps for part in fields), strict=True))
        return replace(fields[0], maps=maps, type=self.out_type)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The union of what the branches need."""
        needed = [branch.needs(wanted, canvas) for branch in self.within]
        return reduce(lambda a, b: a.combine(b, Grid.union), needed)

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

    def steps(self, wanted: Grids, canvas: Grids, name: str = "") -> Iterator[Step]:
        """See `Layer`."""
        for number, branch in enumerate(self.within):
            inner = f"{name or type(self).__name__}[{number}].{type(branch).__name__}"
            yield from branch.steps(wanted, canvas, inner)

    @property
    def across_scale(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as any branch."""
        return max(branch.across_scale for branch in self.within)

    @property
    def within(self) -> Sequence[Layer]:
        """The branches."""
        return list(self.branches)  # type: ignore[arg-type]
