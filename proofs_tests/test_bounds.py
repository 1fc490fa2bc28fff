"""The derived bound on the covariance error of one 2-jet layer: each step of its derivation, and all of it on images.

The bound is for the paper's discretisation, T(n; s) with central differences, at every σ; the
derivation stands in `scalegroup.testing.discretisation_constants`. That of T's tail is in `test_kernels`.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scalegroup import DiscreteGaussian, ScaleGroupError
from scalegroup.testing import Sinusoids, covariance_bound, covariance_check, discretisation_constants

KERNEL = DiscreteGaussian(tail=1e-14)
# Truncation changes a jet by about σ²·4·1e-14 of the amplitude, and rounding by σ²·4·2⁻⁵², σ ≤ 32: on top of the bound
SLACK = 1e-10

sigmas = st.floats(0.3, 8)
highest = st.floats(0.05, math.pi)  # ω_m
factors = st.floats(1, 4)


def axis(sigma: float, w: np.ndarray, *, discrete: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A₀, A₁, A₂ or a₀, a₁, a₂ of the derivation: transfer functions on one axis, without their factors iⁿ."""
    if discrete:
        smooth = np.exp(-(sigma**2) * (1 - np.cos(w)))
        return smooth, sigma * np.sin(w) * smooth, sigma**2 * (2 - 2 * np.cos(w)) * smooth
    smooth = np.exp(-(sigma**2) * w**2 / 2)
    return smooth, sigma * w * smooth, sigma**2 * w**2 * smooth


def transfer(sigma: float, wx: np.ndarray, wy: np.ndarray, *, discrete: bool) -> np.ndarray:
    """H of (Lξ, Lξξ, Lξη), without i, -1 and -1."""
    (_, x1, x2), (y0, y1, _) = (axis(sigma, w, discrete=discrete) for w in (wx, wy))
    return np.stack([x1 * y0, x2 * y0, x1 * y1])


def observed(sigma: float, max_frequency: float, *, at: float = 1.0, power: float = 2.0) -> np.ndarray:
    """σ^power·max |H_discrete(at·σ) - H_continuous(σ)| over all frequencies up to `max_frequency`, per component."""
    w = np.linspace(0, max_frequency, 201)
    gap = transfer(at * sigma, w, w[:, None], discrete=True) - transfer(sigma, w, w[:, None], discrete=False)
    return sigma**power * abs(gap).max((1, 2))


# -- the derivation, step by step -------------------------------------------------------------------------------------

W = np.linspace(1e-3, math.pi, 4001)
D = 2 * np.sin(W / 2) ** 2  # 1 - cos ω without cancellation
U = np.linspace(0, 40, 40001)
E = math.e


def kappa(max_frequency: float) -> float:
    return (math.sin(max_frequency / 2) / (max_frequency / 2)) ** 2


def errors_on_one_axis(k: float) -> tuple[float, float, float]:
    """E₀, E₁, E₂."""
    return (
        2 / (3 * E**2) / k**2,
        3**1.5 * E**-1.5 / 6 + 5**2.5 * E**-2.5 * k**-2.5 / 24,
        4 / (3 * E**2) + 9 * E**-3 * k**-3,
    )


def test_stencils_and_smoothing_err_by_their_taylor_terms_at_most() -> None:
    """Facts 1 and 2, and that they are sharp where ω is small (below .1, cancellation spoils the ratios)."""
    for error, bound in ((W - np.sin(W), W**3 / 6), (W**2 - 2 * D, W**4 / 12), (W**2 / 2 - D, W**4 / 24)):
        ratio = (error / bound)[W > 0.1]
        assert ratio.min() > 0
        assert 0.999 < ratio.max() <= 1
        assert (error > 0.9 * bound).any()  # control: no smaller constant will do


@given(highest)
def test_decay_is_bounded_by_that_of_a_gaussian(max_frequency: float) -> None:
    """Fact 3: 1 - cos ω ≥ κω²/2 up to ω_m, with equality there, and not beyond."""
    k = kappa(max_frequency)
    below, above = W[max_frequency >= W], W[(max_frequency < W) & (max_frequency > W / 2)]
    assert (2 * np.sin(below / 2) ** 2 >= k * below**2 / 2 * (1 - 1e-14)).all()
    assert math.isclose(2 * math.sin(max_frequency / 2) ** 2, k * max_frequency**2 / 2, rel_tol=1e-14)
    assert (2 * np.sin(above / 2) ** 2 < k * above**2 / 2).all()  # control


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5, 6])
@given(st.floats(kappa(math.pi), 1))
def test_maxima_of_powers_times_gaussians(power: int, c: float) -> None:
    """Fact 4: u^p·exp(-cu²/2) ≤ (p/(ce))^(p/2), and that is the maximum."""
    values = U**power * np.exp(-c * U**2 / 2)
    assert (
        (1 - 1e-4) * (power / (c * E)) ** (power / 2) <= values.max() <= (power / (c * E)) ** (power / 2) * (1 + 1e-14)
    )


@given(sigmas, highest)
def test_errors_on_one_axis_are_bounded_step_by_step(sigma: float, max_frequency: float) -> None:
    w, k = np.linspace(0, max_frequency, 2001), kappa(max_frequency)
    u, d = sigma * w, 2 * np.sin(w / 2) ** 2
    discrete, continuous = (axis(sigma, w, discrete=discrete) for discrete in (True, False))
    (big, _, _), (small, _, _) = discrete, continuous
    steps = [
        # the error, split into stencil and smoothing; its bound for each u; its bound for all
        (big - small, u**4 * np.exp(-k * u**2 / 2) / 24),
        (
            sigma * (w - np.sin(w)) * small + sigma * np.sin(w) * (big - small),
            u**3 * np.exp(-(u**2) / 2) / 6 + u**5 * np.exp(-k * u**2 / 2) / 24,
        ),
        (
            sigma**2 * (w**2 - 2 * d) * small + sigma**2 * 2 * d * (big - small),
            u**4 * np.exp(-(u**2) / 2) / 12 + u**6 * np.exp(-k * u**2 / 2) / 24,
        ),
    ]
    for a, b, (split, pointwise), total in zip(discrete, continuous, steps, errors_on_one_axis(k), strict=True):
        rounding = 1e-14 * max(1, sigma**2)
        assert (abs(a - b) <= split + rounding).all()
        assert (sigma**2 * split <= pointwise + sigma**2 * rounding).all()
        assert pointwise.max() <= total * (1 + 1e-14)


@given(sigmas, highest)
def test_transfer_functions_on_one_axis_are_of_bounded_size(sigma: float, max_frequency: float) -> None:
    w, k = np.linspace(0, max_frequency, 2001), kappa(max_frequency)
    (big, first, _), (_, small_first, small_second) = (axis(sigma, w, discrete=d) for d in (True, False))
    for values, bound in ((big, 1), (small_first, E**-0.5), (small_second, 2 / E), (first, (k * E) ** -0.5)):
        assert values.min() >= 0
        assert values.max() <= bound * (1 + 1e-14)


@given(highest)
def test_constants_are_put_together_from_those_steps(max_frequency: float) -> None:
    """|AB - ab| ≤ |A - a|·|B| + |a|·|B - b|."""
    k = kappa(max_frequency)
    e0, e1, e2 = errors_on_one_axis(k)
    expected = (e1 + E**-0.5 * e0, e2 + 2 / E * e0, e1 * (k * E) ** -0.5 + E**-0.5 * e1)
    assert np.allclose(discretisation_constants(max_frequency), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("max_frequency", "expected"), [(math.pi / 2, (0.60, 1.12, 0.66)), (math.pi, (2.36, 7.32, 3.15))]
)
def test_constants_have_their_known_values(max_frequency: float, expected: tuple[float, ...]) -> None:
    assert np.allclose(discretisation_constants(max_frequency), expected, rtol=0, atol=0.0052)


# -- transfer functions -----------------------------------------------------------------------------------------------


def bound_fails(wrong: Callable[[float, np.ndarray], np.ndarray], *, at: float = 1.0) -> bool:
    """Whether some |H_discrete - H_continuous| exceeds wrong(σ, C)."""
    found = [
        observed(sigma, m, at=at, power=0.0) > wrong(sigma, np.array(discretisation_constants(m)))
        for sigma in (0.3, 0.5, 1.0, 2.0, 4.0, 8.0)
        for m in (0.2, math.pi / 2)
    ]
    return bool(np.any(found))


@given(sigmas, highest, st.floats(-1, 1), st.floats(-1, 1))
def test_bound_holds_at_every_frequency(sigma: float, max_frequency: float, x: float, y: float) -> None:
    wx, wy = (np.array(max_frequency * part) for part in (x, y))
    gap = transfer(sigma, wx, wy, discrete=True) - transfer(sigma, wx, wy, discrete=False)
    assert (abs(gap) <= np.array(discretisation_constants(max_frequency)) / sigma**2).all()


@given(sigmas, highest, factors)
def test_covariance_gap_of_transfer_functions_is_bounded(sigma: float, max_frequency: float, factor: float) -> None:
    w = np.linspace(0, max_frequency, 65)
    before = transfer(sigma, w, w[:, None], discrete=True)
    after = transfer(factor * sigma, w / factor, w[:, None] / factor, discrete=True)
    gap = abs(before - after).max((1, 2))
    assert (gap <= np.array(discretisation_constants(max_frequency)) * (1 + factor**-2) / sigma**2).all()
    assert gap.max() <= covariance_bound(sigma, factor, max_frequency)


def test_bound_is_not_vacuous() -> None:
    """Reached to .16, .31 and .16 up to π/2, to .05, .07 and .03 up to π (at the best σ between .3 and 8)."""
    for max_frequency, expected in ((math.pi / 2, (0.16, 0.31, 0.16)), (math.pi, (0.05, 0.066, 0.033))):
        each = [observed(sigma, max_frequency) for sigma in np.geomspace(0.3, 8, 40)]
        ratios = np.max(each, axis=0) / discretisation_constants(max_frequency)
        assert np.allclose(ratios, expected, rtol=0.05)
    assert ratios.max() > 0.05


def test_wrong_bounds_fail() -> None:
    """Controls: constants an eighth as large; σ^-3 and σ^-1; σ off by 1 %, which shows from σ = 8 on at low ω_m."""
    assert not bound_fails(lambda sigma, c: c / sigma**2)
    assert bound_fails(lambda sigma, c: c / 8 / sigma**2)
    assert bound_fails(lambda sigma, c: c / sigma**3)
    assert bound_fails(lambda sigma, c: c / sigma**2, at=1.01)


@pytest.mark.parametrize(("max_frequency", "smallest"), [(0.2, 8.0), (math.pi / 2, 12.0)])
def test_sigma_off_by_one_percent_breaks_the_bound_where_it_is_tight_enough(
    max_frequency: float, smallest: float
) -> None:
    """An error in σ does not fall with σ, and the bound does: the two meet between two thirds of `smallest` and it."""

    def broken(sigma: float) -> bool:
        return bool((observed(sigma, max_frequency, at=1.01) > discretisation_constants(max_frequency)).any())

    assert broken(smallest)
    assert not broken(smallest * 2 / 3)
    assert not (observed(smallest, max_frequency) > discretisation_constants(max_frequency)).any()


def test_discretisation_error_falls_with_the_variance() -> None:
    """σ²·error has a limit: the bound has the right power of σ."""
    for max_frequency in (math.pi / 2, math.pi):
        first, second = observed(4.0, max_frequency), observed(8.0, max_frequency)
        assert np.allclose(first, second, rtol=0.03)


# -- images -----------------------------------------------------------------------------------------------------------


def test_amplitudes_of_random_waves_sum_to_one() -> None:
    """So that a gap is one of the amplitude."""
    amplitudes = sinusoids(0, 5, 1.0).amplitudes
    torch.testing.assert_close(amplitudes.sum(1), torch.ones(4, dtype=torch.float64))
    assert (amplitudes > 0).all()


def jets(images: Sinusoids, sigma: float, *, factor: float = 1.0) -> Tensor:
    """(Lξ, Lη, Lξξ, Lξη, Lηη) of the layer at the centre pixel of images that hold its filters: `[batch, 5]`."""
    size = 2 * KERNEL.reach(sigma) + 1
    one_each = torch.diag(torch.tensor([1, 1, 2, 1, 2], dtype=torch.float64))[:, None]  # eq 6 has σ²/2 and 2·σ²/2
    samples = images.sample(size, size, factor=factor)
    return KERNEL.combine(samples, one_each, samples.new_zeros(5), sigma=sigma)[..., 0, 0]


def continuous_jets(images: Sinusoids, sigma: float) -> Tensor:
    """The same of the continuous Gaussian: Σ amplitude·Re(H·exp(i·phase))."""
    wx, wy = images.frequencies.unbind(-1)
    size = images.amplitudes * torch.exp(-(sigma**2) * (wx**2 + wy**2) / 2)
    odd, even = -size * torch.sin(images.phases), -size * torch.cos(images.phases)
    u, v = sigma * wx, sigma * wy
    return torch.stack([u * odd, v * odd, u * u * even, u * v * even, v * v * even], dim=-1).sum(1)


def sinusoids(seed: int, waves: int, max_frequency: float) -> Sinusoids:
    """Amplitudes add up to one."""
    return Sinusoids.random(4, waves, max_frequency, torch.Generator().manual_seed(seed))


def of_each_jet(max_frequency: float) -> Tensor:
    """C of the five components: Lη and Lηη have those of Lξ and Lξξ."""
    first, second, mixed = discretisation_constants(max_frequency)
    return torch.tensor([first, first, second, mixed, second], dtype=torch.float64)


@given(sigmas, st.integers(0, 999), st.integers(1, 4), highest)
def test_layer_is_within_the_bound_of_the_continuous_jet(
    sigma: float, seed: int, waves: int, max_frequency: float
) -> None:
    images = sinusoids(seed, waves, max_frequency)
    gap = (jets(images, sigma) - continuous_jets(images, sigma)).abs()
    assert (gap <= of_each_jet(max_frequency) / sigma**2 + SLACK).all()


@given(sigmas, factors, st.integers(0, 999), st.integers(1, 4), highest)
def test_covariance_gap_of_the_layer_is_bounded(
    sigma: float, factor: float, seed: int, waves: int, max_frequency: float
) -> None:
    images = sinusoids(seed, waves, max_frequency)
    gap = (jets(images, sigma) - jets(images, factor * sigma, factor=factor)).abs()
    assert (gap <= of_each_jet(max_frequency) * (1 + factor**-2) / sigma**2 + SLACK).all()
    assert gap.max() <= covariance_bound(sigma, factor, max_frequency) + SLACK


def waves(sigma: float, phase: float) -> Sinusoids:
    """One wave per image along x, y or the diagonal, with σω from .1 to 3, where the Gaussian leaves most."""
    along = torch.linspace(0.1, 3, 24, dtype=torch.float64)[:, None, None] / sigma
    frequencies = torch.cat([along * along.new_tensor(axes) for axes in ([1, 0], [0, 1], [1, 1])])
    ones = torch.ones(len(frequencies), 1, dtype=torch.float64)
    return Sinusoids(ones, frequencies, phase * ones)


def shares(sigma: float, factor: float | None = None, *, at: float = 1.0) -> Tensor:
    """Observed / bound per component for the layer at `at`·σ, against the continuous jet, or the scaled image's."""
    ratios = []
    for phase in (0.0, math.pi / 2):
        images = waves(sigma, phase)
        if factor is None:
            gap = jets(images, at * sigma) - continuous_jets(images, sigma)
        else:
            gap = (jets(images, sigma) - jets(images, at * factor * sigma, factor=factor)) / (1 + factor**-2)
        ratios.append(gap.abs().amax(0) * sigma**2 / of_each_jet(3 / sigma))
    return torch.stack(ratios).amax(0)


@pytest.mark.parametrize("factor", [None, 2.0], ids=["error", "gap"])
def test_bound_on_images_is_not_vacuous_and_breaks_with_a_wrong_sigma(factor: float | None) -> None:
    """Reached to a tenth and more by every component. The two errors of a gap have one sign: less is left of them.

    Controls: constants an eighth as large fail, and so does σ off by 1 % in every component, at σ = 12.
    """
    share = shares(8.0, factor)
    assert share.min() > 0.05
    assert 1 / 8 < share.max() <= 1
    assert shares(12.0, factor).max() <= 1
    assert shares(12.0, factor, at=1.01).min() > 1


@pytest.mark.parametrize("factor", [2**0.5, 2.0, 3.0])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_check_of_covariance_is_within_its_bound(sigma: float, factor: float) -> None:
    check = covariance_check(sigma, factor)
    assert check.bound == covariance_bound(sigma, factor, math.pi / 2)
    assert check.bound / 200 < check.measured <= check.bound  # a bound 200 times smaller fails


@given(sigmas, factors, highest)
def test_bound_of_the_gap_is_the_sum_of_those_of_both_layers(sigma: float, factor: float, max_frequency: float) -> None:
    """C/σ² of the image in the channel σ, and C/(Sσ)² of the scaled one in the channel Sσ: it depends on S.

    As the two errors have one sign, measuring a gap does not tell that a bound has too small a share of the second.
    """
    largest = max(discretisation_constants(max_frequency))
    each = largest / sigma**2, largest / (factor * sigma) ** 2
    bound = covariance_bound(sigma, factor, max_frequency)
    assert math.isclose(bound, sum(each), rel_tol=1e-12)
    check = covariance_check(sigma, factor, max_frequency=max_frequency, images=1)
    assert check.bound == bound
    for without in (each[0], 2 * each[0]):  # the controls: no second layer; the first one twice
        assert factor < 1.01 or not math.isclose(bound, without, rel_tol=1e-3)


def test_bound_is_for_factors_of_at_least_one() -> None:
    """Below, the scaled image has higher frequencies than `max_frequency`; exchange the images."""
    assert covariance_bound(2.0, 1.0, math.pi) > 0
    with pytest.raises(ScaleGroupError, match=r"factor 0\.5"):
        covariance_bound(2.0, 0.5, math.pi)
