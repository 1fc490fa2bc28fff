"""Laws of a `Jet`: Taylor's theorem, stencils on polynomials, derivatives of any order, and how all of them turn."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests import slow_reference as slow
from scalegroup import (
    DiscreteGaussian,
    Iso,
    Jet,
    Kernel,
    RotationGroup,
    SampledDerivatives,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    directional_derivatives,
    nn,
    steer,
)
from scalegroup.algebra.rotation import Kind
from scalegroup.jets import gaussian, steerable
from scalegroup.jets.jet import CENTRAL_DIFFERENCES, ISOTROPIC_DIFFERENCES
from scalegroup.models import gaussian_derivative_net

TOLERANCE = 1e-12  # rounding, in float64
JETS = [Jet(0, zero=True), *(Jet(order, zero=zero) for order in (1, 2, 3, 4) for zero in (False, True))]
every_jet = pytest.mark.parametrize("jet", JETS, ids=repr)
every_order = pytest.mark.parametrize("order", [1, 2, 3, 4])
angles = st.floats(-7, 7)
WINDOW = ScaleWindow(ScaleGroup(2.0), 1.0, 2)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- which derivatives -------------------------------------------------------------------------------------------------


@every_jet
def test_a_jet_has_one_more_derivative_of_each_order(jet: Jet) -> None:
    assert jet.size == (jet.order + 1) * (jet.order + 2) // 2 - (0 if jet.zero else 1)
    assert jet.size == len(jet.derivatives) == len(jet.components) == len(jet.normalisation(2.0))
    assert len(set(jet.derivatives)) == jet.size
    assert sum(1 + (frequency > 0) for frequency, _ in jet.blocks) == jet.size


def test_lower_orders_come_first_in_the_order_of_always() -> None:
    assert Jet(2).components == ("x", "y", "xx", "xy", "yy")
    assert Jet(3, zero=True).components == ("1", *Jet(2).components, "xxx", "xxy", "xyy", "yyy")
    for jet in JETS:
        assert jet.derivatives == Jet(4, zero=jet.zero).derivatives[: jet.size]
    assert Jet(2).derivatives == slow.TWO_JET
    assert Jet() == Jet(2) == Jet(2, zero=False) != Jet(2, zero=True)


# -- Taylor ------------------------------------------------------------------------------------------------------------


def polynomial(degree: int, size: int, *, shift: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> Tensor:
    """A random one of that degree, around (x, y) = shift, of order one on an image of that size."""
    n = torch.arange(size, dtype=torch.float64) - size // 2
    x, y = (n + shift[0]) / size, (n[:, None] + shift[1]) / size
    parts = random(degree + 1, degree + 1, seed=seed)
    return sum(parts[i, j] * x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i))[None, None]  # type: ignore[index]


def taylor_error(jet: Jet, weights: Callable[[int, int, float, float], float]) -> float:
    """The jet with weights of hᵏ, against the smoothed polynomial at a place σh away, in units of that."""
    sigma, kernel, (h, k) = 2.0, SampledDerivatives(tail=1e-16), (0.7, -1.3)
    size = 2 * kernel.reach(sigma, 0.0, jet) + 1
    offset, itself = torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    coefficients = torch.tensor([[[weights(m, n, h, k) for m, n in jet.derivatives]]], dtype=torch.float64)
    gaps = []
    for seed in range(5):
        around = polynomial(jet.order, size, seed=seed)
        there = polynomial(jet.order, size, shift=(sigma * h, sigma * k), seed=seed)
        expected = kernel.combine(there, itself, offset, sigma=sigma, jet=Jet(0, zero=True))
        result = kernel.combine(around, coefficients, offset, sigma=sigma, jet=jet)
        middle = expected.shape[-1] // 2
        gaps.append(float(abs(result.squeeze() - expected[0, 0, middle, middle]) / abs(expected).max()))
    return max(gaps)


@every_order
def test_normalised_jet_is_taylors_expansion_of_the_smoothed_polynomial(order: int) -> None:
    """Σ (σᵏ/k!)·binomial·hᵐkⁿ·L_{xᵐyⁿ} is L a step σ(h, k) away, for polynomials of that degree."""
    jet = Jet(order, zero=True)
    assert taylor_error(jet, lambda m, n, h, k: h**n * k**m) <= TOLERANCE
    wrong = [lambda m, n, h, k: h**m * k**n]  # x for y
    if order > 1:
        wrong.append(lambda m, n, h, k: h**n * k**m / math.comb(m + n, m))  # no binomials
    for weights in wrong:
        assert taylor_error(jet, weights) > 1e-3


@given(st.floats(0.1, 20))
def test_normalisation_is_that_of_eq_6(sigma: float) -> None:
    first, second = sigma, sigma**2 / 2
    assert Jet(2).normalisation(sigma).tolist() == [first, first, second, 2 * second, second]
    assert Jet(2, zero=True).normalisation(sigma).tolist() == [1, first, first, second, 2 * second, second]


# -- stencils ----------------------------------------------------------------------------------------------------------


def moments(stencil: np.ndarray, degree: int) -> dict[tuple[int, int], float]:
    """What a stencil makes of the monomials y^a x^b of a degree, at the centre."""
    n = gaussian.integers(len(stencil) // 2).astype(float)
    return {(a, degree - a): float(n**a @ stencil @ n ** (degree - a)) for a in range(degree + 1)}


@pytest.mark.parametrize(
    ("jet", "along"),
    [(jet, CENTRAL_DIFFERENCES) for jet in JETS] + [(jet, ISOTROPIC_DIFFERENCES) for jet in JETS if jet.order <= 2],
)
def test_stencils_are_exact_on_polynomials_one_degree_above_their_order(
    jet: Jet, along: tuple[np.ndarray, ...]
) -> None:
    """Constants, and all else below their order, are nothing to them; of Iso up to rounding of thirds."""
    for derivative, stencil in zip(jet.derivatives, jet.stencils(along), strict=True):
        order = sum(derivative)
        for degree in range(order + 2):
            for monomial, value in moments(stencil, degree).items():
                exact = math.prod(map(math.factorial, derivative)) if monomial == derivative else 0
                assert abs(value - exact) <= 1e-15
        if derivative not in ((0, 0), (1, 1)):  # the control
            assert any(abs(value) > 0.1 for value in moments(stencil, order + 2).values())


def test_differences_are_the_papers_in_squares_as_small_as_can_be() -> None:
    one, dx, dxx = np.array([0, 1, 0]), np.array([-0.5, 0, 0.5]), np.array([1, -2, 1])
    paper = np.stack([np.outer(one, dx), np.outer(dx, one), np.outer(one, dxx), np.outer(dx, dx), np.outer(dxx, one)])
    assert np.array_equal(Jet(2).differences, paper)
    assert [Jet(order).differences.shape[-1] for order in (1, 2, 3, 4)] == [3, 3, 5, 5]
    third = Jet(3).differences[Jet(3).components.index("xxy")]
    assert np.array_equal(third[1:-1, 1:-1], np.outer(dx, dxx))
    assert np.array_equal(np.pad(np.outer(dx, dxx), 1), third)
    assert not np.array_equal(third, third.T)  # the control


# -- derivatives of the Gaussian ---------------------------------------------------------------------------------------

CLOSED = (slow.gauss, slow.gauss_x, slow.gauss_xx, slow.gauss_xxx, slow.gauss_xxxx)
NODES = np.polynomial.legendre.leggauss(40)  # over [-1, 1]


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_sampled_and_integrated_derivatives_are_those_of_the_gaussian(sigma: float) -> None:
    radius = math.ceil(6 * sigma)
    sampled, integrated = (
        make(sigma, radius, 4) for make in (gaussian.sampled_derivatives, gaussian.integrated_derivatives)
    )
    for order, derivative in enumerate(CLOSED):
        expected = [derivative(n, sigma) for n in gaussian.integers(radius)]
        assert abs(sampled[order] - expected).max() * sigma**order <= 1e-14
        assert abs(sampled[order] - [derivative(n, 1.01 * sigma) for n in gaussian.integers(radius)]).max() > 1e-5
        for n in (0, 1, 2):
            mean = sum(weight / 2 * derivative(n + node / 2, sigma) for node, weight in zip(*NODES, strict=True))
            assert abs(integrated[order, radius + n] - mean) * sigma**order <= 1e-12
    assert len(gaussian.sampled_derivatives(sigma, radius, 0)) == len(gaussian.integrated_derivatives(sigma, 1, 0)) == 1


def blob_jet(kernel: Kernel, sigma: float, jet: Jet, *, at: float = 1.0) -> tuple[Tensor, Tensor]:
    """σᵏ-normalised derivatives of a round blob of width 1.5σ beside the centre, and what the continuous ones are.

    Taken at σ = `at`·sigma, for controls.
    """
    width, size = 1.5 * sigma, 2 * kernel.reach(at * sigma, 0.0, jet) + 1
    n, place = torch.arange(size, dtype=torch.float64) - size // 2, (0.4 * sigma, -0.9 * sigma)
    x, y = n - place[0], n[:, None] - place[1]
    blob = torch.exp(-(x**2 + y**2) / (2 * width**2)) / (2 * math.pi * width**2)
    found = kernel.maps(blob[None, None], at * sigma, jet)[0, 0, :, 0, 0]
    total = math.hypot(sigma, width)
    expected = [CLOSED[m](-place[1], total) * CLOSED[n](-place[0], total) for m, n in jet.derivatives]
    factors = sigma ** torch.tensor(jet.orders, dtype=torch.float64) * sigma**2
    return found * factors, torch.tensor(expected, dtype=torch.float64) * factors


@every_jet
def test_jets_of_sampled_derivatives_are_the_continuous_ones(jet: Jet) -> None:
    """To rounding: samples lose exp(-2π²s), s = σ²w²/(σ² + w²) = 4.3 of the product of both, by Poisson summation."""
    found, expected = blob_jet(SampledDerivatives(tail=1e-16), 2.5, jet)
    assert (found - expected).abs().max() <= TOLERANCE
    other, _ = blob_jet(SampledDerivatives(tail=1e-16), 2.5, jet, at=1.01)  # the control
    assert (other - expected).abs().max() > 1e-6


@every_jet
def test_jets_of_differences_converge_to_the_continuous_ones_as_the_variance_grows(jet: Jet) -> None:
    errors = []
    for sigma in (4.0, 8.0):
        found, expected = blob_jet(DiscreteGaussian(tail=1e-14), sigma, jet)
        errors.append((found - expected).abs().max().item())
    assert errors[0] > 1e-6
    assert abs(math.log2(errors[0] / errors[1]) - 2) <= 0.1


# -- steering ----------------------------------------------------------------------------------------------------------


def closed_form(x: Tensor, y: Tensor) -> Tensor:
    """A function with derivatives of all orders."""
    return torch.exp(-((x - 0.3) ** 2) - 0.7 * (y + 0.4) ** 2 + 0.5 * x * y) + torch.sin(1.3 * x - 0.8 * y)


@cache
def derivatives_at_the_origin(derivatives: tuple[tuple[int, int], ...], angle: float = 0.0) -> Tensor:
    """So often along y and along x, of the function turned by an angle, from x to y: by automatic differentiation."""
    c, s = math.cos(angle), math.sin(angle)
    x, y = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))

    @cache
    def derivative(along_y: int, along_x: int) -> Tensor:
        if along_y:
            return torch.autograd.grad(derivative(along_y - 1, along_x), y, create_graph=True)[0]
        if along_x:
            return torch.autograd.grad(derivative(0, along_x - 1), x, create_graph=True)[0]
        return closed_form(c * x + s * y, c * y - s * x)

    return torch.stack([derivative(*orders).detach() for orders in derivatives])


def response(jet: Jet, coefficients: Tensor, derivatives: Tensor) -> Tensor:
    return coefficients @ (torch.from_numpy(jet.normalisation(1.0)) * derivatives)


@every_jet
@pytest.mark.parametrize("angle", [0.3, math.pi / 4, 2.0, -5.0])
def test_steered_coefficients_see_what_is_turned_as_the_coefficients_see_it_straight(jet: Jet, angle: float) -> None:
    coefficients = random(jet.size)
    straight = response(jet, coefficients, derivatives_at_the_origin(jet.derivatives))
    turned = derivatives_at_the_origin(jet.derivatives, angle)
    assert (response(jet, steer(coefficients, angle, jet), turned) - straight).abs() <= TOLERANCE
    if jet.order:  # the controls: the other way round; a hundredth of the angle
        for wrong in (-angle, 1.01 * angle):
            assert (response(jet, steer(coefficients, wrong, jet), turned) - straight).abs() > 1e-5


@every_jet
@given(angle=angles)
def test_directional_derivatives_are_those_along_x_of_what_is_turned_back(jet: Jet, angle: float) -> None:
    along_x = tuple(orders for orders in jet.derivatives if orders[0] == 0)
    expected = derivatives_at_the_origin(along_x, -angle)
    found = directional_derivatives(derivatives_at_the_origin(jet.derivatives), angle, jet)
    assert found.shape == (len(jet.ranks),)
    assert (found - expected).abs().max() <= TOLERANCE * max(1.0, expected.abs().max().item())
    if jet.order and abs(math.sin(angle)) > 0.1:  # the control
        assert (found - derivatives_at_the_origin(along_x)).abs().max() > 1e-3


@every_jet
def test_a_quarter_turn_permutes_the_derivatives(jet: Jet) -> None:
    """x becomes y and y becomes -x."""
    coefficients = random(jet.size)
    expected = torch.empty_like(coefficients)
    for number, (along_y, along_x) in enumerate(jet.derivatives):
        expected[jet.derivatives.index((along_x, along_y))] = (-1) ** along_y * coefficients[number]
    assert (steer(coefficients, math.pi / 2, jet) - expected).abs().max() <= 1e-14
    assert torch.equal(steer(coefficients, 0.0, jet), coefficients)
    assert jet.order == 0 or (steer(coefficients, -math.pi / 2, jet) - expected).abs().max() > 0.1  # the control


@every_jet
@given(a=angles, b=angles)
def test_steering_of_any_jet_is_a_homomorphism(jet: Jet, a: float, b: float) -> None:
    coefficients = random(3, jet.size)
    whole = steer(coefficients, b, jet)
    assert (steer(whole, a, jet) - steer(coefficients, a + b, jet)).abs().max() <= TOLERANCE
    assert torch.equal(steer(coefficients[1], b, jet), whole[1])


def test_steering_needs_the_components_of_its_jet() -> None:
    for turn in (steer, directional_derivatives):
        with pytest.raises(ScaleGroupError, match=r"9 components x, y, xx, .*, yyy along the last axis"):
            turn(torch.zeros(2, 5), 0.3, Jet(3))


# -- frequencies -------------------------------------------------------------------------------------------------------

HALF = math.sqrt(0.5)
OF_ALWAYS = [[0, 0, HALF, 0, HALF], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, HALF, 0, -HALF], [0, 0, 0, HALF, 0]]


def intertwiners_of_always(group: RotationGroup, before: Kind, behind: Kind) -> Tensor:
    """As weights in files have them: 2-jets, written out."""

    def turn(frequency: int, angle: float) -> Tensor:
        c, s = math.cos(frequency * angle), math.sin(frequency * angle)
        return torch.tensor([[c, s], [-s, c]], dtype=torch.float64)

    total = torch.zeros(())
    for step in range(group.order):
        angle = 2 * math.pi * step / group.order
        polar = torch.block_diag(torch.eye(1, dtype=torch.float64), turn(1, angle), turn(2, angle))
        total = total + torch.kron(torch.kron(behind.matrix(step), before.matrix(step)), polar)
    basis = steerable._orthonormal_columns(total / group.order)
    return basis.view(-1, behind.dimension, before.dimension, 5) @ torch.tensor(OF_ALWAYS, dtype=torch.float64)


def kinds(group: RotationGroup) -> list[Kind]:
    representations = [group.trivial, group.regular, *(group.frequency(k) for k in range(1, 4))]
    return [representation.fields[0][0] for representation in representations]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 8])
def test_files_of_weights_mean_what_they_meant_to_the_bit(order: int) -> None:
    assert torch.equal(Jet(2).polar_basis, torch.tensor(OF_ALWAYS, dtype=torch.float64))
    group = RotationGroup(order)
    for before in kinds(group):
        for behind in kinds(group):
            expected = intertwiners_of_always(group, before, behind)
            assert torch.equal(steerable.jet_intertwiners(group, before, behind), expected)
            assert torch.equal(steerable.jet_intertwiners(group, before, behind, Jet(2)), expected)
    _, regular, *_ = kinds(group)  # the control: another order of the same elements
    basis = steerable.jet_intertwiners(group, regular, regular)
    assert not torch.equal(basis.flip(0), intertwiners_of_always(group, regular, regular))


@every_jet
def test_blocks_are_by_frequency_and_orthonormal_as_symmetric_tensors(jet: Jet) -> None:
    assert list(jet.blocks) == sorted(jet.blocks)
    assert Jet(3).blocks == ((0, 2), (1, 1), (1, 3), (2, 2), (3, 3))
    basis, counts = jet.polar_basis, torch.tensor(jet.multiplicities, dtype=torch.float64)
    gram = basis * counts @ basis.T
    assert (gram - torch.eye(jet.size)).abs().max() <= 1e-15 * jet.size
    assert jet.order < 2 or (basis @ basis.T - torch.eye(jet.size)).abs().max() > 0.1  # the control: as vectors


@every_jet
@pytest.mark.parametrize("order", [2, 3, 4, 8])
def test_intertwiners_are_all_that_commutes_with_rotations(jet: Jet, order: int) -> None:
    """Turned by `steer`, which knows nothing of the polar basis, by the generator; as many as characters say."""
    group = RotationGroup(order)
    frequencies = [k for frequency, _ in jet.blocks for k in {frequency, -frequency}]
    for before in kinds(group)[:3]:
        for behind in kinds(group):
            basis = steerable.jet_intertwiners(group, before, behind, jet)
            count = 0.0
            for step in range(order):
                angle, traces = 2 * math.pi * step / order, behind.matrix(step).trace() * before.matrix(step).trace()
                count += sum(math.cos(k * angle) for k in frequencies) * float(traces)
            steered = steer(basis, -2 * math.pi / order, jet)
            turned = torch.einsum("oi,kijc,jn->konc", behind.matrix(1), steered, before.matrix(1).T)
            assert len(basis) == 0 or (turned - basis).abs().max() <= TOLERANCE
            assert len(basis) == pytest.approx(count / order)
            assert len(basis) == 0 or torch.linalg.matrix_rank(basis.flatten(1)) == len(basis)
    regular = kinds(group)[1]
    wrong = steer(steerable.jet_intertwiners(group, regular, regular, jet), 1.0, jet)  # the control
    turned = torch.einsum("oi,kijc,jn->konc", regular.matrix(1), steer(wrong, 1.0, jet), regular.matrix(1).T)
    assert jet.order == 0 or (turned - wrong).abs().max() > 0.1


# -- refused before any computing --------------------------------------------------------------------------------------


def test_iso_has_no_stencils_beyond_order_two() -> None:
    for zero in (False, True):
        Iso().stencils(Jet(2, zero=zero))
    image, window = nn.Lift(WINDOW).out_type, {"widths": (4,), "window": WINDOW, "grid": "image"}
    for refused in (
        lambda: Iso().stencils(Jet(3)),
        lambda: Iso().reach(2.0, 0.0, Jet(3)),
        lambda: Iso().maps(torch.zeros(1, 1, 9, 9), 2.0, Jet(4)),
        lambda: nn.JetConv(image, 3, kernel=Iso(), jet=Jet(3)),
        lambda: gaussian_derivative_net(kernel=Iso(), jet=Jet(3), **window),
    ):
        with pytest.raises(ScaleGroupError, match="order of 2 at most"):
            refused()
    gaussian_derivative_net(kernel=Iso(), jet=Jet(2, zero=True), **window)  # the control


def test_steerable_layers_have_no_groups() -> None:
    with pytest.raises(ScaleGroupError, match="groups"):
        nn.SteerableJetConv(nn.Lift(WINDOW).out_type, RotationGroup(4).regular, groups=1)


def test_zero_order_terms_see_constants_and_others_do_not() -> None:
    window = {"widths": (4,), "window": WINDOW, "rotations": 4, "activation": torch.nn.functional.softplus}
    for jet in JETS:
        net = gaussian_derivative_net(jet=jet, **window).eval()
        one, two = (net(torch.full((1, 1, 21, 21), value)) for value in (1.0, 2.0))
        assert torch.allclose(one, two, atol=1e-5) is not jet.zero
