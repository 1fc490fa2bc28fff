"""The theorem, as a test: deep networks of 2-jet layers are scale-covariant, to rounding.

A finite network is covariant as far as its discretisation is. With sampled Gaussian derivatives, x² for the activation
and smooth images nothing is lost: on fields of limited bandwidth their sums are the integrals, up to aliasing of
exp(-2π²σ²w²/(σ² + w²)), 5e-13 at σ = σ₀ = 2 for the narrowest blobs there are here, w = ¾σ₀. What is left is the
algebra of the paper (eq 12-20), and any slip in it shows, nearly ten orders of magnitude above the tolerance. Networks
with the paper's kernels and ReLU cannot serve: their discretisation error hides such slips (last test).
"""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from scalegroup import (
    DiscreteGaussian,
    Kernel,
    Replicate,
    SampledDerivatives,
    ScaleGroup,
    ScaleWindow,
    functional,
    jet,
    nn,
    steer,
)
from scalegroup.testing import Blobs, Polynomials

Activation = Callable[[Tensor], Tensor]

TOLERANCE = 1e-12  # of the signal; see above. Tails of 1e-14 cut the filters at 8σ
G = ScaleGroup(2**0.5)
SIGMA0 = 2.0
KERNEL = SampledDerivatives(tail=1e-14)
PADDED = 10.0  # half-width, in σ₀, of images that end before the filters do


def network(depth: int, *, r: float, kernel: Kernel, activation: Activation, sigma0: float) -> nn.Sequential:
    """2-jet layers of three features with σ_k = r^(k-1)·σ₀ (eq 13), twice the usual gain: x² shrinks what is small."""
    layers: list = [nn.Lift(ScaleWindow(G, sigma0, channels=1), background=0.0)]
    for k in range(depth):
        layers += [partial(nn.Pointwise, function=activation)] if k else []
        layers += [partial(nn.JetConv, out_type=3, beta=r**k, kernel=kernel)]
    net = nn.Sequential(*layers, nn.ReadOut).double()
    with torch.no_grad():
        for layer in net.layers:
            if isinstance(layer, nn.JetConv):
                layer.coefficients.mul_(2)
                layer.offset.normal_(std=0.5)
    return net


def covariance_error(
    depth: int = 2,
    power: int = 2,
    *,
    r: float = 1.25,
    kernel: Kernel = KERNEL,
    activation: Activation = torch.square,
    sigma0: float = SIGMA0,
    half_width: float | None = None,
) -> float:
    """The centre pixel in the channel σ₀ against that of the image scaled by S = √2^power in the channel S·σ₀.

    Signal-normalised: ‖difference‖ / ‖output - output of a blank image‖, the median over eight images of blobs. They
    are large enough that the centre sees no boundary in any layer, or end `half_width`·σ₀ from it.
    """
    torch.manual_seed(0)
    net = network(depth, r=r, kernel=kernel, activation=activation, sigma0=sigma0)
    widest, extent = (1.5, 2.0) if half_width is None else (1.2, 0.5)
    widths = (0.75 * sigma0, widest * sigma0)
    generator = torch.Generator().manual_seed(1)
    blobs = Blobs.random(8, 4, widths=widths, extent=extent * sigma0, generator=generator)

    def centre(window: ScaleWindow, factor: float, *, blank: int = 0) -> Tensor:
        sigma = factor * sigma0  # not the window's, which the bugs below falsify; 1.05: they stay inside the image
        reach = sum(kernel.filters(1.05 * r**k * sigma).radius for k in range(depth)) + 1
        half = reach if half_width is None else round(half_width * sigma)
        samples = blobs.sample(2 * half + 1, 2 * half + 1, factor=factor)
        net.lift.window = window
        (channel,) = net.plan(samples.shape[-2:]).channels
        assert (channel.entry.y.start > 0) == (half_width is None)  # regions end before the image does, or they do not
        with torch.no_grad():
            return net(torch.cat([samples, samples.new_zeros(blank, *samples.shape[1:])])).tensor.flatten(1)

    window = net.lift.window
    *before, nothing = centre(window, 1.0, blank=1)
    after = centre(window.transform(G.element(power)), 2 ** (power / 2))
    errors = [(a - b).norm() / (a - nothing).norm() for a, b in zip(before, after, strict=True)]
    return torch.stack(errors).median().item()


DEPTHS: dict[int, dict[str, float]] = {2: {}, 3: {}, 6: {"r": 1.1}}  # 1.25 holds at depth 6, too, and takes long


@pytest.mark.parametrize("power", [1, 2], ids=["√2", "2"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_networks_are_covariant(depth: int, power: int) -> None:
    assert covariance_error(depth, power, **DEPTHS[depth]) <= TOLERANCE


@pytest.mark.parametrize("power", [1, 2], ids=["√2", "2"])
def test_deep_networks_are_covariant_on_images_that_end_before_their_filters(power: int) -> None:
    """On a known background. What the first layers still say of the object beyond 10σ₀ leaves 4e-13."""
    assert covariance_error(3, power, half_width=PADDED) <= TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": DiscreteGaussian(tail=1e-14)},
        {"kernel": SampledDerivatives(tail=1e-6)},
        {"activation": torch.relu},
        {"sigma0": 1.0},
    ],
    ids=["the paper's kernel", "shorter filters", "ReLU", "σ₀ = 1"],
)
def test_every_premise_of_the_theorem_is_needed(change: dict) -> None:
    """Measured: 3e-2, 3e-7, 2e-3 and 2e-3."""
    assert covariance_error(**change) > 1e4 * TOLERANCE


# -- what would catch this --------------------------------------------------------------------------------------------


def one_sigma_off_by_one_percent(patch: pytest.MonkeyPatch) -> None:
    """In the channel 2σ₀ alone."""
    sigmas_on = ScaleWindow.sigmas_on

    def wrong(self: ScaleWindow, **grid: int) -> tuple[float, ...]:
        sigmas = zip(self.labels, sigmas_on(self, **grid), strict=True)
        return tuple(sigma * (1.01 if label == 2 else 1) for label, sigma in sigmas)

    patch.setattr(ScaleWindow, "sigmas_on", wrong)


def wrong_ratio(patch: pytest.MonkeyPatch) -> None:
    """γ is 1 % larger than √2."""
    factor = ScaleGroup.factor
    patch.setattr(ScaleGroup, "factor", lambda self, power: 1.01**power * factor(self, power))


def unshifted_channel(patch: pytest.MonkeyPatch) -> None:
    """Scaling the image leaves the scale channel where it was."""
    patch.setattr(ScaleWindow, "transform", lambda self, _: self)


def no_two_before_cxy(patch: pytest.MonkeyPatch) -> None:
    """Eq 6 and 8 without their factor 2."""
    normalisation = jet.normalisation
    patch.setattr(jet, "normalisation", lambda sigma: normalisation(sigma) * [1, 1, 1, 0.5, 1])


def zero_padding(patch: pytest.MonkeyPatch) -> None:
    """Zeros around every map: right in the first layer, whose background is 0, and wrong behind it."""
    patch.setattr(nn.JetConv, "_split", lambda _, channel: channel.relative_to(None, known=False))


def jets(images: Polynomials, weights: Tensor) -> Tensor:
    """The layer with C₀ = 0 at σ = 2, at the centre pixel of polynomials: `[batch]`."""
    kernel = DiscreteGaussian(tail=1e-16)
    radius = kernel.filters(2.0).radius
    samples = images.sample(2 * radius + 1, 2 * radius + 1)
    maps = functional.jet_conv(
        samples, weights[None, None], weights.new_zeros(1), sigma=2.0, kernel=kernel, boundary=Replicate()
    )
    return maps[:, 0, radius, radius]


def closed_form_error() -> float:
    """Eq 6 on random polynomials: c₄xy has Lxy = c₄, so that 2·½σ²·Cxy·Lxy = 4·c₄·Cxy."""
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)
    images = Polynomials.random(8, torch.Generator().manual_seed(0))
    _, lx, ly, half_lxx, lxy, half_lyy = images.coefficients.T
    cx, cy, cxx, cxy, cyy = weights
    exact = 2 * (cx * lx + cy * ly) + 2**2 / 2 * (2 * cxx * half_lxx + 2 * cxy * lxy + 2 * cyy * half_lyy)
    return ((jets(images, weights) - exact).norm() / exact.norm()).item()


def steering_error() -> float:
    """Lφφ at φ = 45° (eq 8) of x² turned by 45°, ½(x + y)², against Lxx of x²."""
    second = torch.tensor([0, 0, 1, 0, 0], dtype=torch.float64)
    straight, turned = torch.tensor([[0, 0, 0, 1, 0, 0], [0, 0, 0, 0.5, 1, 0.5]], dtype=torch.float64)
    expected = jets(Polynomials(straight[None]), second)
    return ((jets(Polynomials(turned[None]), steer(second, math.pi / 4)) - expected) / expected).abs().item()


TESTS: dict[str, Callable[[], float]] = {
    "theorem": covariance_error,  # all that the centre sees lies inside the image
    "ends": partial(covariance_error, 3, half_width=PADDED),  # the image ends before the filters do
    "xy": closed_form_error,  # jets of polynomials
    "45°": steering_error,
}

# The error each test measures with the bug in the library; where it says nothing the test is blind to it. Without a
# bug all of them stay below the tolerance, and a test that sees a bug does so by four orders of magnitude or more.
WHAT_WOULD_CATCH_THIS: dict[Callable[[pytest.MonkeyPatch], None], dict[str, float]] = {
    one_sigma_off_by_one_percent: {"theorem": 7.3e-3, "ends": 1.2e-2},
    wrong_ratio: {"theorem": 1.5e-2, "ends": 2.3e-2},
    unshifted_channel: {"theorem": 0.54, "ends": 0.6},
    no_two_before_cxy: {"xy": 0.22, "45°": 0.25},
    zero_padding: {"ends": 2e-4},
}


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("bug", WHAT_WOULD_CATCH_THIS, ids=lambda bug: bug.__name__)
def test_bugs_are_caught_by_the_tests_that_can_see_them(
    bug: Callable, test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cache hides them: they change no filter of a given σ, and every measurement plans a network of its own."""
    assert TESTS[test]() <= TOLERANCE
    bug(monkeypatch)
    error, expected = TESTS[test](), WHAT_WOULD_CATCH_THIS[bug].get(test)
    if expected is None:
        assert error <= TOLERANCE
    else:
        assert max(expected / 2, 1e4 * TOLERANCE) <= error <= 2 * expected


@pytest.mark.parametrize("depth", [2, 3])
def test_wrong_sigma_is_invisible_with_the_kernels_and_the_activation_of_the_paper(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the theorem is tested with others: the error even falls, from 2.6 to 2.3 % and from 3.9 to 3.5 %."""
    paper = partial(covariance_error, depth, kernel=DiscreteGaussian(), activation=torch.relu)
    without = paper()
    one_sigma_off_by_one_percent(monkeypatch)
    assert paper() < without < 0.05
