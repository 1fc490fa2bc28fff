"""The rotations C_N by multiples of 2π/N, and how features transform under them.

Scalings and rotations about one point commute, so a fibre of the product group {γ^i} × C_N is described by both
representations side by side: `FieldType.fibre` and `FieldType.rotation`. Rotations are counter-clockwise as an image is
shown (x to the right, y down), as `torch.rot90` and escnn have them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.algebra.representation import MOST_FEATURES
from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_integer

_ROUNDING = 1e-9  # of matrices that others hand over
_MOST_ROTATIONS = 360


@dataclass(frozen=True)
class RotationGroup(Refusing):
    """C_N, the rotations by multiples of 2π/N.

    Args:
        order: N.

    >>> C8 = RotationGroup(8)
    >>> C8.element(3) * C8.element(7)
    rotation by 90° (step 2 of 8)
    """

    order: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", check_integer("order", self.order, at_least=1, at_most=_MOST_ROTATIONS))

    def element(self, step: int) -> Rotation:
        """The rotation by 2π·step/N."""
        return Rotation(self, step)

    @property
    def identity(self) -> Rotation:
        """The rotation by 0."""
        return Rotation(self, 0)

    @property
    def trivial(self) -> RotationRepresentation:
        """One feature that does not change."""
        return self._one("trivial", torch.eye(1))

    @property
    def regular(self) -> RotationRepresentation:
        """N features, one for each rotation, which a rotation permutes: pointwise functions commute with it."""
        return self._one("regular", torch.eye(self.order).roll(1, 0))

    def frequency(self, k: int) -> RotationRepresentation:
        """The irreducible representation that turns k times as fast: two features, one where that is ±1."""
        k = check_integer("frequency", k, at_least=0)
        angle = 2 * math.pi * k / self.order
        if 2 * k % self.order == 0:
            return self._one(f"frequency-{k}", torch.tensor([[math.cos(angle)]]).round())
        c, s = math.cos(angle), math.sin(angle)
        return self._one(f"frequency-{k}", torch.tensor([[c, -s], [s, c]], dtype=torch.float64))

    def from_escnn(self, representation: Any) -> RotationRepresentation:
        """A representation of escnn's, such as `gspace.regular_repr`: its matrices, in its order of features.

        Raises `ScaleGroupError` unless it is an orthogonal representation of the same C_N.
        """
        try:
            of, name = representation.group, str(representation.name)
            matrices = [torch.as_tensor(representation(of.element(n)), dtype=torch.float64) for n in range(of.order())]
            generator = matrices[1 % len(matrices)]
            powers = [torch.matrix_power(generator, n) for n in range(self.order)]
            if not _agree(torch.stack(powers), torch.stack(matrices)):
                raise ValueError(f"of {of}")
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise ScaleGroupError(
                f"{representation!r} ({error})",
                expected=f"an escnn representation of C{self.order}, the rotations",
                mend=f"take it from gspaces.rot2dOnR2({self.order})",
            ) from None
        whole = generator.round()  # escnn's permutations are such to rounding only
        return self._one(name, torch.where((generator - whole).abs() < _ROUNDING, whole, generator))

    def _one(self, name: str, generator: Tensor) -> RotationRepresentation:
        matrix = tuple(tuple(row) for row in generator.double().tolist())
        return RotationRepresentation(self, ((Kind(name, matrix), 1),))

    def __repr__(self) -> str:
        return f"C{self.order}"


@dataclass(frozen=True)
class Rotation(Refusing):
    """An element of a `RotationGroup`; laws are laws of integers modulo N, so they hold bitwise."""

    group: RotationGroup
    step: int

    def __post_init__(self) -> None:
        check_instance("group", self.group, RotationGroup, mend="build one: RotationGroup(8)")
        object.__setattr__(self, "step", check_integer("step", self.step) % self.group.order)

    @property
    def angle(self) -> float:
        """In radians, counter-clockwise as an image is shown."""
        return 2 * math.pi * self.step / self.group.order

    @property
    def quarter_turns(self) -> int | None:
        """How many, or None where pixels do not fall on pixels."""
        quarters, rest = divmod(4 * self.step, self.group.order)
        return None if rest else quarters

    def inverse(self) -> Rotation:
        """The rotation back."""
        return Rotation(self.group, -self.step)

    def __mul__(self, other: Rotation) -> Rotation:
        if not isinstance(other, Rotation):
            return NotImplemented
        _check_same(self.group, other.group)
        return Rotation(self.group, self.step + other.step)

    def __repr__(self) -> str:
        return f"rotation by {math.degrees(self.angle):g}° (step {self.step} of {self.group.order})"


@dataclass(frozen=True)
class Kind:
    """How the features of one field transform: ρ(2π/N), orthogonal, as rows of numbers."""

    name: str
    generator: tuple[tuple[float, ...], ...]

    @property
    def dimension(self) -> int:
        """Features of one field."""
        return len(self.generator)

    def matrix(self, step: int) -> Float[Tensor, "n n"]:
        """ρ(2π·step/N), in float64."""
        return torch.matrix_power(torch.tensor(self.generator, dtype=torch.float64), step)

    @property
    def orbits(self) -> tuple[int, ...] | None:
        """For each feature the number of its orbit, or None unless rotations permute the features."""
        if any(sorted(row) != [0.0] * (self.dimension - 1) + [1.0] for row in self.generator):
            return None
        source, number = [row.index(1.0) for row in self.generator], [-1] * self.dimension
        for first in range(self.dimension):
            orbit, index = max(number) + 1, first
            while number[index] < 0:
                number[index], index = orbit, source[index]
        return tuple(number)


@dataclass(frozen=True)
class RotationRepresentation(Refusing):
    """A direct sum of fields, each of some kind; `4 * C.regular + 2 * C.trivial` makes one.

    Args:
        group: C_N.
        fields: (kind, how many fields of it), in the order of the features.

    Raises `ScaleGroupError` for matrices that are not an orthogonal representation.

    >>> C4 = RotationGroup(4)
    >>> 2 * C4.regular + C4.frequency(1)
    2 regular + 1 frequency-1 field(s) of C4
    >>> C4.regular.matrix(C4.element(1)) @ torch.tensor([1., 2., 3., 4.]).double()
    tensor([4., 1., 2., 3.], dtype=torch.float64)
    """

    group: RotationGroup
    fields: tuple[tuple[Kind, int], ...]

    def __post_init__(self) -> None:
        check_instance("group", self.group, RotationGroup, mend="build one: RotationGroup(8)")
        runs = tuple((kind, sum(n for _, n in run)) for kind, run in groupby(self.fields, key=lambda field: field[0]))
        object.__setattr__(self, "fields", runs)
        for kind, _ in runs:
            one, eye = kind.matrix(1), torch.eye(kind.dimension, dtype=torch.float64)
            turned = kind.matrix(self.group.order)
            if not (_agree(one @ one.T, eye) and _agree(turned, eye)):
                raise ScaleGroupError(
                    f"matrices of {kind.name!r}",
                    expected=f"orthogonal ones, whose {self.group.order}-th power is the identity",
                    mend=f"use those of RotationGroup({self.group.order})",
                )

    @property
    def dimension(self) -> int:
        """Number of features."""
        return sum(kind.dimension * count for kind, count in self.fields)

    @property
    def orbits(self) -> tuple[int, ...] | None:
        """For each feature the number of its orbit, or None unless rotations permute the features."""
        return Kind("all", tuple(map(tuple, self.matrix(self.group.element(1)).tolist()))).orbits

    def matrix(self, rotation: Rotation) -> Float[Tensor, "n n"]:
        """ρ(rotation), in float64."""
        _check_same(self.group, check_instance("rotation", rotation, Rotation, mend="use group.element(1)").group)
        return torch.block_diag(*(kind.matrix(rotation.step) for kind, count in self.fields for _ in range(count)))

    def __add__(self, other: RotationRepresentation) -> RotationRepresentation:
        """The direct sum."""
        if not isinstance(other, RotationRepresentation):
            return NotImplemented
        _check_same(self.group, other.group)
        return RotationRepresentation(self.group, self.fields + other.fields)

    def __rmul__(self, count: int) -> RotationRepresentation:
        """The direct sum with itself, `count` times."""
        count = check_integer("count", count, at_least=1, at_most=MOST_FEATURES)
        return RotationRepresentation(self.group, self.fields * count)

    def __repr__(self) -> str:
        parts = " + ".join(f"{count} {kind.name}" for kind, count in self.fields)
        return f"{parts} field(s) of {self.group!r}"


def _agree(a: Tensor, b: Tensor) -> bool:
    """To rounding."""
    return a.shape == b.shape and bool((a - b).abs().max() < _ROUNDING)


def _check_same(group: RotationGroup, other: RotationGroup) -> None:
    if group != other:
        raise ScaleGroupError(
            f"rotations of {other!r}", expected=f"of {group!r}", mend="use one RotationGroup throughout"
        )
