"""Sums of branches."""

from collections.abc import Sequence

from torch import Tensor

from scalegroup.errors import ScaleGroupError
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.branches import Branches


class Add(Branches):
    """The sum of what the branches give.

    >>> from scalegroup.nn import JetConv
    >>> type = FieldType.scalars(3)
    >>> Add(JetConv(type, 5), JetConv(type, 5, beta=1.25)).out_type
    5 scalar feature(s) over scale and plane
    """

    def joined_type(self, types: Sequence[FieldType]) -> FieldType:
        if any(type.unsmoothed != types[0].unsmoothed for type in types):
            raise ScaleGroupError(
                f"a sum of {list(types)}", expected="one type", mend="put nn.Mix into the shortcut to change its width"
            )
        return types[0].unsmoothed

    def join(self, maps: Sequence[Tensor]) -> Tensor:
        return sum(maps[1:], start=maps[0])
