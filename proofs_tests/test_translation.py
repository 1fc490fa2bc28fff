"""Translations: by whole samples of a channel's grid maps move along, exactly; in between as well as g allows.

That is the one thing that g decides beside cost. It is the same in all scale channels, as everything is.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import covariance
from proofs_tests.comparison import RATIOS, ROUNDING
from proofs_tests.networks import after_a_batch, and_nothing, jet_network
from scalegroup import ScaleGroup, ScaleWindow, nn
from scalegroup.testing.closed_form import Blobs

SIGMA0, SIZE = 2.0, 81
BLOBS = Blobs.random(3, 4, widths=(1.5, 2.0), extent=8, generator=torch.Generator().manual_seed(2))
LIFTING = 1e-9  # what the lifting may lose, as in test_theorem.py


def sampled(right: float, down: float) -> Tensor:
    """The objects moved by so many pixels, and the background."""
    moved = replace(BLOBS, centres=BLOBS.centres + torch.tensor([right, down], dtype=torch.float64))
    return and_nothing(moved.sample(SIZE, SIZE))


def network(window: ScaleWindow, g: float) -> nn.Sequential:
    return after_a_batch(jet_network(window, depth=4, samples_per_sigma=g), sampled(0, 0))


def relative(ours: Tensor, theirs: Tensor, border: int) -> float:
    """‖difference‖ / ‖output - background‖, but for the border that something has moved in over."""
    inside = [maps[..., border : len(maps[0, 0]) - border, border : maps.shape[-1] - border] for maps in (ours, theirs)]
    return ((inside[0] - inside[1])[:-1].norm() / (inside[1] - theirs[-1, :, :1, :1])[:-1].norm()).item()


def moved_by(maps: Tensor, right: int, down: int) -> Tensor:
    return torch.roll(maps, (down, right), (-2, -1))


@pytest.mark.parametrize("pixels", [(8, 0), (-8, 16)], ids=str)
def test_maps_move_to_rounding_with_pixels_that_are_whole_samples(pixels: tuple[int, int]) -> None:
    """σ₀ = 2, 4 and 8 with g = 1: samples are as many pixels apart. The lifting's rows are the same, moved along."""
    net = network(ScaleWindow(ScaleGroup(2), SIGMA0, 3), 1.0)
    with torch.no_grad():
        ours, theirs = net(sampled(0, 0)), net(sampled(*pixels))
    for n, spacing in enumerate((2, 4, 8)):
        samples = pixels[0] // spacing, pixels[1] // spacing
        before, after = ours.channel(n), theirs.channel(n)
        border = max(map(abs, samples))
        assert relative(moved_by(before, *samples), after, border) <= ROUNDING[torch.float64]
        assert relative(before, after, border) > 0.1  # the controls: they did move, and by so much
        assert relative(moved_by(before, samples[0] + 1, samples[1]), after, border) > 0.1


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_maps_move_to_the_error_of_the_lifting_with_whole_samples(ratio: float) -> None:
    """Of every channel apart: by numbers of pixels that are no integers."""
    net = network(ScaleWindow(ScaleGroup(ratio), SIGMA0, 2), 2**-0.5)
    with torch.no_grad():
        ours = net(sampled(0, 0))
        for n, spacing in enumerate(ours.grids.spacings):
            before, after = ours.channel(n), net(sampled(2 * spacing, -spacing)).channel(n)
            assert relative(moved_by(before, 2, -1), after, 2) <= LIFTING
            assert relative(moved_by(before, 1, -1), after, 2) > 0.1  # the control


def between_samples(maps: Tensor, right: float) -> Tensor:
    """Moved by a part of a sample, as band-limited and periodic maps are."""
    phase = torch.exp(-2j * torch.pi * right * torch.fft.fftfreq(maps.shape[-1], dtype=torch.float64))
    return torch.fft.ifft(torch.fft.fft(maps) * phase).real


def error_between_samples(g: float, sigma0: float = SIGMA0, part: float = 0.5) -> float:
    """Of maps that move by a part of a sample, in the only scale channel."""
    net = network(ScaleWindow(ScaleGroup(2), sigma0, 1), g)
    with torch.no_grad():
        ours, theirs = net(sampled(0, 0)), net(sampled(part * sigma0 / g, 0))
    before, after = (field.channel(0) - field.channel(0)[-1] for field in (ours, theirs))
    return relative(between_samples(before, part), after, 2)


def test_what_half_a_sample_costs_falls_as_samples_get_denser() -> None:
    """Measured: 68, 32, 9, 3.3 and 1 % of the signal; a whole sample (the control) costs nothing."""
    errors = [error_between_samples(g) for g in (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.1 > 5 * errors[-1]
    assert max(error_between_samples(g, part=1.0) for g in (0.5, 2.0)) <= LIFTING


FIGURES = json.loads(Path(covariance.__file__).with_name("results").joinpath("covariance/results.json").read_text())
ROWS = {row["name"]: row["half_sample_shift"] for row in FIGURES["rows"]}


@pytest.mark.parametrize(("g", "denser"), [(0.5, "g = 0.707"), (2**-0.5, "g = 1")])
def test_half_a_sample_costs_what_the_table_says(g: float, denser: str) -> None:
    """Along both axes, with the network and the images of the table; rounding may change the fourth digit."""
    figure, better = ROWS[f"g = {g:.3g}"], ROWS[denser]
    error = covariance.translation_error(covariance.Sampled("", samples_per_sigma=g).lift)
    assert error <= 1.001 * figure
    assert error > 1.001 * better  # the control: the figure of denser samples
