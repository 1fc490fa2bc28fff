"""Normalising within a network is normalising its images, and the world around them; files hold the numbers."""

from functools import partial
from typing import Any

import pytest
import torch

from proofs_tests.comparison import ROUNDING, same_bits
from scalegroup import Background, Boundary, Reflect, Replicate, SampledLifting, ScaleGroup, ScaleWindow, Zero
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net

WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=3, first=-1)
MEAN, STD = (0.5, 0.25, -1.0), (0.25, 0.5, 2.0)
make = partial(gaussian_derivative_net, widths=(4, 4), window=WINDOW, in_channels=3, num_classes=4)


def build(**parts: Any) -> GaussianDerivativeNet:
    torch.manual_seed(0)
    return make(**parts).double().eval()


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def normalised(x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, STD))
    return (x - mean) / std


def pair(boundary: Boundary, outside: Boundary, **parts: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of a network that normalises, and of the same weights on images that were normalised before."""
    inside, plain = build(mean=MEAN, std=STD, boundary=boundary, **parts), build(boundary=outside, **parts)
    x = images(2, 3, 15, 15)  # of the size of the filters, so that what is outside counts
    return inside(x).detach(), plain(normalised(x)).detach()


AROUND = (0.1, 0.6, -0.5)
AROUND_NORMALISED = tuple((value - mean) / std for value, mean, std in zip(AROUND, MEAN, STD, strict=True))


MIRRORED = {"reflect": Reflect(), "replicate": Replicate()}
UNIT_MASS = {"pixels": {"grid": "image"}, "sampled": {"lifting": SampledLifting()}}


@pytest.mark.parametrize("parts", [{}, *UNIT_MASS.values()], ids=["band-limited", *UNIT_MASS])
def test_normalising_inside_is_normalising_images_and_their_background(parts: dict[str, Any]) -> None:
    within, before = pair(Background(AROUND), Background(AROUND_NORMALISED), **parts)
    assert (within - before).abs().max() <= ROUNDING[torch.float64] * before.abs().max()


@pytest.mark.parametrize("boundary", MIRRORED.values(), ids=MIRRORED)
@pytest.mark.parametrize("parts", UNIT_MASS.values(), ids=UNIT_MASS)
def test_normalising_inside_is_normalising_images_that_go_on(boundary: Boundary, parts: dict[str, Any]) -> None:
    within, before = pair(boundary, boundary, **parts)
    assert (within - before).abs().max() <= ROUNDING[torch.float64] * before.abs().max()


@pytest.mark.parametrize("boundary", MIRRORED.values(), ids=MIRRORED)
def test_the_tails_of_a_sinc_leave_as_much_as_they_lack_of_unit_mass(boundary: Boundary) -> None:
    """Mean over deviation is at most 2 here: that much of what the lifting makes of a constant, less the constant."""
    plain, numbers = build(boundary=boundary), build(boundary=boundary, mean=MEAN, std=STD)
    ones, x = torch.ones(1, 3, 15, 15, dtype=torch.float64), images(2, 3, 15, 15)
    lacks = max(float((maps - 1).abs().max()) for maps in plain[0](ones).maps)
    assert 0 < lacks < 1e-8
    within, before = numbers[1](numbers[0](x)), plain[0](normalised(x))
    for ours, theirs in zip(within.maps, before.maps, strict=True):
        assert (ours - theirs).abs().max() <= 2 * lacks + ROUNDING[torch.float64]


def test_a_background_that_is_not_normalised_is_another_world() -> None:
    """The control; so is Zero(), which is no longer zero where images are normalised behind it."""
    for boundary, outside in ((Background(AROUND), Background(AROUND)), (Zero(), Zero())):
        within, before = pair(boundary, outside)
        assert (within - before).abs().max() > 1e-3 * before.abs().max()


def test_nothing_is_made_where_no_numbers_are_given_and_nothing_learnt_where_they_are() -> None:
    plain, with_numbers = build(), build(mean=MEAN, std=STD)
    assert len(with_numbers) == len(plain) + 1
    assert [name for name, _ in with_numbers[2:].named_parameters()] == [
        name for name, _ in plain[1:].named_parameters()
    ]
    assert with_numbers.parameter_count == plain.parameter_count
    assert not with_numbers[1].state_dict()
    assert with_numbers[1].out_type == plain[0].out_type  # as smooth as before


def test_one_number_is_for_all_channels() -> None:
    one, three = build(mean=0.5, std=0.25), build(mean=(0.5,) * 3, std=(0.25,) * 3)
    assert one.architecture == three.architecture
    x = images(2, 3, 15, 15)
    assert same_bits(one(x), three(x))
