"""Fresh weights: of the variance that each layer promises, and so that a deep network neither grows nor dies."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scalegroup import FieldType, Jet, RotationGroup, ScaleGroup, nn
from scalegroup.models import gaussian_derivative_net

C8 = RotationGroup(8)
WIDE = FieldType.scalars(60)
MIXED = 3 * C8.regular + 4 * C8.trivial + 2 * C8.frequency(1)  # 32 features

# layer: (what it promises the variance of, the variance)
PROMISES: dict[str, tuple[Callable[[], nn.Layer], Callable[..., Tensor], float]] = {
    "JetConv": (lambda: nn.JetConv(WIDE, 50), lambda layer: layer.coefficients, 2 / (5 * 60)),
    "JetConv of order 3 in groups": (
        lambda: nn.JetConv(WIDE, 50, jet=Jet(3), groups=2),
        lambda layer: layer.coefficients,
        2 / (9 * 30),
    ),
    "AffineJetConv in groups": (
        lambda: nn.AffineJetConv(WIDE, 50, orientations=3, jet=Jet(1), groups=2),
        lambda layer: layer.coefficients,
        2 / (3 * 2 * 30),
    ),
    "SteerableJetConv with the zero-order term, polar": (
        lambda: nn.SteerableJetConv(FieldType.rotating(MIXED), 4 * MIXED, jet=Jet(4, zero=True)),
        lambda layer: layer.coefficients.double() @ torch.linalg.inv(layer.jet.polar_basis),
        2 / (15 * 32),
    ),
    "SteerableJetConv": (
        lambda: nn.SteerableJetConv(FieldType.rotating(MIXED), 4 * MIXED),
        lambda layer: layer.coefficients,
        2 / (5 * 32),
    ),
    "SteerableJetConv of images": (
        lambda: nn.SteerableJetConv(FieldType.scalars(3), 40 * MIXED),
        lambda layer: layer.coefficients,
        2 / (5 * 3),
    ),
    "Mix": (lambda: nn.Mix(WIDE, 80), lambda layer: layer.weight, 1 / 60),
    "ScaleConv": (
        lambda: nn.ScaleConv(WIDE, 50, ScaleGroup(2.0), neighbours=2),
        lambda layer: layer.weight,
        1 / (5 * 60),
    ),
}
every_promise = pytest.mark.parametrize("name", PROMISES)


def excess(values: Tensor, variance: float, parameters: int) -> float:
    """How many of its standard errors a measured variance is off: of n normal numbers it has 2·variance²/n."""
    return (values.square().mean().item() / variance - 1) / math.sqrt(2 / parameters)


@every_promise
def test_fresh_weights_have_the_variance_that_is_promised(name: str) -> None:
    make, of, variance = PROMISES[name]
    torch.manual_seed(0)
    layer = make()
    # of weights that are shared several coefficients follow, up to 8·2 from one: fewer numbers are free
    free = sum(weight.numel() for weight in layer.parameters()) / 4
    assert abs(excess(of(layer), variance, int(free))) < 4
    assert abs(excess(1.2 * of(layer), variance, int(free))) > 4  # the control


@pytest.mark.parametrize("name", ["JetConv", "AffineJetConv in groups", "SteerableJetConv"])
def test_reset_makes_a_layer_fresh_again(name: str) -> None:
    layer = PROMISES[name][0]()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7.0)
    torch.manual_seed(0)
    layer.reset_parameters()
    torch.manual_seed(0)
    fresh = PROMISES[name][0]()
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), fresh.parameters(), strict=True))
    assert not fresh.offset.any()


@pytest.mark.parametrize("start", [0.0, -5.0])
def test_offsets_start_where_they_are_told_to_as_far_as_rotations_allow(start: float) -> None:
    assert (nn.JetConv(WIDE, 3, first_offset=start).offset == start).all()
    layer = nn.SteerableJetConv(WIDE, MIXED, first_offset=start)
    constant, changing = layer.offset.split([28, 4])  # a frequency has no features that rotations leave alone
    assert torch.allclose(constant, torch.full_like(constant, start))
    assert not changing.any()
    net = gaussian_derivative_net(widths=(4, 4), first_offset=start, rotations=2)
    *hidden, last = (layer for layer in net if hasattr(layer, "offset"))
    assert torch.allclose(last.offset, torch.full_like(last.offset, start))
    assert not any(layer.offset.any() for layer in hidden)
    blank = net.eval()(torch.zeros(1, 1, 21, 21))  # derivatives of a constant are nothing: C₀ is all there is
    assert torch.allclose(blank, torch.full_like(blank, start), atol=1e-5)
