"""Pooling over scale by attention: a mean over scale whose weights are learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn

from scalegroup.constants import cast, working_dtype
from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.lifting import without_autocast
from scalegroup.fields.pooling import Pooling


@dataclass(frozen=True)
class Attention(Pooling):
    """Σᵢ aᵢxᵢ over scale channels i, a = softmaxᵢ(w·xᵢ) (Ilse et al. 2018, eq 7 and 8, with linear scores).

    Each scale channel gets a score, a learnt linear combination of its features, and the channels are averaged with the
    softmax of the scores. That does not depend on their order, as no pooling may. It begins as the mean, with w = 0. An
    offset of the scores would be the same for all channels, and cancel.

    Other than `Max()` it has weights, and is of use where there is a place for them: in `nn.ScalePool`, and so in an
    `Architecture`.

    Args:
        per_feature: whether each feature has scores of its own; else all have the same.

    Raises `ScaleGroupError` for another value; later, in `check` and `reduce`, where nothing can be learnt.

    >>> from scalegroup import Attention, FieldType, ScaleField, ScaleGroup, ScaleWindow, nn
    >>> tensor = torch.tensor([1., 3., 2.]).view(1, 1, 3, 1, 1)
    >>> field = ScaleField.of(tensor, FieldType.scalars(1), ScaleWindow(ScaleGroup(2), 1.0, 3))
    >>> nn.ScalePool(field.type, pooling=Attention())(field).tensor.item()
    2.0
    """

    per_feature: bool = False

    def __post_init__(self) -> None:
        check_instance("per_feature", self.per_feature, bool, mend="pass per_feature=True or per_feature=False")

    def of_type(self, type: FieldType) -> LearntAttention:
        """See `Pooling`. Raises `ScaleGroupError` for features that rotations mix: scores must not change with them."""
        if type.rotation is not None and type.rotation.orbits != tuple(range(type.size)):
            raise ScaleGroupError(
                f"{self!r} of {type!r}",
                expected="features that rotations leave alone",
                mend="put nn.RotationPool in front, or SteerableJetConv with trivial fields",
            )
        return LearntAttention(type.size, type.size if self.per_feature else 1)

    def check(self, channels: int) -> NoReturn:
        """Raise `ScaleGroupError`: here are no weights."""
        raise ScaleGroupError(
            f"{self!r} where nothing is learnt",
            expected="a pooling without weights",
            mend="pass Mean(), as which it begins; or use it in nn.ScalePool",
        )

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        """As `check`."""
        self.check(values.shape[dim])


class LearntAttention(nn.Module):
    """`Attention` with its weights.

    Attributes:
        weight: `[scores, features]`, one row for all features or one for each.
    """

    def __init__(self, features: int, scores: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(scores, features))

    def check(self, channels: int) -> None:
        """Any number of scale channels will do."""

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        """Of values `[batch, feature, …]`, with the axis kept at length one."""
        return attend(values, self.weight, dim)

    def extra_repr(self) -> str:
        return " × ".join(map(str, self.weight.shape))


def attend(values: Tensor, weight: Tensor, dim: int) -> Tensor:
    """Σ softmax(weight·values)·values along an axis, which is kept; of half precision in float32.

    Args:
        values: `[batch, feature, …]`.
        weight: `[1 or feature, feature]`.
        dim: of the sum; not the features'.
    """
    with without_autocast(values):
        exact = cast(values, working_dtype(values))
        scores = torch.einsum("sf,bf...->bs...", cast(weight, exact.dtype), exact)
        return cast((scores.softmax(dim) * exact).sum(dim, keepdim=True), values.dtype)
