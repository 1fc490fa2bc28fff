"""The discrete scaling group {γ^i : i ∈ ℤ} and its elements.

Elements *are* integers: every group law is integer arithmetic and holds bitwise. The floating factors γ^i are derived
from them, never multiplied up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scalegroup.errors import Refusing, ScaleGroupError, check_instance, check_integer, check_number, check_positive

_LARGEST_ROOT = 12  # ratios are recognised up to twelfth roots ...
_LARGEST_RADICAND = 2**20  # ... of integers small enough that no float is near such a root by chance


def _as_root(ratio: float) -> tuple[int, int] | None:
    """(n, k) with ratio = n^(1/k) to the last few bits, if there is one: then γ^k is exactly n."""
    for root in range(1, _LARGEST_ROOT + 1):
        if ratio**root > _LARGEST_RADICAND:
            return None
        radicand = round(ratio**root)
        if radicand > 1 and abs(radicand ** (1 / root) - ratio) <= 4 * math.ulp(ratio):
            return radicand, root
    return None


@dataclass(frozen=True)
class ScaleGroup(Refusing):
    """The discrete scaling group of all integer powers of `ratio` (the paper's γ in eq 14 and 20).

    Roots of integers are recognised, so that for γ = √2 the factor of γ² is exactly 2.

    Args:
        ratio: γ > 1, the factor between neighbouring scale channels.

    Raises `ScaleGroupError` if the ratio is not a finite number greater than 1.

    >>> G = ScaleGroup(2 ** 0.5)
    >>> G
    the group of all powers of 1.41421
    >>> G.element(3) * G.element(-1)
    scaling by 2 (power 2 of 1.41421)
    >>> G.element(2).scale_factor
    2.0
    """

    ratio: float

    def __post_init__(self) -> None:
        ratio = check_positive("ratio", self.ratio, more_than=1.0)
        exact = _as_root(ratio)
        # canonical: sqrt(2) and 2 ** 0.5 are the same group even where they differ in the last bit
        object.__setattr__(self, "ratio", exact[0] ** (1 / exact[1]) if exact else ratio)
        object.__setattr__(self, "_exact", exact)

    def element(self, power: int) -> GroupElement:
        """γ^power. Raises `ScaleGroupError` unless `power` is an integer."""
        return GroupElement(self, power)

    @property
    def identity(self) -> GroupElement:
        """γ⁰ = 1."""
        return GroupElement(self, 0)

    @property
    def generator(self) -> GroupElement:
        """γ itself."""
        return GroupElement(self, 1)

    def factor(self, power: int) -> float:
        """γ^power as a float; exact wherever γ^power is an integer and γ its root.

        Raises `ScaleGroupError` if the factor is too large or too small for a float.
        """
        exact: tuple[int, int] | None = getattr(self, "_exact")  # noqa: B009 (set in __post_init__: frozen)
        try:
            result = float(exact[0]) ** (power / exact[1]) if exact else self.ratio**power
        except OverflowError:
            result = math.inf
        if not 0 < result < math.inf:
            raise ScaleGroupError(
                f"power {power} of {self.ratio:g}", expected="a factor that fits a float", mend="use a smaller power"
            )
        return result

    def text(self, power: int, unit: float = 1.0) -> str:
        """unit·γ^power for a `repr`, which never raises: in powers of γ where no float fits.

        >>> ScaleGroup(2).text(3, unit=0.5), ScaleGroup(2).text(5000, unit=0.5)
        ('4', '0.5·γ^5000')
        """
        try:
            return f"{unit * self.factor(power):g}"
        except ScaleGroupError:
            return f"{unit:g}·γ^{power}"

    def power_of(self, factor: float) -> int | None:
        """The integer i with γ^i = factor (to 1e-9, relative), or None if the factor is not in the group.

        >>> ScaleGroup(2 ** 0.5).power_of(4.0), ScaleGroup(2 ** 0.5).power_of(3.0)
        (4, None)
        """
        if not 0 < check_number("factor", factor) < math.inf:
            return None
        exponent = math.log(factor) / math.log(self.ratio)
        power = round(exponent)
        return power if abs(exponent - power) * math.log(self.ratio) <= 1e-9 else None

    def check_same(self, other: Any, kind: type) -> None:
        """Raise `ScaleGroupError` unless `other` is a `kind` (an element, a window ...) of this group."""
        check_instance("", other, kind, mend=f"make one from {self!r}")
        if other.group != self:
            raise ScaleGroupError(
                f"a {kind.__name__} of {other.group!r}",
                expected=f"one of {self!r}",
                mend="use one ScaleGroup object throughout",
            )

    def __repr__(self) -> str:
        return f"the group of all powers of {self.ratio:g}"


@dataclass(frozen=True)
class GroupElement(Refusing):
    """γ^power, an element of a `ScaleGroup`. Laws are laws of ℤ, so they hold bitwise.

    >>> a = ScaleGroup(2.0).element(3)
    >>> a * a.inverse() == ScaleGroup(2.0).identity, (a ** -2).power, a.scale_factor
    (True, -6, 8.0)
    """

    group: ScaleGroup
    power: int

    def __post_init__(self) -> None:
        check_instance("group", self.group, ScaleGroup, mend="build one: ScaleGroup(2 ** 0.5)")
        object.__setattr__(self, "power", check_integer("power", self.power))

    @property
    def scale_factor(self) -> float:
        """γ^power as a float."""
        return self.group.factor(self.power)

    def inverse(self) -> GroupElement:
        """γ^(-power)."""
        return GroupElement(self.group, -self.power)

    def as_element_of(self, group: ScaleGroup) -> GroupElement:
        """The same scaling as an element of `group`: the inclusion of a subgroup.

        Raises `ScaleGroupError` if `group` does not contain this scaling.

        >>> ScaleGroup(2).element(1).as_element_of(ScaleGroup(2 ** 0.5))
        scaling by 2 (power 2 of 1.41421)
        """
        check_instance("group", group, ScaleGroup, mend="build one: ScaleGroup(2 ** 0.5)")
        generator = group.power_of(self.group.ratio)
        power = self.power * generator if generator is not None else group.power_of(self.scale_factor)
        if power is None:
            raise ScaleGroupError(
                repr(self), expected=f"an element of {group!r}", mend="use a group with a finer ratio"
            )
        return GroupElement(group, power)

    def __mul__(self, other: GroupElement) -> GroupElement:
        if not isinstance(other, GroupElement):
            return NotImplemented
        self.group.check_same(other, GroupElement)
        return GroupElement(self.group, self.power + other.power)

    def __pow__(self, exponent: int) -> GroupElement:
        return GroupElement(self.group, self.power * check_integer("exponent", exponent))

    def __repr__(self) -> str:
        return f"scaling by {self.group.text(self.power)} (power {self.power} of {self.group.ratio:g})"
