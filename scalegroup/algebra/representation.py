"""How fibres transform with scale: direct sums of characters of integer weight.

A character of weight w sends a scaling by S to the factor S^(-w): the values of an un-normalised derivative of order w
are such a fibre, those of a scale-normalised one are trivial (w = 0). A tuple of weights is therefore a complete
description, on {γ^i} for every γ, and all laws are laws of integers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.algebra.group import GroupElement
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_integer

MOST_FEATURES = 2**16
"""Of a field, or channels of an image."""


@dataclass(frozen=True)
class Representation(Refusing):
    """A direct sum of characters of the scalings; `weights[n]` is the homogeneity weight of the n-th dimension.

    Raises `ScaleGroupError` if there is no weight, or one is no integer.

    >>> from scalegroup import ScaleGroup
    >>> gradient = character(1) + character(1)
    >>> gradient
    a 2-dimensional representation with weights (1, 1)
    >>> gradient.matrix(ScaleGroup(2).element(3)).diagonal().tolist()
    [0.125, 0.125]
    """

    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        check_instance("weights", self.weights, Iterable, mend="pass one weight per dimension: (0, 1)")
        weights = tuple(check_integer("weight", weight) for weight in self.weights)
        if not weights:
            raise ScaleGroupError("no weights", expected="at least one dimension", mend="pass weights=(0,)")
        object.__setattr__(self, "weights", weights)

    @property
    def dimension(self) -> int:
        """Number of dimensions of the fibre."""
        return len(self.weights)

    @property
    def is_trivial(self) -> bool:
        """Whether every element acts as the identity."""
        return not any(self.weights)

    def exponents(self, element: GroupElement) -> tuple[int, ...]:
        """w·i for each dimension: ρ(γ^i) multiplies it by γ^(-w·i). Integers, so that the laws hold bitwise."""
        check_instance("element", element, GroupElement, mend="pass group.element(power)")
        return tuple(weight * element.power for weight in self.weights)

    def matrix(self, element: GroupElement) -> Float[Tensor, "n n"]:
        """ρ(element), diagonal, in float64."""
        factors = [element.group.factor(-exponent) for exponent in self.exponents(element)]
        return torch.diag(torch.tensor(factors, dtype=torch.float64))

    def intertwiners(self, other: Representation) -> Float[Tensor, "m n"]:
        """Where the matrix of a linear map T: self → other with T ρ(g) = ρ'(g) T may be other than 0: there 1.

        >>> (trivial(2) + character(1)).intertwiners(character(1)).tolist()
        [[0.0, 0.0, 1.0]]
        """
        check_instance("other", other, Representation, mend="pass character(1)")
        return torch.tensor([[float(v == w) for w in self.weights] for v in other.weights], dtype=torch.float64)

    def __add__(self, other: Representation) -> Representation:
        """The direct sum."""
        if not isinstance(other, Representation):
            return NotImplemented
        return Representation(self.weights + other.weights)

    def __repr__(self) -> str:
        if self.is_trivial:
            return f"the trivial representation in {self.dimension} dimension(s)"
        return f"a {self.dimension}-dimensional representation with weights {self.weights}"


def trivial(dimension: int = 1) -> Representation:
    """The trivial representation: every element acts as the identity."""
    return Representation((0,) * check_integer("dimension", dimension, at_least=1, at_most=MOST_FEATURES))


def character(weight: int) -> Representation:
    """The one-dimensional representation ρ(S) = S^(-weight)."""
    return Representation((weight,))
