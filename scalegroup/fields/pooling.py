"""Pooling over scale: permutation-invariant reductions of the scale axis (§4.4), as strategy objects.

A permutation-invariant reduction is the projection of the regular representation onto the trivial one: a scaling only
moves the values along the scale axis (eq 22 and 23).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scalegroup.errors import Refusing, ScaleGroupError, check_integer, check_positive
from scalegroup.fields.field_type import FieldType


class Pooling(Refusing, ABC):
    """A permutation-invariant reduction of one axis."""

    def check(self, channels: int) -> None:
        """Raise `ScaleGroupError` if so few scale channels cannot be pooled."""

    def of_type(self, type: FieldType) -> Any:
        """What has `check` and `reduce` for values `[batch, feature, …]` of that type: itself, or a module that learns.

        Only `nn.ScalePool` has a place for weights.
        """
        return self

    @abstractmethod
    def reduce(self, values: Tensor, dim: int) -> Tensor:
        """The reduced values, with the axis kept at length one."""


@dataclass(frozen=True)
class Max(Pooling):
    """The supremum over scale (eq 21), the paper's.

    >>> Max().reduce(torch.tensor([1., 3., 2.]), 0)
    tensor([3.])
    """

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        return values.amax(dim, keepdim=True)


@dataclass(frozen=True)
class Mean(Pooling):
    """The average over scale.

    >>> Mean().reduce(torch.tensor([1., 3., 2.]), 0)
    tensor([2.])
    """

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        return values.mean(dim, keepdim=True)


@dataclass(frozen=True)
class LogSumExp(Pooling):
    """A soft maximum, t·log mean exp(values/t), between the mean (t → ∞) and the maximum (t → 0).

    Args:
        temperature: t > 0, in the unit of the values.

    >>> LogSumExp().reduce(torch.tensor([2., 2.]), 0)
    tensor([2.])
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", check_positive("temperature", self.temperature))

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        total = torch.logsumexp(values / self.temperature, dim, keepdim=True)
        return self.temperature * (total - math.log(values.shape[dim]))


@dataclass(frozen=True)
class TopK(Pooling):
    """The mean of the k largest values.

    Args:
        k: how many; no more than there are scale channels.

    >>> TopK(2).reduce(torch.tensor([1., 3., 2.]), 0)
    tensor([2.5000])
    """

    k: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_integer("k", self.k, at_least=1))

    def check(self, channels: int) -> None:
        """Raise `ScaleGroupError` if there are fewer than k scale channels."""
        if channels < self.k:
            raise ScaleGroupError(
                f"{channels} scale channels",
                expected=f"at least k = {self.k}",
                mend="pool fewer (TopK with a smaller k), lift with more scale channels, or train with more of them",
            )

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        self.check(values.shape[dim])
        return values.topk(self.k, dim=dim).values.mean(dim, keepdim=True)
