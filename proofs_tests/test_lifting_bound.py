"""The lifting's derived bound holds for drawn images, and says something."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalegroup import Background, BandLimited, SampledLifting, ScaleGroup, ScaleWindow, SelfSimilar, Zero, functional
from scalegroup.fields.grid import Grid
from scalegroup.testing import Blobs, lifting_bound

SIZE = 97
ROUNDING = 1e-13  # of sums of a hundred products of numbers below one, in float64
KERNELS = [BandLimited(), SampledLifting()]


def images_of(seed: int, narrowest: float) -> Blobs:
    generator = torch.Generator().manual_seed(seed)
    return Blobs.random(2, 3, widths=(narrowest, 1.5 * narrowest), extent=6.0, generator=generator)


def smoothed(images: Blobs, sigma: float) -> Blobs:
    """Gaussians smoothed by a Gaussian, in closed form."""
    widths = (images.widths**2 + sigma**2).sqrt()
    return Blobs(images.amplitudes * (images.widths / widths) ** 2, widths, images.centres)


def scaled(images: Blobs, factor: float) -> Blobs:
    """f(x / factor), as blobs."""
    return Blobs(images.amplitudes, factor * images.widths, factor * images.centres)


def error(images: Blobs, sigma0: float, sampling: SelfSimilar) -> float:
    """The largest difference of a lifted sample from the smoothed continuous image."""
    window = ScaleWindow(ScaleGroup(2.0), sigma0, 1)
    field = functional.lift(images.sample(SIZE, SIZE), window, boundary=Background(0.0), sampling=sampling)
    places = torch.as_tensor(field.grids.grids[0].y.positions * field.grids.spacings[0])
    truth = smoothed(images, sampling.smoothed * sigma0).at(places, places)
    return (field.tensor[:, 0, 0] - truth).abs().max().item()


@pytest.mark.parametrize("kernel", KERNELS)
@given(
    seed=st.integers(0, 99),
    narrowest=st.floats(0.9, 2.5),
    sigma0=st.floats(0.6, 3.0),
    g=st.floats(0.5, 2.0),
)
def test_a_lifted_sample_is_within_its_bound(kernel, seed: int, narrowest: float, sigma0: float, g: float) -> None:
    images, sampling = images_of(seed, narrowest), SelfSimilar(g, kernel=kernel)
    assert error(images, sigma0, sampling) <= lifting_bound(images, sigma0, sampling) + ROUNDING


@given(seed=st.integers(0, 99), ratio=st.floats(1.05, 2.0), sigma0=st.floats(0.7, 2.0))
def test_two_channels_differ_by_no_more_than_both_bounds(seed: int, ratio: float, sigma0: float) -> None:
    images, sampling = images_of(seed, 1.2), SelfSimilar(0.8)
    window = ScaleWindow(ScaleGroup(ratio), sigma0, 2)
    fields = [
        functional.lift(images.sample(SIZE, SIZE, factor=factor), window, boundary=Background(0.0), sampling=sampling)
        for factor in (1.0, ratio)
    ]
    finer, coarser = fields[0].grids.grids[0], fields[1].grids.grids[1]
    shared = Grid.intersection(finer, coarser)
    gap = finer.crop(fields[0].channel(0), shared) - coarser.crop(fields[1].channel(1), shared)
    bounds = lifting_bound(images, sigma0, sampling), lifting_bound(images, ratio * sigma0, sampling, factor=ratio)
    assert gap.abs().max().item() <= sum(bounds) + ROUNDING


@pytest.mark.parametrize("kernel", KERNELS)
@given(seed=st.integers(0, 99), factor=st.floats(0.5, 2.0), sigma0=st.floats(0.7, 2.0))
def test_bound_of_a_scaled_image_is_that_of_blobs_as_much_wider(
    kernel, seed: int, factor: float, sigma0: float
) -> None:
    """It depends on S as the image does."""
    images, sampling = images_of(seed, 1.5), SelfSimilar(0.8, kernel=kernel)
    bound = lifting_bound(images, sigma0, sampling, factor=factor)
    assert bound == pytest.approx(lifting_bound(scaled(images, factor), sigma0, sampling), rel=1e-9)
    assert error(scaled(images, factor), sigma0, sampling) <= bound + ROUNDING


@pytest.mark.parametrize("kernel", KERNELS)
def test_bound_of_the_image_is_none_for_the_image_at_half_its_size(kernel) -> None:
    """The control of the law above: a bound without S."""
    images, sampling = images_of(0, 1.5), SelfSimilar(0.8, kernel=kernel)
    assert error(scaled(images, 0.5), 1.0, sampling) > 10 * lifting_bound(images, 1.0, sampling)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sigma0", [0.7, 1.0, 1.4])
def test_the_bound_is_not_vacuous(kernel, sigma0: float) -> None:
    """Far below the signal, and no more than thirty times what is there."""
    images, sampling = images_of(0, 1.1), SelfSimilar(1.0, kernel=kernel)
    bound = lifting_bound(images, sigma0, sampling)
    assert bound < (0.05 if sigma0 < 1 else 1e-3)
    assert bound <= 30 * error(images, sigma0, sampling)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sigma", [0.4, 0.7, 1.2])
def test_a_wave_errs_by_at_most_its_bound_wherever_it_is_sampled(kernel, sigma: float) -> None:
    frequencies = np.array([0, 0.5, 1, 2, 3, math.pi, 3.3, 4, 2 * math.pi, 7.5])
    places, pixels = np.array([-0.5, -0.3, 0, 0.2, 0.5]), np.arange(-9000, 9001)
    lifted = kernel.rows(pixels - places[:, None], sigma) @ np.exp(1j * pixels[:, None] * frequencies)
    truth = np.exp(-((sigma * frequencies) ** 2) / 2 + 1j * places[:, None] * frequencies)
    gap, bound = abs(lifted - truth).max(0), kernel.error(frequencies, sigma)
    cut = 1e-3  # of a sinc whose tails are cut at N pixels: about 1/N over the distance to π, and at π itself too
    assert (gap <= bound + cut).all()
    assert (gap > bound / 3 + cut).any()  # the control: a third of the bound is none


def test_a_row_whose_aliases_outweigh_it_has_no_bound() -> None:
    """2·exp(-2π²σ²) and what follows is 1 at about σ = 0.19: there the row's mass may be anything."""
    waves = np.array([0.0, 1.0, 4.0])
    assert np.isinf(SampledLifting().error(waves, 0.17)).all()
    assert np.isfinite(SampledLifting().error(waves, 0.21)).all()


def test_a_wave_below_the_highest_frequency_is_lifted_exactly_and_one_above_is_not() -> None:
    below, above = BandLimited().error(np.array([0.99, 1.01]) * math.pi, 0.5)
    assert below == 0.0
    assert above > 0.5


def test_another_smoothing_than_that_of_the_bound_breaks_it() -> None:
    """A control: one per cent more σ is noticed by ten times the bound."""
    images, sampling = images_of(1, 1.5), SelfSimilar(1.0)
    window = ScaleWindow(ScaleGroup(2.0), 1.5 * 1.01, 1)
    field = functional.lift(images.sample(SIZE, SIZE), window, boundary=Background(0.0), sampling=sampling)
    places = torch.as_tensor(field.grids.grids[0].y.positions * field.grids.spacings[0])
    truth = smoothed(images, sampling.smoothed * 1.5).at(places, places)
    assert (field.tensor[:, 0, 0] - truth).abs().max() > 10 * lifting_bound(images, 1.5, sampling)


def test_a_border_taken_for_zero_breaks_it() -> None:
    """A control: a background of one is an edge to the boundary that is made of zeros."""
    images, sampling = images_of(2, 1.5), SelfSimilar(1.0)
    window = ScaleWindow(ScaleGroup(2.0), 2.0, 1)
    pictures = images.sample(SIZE, SIZE) + 1
    right, wrong = (
        functional.lift(pictures, window, boundary=boundary, sampling=sampling).tensor - 1
        for boundary in (Background(1.0), Zero())
    )
    assert (right[..., 0, 0, 0]).abs().max() < 1e-9 < 1e-2 < (wrong[..., 0, 0, 0]).abs().max()
