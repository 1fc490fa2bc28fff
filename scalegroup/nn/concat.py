"""Concatenations of branches."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from scalegroup.algebra.representation import Representation
from scalegroup.errors import ScaleGroupError
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.branches import Branches


class Concat(Branches):
    """The features of all branches, one after the other.

    >>> from scalegroup.nn import JetConv
    >>> type = FieldType.scalars(3)
    >>> Concat(JetConv(type, 5), JetConv(type, 2, beta=1.25)).out_type
    7 scalar feature(s) over scale and plane
    """

    def joined_type(self, types: Sequence[FieldType]) -> FieldType:
        axes = {(type.over_scale, type.over_plane, type.rotation is None) for type in types}
        if len(axes) > 1 or types[0].rotation is not None:
            raise ScaleGroupError(
                f"a concatenation of {list(types)}",
                expected="features over the same axes, of which nothing is said about rotations",
                mend="read out, and pool over scale and rotations, behind it",
            )
        fibre = reduce(Representation.__add__, [type.fibre for type in types])
        return FieldType(fibre, types[0].over_scale, types[0].over_plane)

    def join(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(maps), dim=1)
