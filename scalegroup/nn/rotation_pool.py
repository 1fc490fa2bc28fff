"""Pooling over rotations."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.nn.layer import Layer
from scalegroup.pooling import Max, Pooling


class RotationPool(Layer):
    """Pooling over the features of each field that rotations permute: the projection to trivial fields.

    Args:
        type: regular fields (or trivial ones, which stay).
        pooling: `Max()`, `Mean()`, `LogSumExp()` or `TopK(k)`.

    Raises:
        ScaleGroupError: for features that rotations do not permute.

    >>> from scalegroup import RotationGroup, ScaleGroup, ScaleWindow
    >>> type = FieldType.rotating(ScaleGroup(2), 3 * RotationGroup(4).regular)
    >>> field = ScaleField(torch.randn(2, 12, 1, 5, 5), type, ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> RotationPool(type)(field).tensor.shape
    torch.Size([2, 3, 1, 5, 5])
    """

    out_type: FieldType

    def __init__(self, type: FieldType, pooling: Pooling = Max()) -> None:  # noqa: B008
        rotation = getattr(type, "rotation", None)
        if rotation is None or any(set(kind.orbits or (0, 1)) != {0} for kind, _ in rotation.fields):
            raise ScaleGroupError(
                f"pooling over rotations of {type!r}",
                expected="fields whose features rotations permute among each other",
                mend="put SteerableJetConv with regular fields in front",
            )
        check_instance("pooling", pooling, Pooling, mend="pass one of scalegroup, such as Max()")
        pooled = FieldType.rotating(type.group, sum(n for _, n in rotation.fields) * rotation.group.trivial)
        super().__init__(type, replace(type, fibre=pooled.fibre, rotation=pooled.rotation))
        self.pooling = pooling
        self.sizes = [kind.dimension for kind, count in rotation.fields for _ in range(count)]

    def forward(self, field: ScaleField) -> ScaleField:
        """The pooled field."""
        self.check_input(field)
        background = None if field.background is None else self._reduce(field.background, 0)
        tensor = self._reduce(field.tensor, 1)
        return replace(field, tensor=tensor, type=self.out_type, exponents=(), background=background)

    def _reduce(self, values: Tensor, dim: int) -> Tensor:
        return torch.cat([self.pooling.reduce(part, dim) for part in values.split(self.sizes, dim)], dim)

    def extra_repr(self) -> str:
        """The types and the strategy."""
        return f"{super().extra_repr()}, {self.pooling!r}"
