"""The group laws of `ScaleGroup`. Elements are integers, so the laws hold bitwise; float products of factors do not."""

import copy
import math
import operator
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import reduce
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.comparison import RATIOS
from scalegroup import GroupElement, ScaleGroup, ScaleGroupError
from scalegroup.testing.strategies import POWERS, group_and_elements, groups

SMALL = range(-8, 9)
FAR = st.integers(-(10**30), 10**30)  # laws of ℤ hold where no float could follow

Make = Callable[[int], Any]


# The laws, for anything that makes an element from a power; the controls put float products to the same laws.
def assert_inverse(make: Make, i: int) -> None:
    assert make(i) * make(-i) == make(0)


def assert_associative(make: Make, i: int, j: int, k: int) -> None:
    assert (make(i) * make(j)) * make(k) == make(i) * (make(j) * make(k))


def assert_powers_add(make: Make, i: int, j: int) -> None:
    assert make(i) * make(j) == make(i + j)


def assert_power_is_repeated_product(make: Make, i: int, n: int) -> None:
    assert make(i) ** n == reduce(operator.mul, [make(i)] * n, make(0))


def assert_commutative(multiply: Callable[[Any, Any], Any], g: Any, h: Any) -> None:
    assert multiply(g, h) == multiply(h, g)


def assert_neutral(multiply: Callable[[Any, Any], Any], e: Any, g: Any) -> None:
    assert multiply(e, g) == g
    assert multiply(g, e) == g


def for_all_small(law: Callable, count: int, make: Make) -> None:
    for powers in product(SMALL, repeat=count):
        law(make, *powers)


LAWS_OF_POWERS = {
    "inverse": (assert_inverse, 1),
    "associative": (assert_associative, 3),
    "powers add": (assert_powers_add, 2),
}


@pytest.mark.parametrize(("law", "count"), LAWS_OF_POWERS.values(), ids=LAWS_OF_POWERS)
@given(group=groups(), powers=st.tuples(FAR, FAR, FAR))
def test_law_holds_bitwise(law: Callable, count: int, group: ScaleGroup, powers: tuple[int, ...]) -> None:
    law(group.element, *powers[:count])


@pytest.mark.parametrize(("law", "count"), LAWS_OF_POWERS.values(), ids=LAWS_OF_POWERS)
@pytest.mark.parametrize("ratio", [2**0.5, 2 ** (1 / 3), 1.3])
def test_law_fails_for_float_products(law: Callable, count: int, ratio: float) -> None:
    with pytest.raises(AssertionError):
        for_all_small(law, count, lambda power: ratio**power)


@given(groups(), POWERS, st.integers(0, 12))
def test_power_is_a_repeated_product(group: ScaleGroup, i: int, n: int) -> None:
    assert_power_is_repeated_product(group.element, i, n)


def test_power_of_floats_is_not_their_repeated_product() -> None:
    with pytest.raises(AssertionError):
        for_all_small(lambda make, i, n: assert_power_is_repeated_product(make, i, abs(n)), 2, lambda power: 1.3**power)


@given(group_and_elements(1, FAR), FAR, FAR)
def test_powers_of_an_element(drawn: tuple[ScaleGroup, GroupElement], m: int, n: int) -> None:
    group, g = drawn
    assert g**m * g**n == g ** (m + n)
    assert (g**m) ** n == g ** (m * n)
    assert (g**0, g**1, g**-1) == (group.identity, g, g.inverse())
    assert group.generator**g.power == g


@given(group_and_elements(1, FAR))
def test_identity_is_neutral(drawn: tuple[ScaleGroup, GroupElement]) -> None:
    group, g = drawn
    assert_neutral(operator.mul, group.identity, g)
    with pytest.raises(AssertionError):
        assert_neutral(operator.mul, group.generator, g)


@given(group_and_elements(2, FAR))
def test_inverse_is_an_involution_that_turns_products_round(drawn: tuple) -> None:
    _, g, h = drawn
    assert g.inverse().inverse() == g
    assert (g * h).inverse() == h.inverse() * g.inverse()


@given(group_and_elements(2, FAR))
def test_elements_commute(drawn: tuple) -> None:
    _, g, h = drawn
    assert_commutative(operator.mul, g, h)


def test_quotients_do_not_commute() -> None:
    group = ScaleGroup(2)
    with pytest.raises(AssertionError):
        assert_commutative(lambda g, h: g * h.inverse(), group.generator, group.identity)


@given(groups(), st.integers(1, 4), POWERS, POWERS)
def test_subgroup_inclusion_is_a_homomorphism(group: ScaleGroup, index: int, i: int, j: int) -> None:
    subgroup = ScaleGroup(group.factor(index))
    g, h = subgroup.element(i), subgroup.element(j)
    assert (g * h).as_element_of(group) == g.as_element_of(group) * h.as_element_of(group)
    assert subgroup.identity.as_element_of(group) == group.identity
    assert g.inverse().as_element_of(group) == g.as_element_of(group).inverse()
    assert g.as_element_of(group).power == index * i
    # both factors are a few units in the last place off, each raised to at most 48
    assert math.isclose(g.as_element_of(group).scale_factor, g.scale_factor, rel_tol=1e-13)


@pytest.mark.parametrize(("ratio", "index"), [(2**0.5, 2), (2 ** (1 / 3), 3), (3**0.25, 4)])
def test_inclusion_is_not_everything(ratio: float, index: int) -> None:
    group = ScaleGroup(ratio)
    subgroup = ScaleGroup(group.factor(index))
    assert subgroup.element(5).as_element_of(group).scale_factor == subgroup.element(5).scale_factor  # bitwise
    with pytest.raises(ScaleGroupError, match="finer ratio"):
        group.generator.as_element_of(subgroup)
    assert (group.generator**index).as_element_of(subgroup) == subgroup.generator


@pytest.mark.parametrize("root", range(1, 13))
@pytest.mark.parametrize("radicand", [2, 3, 10])
def test_powers_of_a_root_are_exact(radicand: int, root: int) -> None:
    group = ScaleGroup(radicand ** (1 / root))
    for power in range(-4, 5):
        assert group.element(root * power).scale_factor == float(radicand) ** power


@pytest.mark.parametrize("ulps", range(-8, 9))
def test_roots_are_recognised_to_their_last_four_units(ulps: int) -> None:
    root = 2 ** (1 / 11)  # of no other integer up to the twelfth
    exact = ScaleGroup(root + ulps * math.ulp(root)).factor(11) == 2.0
    assert exact == (abs(ulps) <= 4)


def test_square_of_root_two_is_two_and_the_float_square_is_not() -> None:
    assert ScaleGroup(2**0.5).element(2).scale_factor == 2.0
    assert ScaleGroup(2 ** (1 / 3)).element(3).scale_factor == 2.0
    assert (2**0.5) ** 2 != 2.0
    assert ScaleGroup(1.3).element(3).scale_factor == 1.3**3  # no root of an integer: a plain power


@given(groups(), POWERS)
def test_factors_are_positive_and_grow(group: ScaleGroup, power: int) -> None:
    assert 0 < group.factor(power) < group.factor(power + 1)
    assert group.factor(0) == 1.0
    assert group.power_of(group.factor(power)) == power


@pytest.mark.parametrize("power", [5000, -5000, 10**400, -(10**400)])
@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_factors_that_fit_no_float_are_refused(ratio: float, power: int) -> None:
    with pytest.raises(ScaleGroupError, match="smaller power"):
        ScaleGroup(ratio).factor(power)  # never 0 and never infinity: neither is an element of the group


@pytest.mark.parametrize("factor", [0.0, -2.0, 3.0, math.inf, -math.inf, math.nan])
def test_factors_outside_the_group_have_no_power(factor: float) -> None:
    assert ScaleGroup(2).power_of(factor) is None
    assert ScaleGroup(2).power_of(4.0) == 2  # the control


@given(groups(), FAR, FAR)
def test_elements_are_hashable_and_equal_by_value(group: ScaleGroup, i: int, j: int) -> None:
    g, h = group.element(i), ScaleGroup(group.ratio).element(i)
    assert g == h
    assert hash(g) == hash(h)
    assert len({group.element(i), group.element(j)}) == 1 + (i != j)


def test_groups_are_equal_up_to_rounding_of_a_root_only() -> None:
    root = 2**0.5
    for ratio in (math.sqrt(2), math.nextafter(root, 2), math.nextafter(root, 1)):
        assert ScaleGroup(ratio) == ScaleGroup(root)
        assert hash(ScaleGroup(ratio)) == hash(ScaleGroup(root))
    assert ScaleGroup(root * (1 + 1e-12)) != ScaleGroup(root)
    assert ScaleGroup(2).element(1) != ScaleGroup(root).element(2)  # not the same until included in one group


@pytest.mark.parametrize("ratio", [*RATIOS.values(), 1.3])
def test_copies_are_equal(ratio: float) -> None:
    g = ScaleGroup(ratio).element(3)
    for twin in (copy.copy(g), copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        assert twin == g
        assert twin.scale_factor == g.scale_factor


@pytest.mark.parametrize(("thing", "name"), [(ScaleGroup(2), "ratio"), (ScaleGroup(2).element(1), "power")])
def test_groups_and_elements_are_immutable(thing: Any, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(thing, name, 3)
    with pytest.raises(FrozenInstanceError):
        delattr(thing, name)


def test_products_need_one_group() -> None:
    with pytest.raises(ScaleGroupError, match="one ScaleGroup object"):
        ScaleGroup(2).element(1) * ScaleGroup(3).element(1)
    with pytest.raises(TypeError):
        ScaleGroup(2).element(1) * 2  # type: ignore[operator]


def test_repr_reads_as_a_sentence() -> None:
    assert repr(ScaleGroup(2**0.5)) == "the group of all powers of 1.41421"
    assert repr(ScaleGroup(2**0.5).element(-2)) == "scaling by 0.5 (power -2 of 1.41421)"


@pytest.mark.parametrize("power", [10**6, -(10**6)])
def test_repr_never_raises(power: int) -> None:
    assert repr(ScaleGroup(2).element(power)) == f"scaling by 1·γ^{power} (power {power} of 2)"
