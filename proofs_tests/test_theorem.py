"""The theorem, as a test: on self-similar grids every network is scale-covariant, whatever its layers and its γ.

Two channels an element apart compute the same function of their lifted samples, so the lifting alone decides. At σ₀ ≥ 2
pixels and for blobs of 1.5 pixels and more it errs by the spectrum that aliasing folds back, at the most
exp(-(1.5² + 1.8²)π²/2) = 2e-12 of an amplitude, and the images end 7 widths from any blob, exp(-7²/2) = 2e-11. What is
left is the algebra of the paper (eq 12-20), seven orders of magnitude above the tolerance; ReLU, batch norm, depth and
the paper's own kernels cost nothing. `test_image_grid.py` has the theorem of the image's own grid.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.comparison import RATIOS
from proofs_tests.networks import after_a_batch, and_nothing, difference, jet_network
from scalegroup import FieldType, Iso, SampledLifting, ScaleGroup, ScaleWindow, nn
from scalegroup.testing.closed_form import Blobs

TOLERANCE = 1e-9  # of the signal; see above
SIGMA0 = 2.0


def residual(type: FieldType) -> nn.Layer:
    return nn.Residual(nn.Sequential(nn.JetConv(type, 3), nn.BatchNorm, nn.ReLU, partial(nn.JetConv, out_type=3)))


def forked(type: FieldType) -> nn.Layer:
    """Branches of another reach, one of them on every second sample as the others are."""
    return nn.Concat(nn.JetConv(type, 2, stride=2), nn.Sequential(nn.JetConv(type, 1, beta=1.5), nn.Subsample))


NETWORKS: dict[str, dict[str, Any]] = {
    "paper": {},
    "iso": {"kernel": Iso(tail=1e-3), "samples_per_sigma": 2.0, "depth": 3},
    "finer": {"samples_per_sigma": 1.0},
    "coarser late layers": {"strides": (1, 2, 1, 2)},
    "branches": {"depth": 2, "behind": (residual, forked, residual)},
    "residual blocks in a field of view": {
        "depth": 1,
        "behind": (
            partial(nn.FieldOfView, half_width=6),
            partial(nn.ResidualBlock, out=4, betas=(1.2, 1.4), strides=(1, 2)),
            partial(nn.ResidualBlock, out=4, betas=(1.6, 1.9), jets=nn.SeparableJetConv),
        ),
    },
}


def covariance_errors(
    ratio: float,
    power: int = 1,
    *,
    sigma0: float = SIGMA0,
    widths: tuple[float, float] = (1.5, 2.0),
    seed: int = 1,
    **network: Any,
) -> list[float]:
    """Channel i of f against channel i + power of f scaled by γ^power, everywhere; one window of all channels."""
    factor = ratio**power  # of the image; not the window's, which the bugs below falsify
    net = jet_network(ScaleWindow(ScaleGroup(ratio), sigma0, 2 + power), **network)
    blobs = Blobs.random(3, 4, widths=widths, extent=10, generator=torch.Generator().manual_seed(seed))
    fine = and_nothing(blobs.sample(49, 49))
    size = 2 * math.ceil(24 * factor) + 1
    with torch.no_grad():
        return difference(after_a_batch(net, fine)(fine), net(blobs.sample(size, size, factor=factor)), move=power)


every_ratio = pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)


@every_ratio
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_networks_are_covariant_in_all_samples_of_all_channels(ratio: float, network: dict) -> None:
    errors = covariance_errors(ratio, **network)
    assert len(errors) == 2
    assert max(errors) <= TOLERANCE


@settings(max_examples=8)
@given(st.floats(1.05, 2), st.floats(SIGMA0, 4), st.integers(1, 2), st.integers(0, 99))
def test_networks_are_covariant_for_every_ratio_and_wherever_objects_are(
    ratio: float, sigma0: float, power: int, seed: int
) -> None:
    assert max(covariance_errors(ratio, power, sigma0=sigma0, seed=seed, width=2)) <= TOLERANCE


@pytest.mark.parametrize("window", [True, False], ids=["moved along", "where it was"])
def test_scores_of_a_scaled_object_are_the_same_in_the_window_moved_along(window: bool) -> None:
    """`net(images, window=...)`: pooled over all of the channels, of which none is lost."""
    net = jet_network(ScaleWindow(G := ScaleGroup(2), SIGMA0, 2), behind=(nn.ReadOut, nn.ScalePool))
    blobs = Blobs.random(3, 4, widths=(1.5, 2), extent=4, generator=torch.Generator().manual_seed(1))
    moved = net.window.transform(G.generator) if window else None
    images = blobs.sample(49, 49)
    with torch.no_grad():
        ours = after_a_batch(net, images)(images)
        theirs = net(blobs.sample(97, 97, factor=2.0), window=moved)
    error = (ours - theirs).norm() / ours.norm()
    assert error <= TOLERANCE if window else error > 1e-3


def test_sampling_of_narrow_channels_is_all_that_is_lost() -> None:
    """Below σ₀ = 2: the whole network errs as its lifting does, and the band-limited one serves below a pixel, too."""
    band = {s: max(covariance_errors(2.0, sigma0=s)) for s in (0.5, 1.0, 2.0)}
    sampled = {s: max(covariance_errors(2.0, sigma0=s, lifting=SampledLifting())) for s in (0.5, 1.0, 2.0)}
    assert band[2.0] < band[1.0] < band[0.5] < 1e-5
    assert sampled[2.0] < 1e-9 < 1e-6 < sampled[1.0] < sampled[0.5]
    assert sampled[0.5] > 1e4 * band[0.5]


# -- what would catch this --------------------------------------------------------------------------------------------


def the_grid_of_the_image(_: pytest.MonkeyPatch) -> dict:
    """In all channels: the paper's literal implementation."""
    return {"grid": "image", "depth": 3, "behind": (nn.ReadOut,)}


def one_sigma_off_by_one_percent(patch: pytest.MonkeyPatch) -> dict:
    """In one channel alone."""
    sigmas = ScaleWindow.sigmas.fget  # type: ignore[attr-defined]
    wrong = property(lambda self: tuple(s * (1.01 if n == 1 else 1) for n, s in enumerate(sigmas(self))))
    patch.setattr(ScaleWindow, "sigmas", wrong)
    return {}


def wrong_ratio(patch: pytest.MonkeyPatch) -> dict:
    """γ is 1 % larger."""
    factor = ScaleGroup.factor
    patch.setattr(ScaleGroup, "factor", lambda self, power: 1.01**power * factor(self, power))
    return {}


BUGS = [the_grid_of_the_image, one_sigma_off_by_one_percent, wrong_ratio]


@every_ratio
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_slips_show_six_orders_above_the_tolerance(
    ratio: float, bug: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(covariance_errors(ratio, **bug(monkeypatch))) > 1e6 * TOLERANCE
