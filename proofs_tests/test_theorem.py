"""The theorem, as a test: deep networks of 2-jet layers are scale-covariant, to rounding (design §6, tier 4).

A finite network is covariant as far as its discretisation is. With sampled Gaussian derivatives, x² for the activation
and smooth images nothing is lost: on fields of limited bandwidth their sums are the integrals, up to aliasing of
exp(-2π²σ²w²/(σ² + w²)), 5e-13 at σ = σ₀ = 2 for the narrowest blobs there are here, w = ¾σ₀. What is left is the
algebra of the paper (eq 12-20), and any slip in it shows, ten orders of magnitude above the tolerance. Networks with
the paper's kernels and ReLU cannot serve: their discretisation error hides such slips (last test).
"""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from scalegroup import (
    Background,
    DiscreteGaussian,
    Kernel,
    Replicate,
    SampledDerivatives,
    ScaleGroup,
    ScaleWindow,
    Zero,
    functional,
    jet,
    nn,
    steer,
)
from scalegroup.testing import Blobs, Polynomials

TOLERANCE = 1e-12  # of the signal; see above. Tails of 1e-14 cut the filters at 8σ
G = ScaleGroup(2**0.5)
SIGMA0 = 2.0
KERNEL = SampledDerivatives(tail=1e-14)
PADDED = 10.0  # half-width, in σ₀, of the images that end before the filters do; None: they reach as far as needed


def network(
    depth: int, *, r: float, kernel: Kernel, activation: Callable[[Tensor], Tensor], sigma0: float
) -> nn.Sequential:
    """2-jet layers of two features with σ_k = r^(k-1)·σ₀ (eq 13), twice their usual gain: x² shrinks what is small."""
    layers: list = [nn.Lift(ScaleWindow(G, sigma0, channels=1), background=0.0)]
    for k in range(depth):
        layers += [partial(nn.Pointwise, function=activation)] if k else []
        layers += [partial(nn.JetConv, out_type=2, beta=r**k, kernel=kernel)]
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
    activation: Callable[[Tensor], Tensor] = torch.square,
    sigma0: float = SIGMA0,
    images: int = 3,
    half_width: float | None = None,
) -> float:
    """The centre pixel in the channel σ₀ against that of the image scaled by S = √2^power in the channel S·σ₀.

    Signal-normalised: ‖difference‖ / ‖output - output of a blank image‖, the median over the images.
    """
    torch.manual_seed(0)
    net = network(depth, r=r, kernel=kernel, activation=activation, sigma0=sigma0)
    widths = (0.75 * sigma0, (1.5 if half_width is None else 1.2) * sigma0)
    extent = (2 if half_width is None else 1) * sigma0
    blobs = Blobs.random(images, 4, widths=widths, extent=extent, generator=torch.Generator().manual_seed(1))
    window = net.lift.window

    def centre(moved: ScaleWindow, factor: float, *, blank: int = 0) -> Tensor:
        net.lift.window = moved
        betas = [layer.beta for layer in net.layers if isinstance(layer, nn.JetConv)]
        half = math.ceil(factor * sigma0 * (9.5 * sum(betas) if half_width is None else half_width))
        samples = blobs.sample(2 * half + 1, 2 * half + 1, factor=factor)
        (plan,) = net.plan(samples.shape[-2:]).channels
        assert (plan.entry.x.start > 0) == (half_width is None)  # the centre sees no boundary, in no layer; or it does
        with torch.no_grad():
            return net(torch.cat([samples, samples.new_zeros(blank, *samples.shape[1:])])).tensor.flatten(1)

    before = centre(window, 1.0, blank=1)
    after = centre(window.transform(G.element(power)), 2 ** (power / 2))
    before, nothing = before[:-1], before[-1]
    return ((after - before).norm(dim=1) / (before - nothing).norm(dim=1)).median().item()


DEPTHS = {2: {}, 3: {}, 6: {"r": 1.0, "images": 1}}


@pytest.mark.parametrize("power", [1, 2], ids=["√2", "2"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_networks_are_covariant(depth: int, power: int) -> None:
    assert covariance_error(depth, power, **DEPTHS[depth]) <= TOLERANCE
