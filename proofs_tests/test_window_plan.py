"""The laws of planned windows: they scale with what is asked for, are as wide as needed, and promise nothing else."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalegroup import (
    SAMPLES_PER_SIGMA,
    BandLimited,
    SampledLifting,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SelfSimilar,
    functional,
    plan_window,
)
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import Blobs, lifting_bound

PAPERS = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=6, first=-1)  # σ₀ from 1/√2 to 4
ASKED = {"image_size": 112, "object_sizes": (14, 112), "trained_size": 56}
plan_mnist = partial(plan_window, **ASKED)
extents = st.floats(12.0, 200.0)
ratios = st.sampled_from([2**0.5, 2.0, 2 ** (1 / 3)])


def is_part_of(part, whole):
    return whole.overlap(part) == part


# -- what is asked for -------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.tuples(extents, extents, extents), st.integers(1, 2))
def test_scaling_all_that_is_asked_for_moves_the_window_and_changes_nothing_else(sizes, power):
    smallest, trained, largest = sorted(sizes)
    factor = 2**power
    plan = plan_window(200, (smallest, largest), trained, ratio=2)
    scaled = plan_window(200 * factor, (smallest * factor, largest * factor), trained * factor, ratio=2)
    element = plan.window.group.element(power)
    assert scaled.window == plan.window.transform(element)
    assert scaled.training_window == plan.training_window.transform(element)
    assert scaled.samples_per_sigma == plan.samples_per_sigma
    assert scaled.valid == pytest.approx([factor * extent for extent in plan.valid])
    assert scaled.lifting_error < plan.lifting_error
    bigger = {"object_per_sigma": 23 * factor}  # the control: scaled objects that select the same σ₀ move nothing
    unmoved = plan_window(200 * factor, (smallest * factor, largest * factor), trained * factor, ratio=2, **bigger)
    assert unmoved.window == plan.window


def test_scaling_by_the_ratio_is_one_step():
    plan = plan_window(100, (20, 60), 30)
    by_root_two = plan_window(200, (20 * 2**0.5, 60 * 2**0.5), 30 * 2**0.5)  # the image only has to hold the objects
    assert by_root_two.window == plan.window.transform(plan.window.group.generator)
    assert by_root_two.training_window == plan.training_window.transform(plan.window.group.generator)
    assert plan_window(100, (20, 60), 40).window == plan.window  # the control: not moved by what is trained on


@settings(deadline=None, max_examples=25)
@given(st.tuples(extents, extents, extents, extents, extents), ratios)
def test_a_wider_request_gives_no_fewer_channels(sizes, ratio):
    smallest, small, trained, large, largest = sorted(sizes)
    plan = partial(plan_window, 200, ratio=ratio)
    narrow, wide = plan((small, large), trained), plan((smallest, largest), trained)
    assert is_part_of(narrow.window, wide.window)
    assert is_part_of(narrow.training_window, wide.training_window)
    assert not is_part_of(plan((23, 200), 50).window, plan((50, 100), 50).window)  # the control


@settings(deadline=None, max_examples=25)
@given(st.tuples(extents, extents, extents), ratios)
def test_the_window_is_as_wide_as_needed_and_no_wider(sizes, ratio):
    smallest, trained, largest = sorted(sizes)
    plan = plan_window(200, (smallest, largest), trained, ratio=ratio)
    finest, coarsest = plan.window.sigmas[0], plan.window.sigmas[-1]
    assert finest <= smallest / 23 / 2 * (1 + 1e-6) < finest * ratio * (1 + 1e-5)
    assert coarsest >= largest / 23 * 2**0.5 * (1 - 1e-6) > coarsest / ratio * (1 - 1e-5)
    assert plan.window.sigma0 == 1.0
    assert is_part_of(plan.training_window, plan.window)
    assert plan.training_window.sigmas[0] <= trained / 23 <= plan.training_window.sigmas[-1]
    low, high = plan.valid
    assert low <= smallest * (1 + 1e-6)
    assert largest * (1 - 1e-6) <= high <= 200


def test_a_range_of_trained_sizes_needs_the_channels_of_each():
    whole, *ends_of_it = (plan_mnist(trained_size=size).training_window for size in ((28, 56), 28, 56))
    assert all(is_part_of(part, whole) for part in ends_of_it)
    assert whole.channels < sum(part.channels for part in ends_of_it)
    assert ends_of_it[0] != ends_of_it[1]  # the control
    assert plan_mnist(trained_size=(56, 56)) == plan_mnist()


# -- what comes with it ------------------------------------------------------------------------------------------------


def test_the_request_for_mnist_large_scale_has_the_papers_window_and_its_network_runs():
    plan = plan_mnist()
    assert is_part_of(PAPERS, plan.window)
    assert not is_part_of(PAPERS, plan_mnist(object_sizes=(50, 60)).window)  # the control
    assert plan.training_window.channels < plan.window.channels
    net = gaussian_derivative_net(window=plan.training_window).eval()
    images = torch.rand(1, 1, 112, 112)
    with torch.no_grad():
        assert net(images, window=plan.window).shape == (1, 10)


def test_multiply_adds_are_those_of_the_networks_plan():
    for more in ({}, {"shift_error": 0.05}, {"image_size": (112, 150)}):
        plan = plan_mnist(**more)
        net = gaussian_derivative_net(window=plan.window, samples_per_sigma=plan.samples_per_sigma)
        assert plan.multiply_adds == net.plan(plan.image_size).multiply_adds
        assert plan.parameters == net.parameter_count
        assert plan.multiply_adds > net.plan(plan.image_size, window=plan.training_window).multiply_adds  # the control


def test_the_cost_is_that_of_the_network_that_is_asked_for():
    usual, larger = plan_mnist(), plan_mnist(network=partial(gaussian_derivative_net, "larger"))
    assert larger.parameters == gaussian_derivative_net("larger").parameter_count
    assert larger.multiply_adds > usual.multiply_adds
    assert replace(larger, multiply_adds=usual.multiply_adds, parameters=usual.parameters) == usual


def test_planning_leaves_random_numbers_alone():
    state = torch.get_rng_state()
    plan_mnist()
    assert torch.equal(torch.get_rng_state(), state)
    gaussian_derivative_net()
    assert not torch.equal(torch.get_rng_state(), state)  # the control


def test_a_shift_error_takes_the_fewest_samples_that_keep_it():
    measured = {0.5: 0.276, 2**-0.5: 0.095, 1: 0.044, 2**0.5: 0.019, 2: 0.008}
    for g, error in measured.items():
        assert plan_mnist(shift_error=error).samples_per_sigma == pytest.approx(g)
        fewer = [other for other, wrong in measured.items() if wrong > error]
        assert not fewer or max(fewer) < g
    assert plan_mnist(shift_error=0.05).samples_per_sigma == 1
    assert plan_mnist().samples_per_sigma == SAMPLES_PER_SIGMA
    assert plan_mnist(shift_error=0.05).window == plan_mnist().window


def test_the_lifting_is_no_further_off_than_its_error_says():
    plan = plan_mnist(object_sizes=(24, 112))
    blob = Blobs(torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1, 1, 2))
    finest, by_two = plan.window.select(0, 1), plan.window.group.element(2)

    def error(kernel):
        sampling = SelfSimilar(plan.samples_per_sigma, kernel=kernel)
        one = functional.lift(blob.sample(65, 65), finest, sampling=sampling).tensor[0, 0, 0]
        two = functional.lift(blob.sample(129, 129, factor=2.0), finest.transform(by_two), sampling=sampling)
        assert two.tensor[0, 0, 0].shape == one.shape  # of the same places
        return (two.tensor[0, 0, 0] - one).abs().max().item()

    of_the_scaled = lifting_bound(blob, 2 * finest.sigmas[0], SelfSimilar(plan.samples_per_sigma), factor=2.0)
    assert 0 < error(BandLimited()) <= plan.lifting_error + of_the_scaled
    assert error(SampledLifting()) > plan.lifting_error + of_the_scaled  # the control


def test_what_is_printed_names_what_matters():
    plan = plan_mnist()
    said = str(plan)
    assert len(said.splitlines()) <= 8
    assert max(map(len, said.splitlines())) <= 120
    million = f"{plan.multiply_adds / 1e6:.4g} million"
    for words in ("11.5 to 112 pixels", "112×112", repr(plan.window), repr(plan.training_window), "9.5 %", million):
        assert words in said
    assert f"{plan.lifting_error:.1e}" in said
    assert "4.4 %" in str(plan_mnist(shift_error=0.05))  # the control: it is of this plan
    assert "samples per σ₀: 3" in str(replace(plan, samples_per_sigma=3.0))  # nothing was measured there


def test_plans_are_values_that_cannot_be_changed():
    assert plan_mnist() == plan_mnist()
    assert hash(plan_mnist()) == hash(plan_mnist())
    with pytest.raises(AttributeError):
        plan_mnist().window = PAPERS
    assert plan_mnist(ratio=2) != plan_mnist()


# -- refusals ----------------------------------------------------------------------------------------------------------

REFUSED = [
    ({"object_sizes": (11, 112)}, "11 pixels", "11.5"),
    ({"object_sizes": (13, 112), "ratio": 1.5}, "13 pixels", "13.63"),
    ({"object_sizes": (14, 112), "object_per_sigma": 40}, "14 pixels", "20 pixels"),
    ({"object_sizes": (14, 113)}, "113 pixels", "112"),
    ({"ratio": 2.1}, "ratio 2.1", "at most 2"),
    ({"network": "larger"}, "network 'larger'", "what makes one"),
    ({"image_size": (200, 100)}, "112 pixels", "100"),
    ({"trained_size": 13}, "trained_size 13", "14 to 112"),
    ({"trained_size": 113}, "trained_size 113", "14 to 112"),
    ({"trained_size": (56, 120)}, "trained_size 56 to 120", "14 to 112"),
    ({"trained_size": (56, 28)}, r"trained_size \(56, 28\)", "smallest first"),
    ({"object_sizes": (112, 14)}, r"object_sizes \(112, 14\)", "smallest first"),
    ({"shift_error": 0.001}, "shift_error 0.001", "0.008"),
    ({"shift_error": 5}, "shift_error 5", "fraction"),
    *(({name: (value, 56)}, name, "") for name in ("object_sizes", "trained_size") for value in (0, -1, math.nan, "a")),
    *(({name: value}, name, "") for name in ("object_sizes", "image_size") for value in ((), (1, 2, 3), None, "ab")),
    *(({"trained_size": value}, "trained_size", "") for value in (0, None, (1, 2, 3), math.inf)),
    *(({"image_size": value}, "image_size", "") for value in (0, -1, 1.5, (112, 0), True)),
    *(({"ratio": value}, "ratio", "") for value in (1.0, 0.5, None)),
    *(({"object_per_sigma": value}, "object_per_sigma", "") for value in (1, -1, math.inf, None)),
    *(({"shift_error": value}, "shift_error", "") for value in (0, -1, math.nan, "a")),
]


@pytest.mark.parametrize(("changed", "got", "expected"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_met_is_refused_in_numbers_before_any_computing(changed, got, expected, monkeypatch):
    def began(*_, **__):
        pytest.fail("it began to compute")

    monkeypatch.setattr("scalegroup.window_plan.lifting_bound", began)
    with pytest.raises(ScaleGroupError, match=got) as caught:
        plan_mnist(**{"network": began} | changed)
    assert expected in caught.value.expected
    assert caught.value.mend


@pytest.mark.parametrize(
    "changed",
    [
        {"object_sizes": (11.5, 112)},
        {"object_sizes": (13.7, 112), "ratio": 1.5},
        {"object_sizes": (20, 112), "object_per_sigma": 40},
        {"image_size": (200, 112)},
        {"ratio": 2.0},
        {"trained_size": 14},
        {"trained_size": (14, 112)},
        {"object_sizes": [56, 56]},
        {"shift_error": 0.008},
    ],
    ids=str,
)
def test_its_good_neighbour_is_accepted(changed):
    assert plan_mnist(**changed).window.channels >= plan_mnist(**changed).training_window.channels
