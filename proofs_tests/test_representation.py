"""The laws of representations: bitwise on integer exponents, to rounding on matrices; and what is not one."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests.comparison import RATIOS
from scalegroup import GroupElement, Representation, ScaleGroup, character, trivial
from scalegroup.testing.strategies import elements, group_and_elements, groups, representations

# A factor γ^e is one call of pow (1 unit in the last place); γ itself, where it is a root, one more, multiplied by the
# exponent: at most 3·24 + 1. A product of two of them and its rounding stay below 200 units of 2.2e-16.
RELATIVE = 200 * torch.finfo(torch.float64).eps


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=RELATIVE, atol=0)


def assert_homomorphism(rho: Callable[[GroupElement], Tensor], g: GroupElement, h: GroupElement) -> None:
    assert close(rho(g * h), rho(g) @ rho(h))


def assert_inverse(rho: Callable[[GroupElement], Tensor], g: GroupElement) -> None:
    product_ = rho(g) @ rho(g.inverse())
    assert close(product_, torch.eye(len(product_), dtype=product_.dtype))


@st.composite
def actions(draw: st.DrawFn, count: int) -> tuple:
    """(ρ, g, h) or with more representations in front."""
    group = draw(groups())
    return *(draw(representations()) for _ in range(count)), draw(elements(group)), draw(elements(group))


@given(actions(1))
def test_homomorphism_holds_bitwise_on_exponents(drawn: tuple) -> None:
    rho, g, h = drawn
    assert rho.exponents(g * h) == tuple(map(sum, zip(rho.exponents(g), rho.exponents(h), strict=True)))
    assert rho.exponents(g.inverse()) == tuple(-e for e in rho.exponents(g))
    assert rho.exponents(g.group.identity) == (0,) * rho.dimension


@given(actions(1))
def test_homomorphism_holds_on_matrices(drawn: tuple) -> None:
    rho, g, h = drawn
    assert_homomorphism(rho.matrix, g, h)
    assert_inverse(rho.matrix, g)
    assert torch.equal(rho.matrix(g.group.identity), torch.eye(rho.dimension, dtype=torch.float64))


def test_homomorphism_fails_for_a_power_law_with_an_offset() -> None:
    rho, g = character(1), ScaleGroup(2).generator
    with pytest.raises(AssertionError):
        assert_homomorphism(lambda element: rho.matrix(element) * 1.01, g, g)
    with pytest.raises(AssertionError):
        assert_inverse(lambda element: rho.matrix(element) * 1.01, g)


@given(representations(), st.sampled_from([2**0.5, 2 ** (1 / 3), 1.3]), st.integers(1, 4), st.integers(-6, 6))
def test_representation_is_one_of_every_group_of_scalings(
    rho: Representation, ratio: float, index: int, power: int
) -> None:
    """A scaling acts alike whether it is taken for an element of a subgroup or of the group around it."""
    group = ScaleGroup(ratio)
    g = ScaleGroup(group.factor(index)).element(power)
    assert close(rho.matrix(g), rho.matrix(g.as_element_of(group)))
    if index > 1 and any(rho.exponents(g)):  # the control: the same power of another ratio
        assert not close(rho.matrix(g), rho.matrix(group.element(power)))


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("weight", [-2, -1, 1, 3])
def test_character_is_a_power_law(ratio: float, weight: int) -> None:
    g = ScaleGroup(ratio).element(5)
    assert character(weight).matrix(g).item() == pytest.approx(g.scale_factor**-weight, rel=RELATIVE)
    assert not torch.equal(character(weight).matrix(g), torch.eye(1, dtype=torch.float64))


@given(group_and_elements(1), st.integers(1, 4))
def test_trivial_representation_is_the_identity(drawn: tuple, dimension: int) -> None:
    _, g = drawn
    assert torch.equal(trivial(dimension).matrix(g), torch.eye(dimension, dtype=torch.float64))
    assert trivial(dimension).is_trivial
    assert not character(1).is_trivial


@given(actions(3))
def test_direct_sum_is_block_diagonal(drawn: tuple) -> None:
    a, b, c, g, _ = drawn
    assert torch.equal((a + b).matrix(g), torch.block_diag(a.matrix(g), b.matrix(g)))
    assert (a + b) + c == a + (b + c)
    assert (a + b == b + a) == (a.weights + b.weights == b.weights + a.weights)  # the control: the order matters


@given(actions(2))
def test_intertwiners_commute(drawn: tuple) -> None:
    a, b, g, _ = drawn
    mask = a.intertwiners(b)
    assert mask.shape == (b.dimension, a.dimension)
    t = mask * torch.randn(mask.shape, dtype=torch.float64)
    assert torch.equal(t @ a.matrix(g), b.matrix(g) @ t)


@given(actions(2))
def test_intertwiners_are_all_there_are(drawn: tuple) -> None:
    # T ρ(γ) = ρ'(γ) T is linear in T: as many solutions as the operator T ↦ T ρ(γ) - ρ'(γ) T has null directions. The
    # other singular values are at least γ^-3·(γ - 1) > 1e-3 for weights up to 3 and γ in (1.01, 4).
    a, b, g, _ = drawn
    g = g.group.generator
    identity_a, identity_b = (torch.eye(rho.dimension, dtype=torch.float64) for rho in (a, b))
    operator = torch.kron(identity_b, a.matrix(g)) - torch.kron(b.matrix(g), identity_a)
    assert (torch.linalg.svdvals(operator) < 1e-6).sum() == a.intertwiners(b).sum()


def test_map_between_different_weights_does_not_commute() -> None:
    a, b, g = character(1), character(2), ScaleGroup(2**0.5).generator
    t = torch.ones(1, 1, dtype=torch.float64)
    assert not a.intertwiners(b).any()
    assert not close(t @ a.matrix(g), b.matrix(g) @ t)


def test_repr_reads_as_a_sentence() -> None:
    assert repr(trivial(2)) == "the trivial representation in 2 dimension(s)"
    assert repr(Representation((0, 1))) == "a 2-dimensional representation with weights (0, 1)"
