"""Training commutes with scaling: gradients are covariant, so f and the scaled f give the same weights each step."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.comparison import RATIOS
from proofs_tests.networks import jet_network
from scalegroup import FieldType, LogSumExp, ScaleGroup, ScaleWindow, nn
from scalegroup.testing.closed_form import Blobs

# The lifting errs by less than 1e-11 (test_theorem.py), gradients by about as much, and Adam divides by their size.
# Offsets in front of batch norm change nothing: their gradient is zero, and Adam would make steps of its rounding.
TOLERANCE = 1e-7
SIGMA0, STEPS = 2.0, 10
BLOBS = Blobs.random(6, 3, widths=(1.5, 2.0), extent=5, generator=torch.Generator().manual_seed(5))
LABELS = torch.arange(6) % 3


def residual(type_: FieldType) -> nn.Layer:
    return nn.Residual(nn.Sequential(nn.JetConv(type_, 3), nn.BatchNorm, nn.ReLU, partial(nn.JetConv, out_type=3)))


READ = (nn.ReadOut, nn.ScalePool)
NETWORKS: dict[str, dict[str, Any]] = {
    "maximum over scale": {"depth": 3, "behind": READ},
    "coarser late layers": {"depth": 3, "strides": (2,), "r": 1.5, "behind": READ},
    "residual, soft maximum": {
        "depth": 1, "behind": (residual, nn.ReadOut, partial(nn.ScalePool, pooling=LogSumExp()))
    },
}  # fmt: skip


def scaled_images(factor: float) -> Tensor:
    half = math.ceil(19 * factor)
    return BLOBS.sample(2 * half + 1, 2 * half + 1, factor=factor)


def trained(ratio: float, factor: float, moved: int, **network: Any) -> tuple[Tensor, Tensor]:
    """(all weights before, all weights and running statistics after) ten steps on the scaled images."""
    group = ScaleGroup(ratio)
    window = ScaleWindow(group, SIGMA0, 2).transform(group.element(moved))
    net = jet_network(window, **network)
    for chain in (part for part in net.modules() if isinstance(part, nn.Sequential)):
        for layer, behind in pairwise(chain):
            if isinstance(behind, nn.BatchNorm):
                layer.offset.requires_grad_(False)
    images = scaled_images(factor)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    before = torch.cat([p.detach().flatten().clone() for p in net.parameters()])
    for _ in range(STEPS):
        optimiser.zero_grad()
        F.cross_entropy(net.train()(images), LABELS).backward()
        optimiser.step()
    return before, torch.cat([tensor.detach().flatten() for tensor in (*net.parameters(), *net.buffers())])


every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
@every_network
def test_training_on_the_scaled_images_ends_in_the_same_weights(network: dict, ratio: float) -> None:
    before, after = trained(ratio, 1.0, 0, **network)
    _, scaled = trained(ratio, ratio, 1, **network)
    assert (after[: len(before)] - before).abs().max() > 1e-2
    assert (scaled - after).abs().max() <= TOLERANCE


def one_sigma_off_by_one_percent(patch: pytest.MonkeyPatch) -> int:
    """In the coarser channel alone."""
    sigmas = ScaleWindow.sigmas.fget  # type: ignore[attr-defined]
    patch.setattr(ScaleWindow, "sigmas", property(lambda self: (*sigmas(self)[:-1], 1.01 * sigmas(self)[-1])))
    return 1


def the_window_stays(_: pytest.MonkeyPatch) -> int:
    return 0


@every_network
@pytest.mark.parametrize("bug", [one_sigma_off_by_one_percent, the_window_stays])
def test_with_one_channel_off_it_does_not(bug: Callable, network: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    _, after = trained(2.0, 1.0, 0, **network)
    _, scaled = trained(2.0, 2.0, bug(monkeypatch), **network)
    assert (scaled - after).abs().max() > 1e3 * TOLERANCE


@every_network
@settings(max_examples=4)
@given(st.floats(1.05, 2))
def test_gradients_of_the_weights_are_those_of_the_scaled_images_for_every_ratio(network: dict, ratio: float) -> None:
    """Of each weight, in training mode: they are sums over the same samples, to what the lifting loses of these."""

    def gradients(factor: float, moved: int) -> Tensor:
        group = ScaleGroup(ratio)
        net = jet_network(ScaleWindow(group, SIGMA0, 2).transform(group.element(moved)), **network).train()
        F.cross_entropy(net(scaled_images(factor)), LABELS).backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])  # type: ignore[union-attr]

    ours, theirs = gradients(1.0, 0), gradients(ratio, 1)
    assert (ours - theirs).norm() <= 1e-9 * ours.norm()  # as maps, test_theorem.py
    assert (ours - gradients(ratio, 0)).norm() > 1e-4 * ours.norm()  # the control: the window stays


def test_gradients_of_the_scaled_image_are_those_of_the_image_scaled() -> None:
    """With respect to pixels, at the same places: each stands for 1/S² of the area it stood for.

    The lifting's rows are Gaussians of 1.8 pixels, cut at the frequency π, where they are exp(-1.8²π²/2) = 1e-7.
    """
    net = jet_network(ScaleWindow(ScaleGroup(2), SIGMA0, 2), depth=2, norm=False, behind=READ)

    def gradient(factor: float, moved: int) -> Tensor:
        half = round(16 * factor)
        images = BLOBS.sample(2 * half + 1, 2 * half + 1, factor=factor).requires_grad_()
        window = net.window.transform(net.window.group.element(moved))
        (result,) = torch.autograd.grad(net(images, window=window)[:, 0].sum(), images)
        return result

    fine, coarse = gradient(1.0, 0), gradient(2.0, 1)
    gap = coarse[..., ::2, ::2] * 4 - fine
    assert gap.norm() / fine.norm() <= 1e-6
    assert (coarse[..., ::2, ::2] - fine).norm() / fine.norm() > 0.1  # the control
