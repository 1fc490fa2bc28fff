"""Affine Gaussian jets: the discrete affine Gaussian, its derivatives, how a bank turns, and the layer made of them."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscsp import affscsp
from scipy.signal import fftconvolve
from torch import Tensor

from proofs_tests import slow_reference as slow
from proofs_tests.comparison import ROUNDING, same_bits
from scalegroup import FieldType, Jet, ScaleField, ScaleGroup, ScaleGroupError, ScaleWindow, nn, steer, steer_affine
from scalegroup.fields.grid import Grid
from scalegroup.jets import gaussian
from scalegroup.jets.affine import affine_jet_conv, affine_jets, affine_reach
from scalegroup.jets.affine_gaussian import discrete_affine_gaussian, oriented_covariance
from scalegroup.testing import Blobs

TOLERANCE = ROUNDING[torch.float64]
JETS = [Jet(1), Jet(2), Jet(3, zero=True), Jet(4)]
every_jet = pytest.mark.parametrize("jet", JETS, ids=repr)
ANGLES = [math.radians(degrees) for degrees in (0, 20, 45, 90, 112.5)]
every_angle = pytest.mark.parametrize("angle", ANGLES)
jets = st.sampled_from(JETS)
covariances = st.builds(oriented_covariance, st.floats(0.3, 2), st.floats(1, 3), st.floats(-4, 4))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_of(covariance: np.ndarray) -> np.ndarray:
    """The taps down to what is nothing."""
    return discrete_affine_gaussian(covariance, far(covariance))


def far(covariance: np.ndarray) -> int:
    longest = math.sqrt(covariance.diagonal().max())
    return gaussian.smallest_radius(gaussian.discrete_tail_bound, longest, 1e-20)


# -- the discrete affine Gaussian --------------------------------------------------------------------------------------


@given(covariances)
def test_taps_have_mass_one_mean_zero_and_exactly_that_covariance(covariance: np.ndarray) -> None:
    taps = all_of(covariance)
    n = gaussian.integers(len(taps) // 2)
    allowed = TOLERANCE * max(1.0, covariance.max())
    assert math.isclose(taps.sum(), 1, rel_tol=TOLERANCE)
    assert abs(np.array([taps.sum(0) @ n, taps.sum(1) @ n])).max() <= allowed
    moments = np.array([[taps.sum(0) @ n**2, n @ taps @ n], [n @ taps @ n, taps.sum(1) @ n**2]])
    assert abs(moments - covariance).max() <= allowed
    assert abs(moments - 1.01 * covariance).max() > 1e-4  # the control


@settings(max_examples=15)
@given(covariances)
def test_taps_are_a_low_pass(covariance: np.ndarray) -> None:
    """0 < H ≤ 1. The control: with ω₁ω₂ for s₁s₂ long ones would be none, near (π, π) or (π, -π)."""
    taps = all_of(covariance)
    transfer = np.fft.fft2(np.fft.ifftshift(taps))
    assert abs(transfer.imag).max() <= TOLERANCE
    assert -TOLERANCE <= transfer.real.min() <= transfer.real.max() <= 1 + TOLERANCE
    w = 2 * math.pi * np.fft.fftfreq(len(taps))
    x, y = np.meshgrid(w, w)
    (xx, xy), (_, yy) = covariance
    naive = -xx * (1 - np.cos(x)) - yy * (1 - np.cos(y)) - xy * x * y
    assert naive.max() > 0 or 9 * abs(xy) < 2 * (xx + yy)


@settings(max_examples=10)
@given(covariances, covariances)
def test_covariances_of_what_follows_each_other_add_up(one: np.ndarray, other: np.ndarray) -> None:
    product = fftconvolve(all_of(one), all_of(other))
    radius = len(product) // 2
    assert abs(product - discrete_affine_gaussian(one + other, radius)).max() <= 1e-14
    assert abs(product - discrete_affine_gaussian(one + 1.01**2 * other, radius)).max() > 1e-5  # the control


@pytest.mark.parametrize("elongation", [1.0, 2.0, 3.0])
def test_upright_ones_are_products_of_discrete_gaussians_and_marginals_always_are(elongation: float) -> None:
    for angle in ANGLES:
        covariance = oriented_covariance(0.9, elongation, angle)
        taps = all_of(covariance)
        along_y, along_x = (
            gaussian.discrete_gaussian(math.sqrt(variance), len(taps) // 2) for variance in covariance.diagonal()[::-1]
        )
        assert abs(taps.sum(0) - along_x).max() <= 1e-14
        assert abs(taps.sum(1) - along_y).max() <= 1e-14
        upright = abs(math.sin(2 * angle)) < 1e-9 or elongation == 1
        assert bool(abs(taps - np.outer(along_y, along_x)).max() <= 1e-15) is upright


@pytest.mark.parametrize("sigma", [0.4, 1.0, 1.5])
@every_angle
def test_taps_are_those_of_bessel_functions_along_four_directions(angle: float, sigma: float) -> None:
    """A numerical sum over frequencies against one over lattice steps; rounding there grows as exp(|Σ₁₂|)."""
    (xx, xy), (_, yy) = oriented_covariance(sigma, 2.0, angle)
    taps = gaussian.normalised(discrete_affine_gaussian(np.array([[xx, xy], [xy, yy]]), 8))
    assert abs(taps - slow.affine_taps(xx, xy, yy, 8)).max() <= 1e-14 * math.exp(abs(xy))
    if abs(xy) > 1e-9:  # the control: the mirror image
        assert abs(taps - slow.affine_taps(xx, -xy, yy, 8)).max() > 1e-3


@pytest.mark.parametrize("tail", [5e-3, 1e-6])
@pytest.mark.parametrize("elongation", [1.0, 1.5, 2.0, 3.0, 6.0])
def test_one_radius_leaves_no_more_than_the_tail_in_any_orientation(elongation: float, tail: float) -> None:
    """Of absolute mass, as some taps are below zero. That of the shorter axis would not do."""
    for sigma in (0.3, 0.71, 1.0, 3.0):
        radius, shorter = (
            affine_reach(sigma, 0.0, extent, Jet(1), tail) - 1 for extent in (elongation, 0.6 * elongation)
        )
        worst = [0.0, 0.0]
        for angle in np.arange(8) * math.pi / 8:
            taps = abs(all_of(oriented_covariance(sigma, elongation, angle)))
            for n, kept in enumerate((radius, shorter)):
                cut = len(taps) // 2 - kept
                worst[n] = max(worst[n], taps.sum() - taps[cut:-cut, cut:-cut].sum())
        assert worst[0] <= tail
    assert worst[1] > tail  # the control


def test_kernels_of_all_orientations_are_of_one_size_that_is_the_reach() -> None:
    bank = affine_jets(1.3, 0.5, 2.0, 8, Jet(4), 1e-3)
    assert bank.shape == (8, 14, *[2 * affine_reach(1.3, 0.5, 2.0, Jet(4), 1e-3) + 1] * 2)
    largest = abs(bank).max((1, 2, 3))
    assert largest.max() < 1.5 * largest.min()
    borders = [abs(kernels[:, [0, -1]]).max() + abs(kernels[..., [0, -1]]).max() for kernels in bank]
    assert min(borders) > 0  # used in every orientation


# -- derivatives -------------------------------------------------------------------------------------------------------


@every_jet
@pytest.mark.parametrize("number", [0, 1, 5])
def test_derivatives_of_polynomials_are_exact_in_the_frame_of_the_direction(number: int, jet: Jet) -> None:
    """Of u^a v^b up to one degree above their order, as differences are: what smoothing keeps, however it is cut."""
    sigma, elongation, orientations = 0.9, 1.7, 8
    bank, angle = affine_jets(sigma, 0.5, elongation, orientations, jet), number * math.pi / orientations
    u, v = frame(bank.shape[-1] // 2, angle)

    def errors(kernel: np.ndarray, along_v: int, along_u: int) -> list[float]:
        found = []
        degree, factor = along_u + along_v + 1, (elongation * sigma) ** along_u * sigma**along_v
        for a, b in ((i, k) for i in range(degree + 1) for k in range(degree + 1 - i)):
            terms, exact = kernel * u**a * v**b, factor * ((a, b) == (along_u, along_v))
            found.append(abs(terms.sum() - exact) / max(factor, abs(terms).sum()))
        return found

    for component, derivative in enumerate(jet.derivatives):
        assert max(errors(bank[number, component], *derivative)) <= TOLERANCE
        wrong = errors(bank[number + 1, component], *derivative)  # the control: of the next direction
        assert derivative == (0, 0) or max(wrong) > 1e-2


def frame(radius: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of the integers about the centre."""
    c, s, n = math.cos(angle), math.sin(angle), gaussian.integers(radius)
    return c * n + s * n[:, None], c * n[:, None] - s * n


def closed_form(sigma: float, elongation: float, angle: float, derivative: tuple[int, int], radius: int) -> np.ndarray:
    """(elongation·σ)ᵐ σⁿ/(m! n!) ∂uᵐ∂vⁿ g(x; Σ) at the integers, the other way round: a correlation kernel."""
    along_v, along_u = derivative
    (u, v), result = frame(radius, angle), 1.0
    for x, extent, order in ((-u, elongation * sigma, along_u), (-v, sigma, along_v)):
        result = result * extent**order / math.factorial(order) * gaussian.derivatives(x, extent, order)[order]
    return np.asarray(result)


@every_angle
@pytest.mark.parametrize("derivative", [(0, 0), (0, 1), (1, 0), (0, 2), (2, 0)])
def test_closed_forms_are_those_of_pyscsp(derivative: tuple[int, int], angle: float) -> None:
    """There y points upwards, and kernels are for convolutions. Its mixed derivative lacks a factor 1/(σ₁σ₂)²."""
    along_v, along_u = derivative
    theirs = affscsp.sampldirderaffgausskernelfromsigma12phi(3.0, 1.5, angle, along_u, along_v, 9)[::-1]
    factor = 3.0**along_u * 1.5**along_v / (math.factorial(along_u) * math.factorial(along_v))
    assert abs(closed_form(1.5, 2.0, angle, derivative, 9)[::-1, ::-1] - factor * theirs).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("jet", "elongation", "sigma"), [(Jet(2, zero=True), 2.0, 4.0), (Jet(3), 1.5, 4.0), (Jet(4), 1.25, 5.0)], ids=repr
)
def test_bank_converges_to_the_sampled_closed_forms_as_the_variance_grows(
    jet: Jet, elongation: float, sigma: float
) -> None:
    """Relative to each kernel in the L1 norm, the worst of all; the exponent to .2."""

    def error(sigma: float, angle: float = 0.0) -> float:
        bank = affine_jets(sigma, 0.0, elongation, 3, jet, 1e-6)
        pairs = [
            (kernel, closed_form(sigma, elongation, angle + n * math.pi / 3, derivative, bank.shape[-1] // 2))
            for n, kernels in enumerate(bank)
            for kernel, derivative in zip(kernels, jet.derivatives, strict=True)
        ]
        return max(abs(kernel - exact).sum() / abs(exact).sum() for kernel, exact in pairs)

    coarse, fine = error(sigma), error(2 * sigma)
    assert abs(math.log2(coarse / fine) - 2) <= 0.2
    assert error(2 * sigma, 0.2) > 3 * fine  # the control: of another direction


@every_jet
def test_what_is_smoothed_already_is_taken_off_and_not_off_the_normalisation(jet: Jet) -> None:
    """Σ - s²·1 behind T(·; s²) is the bank without, to what is cut."""
    before = gaussian.discrete_gaussian(0.6, 20)
    whole, rest = (affine_jets(1.0, smoothed, 2.0, 4, jet, 1e-14) for smoothed in (0.0, 0.6))
    radius = whole.shape[-1] // 2
    for expected, kernel in zip(whole.reshape(-1, *whole.shape[2:]), rest.reshape(-1, *rest.shape[2:]), strict=True):
        product = fftconvolve(kernel, np.outer(before, before))
        cut = len(product) // 2 - radius
        assert abs(product[cut:-cut, cut:-cut] - expected).max() <= 1e-12
    assert abs(np.pad(rest, ((0, 0), (0, 0), *[(radius - rest.shape[-1] // 2,) * 2] * 2)) - whole).max() > 1e-3


# -- steering ----------------------------------------------------------------------------------------------------------


@given(jet=jets, count=st.integers(1, 6), a=st.integers(-20, 20), b=st.integers(-20, 20))
def test_steering_a_bank_is_a_homomorphism_to_the_bit(jet: Jet, count: int, a: int, b: int) -> None:
    coefficients = random(2, 3, count, jet.size)
    turned = partial(steer_affine, jet=jet)
    assert same_bits(turned(turned(coefficients, b), a), turned(coefficients, a + b))
    assert same_bits(turned(coefficients, 2 * count), coefficients)
    assert same_bits(turned(coefficients, 0), coefficients)
    signs = (-1.0) ** torch.tensor(jet.orders)
    assert same_bits(turned(coefficients, count), coefficients * signs)
    assert same_bits(turned(coefficients[0], a), turned(coefficients, a)[0])
    assert not same_bits(turned(coefficients, 2 * count + 1), coefficients)  # the control


@given(jet=jets, count=st.integers(1, 6), steps=st.integers(-20, 20))
def test_banks_without_elongation_turn_as_jets_do(jet: Jet, count: int, steps: int) -> None:
    coefficients, angle = random(count, jet.size), math.pi / count
    gap = as_jets(steer_affine(coefficients, steps, jet), jet) - steer(as_jets(coefficients, jet), steps * angle, jet)
    assert gap.abs().max() <= TOLERANCE
    rolled = as_jets(coefficients.roll(steps, 0), jet)  # the control: signs forgotten
    odd = steps % (2 * count) != 0 and steps % count == 0 and (steps // count) % 2
    assert not odd or (rolled - steer(as_jets(coefficients, jet), steps * angle, jet)).abs().max() > 0.1


def as_jets(coefficients: Tensor, jet: Jet) -> Tensor:
    """What a bank without elongation is as a single jet, `[…, orientations, jet.size]` → `[…, jet.size]`."""
    count = coefficients.shape[-2]
    return sum(steer(part, n * math.pi / count, jet) for n, part in enumerate(coefficients.unbind(-2)))  # type: ignore[return-value]


@pytest.mark.parametrize(("count", "jet"), [(2, Jet(2)), (4, Jet(3, zero=True)), (6, Jet(4))], ids=repr)
def test_banks_turn_with_images_by_quarters_to_rounding(count: int, jet: Jet) -> None:
    """From x to y is clockwise as an image is shown."""
    images, coefficients, offset = random(1, 2, 21, 24), random(3, 2, count, jet.size, seed=1), random(3, seed=2)
    layer = partial(affine_jet_conv, offset=offset, sigma=0.8, elongation=2.0, jet=jet)
    for quarters in (1, 2, -1):
        turned = images.rot90(-quarters, (2, 3))
        expected = layer(images, coefficients).rot90(-quarters, (2, 3))
        steps = quarters * count // 2

        def error(steered: Tensor, turned: Tensor = turned, expected: Tensor = expected) -> float:
            return (layer(turned, steered) - expected).abs().max().item()

        assert error(steer_affine(coefficients, steps, jet)) <= TOLERANCE
        assert error(steer_affine(coefficients, steps + 1, jet)) > 0.1  # the controls: too far; signs forgotten
        assert error(coefficients.roll(steps, -2)) > 0.1


def test_banks_turn_with_images_by_eighths_to_an_error_that_falls_with_the_variance() -> None:
    """Closed-form blobs turned by 45°, relative to the signal, at the centre. `Blobs` turn the other way."""
    jet, count = Jet(3, zero=True), 4

    def error(sigma: float, *, wrong: int = 0, signs: bool = True) -> float:
        generator = torch.Generator().manual_seed(0)
        blobs = Blobs.random(8, 4, widths=(0.8 * sigma, 1.5 * sigma), extent=2 * sigma, generator=generator)
        size = 2 * affine_reach(sigma, 0.0, 2.0, jet, 1e-8) + 1
        layer = partial(
            affine_jet_conv, offset=torch.zeros(6).double(), sigma=sigma, elongation=2.0, jet=jet, tail=1e-8
        )
        coefficients = random(6, 1, count, jet.size)
        steered = steer_affine(coefficients, 1 + wrong, jet) if signs else coefficients.roll(1, -2)
        before = layer(blobs.sample(size, size), coefficients)
        after = layer(blobs.rotated(-math.pi / 4).sample(size, size), steered)
        return ((after - before).norm() / before.norm()).item()

    coarse, fine = error(3.0), error(6.0)
    assert coarse < 0.05
    assert abs(math.log2(coarse / fine) - 2) <= 0.2
    for control in (error(3.0, wrong=1), error(3.0, wrong=-1), error(3.0, signs=False)):
        assert control > 4 * coarse


# -- the layer ---------------------------------------------------------------------------------------------------------

WINDOW = ScaleWindow(ScaleGroup(2.0), 1.0, 2)  # σ₀ of one and two samples


def random_field(type: FieldType) -> ScaleField:
    return ScaleField.of(random(1, type.size, 2, 41, 43), type, WINDOW)


def made(make: Any, *arguments: Any, **options: Any) -> Any:
    """A layer with random parameters, in float64."""
    layer = make(*arguments, **options).double()
    with torch.no_grad():
        for seed, parameter in enumerate(layer.parameters()):
            parameter.copy_(random(*parameter.shape, seed=seed))
    return layer


@pytest.mark.parametrize(
    ("smoothed", "stride", "jet"), [(0.0, 1, Jet(2)), (0.8, 2, Jet(3, zero=True)), (0.0, 2, Jet(4))], ids=repr
)
def test_without_elongation_a_layer_is_the_plain_one_of_steered_coefficients(
    smoothed: float, stride: int, jet: Jet
) -> None:
    field, options = random_field(FieldType.scalars(4, smoothed=smoothed)), {"jet": jet, "groups": 2, "stride": stride}
    affine = made(nn.AffineJetConv, field.type, 6, orientations=3, elongation=1.0, **options)
    plain = nn.JetConv(field.type, 6, **options).double()
    with torch.no_grad():
        plain.coefficients.copy_(as_jets(affine.coefficients, jet))
        plain.offset.copy_(affine.offset)
    result, expected = affine(field), plain(field)
    assert result.grids == expected.grids
    torch.testing.assert_close(result.maps, expected.maps, rtol=0, atol=TOLERANCE)
    affine.elongation = 1.01  # the control
    longer = affine(field)
    assert longer.grids != expected.grids or (longer.channel(0) - expected.channel(0)).abs().max() > 1e-4


def test_module_equals_function_in_every_channel_and_gives_every_second_sample_with_a_stride() -> None:
    field, options = random_field(FieldType.scalars(4, smoothed=0.7)), {"groups": 2, "elongation": 1.7, "tail": 1e-3}
    layer, strided = (made(nn.AffineJetConv, field.type, 6, beta=1.25, stride=n, **options) for n in (1, 2))
    whole, half = layer(field), strided(field)
    assert half.grids == whole.grids.map(Grid.every_second)
    for n, sigma0 in enumerate(WINDOW.sigmas):
        sigmas = {"sigma": 1.25 * sigma0, "smoothed": 0.7 * sigma0}
        arguments = field.channel(n), layer.coefficients, layer.offset
        expected = affine_jet_conv(*arguments, **sigmas, elongation=1.7, tail=1e-3)
        assert torch.equal(whole.channel(n), expected)
        grid = whole.grids.grids[n]
        even = expected[..., int(grid.y.first % 2) :: 2, int(grid.x.first % 2) :: 2]
        torch.testing.assert_close(half.channel(n), even, rtol=0, atol=TOLERANCE)
        sigmas["sigma"] *= 1.01  # the control
        wrong = affine_jet_conv(*arguments, **sigmas, elongation=1.7, tail=1e-3)
        assert wrong.shape != expected.shape or (wrong - expected).abs().max() > 1e-4


def test_plans_count_what_the_convolution_takes() -> None:
    layer = nn.AffineJetConv(FieldType.scalars(4), 6, groups=2, jet=Jet(1), stride=2)
    net = nn.Sequential(nn.Lift(WINDOW, 4), nn.AffineJetConv(nn.Lift(WINDOW, 4).out_type, 4), nn.ReadOut)
    grid = random_field(layer.in_type).grids.grids[0]
    width = 2 * layer.reach(2 * grid.samples_per_sigma) + 1
    assert layer.multiply_adds(grid) == 6 * 2 * width**2 * math.prod(grid.shape)
    assert layer.paper_parameter_count == sum(p.numel() for p in layer.parameters()) == 6 * 2 * 4 * 2 + 6
    assert "4 orientations of elongation 2" in str(net.plan((33, 33)))
    assert "orientations=4, elongation=2" in repr(net)


def test_constants_are_nothing_but_to_the_zero_order_term() -> None:
    """To rounding, whatever is cut."""
    constant, offset = torch.full((1, 2, 40, 40), 7.0).double(), random(3)
    for jet in JETS:
        result = affine_jet_conv(constant, random(3, 2, 3, jet.size), offset, sigma=0.9, elongation=2.0, jet=jet)
        assert ((result - offset[:, None, None]).abs().max() <= 10 * TOLERANCE) is not jet.zero


def test_gradients_are_those_of_finite_differences() -> None:
    parts = [part.requires_grad_() for part in (random(1, 2, 9, 8), random(4, 1, 2, 2, seed=1), random(4, seed=2))]
    layer = partial(affine_jet_conv, sigma=0.5, elongation=1.5, jet=Jet(1), tail=0.1)
    assert torch.autograd.gradcheck(layer, parts, fast_mode=True)


@pytest.mark.parametrize(("groups", "jet"), [*zip((1, 2, 1, 2), JETS, strict=True)], ids=repr)
def test_layer_equals_the_slow_reference(jet: Jet, groups: int) -> None:
    sigma, elongation, smoothed, tail = 0.8, 1.7, 0.5, 1e-3
    radius = affine_reach(sigma, smoothed, elongation, jet, tail) - jet.differences.shape[-1] // 2
    size = 2 * (radius + 2)
    images, offset = random(1, 2, size + 3, size + 4), random(4, seed=2)
    coefficients = random(4, 2 // groups, 3, jet.size, seed=1)
    arrays = [tensor.numpy() for tensor in (images, coefficients, offset)]
    expected = torch.from_numpy(slow.affine_jet_conv(*arrays, sigma, elongation, radius, jet.derivatives, smoothed))
    spare = 2 - jet.differences.shape[-1] // 2

    def error(coefficients: Tensor = coefficients, **changed: Any) -> float:
        options = {"sigma": sigma, "elongation": elongation, "smoothed": smoothed, "jet": jet, "tail": tail} | changed
        result = affine_jet_conv(images, coefficients, offset, **options)
        part = result[..., spare : result.shape[-2] - spare, spare : result.shape[-1] - spare]
        assert part.shape == expected.shape
        return ((part - expected).abs().max() / expected.abs().max()).item()

    assert error() <= TOLERANCE
    for wrong in ({"sigma": 1.01 * sigma}, {"elongation": 1.01 * elongation}, {"smoothed": 0.98 * smoothed}):
        assert error(**wrong) > 1e-4
    assert error(coefficients.flip(2)) > 1e-2
    assert error(coefficients.flip(3)) > 1e-2


# -- refused before any computing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", [[[1, 2], [2, 1]], [[1, 0.5], [0.4, 1]], [[0, 0], [0, 1]], [[-1, 0], [0, -1]]])
def test_covariances_must_be_positive_definite(covariance: list[list[float]]) -> None:
    with pytest.raises(ScaleGroupError, match="positive definite"):
        discrete_affine_gaussian(np.array(covariance), 3)


def test_layers_say_how_to_mend_what_they_cannot_use() -> None:
    type, smoothed = FieldType.scalars(2), FieldType.scalars(2, smoothed=0.8)
    with pytest.raises(ScaleGroupError, match=r"elongation 0\.5; .* pass elongation=2 and beta=0\.75"):
        nn.AffineJetConv(type, 3, elongation=0.5, beta=1.5)
    with pytest.raises(ScaleGroupError, match=r"pass a beta above 0\.8"):
        nn.AffineJetConv(smoothed, 3, beta=0.8)
    nn.AffineJetConv(smoothed, 3, beta=0.81)  # the control
