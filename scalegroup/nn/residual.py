"""Residual blocks."""

from scalegroup.errors import check_instance
from scalegroup.nn.add import Add
from scalegroup.nn.layer import Layer
from scalegroup.nn.pointwise import Identity


class Residual(Add):
    """body(x) + shortcut(x), where the plan gives the body the surroundings that it needs.

    Args:
        body: a layer, mostly an `nn.Sequential`.
        shortcut: a layer; default the identity, for a body that keeps the type and the grids.

    >>> from scalegroup import FieldType
    >>> from scalegroup.nn import BatchNorm, JetConv, Sequential
    >>> type = FieldType.scalars(8)
    >>> block = Residual(Sequential(JetConv(type, 8), BatchNorm))
    >>> block.out_type == type
    True
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        check_instance("body", body, Layer, mend="pass a layer, such as nn.Sequential(...)")
        super().__init__(body, shortcut or Identity(body.in_type))
