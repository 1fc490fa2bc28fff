"""Pooling over rotations."""

from dataclasses import replace

import torch
from torch import Tensor

from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.pooling import Max, Pooling
from scalegroup.nn.per_channel import PerSample


class RotationPool(PerSample):
    """Pooling over the features of each field that rotations permute: the projection to trivial fields.

    Args:
        type: regular fields (or trivial ones, which stay).
        pooling: `Max()`, `Mean()`, `LogSumExp()` or `TopK(k)`.

    Raises `ScaleGroupError` for features that rotations do not permute, or of which so few cannot be pooled.

    >>> from scalegroup import RotationGroup, ScaleField, ScaleGroup, ScaleWindow
    >>> type = FieldType.rotating(3 * RotationGroup(4).regular)
    >>> field = ScaleField.of(torch.randn(2, 12, 1, 5, 5), type, ScaleWindow(ScaleGroup(2), 1.0, 1))
    >>> RotationPool(type)(field).tensor.shape
    torch.Size([2, 3, 1, 5, 5])
    """

    def __init__(self, type: FieldType, pooling: Pooling = Max()) -> None:  # noqa: B008
        rotation = getattr(type, "rotation", None)
        if rotation is None or any(set(kind.orbits or (0, 1)) != {0} for kind, _ in rotation.fields):
            raise ScaleGroupError(
                f"pooling over rotations of {type!r}",
                expected="fields whose features rotations permute among each other",
                mend="put SteerableJetConv with regular fields in front",
            )
        check_instance("pooling", pooling, Pooling, mend="pass one of scalegroup, such as Max()")
        pooled = FieldType.rotating(sum(n for _, n in rotation.fields) * rotation.group.trivial)
        super().__init__(type, replace(type.unsmoothed, fibre=pooled.fibre, rotation=pooled.rotation))
        self.pooling = pooling
        self.sizes = [kind.dimension for kind, count in rotation.fields for _ in range(count)]
        for size in self.sizes:
            pooling.check(size)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return torch.cat([self.pooling.reduce(part, 1) for part in maps.split(self.sizes, 1)], 1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.pooling!r}"
