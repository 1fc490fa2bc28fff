"""What holds to rounding (transfer functions on sinusoids, jets of polynomials, steering) and what holds to the bit."""

import cmath
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests import slow_reference as slow
from proofs_tests.comparison import same_bits
from scalegroup import (
    DiscreteGaussian,
    FieldType,
    IntegratedGaussian,
    Iso,
    Kernel,
    Max,
    NormalisedSampledGaussian,
    SampledDerivatives,
    SampledGaussian,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    directional_derivatives,
    nn,
    steer,
)
from scalegroup.testing import Sinusoids
from scalegroup.testing.strategies import tensors

# float64, images of amplitude about 1 and σ ≤ 8: σ²δxx of them rounds at about σ²·4·2⁻⁵² ≤ 6e-14
TOLERANCE = 1e-12
TAIL = 1e-16  # so that truncation is lost in that, too
KERNELS = {
    "discrete": DiscreteGaussian(tail=TAIL),
    "sampled": SampledGaussian(tail=TAIL),
    "normalised": NormalisedSampledGaussian(tail=TAIL),
    "integrated": IntegratedGaussian(tail=TAIL),
    "derivatives": SampledDerivatives(tail=TAIL),
    "iso": Iso(tail=TAIL),
}
every_kernel = pytest.mark.parametrize("name", KERNELS)

angles = st.floats(-7, 7)
coefficients = st.lists(st.floats(-2, 2), min_size=5, max_size=5).map(lambda c: torch.tensor(c, dtype=torch.float64))
DOUBLE_XY = torch.tensor([1, 1, 1, 2, 1], dtype=torch.float64)  # the 2 of eq 6 and 8


def layer(images: Tensor, weights: Tensor, sigma: float, kernel: Kernel) -> Tensor:
    """The layer (C₀ = ½) at the centre pixel, from which its filters just reach the border: `[batch]`."""
    offset = torch.full((1,), 0.5, dtype=torch.float64)
    result = kernel.combine(images, weights[None, None], offset, sigma=sigma)
    assert result.shape[2:] == (1, 1)
    return result[:, 0, 0, 0]


# -- transfer functions -----------------------------------------------------------------------------------------------


def discrete_transfer(sigma: float, wx: float, wy: float) -> list[complex]:
    """T(n; s) has exp(-s(1 - cos ω)), δx has i·sin ω, δxx has 2·cos ω - 2 (§5.1)."""
    smooth = math.exp(-(sigma**2) * (2 - math.cos(wx) - math.cos(wy)))
    dx, dy, dxx, dyy = 1j * math.sin(wx), 1j * math.sin(wy), 2 * math.cos(wx) - 2, 2 * math.cos(wy) - 2
    return [smooth * d for d in (dx, dy, dxx, dx * dy, dyy)]


def transfer_of_taps(name: str) -> Callable[[float, float, float], list[complex]]:
    """Σ h(n)·exp(-iωn) over the taps of the slow reference, which knows nothing of the library."""

    def transfer(sigma: float, wx: float, wy: float) -> list[complex]:
        radius = KERNELS[name].reach(sigma) - slow.STENCIL_RADIUS[name]

        def of(taps: list[float], w: float) -> complex:
            return sum(tap * cmath.exp(-1j * w * (n - len(taps) // 2)) for n, tap in enumerate(taps))

        return [of(along_y, wy) * of(along_x, wx) for along_y, along_x in slow.derivative_kernels(name, sigma, radius)]

    return transfer


def transfer_error(name: str, transfer: Callable, sigma: float, weights: Tensor, at: float = 1.0) -> float:
    """The layer at `at`·σ on random sinusoids against Re Σ amplitude·H·exp(i·phase), up to the Nyquist frequency."""
    waves = Sinusoids.random(4, 3, math.pi, torch.Generator().manual_seed(1))
    size = 2 * KERNELS[name].reach(at * sigma) + 1
    result = layer(waves.sample(size, size), weights, at * sigma, KERNELS[name])
    factors = [
        c * f for c, f in zip(weights.tolist(), (sigma, sigma, sigma**2 / 2, sigma**2, sigma**2 / 2), strict=True)
    ]
    expected = []
    for amplitudes, frequencies, phases in zip(waves.amplitudes, waves.frequencies, waves.phases, strict=True):
        total = 0.5 + 0j
        for a, (wx, wy), phase in zip(amplitudes.tolist(), frequencies.tolist(), phases.tolist(), strict=True):
            response = sum(f * h for f, h in zip(factors, transfer(sigma, wx, wy), strict=True))
            total += a * response * cmath.exp(1j * phase)
        expected.append(total.real)
    return (result - torch.tensor(expected, dtype=torch.float64)).abs().max().item()


@pytest.mark.parametrize("sigma", [0.5, 0.71, 1.0, 2.0, 8.0])
@settings(max_examples=15)
@given(coefficients)
def test_discrete_layer_equals_its_transfer_function(sigma: float, weights: Tensor) -> None:
    assert transfer_error("discrete", discrete_transfer, sigma, weights) <= TOLERANCE


@every_kernel
@settings(max_examples=15)
@given(st.floats(0.8, 8), coefficients)
def test_layer_equals_the_transfer_function_of_its_taps(name: str, sigma: float, weights: Tensor) -> None:
    assert transfer_error(name, transfer_of_taps(name), sigma, weights) <= TOLERANCE


@every_kernel
def test_transfer_functions_tell_wrong_layers_apart(name: str) -> None:
    """Controls: σ off by 1 %, no factor 2 before Cxy, the continuous Gaussian."""
    weights = torch.ones(5, dtype=torch.float64)
    for transfer in (transfer_of_taps(name), *([discrete_transfer] if name == "discrete" else [])):
        assert transfer_error(name, transfer, 1.0, weights) <= TOLERANCE
        assert transfer_error(name, transfer, 1.0, weights, at=1.01) > 1e-4

        def halved(*arguments: float, transfer: Callable = transfer) -> list[complex]:
            return [h * f for h, f in zip(transfer(*arguments), (1, 1, 1, 0.5, 1), strict=True)]

        assert transfer_error(name, halved, 1.0, weights) > 1e-3

    def continuous(sigma: float, wx: float, wy: float) -> list[complex]:
        smooth = math.exp(-(sigma**2) * (wx**2 + wy**2) / 2)
        return [smooth * d for d in (1j * wx, 1j * wy, -(wx**2), -wx * wy, -(wy**2))]

    assert transfer_error(name, continuous, 1.0, weights) > 1e-4


# -- polynomials ------------------------------------------------------------------------------------------------------


def polynomial(parts: Tensor, size: int, reach: float, *, factor: float = 1.0, angle: float = 0.0) -> Tensor:
    """a·u + b·v + c·u² + d·uv + e·v² (+ 1) at (u, v) = (x, y)/reach, scaled, and turned by an angle (x to y)."""
    n = (torch.arange(size, dtype=torch.float64) - size // 2) / (factor * reach)
    x, y, c, s = n, n[:, None], math.cos(angle), math.sin(angle)
    u, v = c * x + s * y, c * y - s * x  # the point turned back
    terms = torch.stack([u, v, u * u, u * v, v * v])
    return (1 + torch.einsum("j, jyx -> yx", parts, terms))[None, None]


def jet(kernel: Kernel, sigma: float, parts: Tensor, reach: float, **turned: float) -> Tensor:
    """The scale-normalised 2-jet of a polynomial at the centre."""
    images = polynomial(parts, 2 * kernel.reach(sigma) + 1, reach, **turned)
    return kernel.maps(images, sigma)[0, 0, :, 0, 0] * sigma ** torch.tensor([1.0, 1, 2, 2, 2], dtype=torch.float64)


def closed_form_jet(sigma: float, parts: Tensor, reach: float) -> Tensor:
    """σLx, σLy, σ²Lxx, σ²Lxy, σ²Lyy at the origin: smoothing changes no derivative of a polynomial of degree 2."""
    q = sigma / reach
    return parts * torch.tensor([q, q, 2 * q * q, q * q, 2 * q * q], dtype=torch.float64)


EXACT = {
    "discrete": DiscreteGaussian(tail=1e-12),
    "normalised": NormalisedSampledGaussian(tail=1e-12),
    "iso": Iso(tail=1e-12),
    "truncated": DiscreteGaussian(tail=1e-2),  # unit mass and symmetry are all that it takes
}
REACH = 8.0  # in σ: images stay of order one on the filters' support


@pytest.mark.parametrize("name", EXACT)
@given(st.floats(0.8, 2), st.floats(1, 4), coefficients)
def test_jets_of_polynomials_are_exactly_covariant_for_every_real_factor(
    name: str, sigma: float, factor: float, parts: Tensor
) -> None:
    kernel, reach = EXACT[name], REACH * sigma
    fine = jet(kernel, sigma, parts, reach)
    coarse = jet(kernel, factor * sigma, parts, reach, factor=factor)
    assert (fine - coarse).abs().max() <= TOLERANCE
    assert (fine - closed_form_jet(sigma, parts, reach)).abs().max() <= TOLERANCE


@pytest.mark.parametrize("name", EXACT)
def test_covariance_on_polynomials_is_lost_with_a_wrong_sigma_or_mass(name: str) -> None:
    """Controls: σ off by 1 % on one side; sampled derivatives, which see the constant at small σ."""
    parts = torch.ones(5, dtype=torch.float64)
    fine = jet(EXACT[name], 1.0, parts, REACH)
    assert (fine - jet(EXACT[name], 2.02, parts, REACH, factor=2.0)).abs().max() > 1e-4
    for kernel in (SampledDerivatives(tail=1e-12), SampledGaussian(tail=1e-12)):
        gap = jet(kernel, 0.5, parts, REACH) - jet(kernel, 1.0, parts, REACH, factor=2.0)
        assert gap.abs().max() > 1e-3


@pytest.mark.parametrize("name", EXACT)
@given(st.floats(0.8, 2), coefficients, coefficients)
def test_layer_on_polynomials_is_eq_6(name: str, sigma: float, weights: Tensor, parts: Tensor) -> None:
    """J = C₀ + σ(Cx Lx + Cy Ly) + ½σ²(Cxx Lxx + 2 Cxy Lxy + Cyy Lyy), the 2 included."""
    size = 2 * EXACT[name].reach(sigma) + 1
    lx, ly, lxx, lxy, lyy = closed_form_jet(sigma, parts, REACH * sigma)
    cx, cy, cxx, cxy, cyy = weights
    expected = 0.5 + cx * lx + cy * ly + (cxx * lxx + 2 * cxy * lxy + cyy * lyy) / 2
    result = layer(polynomial(parts, size, REACH * sigma), weights, sigma, EXACT[name])
    assert (result - expected).abs() <= TOLERANCE


def test_missing_factor_before_cxy_is_covariant_but_wrong_on_xy() -> None:
    """It only renames Cxy, so scaling cannot tell; the polynomial xy can, and so can a rotation by 45°."""
    kernel, xy = EXACT["discrete"], torch.tensor([0, 0, 0, 1, 0], dtype=torch.float64)
    without = torch.tensor([0, 0, 0, 0.5, 0], dtype=torch.float64)  # what such a layer would do with Cxy = 1

    def response(sigma: float, weights: Tensor, parts: Tensor, **turned: float) -> Tensor:
        size = 2 * kernel.reach(sigma) + 1
        return layer(polynomial(parts, size, 1.0, **turned), weights, sigma, kernel) - 0.5

    assert (response(2.0, without, xy) - response(4.0, without, xy, factor=2.0)).abs() <= 1e-10  # images of order 100
    assert (response(2.0, 2 * without, xy) - 2.0**2).abs() <= 1e-10
    assert (response(2.0, without, xy) - 2.0**2).abs() > 1
    xx = torch.tensor([0, 0, 1, 0, 0], dtype=torch.float64)
    straight, turned = response(2.0, xx, xx), response(2.0, steer(xx, math.pi / 4), xx, angle=math.pi / 4)
    assert (straight - turned).abs() <= 1e-10
    wrong = steer(xx, math.pi / 4) * torch.tensor([1, 1, 1, 0.5, 1])
    assert (straight - response(2.0, wrong, xx, angle=math.pi / 4)).abs() > 0.5


# -- steering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT)
@given(st.floats(0.8, 2), angles, coefficients, coefficients)
def test_steered_layer_sees_a_turned_polynomial_as_the_layer_sees_the_polynomial(
    name: str, sigma: float, angle: float, weights: Tensor, parts: Tensor
) -> None:
    size = 2 * EXACT[name].reach(sigma) + 1

    def response(weights: Tensor, angle: float) -> Tensor:
        return layer(polynomial(parts, size, REACH * sigma, angle=angle), weights, sigma, EXACT[name])

    assert (response(steer(weights, angle), angle) - response(weights, 0.0)).abs() <= TOLERANCE


def test_many_jets_are_steered_as_each_one_is() -> None:
    jets = torch.randn(5, 3, 5, dtype=torch.float64)  # 5 along the first axis as well: the components are the last
    for turn in (steer, directional_derivatives):
        each = torch.stack([torch.stack([turn(jet, 0.3) for jet in row]) for row in jets])
        assert torch.equal(turn(jets, 0.3), each)
        assert not torch.equal(turn(jets.movedim(0, 2), 0.3), each.movedim(0, 1))  # the control: another axis


def test_steering_the_wrong_way_fails() -> None:
    parts = torch.tensor([1, 2, 3, 4, 5], dtype=torch.float64)
    size, kernel = 2 * EXACT["discrete"].reach(1.0) + 1, EXACT["discrete"]
    turned = polynomial(parts, size, REACH, angle=0.3)
    straight = layer(polynomial(parts, size, REACH), parts, 1.0, kernel)
    for angle in (-0.3, 0.0, 0.303):
        assert (layer(turned, steer(parts, angle), 1.0, kernel) - straight).abs() > 1e-4


@pytest.mark.parametrize("name", EXACT)
@given(st.floats(0.8, 2), angles, coefficients)
def test_directional_derivatives_are_those_along_the_turned_axis(
    name: str, sigma: float, angle: float, parts: Tensor
) -> None:
    """Eq 7 and 8: (Lφ, Lφφ) of an image are (Lx, Lxx) of the image turned back by φ."""
    reach = REACH * sigma
    found = directional_derivatives(jet(EXACT[name], sigma, parts, reach), angle)
    expected = jet(EXACT[name], sigma, parts, reach, angle=-angle)[[0, 2]]
    assert (found - expected).abs().max() <= TOLERANCE


def test_missing_factor_in_eq_8_shows_at_45_degrees() -> None:
    jets = jet(EXACT["discrete"], 1.0, torch.ones(5, dtype=torch.float64), REACH)
    halved = jets * torch.tensor([1, 1, 1, 0.5, 1])
    wrong, right = (directional_derivatives(j, math.pi / 4)[1] for j in (halved, jets))
    assert (wrong - right).abs() > 1e-3
    assert (directional_derivatives(halved, 0.0) - directional_derivatives(jets, 0.0)).abs().max() == 0


@given(angles, coefficients, coefficients)
def test_steering_coefficients_is_dual_to_directional_derivatives(angle: float, weights: Tensor, jets: Tensor) -> None:
    """Cx Lφ + ½Cxx Lφφ is what steered coefficients (Cx, 0, Cxx, 0, 0) make of the jet."""
    only = weights * torch.tensor([1, 0, 1, 0, 0])
    half = torch.tensor([1, 1, 0.5, 0.5, 0.5], dtype=torch.float64)
    along = directional_derivatives(jets, angle)
    assert abs(steer(only, angle) @ (DOUBLE_XY * half * jets) - weights[[0, 2]] @ (half[[0, 2]] * along)) <= TOLERANCE


@given(angles, angles, coefficients)
def test_steering_is_a_homomorphism_of_rotations(a: float, b: float, weights: Tensor) -> None:
    assert (steer(steer(weights, b), a) - steer(weights, a + b)).abs().max() <= TOLERANCE
    assert (steer(steer(weights, a), -a) - weights).abs().max() <= TOLERANCE
    assert (steer(weights, a + 2 * math.pi) - steer(weights, a)).abs().max() <= TOLERANCE
    half_turn = weights * torch.tensor([-1, -1, 1, 1, 1])
    assert (steer(weights, math.pi) - half_turn).abs().max() <= TOLERANCE
    assert same_bits(steer(weights, 0.0) + 0.0, weights + 0.0)  # + 0.0: no difference between 0 and -0


def test_steering_without_its_factor_2_is_no_homomorphism() -> None:
    def steer_wrongly(weights: Tensor, angle: float) -> Tensor:
        halved = torch.tensor([1, 1, 1, 0.5, 1], dtype=torch.float64)
        return steer(weights * halved, angle)

    weights = torch.tensor([1, 2, 3, 4, 5], dtype=torch.float64)
    assert (steer_wrongly(steer_wrongly(weights, 0.2), 0.3) - steer_wrongly(weights, 0.5)).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore")
def test_coefficients_turn_as_irreps_of_escnn() -> None:
    """(Cx, Cy) as frequency 1; ½(Cxx + Cyy) as frequency 0, (½(Cxx - Cyy), Cxy) as frequency 2."""
    escnn = pytest.importorskip("escnn")
    group = escnn.group.so2_group(maximum_frequency=2)
    irreps = [group.irrep(frequency) for frequency in (1, 0, 2)]
    to_irreps = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0.5, 0, 0.5], [0, 0, 0.5, 0, -0.5], [0, 0, 0, 1, 0]])
    from_irreps = np.linalg.inv(to_irreps)

    def theirs(theta: float, frequencies: list) -> np.ndarray:
        blocks = [irrep(group.element(theta, "radians")) for irrep in frequencies]
        matrix = np.zeros((5, 5))
        start = 0
        for block in blocks:
            matrix[start : start + len(block), start : start + len(block)] = block
            start += len(block)
        return from_irreps @ matrix @ to_irreps

    wrong = [group.irrep(2), group.irrep(0), group.irrep(1)]
    for theta in (0.0, 0.3, math.pi / 4, math.pi / 2, 2.5, 6.0):
        ours = steer(torch.eye(5, dtype=torch.float64), theta).T.numpy()  # columns: what becomes of each coefficient
        assert abs(ours - theirs(theta, irreps)).max() <= TOLERANCE
        assert theta == 0 or abs(ours - theirs(theta, wrong)).max() > 0.1  # control: frequencies exchanged
        assert theta == 0 or abs(ours - theirs(-theta, irreps)).max() > 0.1  # control: turned the other way


# -- bitwise ----------------------------------------------------------------------------------------------------------

odd = st.integers(0, 20).map(lambda n: 2 * n + 1)
SCALARS = FieldType.scalars(2)
subsample = nn.Subsample(SCALARS)


def field_of(tensor: Tensor) -> ScaleField:
    return ScaleField.of(tensor, SCALARS, ScaleWindow(ScaleGroup(2), 1.0, tensor.shape[2]))


def every_fourth(size: int) -> slice:
    """From the centre on."""
    return slice(size // 2 % 4, None, 4)


@given(odd, odd, st.data())
def test_subsampling_composes_bitwise_and_keeps_the_centre(height: int, width: int, data: st.DataObject) -> None:
    tensor = data.draw(tensors((1, 2, 3, height, width)))
    twice = subsample(subsample(field_of(tensor)))
    assert same_bits(twice.tensor, tensor[..., every_fourth(height), every_fourth(width)])
    rows, columns = twice.tensor.shape[-2:]
    assert same_bits(twice.tensor[..., rows // 2, columns // 2], tensor[..., height // 2, width // 2])
    assert all(grid.samples_per_sigma * 4 == sigma for grid, sigma in zip(twice.grids.grids, (1, 2, 4), strict=True))


def test_subsampling_from_the_corner_loses_the_centre() -> None:
    """Control; and an even axis, which has no centre sample, is refused."""
    ramp = torch.arange(7.0).expand(1, 2, 1, 7, 7)
    assert ramp[..., ::2][0, 0, 0, 0, 2] != ramp[0, 0, 0, 0, 3]
    assert subsample(field_of(ramp)).tensor[0, 0, 0, 0].tolist() == [1, 3, 5]
    with pytest.raises(ScaleGroupError, match="even size"):
        subsample(field_of(torch.zeros(1, 2, 1, 7, 8)))


@given(odd, odd, st.integers(1, 5), st.data())
def test_maximum_over_scale_commutes_with_subsampling_bitwise(
    height: int, width: int, channels: int, data: st.DataObject
) -> None:
    tensor = data.draw(tensors((1, 2, channels, height, width)))
    maximum = Max().reduce(tensor, 2)
    assert same_bits(subsample(field_of(maximum)).tensor, Max().reduce(subsample(field_of(tensor)).tensor, 2))


def test_maximum_over_scale_does_not_commute_with_filtering() -> None:
    """Control."""
    fields = torch.randn(1, 2, 2, 9, 9, dtype=torch.float64)
    blur = torch.nn.AvgPool3d((1, 3, 3), stride=1)
    assert (Max().reduce(blur(fields), 2) - blur(Max().reduce(fields, 2))).abs().max() > 0.1
