"""How the covariance error of deep ReLU networks falls with σ₀, strides off: no bound exists, the slopes are asserted.

The paper's kernels err as σ^-2, in every layer. What `Iso` gains, two orders, is hidden by the ReLU: its kinks are
aliased. On a row of pixels a kink of slope 1/σ errs by about 1/σ pixels, of which a kernel of height 1/σ makes σ^-2;
the ~σ rows that a curve of kinks crosses err with unrelated phases, which leaves σ^-2 to σ^-2.5 (others report -2.2 for
other images). Strided plans are measured against their table in `test_plan`.
"""

import math
from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor

from scalegroup import DiscreteGaussian, Iso, SampledDerivatives, ScaleGroup, ScaleWindow, nn
from scalegroup.testing import Blobs

G = ScaleGroup(2)
DEPTH, R, NETWORKS = 3, 1.25, 4
HALF_WIDTH = 10  # of the images, in σ₀, on a known background; 14 changes no error in its third digit
KERNELS = {
    "paper": DiscreteGaussian(tail=1e-6),
    "iso": Iso(tail=1e-6),
    "exact": SampledDerivatives(tail=1e-6),  # exponentially so from σ = 2 on
}
ACTIVATIONS = {"relu": torch.relu, "square": torch.square}
SIGMAS = (1.0, 2.0, 4.0, 8.0)


def network(kernel: str, activation: str, seed: int) -> nn.Sequential:
    """Random 2-jet layers of four features with σ_k = r^(k-1)·σ₀."""
    torch.manual_seed(seed)
    layers: list = [nn.Lift(ScaleWindow(G, 1.0, channels=1), background=0.0)]
    for k in range(DEPTH):
        layers += [partial(nn.Pointwise, function=ACTIVATIONS[activation])] if k else []
        layers += [partial(nn.JetConv, out_type=4, beta=R**k, kernel=KERNELS[kernel])]
    net = nn.Sequential(*layers, nn.ReadOut).double()
    for layer in net.layers:
        if isinstance(layer, nn.JetConv):
            torch.nn.init.normal_(layer.offset, std=0.1)
    return net


def centre(net: nn.Sequential, sigma0: float, images: Tensor) -> Tensor:
    """The centre pixel in the channel σ₀: `[batch, features]`."""
    net.lift.window = ScaleWindow(G, sigma0, channels=1)
    with torch.no_grad():
        return net(images).tensor.flatten(1)


@lru_cache
def covariance_error(kernel: str, sigma0: float, *, activation: str = "relu", wrong: float = 1.0) -> float:
    """The centre pixel in the channel σ₀ against that of the image of twice the size in the channel wrong·2σ₀.

    Signal-normalised; median over three images of blobs ∝ σ₀, geometric mean over networks.
    """
    errors = []
    for seed in range(NETWORKS):
        net = network(kernel, activation, seed)
        generator = torch.Generator().manual_seed(50 + seed)
        blobs = Blobs.random(3, 4, widths=(sigma0, 2 * sigma0), extent=3 * sigma0, generator=generator)

        half = round(HALF_WIDTH * sigma0)
        small, large = (blobs.sample(2 * half * s + 1, 2 * half * s + 1, factor=s) for s in (1, 2))
        *before, nothing = centre(net, sigma0, torch.cat([small, torch.zeros_like(small[:1])]))
        after = centre(net, wrong * 2 * sigma0, large)
        each = [(a - b).norm() / (a - nothing).norm() for a, b in zip(before, after, strict=True)]
        errors.append(torch.stack(each).median().item())
    return math.exp(np.log(errors).mean())


def slope(kernel: str, sigmas: Sequence[float], **changed: object) -> float:
    """The exponent of σ₀, fitted to the errors on logarithmic axes."""
    errors = [covariance_error(kernel, sigma, **changed) for sigma in sigmas]
    return float(np.polyfit(np.log(sigmas), np.log(errors), 1)[0])


def test_error_of_the_kernels_of_the_paper_falls_with_the_variance() -> None:
    """Measured: .18, .039, .0089, .0023: slope -2.05 from σ₀ = 2 on."""
    assert slope("paper", SIGMAS[1:]) == pytest.approx(-2, abs=0.1)


def test_error_of_iso_falls_as_the_floor_of_relu_an_order_below_the_paper() -> None:
    """Measured: .015, 2.3e-3, 3.5e-4, 7.4e-5: slope -2.48 from σ₀ = 2 on, factors 12, 17, 26 and 31."""
    assert slope("iso", SIGMAS[1:]) == pytest.approx(-2.5, abs=0.3)
    for sigma, factor in zip(SIGMAS, (8, 10, 15, 15), strict=True):
        assert covariance_error("paper", sigma) > factor * covariance_error("iso", sigma)


def test_floor_is_that_of_relu_not_of_the_kernels() -> None:
    """Kernels without an error of their own leave the same one (3.7e-4, Iso 3.5e-4); without ReLU, Iso's is 3e-5."""
    assert covariance_error("exact", 4.0) == pytest.approx(covariance_error("iso", 4.0), rel=0.2)
    assert covariance_error("iso", 4.0, activation="square") < covariance_error("iso", 4.0) / 5


@pytest.mark.parametrize(("kernel", "order"), [("paper", 2), ("iso", 4)])
def test_error_falls_with_the_order_of_the_kernels_where_the_activation_is_smooth(kernel: str, order: int) -> None:
    assert slope(kernel, SIGMAS[:3], activation="square") == pytest.approx(-order, abs=0.1)


@pytest.mark.parametrize(("kernel", "expected"), [("paper", -2.0), ("iso", -2.5)])
def test_sigma_off_by_one_percent_flattens_the_slope(kernel: str, expected: float) -> None:
    """Control: an error that does not fall with σ₀ shows, at once with Iso (slope 0), late with the paper's (-.9)."""
    assert slope(kernel, SIGMAS[1:], wrong=1.01) > expected + 0.5
