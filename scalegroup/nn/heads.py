"""Several ends of one network."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from scalegroup.fields.field import ScaleField
from scalegroup.fields.grid import Grids
from scalegroup.nn.branches import Parallel, check_alike
from scalegroup.nn.layer import Layer


class Heads(Parallel):
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
        check_alike("head", list(heads.values()))
        types: Any = {name: head.out_type for name, head in heads.items()}
        super().__init__(next(iter(heads.values())).in_type, types)
        self.heads: Any = nn.ModuleDict(heads)

    def forward(self, field: ScaleField, *, wanted: Any = None) -> dict[str, Any]:
        """What each head gives: the samples `wanted` of it, or all that those of the field suffice for."""
        heads = self.heads.items()
        return {name: head(field) if wanted is None else head.run(field, wanted[name]) for name, head in heads}

    def of_each(self, wanted: Any) -> Iterable[tuple[str, Layer, Any]]:
        return [(f".{name}", head, wanted[name]) for name, head in self.heads.items()]

    def canvas(self, canvas: Grids) -> Any:
        return {name: head.canvas(canvas) for name, head in self.heads.items()}

    @property
    def within(self) -> Sequence[Layer]:
        return list(self.heads.values())
