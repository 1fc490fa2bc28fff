"""The laws of scale windows, and of keeping one: channels that are not there are absent, never zero."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from proofs_tests.comparison import RATIOS, assert_same_field, same_bits
from scalegroup import (
    Attention,
    Axis,
    FieldType,
    Grid,
    Grids,
    LogSumExp,
    Max,
    Mean,
    Pooling,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    TopK,
    functional,
    nn,
)
from scalegroup.testing.strategies import POWERS, elements, fields, groups, windows

ROOT = ScaleGroup(2**0.5)
every_ratio = pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)


@st.composite
def windows_and_elements(draw: st.DrawFn, n_windows: int, n_elements: int) -> tuple:
    """Windows on one grid and elements of their group."""
    group = draw(groups())
    anchor = draw(st.floats(0.5, 4))
    return (
        *(draw(windows(group, sigma0=anchor)) for _ in range(n_windows)),
        *(draw(elements(group)) for _ in range(n_elements)),
    )


@st.composite
def restrictions(draw: st.DrawFn, n_windows: int) -> tuple:
    """A field, windows on its grid, and an element."""
    field = draw(fields(sigma0=1.0))
    group = field.window.group
    return field, *(draw(windows(group, sigma0=1.0)) for _ in range(n_windows)), draw(elements(group))


def kept(field: ScaleField, window: ScaleWindow) -> ScaleField:
    """The field in another window, of examples that share a scale channel."""
    assume(field.window.overlap(window) is not None)
    return field.restrict(window)


# -- windows ----------------------------------------------------------------------------------------------------------


@given(windows_and_elements(1, 2))
def test_action_on_windows_is_a_homomorphism(drawn: tuple) -> None:
    window, g, h = drawn
    assert window.transform(g * h) == window.transform(h).transform(g)
    assert window.transform(window.group.identity) == window
    assert window.transform(g).transform(g.inverse()) == window


def test_action_by_multiplying_sigma_is_no_homomorphism() -> None:
    def transform(sigma0: float, power: int) -> float:
        return sigma0 * ROOT.ratio**power

    assert any(transform(transform(1.0, i), j) != transform(1.0, i + j) for i in range(8) for j in range(8))


@every_ratio
@given(st.integers(1, 6), POWERS, POWERS)
def test_action_shifts_labels_by_the_power(ratio: float, channels: int, first: int, power: int) -> None:
    group = ScaleGroup(ratio)
    window = ScaleWindow(group, 0.9, channels, first)
    moved = window.transform(group.element(power))
    assert moved.labels == range(first + power, first + power + channels)
    assert moved.sigmas == tuple(0.9 * group.factor(label + power) for label in window.labels)


@given(windows_and_elements(1, 0))
def test_sigmas_grow_by_the_ratio(drawn: tuple) -> None:
    (window,) = drawn
    for low, high in zip(window.sigmas, window.sigmas[1:], strict=False):
        assert math.isclose(high / low, window.group.ratio, rel_tol=1e-14)


@pytest.mark.parametrize(("ratio", "steps"), [(2**0.5, 2), (2 ** (1 / 3), 3), (2.0, 1)])
def test_octaves_double_sigma_exactly(ratio: float, steps: int) -> None:
    sigmas = ScaleWindow(ScaleGroup(ratio), 0.9, 7, first=-6).sigmas
    assert [2 * sigma for sigma in sigmas[:-steps]] == list(sigmas[steps:])


@given(windows_and_elements(2, 1))
def test_overlap_is_an_intersection_and_moves_with_the_windows(drawn: tuple) -> None:
    a, b, g = drawn
    shared = sorted(set(a.labels) & set(b.labels))
    overlap = a.overlap(b)
    assert (list(overlap.labels) if overlap else []) == shared
    assert overlap == b.overlap(a)
    assert a.overlap(a) == a
    moved = a.transform(g).overlap(b.transform(g))
    assert moved == (overlap and overlap.transform(g))


def test_windows_anchored_differently_on_one_grid_are_compared() -> None:
    window = ScaleWindow(ROOT, 1.0, 4)
    assert window.overlap(ScaleWindow(ROOT, 2.0, 3, first=-1)) == window.select(1, 4)
    assert window.overlap(ScaleWindow(ROOT, 2.0, 9)).sigmas == pytest.approx((2.0, 2 * 2**0.5))  # type: ignore[union-attr]
    with pytest.raises(ScaleGroupError, match="anchor both windows"):
        window.overlap(ScaleWindow(ROOT, 1.1, 3))


@pytest.mark.parametrize(("channels", "sentence"), [(1, "1 scale channel with σ₀ = 1 by"), (3, "σ₀ from 1 to 2 by")])
def test_repr_reads_as_a_sentence(channels: int, sentence: str) -> None:
    assert sentence in repr(ScaleWindow(ROOT, 1.0, channels))


@pytest.mark.parametrize("first", [5000, -5000])
def test_repr_never_raises(first: int) -> None:
    window = ScaleWindow(ROOT, 0.5, 3, first)
    assert repr(window) == f"3 scale channels with σ₀ from 0.5·γ^{first} to 0.5·γ^{first + 2} by powers of 1.41421"
    assert f"σ₀ = 0.5·γ^{first} by" in repr(window.select(0, 1))
    with pytest.raises(ScaleGroupError):
        _ = window.sigmas


# -- keeping a window -------------------------------------------------------------------------------------------------


@given(restrictions(1))
def test_what_is_kept_are_the_channels_of_both_and_no_others(drawn: tuple) -> None:
    field, window, _ = drawn
    overlap = field.window.overlap(window)
    if overlap is None:
        with pytest.raises(ScaleGroupError, match="a scale channel of both"):
            field.restrict(window)
        return
    restricted = field.restrict(window)
    assert restricted.window == overlap
    assert (restricted.type, restricted.power, restricted.batch) == (field.type, field.power, field.batch)
    for position, label in enumerate(overlap.labels):
        assert restricted.grids.grids[position] == field.grids.grids[label - field.window.first]
        assert restricted.grids.sigmas[position] == field.grids.sigmas[label - field.window.first]
        assert same_bits(restricted.channel(position), field.channel(label - field.window.first))


@given(restrictions(2))
def test_restricting_twice_is_restricting_once_to_what_both_have(drawn: tuple) -> None:
    field, a, b, _ = drawn
    both = a.overlap(b)
    assume(both is not None and field.window.overlap(both) is not None)
    assert_same_field(kept(kept(field, a), b), field.restrict(both))
    assert_same_field(kept(kept(field, b), a), field.restrict(both))


@given(restrictions(1))
def test_restriction_is_a_projection(drawn: tuple) -> None:
    field, window, _ = drawn
    assert_same_field(field.restrict(field.window), field)
    assert_same_field(kept(field, window).restrict(window), field.restrict(window))


@given(restrictions(1))
def test_restriction_commutes_with_the_action(drawn: tuple) -> None:
    field, window, g = drawn
    restricted = kept(field, window)
    assert_same_field(restricted.transform(g), field.transform(g).restrict(window.transform(g)))
    if g.power and len(restricted.window.labels) == window.channels:  # the control: the window stays
        moved = field.transform(g)
        shared = moved.window.overlap(window)
        assert shared is None or moved.restrict(window).window != restricted.transform(g).window


@given(st.data(), fields())
def test_fixed_window_and_the_action_have_no_inverse_together(data: st.DataObject, field: ScaleField) -> None:
    channels = field.window.channels
    g = field.window.group.element(data.draw(st.integers(1 - channels, channels - 1)))
    there = field.transform(g).restrict(field.window)
    back = there.transform(g.inverse()).restrict(field.window)
    assert back.window.channels == channels - abs(g.power)  # the others would be zeros in a truncated shift
    assert_same_field(back, field.restrict(back.window))


@pytest.mark.parametrize("first", range(-3, 4))
def test_channels_that_share_a_grid_are_kept_apart_and_together(first: int) -> None:
    """Of four channels in runs of 3 and 1, any neighbours: what is kept stays folded as it was."""
    shared, own = (Grid(Axis.within(n), Axis.within(2), 1.0) for n in (1, 3))
    window = ScaleWindow(ROOT, 1.0, 4)
    maps = torch.randn(6, 1, 3, 5), torch.randn(2, 1, 7, 5)
    field = ScaleField(maps, FieldType.scalars(1), window, Grids((9, 9), window.sigmas, (shared,) * 3 + (own,)))
    restricted = field.restrict(ScaleWindow(ROOT, 1.0, 4, first=first))
    channels = range(max(0, first), min(4, 4 + first))
    assert [run.stop - run.start for run in restricted.runs] == [
        n for n in (sum(c < 3 for c in channels), sum(c == 3 for c in channels)) if n
    ]
    assert all(same_bits(restricted.channel(n), field.channel(c)) for n, c in enumerate(channels))
    assert not same_bits(field.channel(0), field.channel(1))  # the control


def lifted(channels: int = 3, features: int = 2) -> ScaleField:
    """A float64 field of random images, each channel its own."""
    window = ScaleWindow(ROOT, 1.0, channels)
    tensor = torch.randn(2, features, channels, 5, 5, dtype=torch.float64)
    return ScaleField.of(tensor, FieldType.scalars(features), window)


WIDER = ScaleWindow(ROOT, 1.0, 6, first=-2)  # two channels below those of `lifted()`, one above
POOLINGS = [Max(), Mean(), LogSumExp(), TopK(2), Attention()]


@pytest.mark.parametrize("pooling", POOLINGS, ids=repr)
def test_pooling_sees_no_undefined_channels(pooling: Pooling) -> None:
    field = lifted()
    read = nn.ReadOut(field.type)(field)
    pool = nn.ScalePool(read.type, pooling)
    assert same_bits(pool(read.restrict(WIDER)).tensor, pool(read).tensor)
    padded = torch.nn.functional.pad(read.tensor - 9, (0, 0, 0, 0, 2, 1))  # the control: zeros in their place
    with_zeros = pool.reduction.reduce(padded, 2)
    assert not torch.allclose(with_zeros, pool.reduction.reduce(read.tensor - 9, 2))


def test_scale_selection_sees_no_undefined_channels() -> None:
    field = lifted(features=5)
    scores = nn.ReadOut(field.type)(field)
    selected = functional.select_scale(scores.tensor, scores.window)
    wider = scores.restrict(WIDER)
    assert same_bits(functional.select_scale(wider.tensor, wider.window), selected)
    undefined = torch.nn.functional.pad(scores.tensor, (0, 0, 0, 0, 2, 1), value=math.nan)
    assert same_bits(functional.select_scale(undefined, WIDER), selected)
    filled = functional.select_scale(undefined.nan_to_num(9.0), WIDER)
    assert (filled < 1).all()  # the control: the finest of the undefined channels would win
