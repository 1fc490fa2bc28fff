"""Several ends of one network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

from torch import nn

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grid, Grids
from scalegroup.nn.layer import Layer
from scalegroup.planning.plan import Step


class Heads(Layer):
    """Several read-outs of one field, by name: the last layer of a network, which then gives a dictionary.

    Args:
        heads: layers of one input type.

    Raises `ScaleGroupError` if there are none, or they do not take one type.

    >>> from scalegroup import FieldType
    >>> from scalegroup.nn import JetConv, ReadOut, Sequential
    >>> type = FieldType.scalars(8)
    >>> Heads(what=Sequential(JetConv(type, 10), ReadOut), pose=Sequential(JetConv(type, 2), ReadOut)).out_type
    {'what': 10 scalar feature(s) over scale, 'pose': 2 scalar feature(s) over scale}
    """

    def __init__(self, **heads: Layer) -> None:
        for head in heads.values() or (None,):
            check_instance("head", head, Layer, mend="pass layers by name: Heads(what=nn.Sequential(...))")
        first = next(iter(heads.values()))
        if any(head.in_type != first.in_type for head in heads.values()):
            raise ScaleGroupError(
                f"heads that take {[head.in_type for head in heads.values()]}",
                expected="one type",
                mend="build them for the same in_type",
            )
        types: Any = {name: head.out_type for name, head in heads.items()}
        super().__init__(first.in_type, types)
        self.heads = nn.ModuleDict(heads)

    def forward(self, field: ScaleField, *, wanted: Any = None) -> dict[str, Any]:
        """What each head gives: the samples `wanted` of it, or all that those of the field suffice for."""
        if wanted is None:
            return {name: head(field) for name, head in self.heads.items()}
        return {name: head.run(field, wanted[name]) for name, head in self._layers.items()}

    def run(self, field: ScaleField, wanted: Any) -> Any:
        """See `Layer`."""
        return self(field, wanted=wanted)

    def needs(self, wanted: Any, canvas: Grids) -> Grids:
        """The union of what the heads need."""
        needed = [head.needs(wanted[name], canvas) for name, head in self._layers.items()]
        return reduce(lambda a, b: a.combine(b, Grid.union), needed)

    def canvas(self, canvas: Grids) -> Any:
        """What each head's is."""
        return {name: head.canvas(canvas) for name, head in self._layers.items()}

    def steps(self, wanted: Any, canvas: Grids, name: str = "") -> Iterator[Step]:
        """See `Layer`."""
        for key, head in self._layers.items():
            yield from head.steps(wanted[key], canvas, f"{name or 'Heads'}.{key}.{type(head).__name__}")

    @property
    def across_scale(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as any head."""
        return max(head.across_scale for head in self._layers.values())

    @property
    def keeps_scale(self) -> bool:
        """Whether all heads do."""
        return all(head.keeps_scale for head in self._layers.values())

    @property
    def within(self) -> Sequence[Layer]:
        """The heads."""
        return list(self._layers.values())

    @property
    def _layers(self) -> dict[str, Layer]:
        return dict(self.heads.items())  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Nothing beside the heads."""
        return ""
