"""The laws of scale windows, and of keeping one: channels that are not there are undefined, never zero."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from proofs_tests.comparison import RATIOS, assert_same_field, same_bits
from scalegroup import (
    FieldType,
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
    group = field.type.group
    return field, *(draw(windows(group, sigma0=1.0)) for _ in range(n_windows)), draw(elements(group))


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


@every_ratio
@given(st.integers(1, 6), POWERS, POWERS, POWERS)
def test_sigmas_on_the_grid_do_not_change_when_window_and_spacing_move_together(
    ratio: float, channels: int, first: int, spacing: int, power: int
) -> None:
    group = ScaleGroup(ratio)
    window = ScaleWindow(group, 0.9, channels, first)
    moved = window.transform(group.element(power))
    assert moved.sigmas_on(spacing=spacing + power) == window.sigmas_on(spacing=spacing)
    if power:
        assert moved.sigmas_on(spacing=spacing) != window.sigmas_on(spacing=spacing)


@every_ratio
def test_sigmas_on_the_grid_would_change_with_float_spacings(ratio: float) -> None:
    group = ScaleGroup(ratio * 1.01)  # no root of an integer
    sigmas = ScaleWindow(group, 0.9, 8).sigmas
    assert any(sigma * group.factor(j) / group.factor(j) != sigma for sigma in sigmas for j in range(12))


@given(windows_and_elements(1, 0), st.integers(1, 8))
def test_sigmas_grow_by_the_ratio_and_shrink_by_the_stride(drawn: tuple, stride: int) -> None:
    (window,) = drawn
    for low, high in zip(window.sigmas, window.sigmas[1:], strict=False):
        assert math.isclose(high / low, window.group.ratio, rel_tol=1e-14)
    assert window.sigmas_on(spacing=0, stride=stride) == tuple(sigma / stride for sigma in window.sigmas)


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
    assert a.positions_of(b) == tuple(i - a.first if i in a.labels else None for i in b.labels)


def test_windows_anchored_differently_on_one_grid_are_compared() -> None:
    window = ScaleWindow(ROOT, 1.0, 4)
    assert window.positions_of(ScaleWindow(ROOT, 2.0, 3, first=-1)) == (1, 2, 3)
    assert window.overlap(ScaleWindow(ROOT, 2.0, 9)).sigmas == pytest.approx((2.0, 2 * 2**0.5))  # type: ignore[union-attr]
    with pytest.raises(ScaleGroupError, match="anchor both windows"):
        window.positions_of(ScaleWindow(ROOT, 1.1, 3))


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
def test_undefined_channels_are_nan_and_marked_and_never_zero(drawn: tuple) -> None:
    field, window, _ = drawn
    kept = field.restrict(window)
    assert kept.window == window
    assert kept.defined == tuple(label in field.window.labels for label in window.labels)
    assert kept.mask.flatten().tolist() == list(kept.defined)
    for position, label in enumerate(window.labels):
        if label in field.window.labels:
            assert same_bits(kept.channel(position), field.channel(label - field.window.first))
        else:
            assert kept.channel(position).isnan().all()


@given(restrictions(2))
def test_restricting_twice_is_restricting_once_where_both_are_defined(drawn: tuple) -> None:
    field, a, b, _ = drawn
    through_a, direct = field.restrict(a).restrict(b), field.restrict(b)
    assert through_a.window == direct.window
    for position, label in enumerate(b.labels):
        assert through_a.defined[position] == (direct.defined[position] and label in a.labels)
        if through_a.defined[position]:
            assert same_bits(through_a.channel(position), direct.channel(position))


@given(restrictions(1))
def test_restriction_is_a_projection(drawn: tuple) -> None:
    field, window, _ = drawn
    assert_same_field(field.restrict(field.window), field)
    assert_same_field(field.restrict(window).restrict(window), field.restrict(window))


@given(restrictions(1))
def test_restriction_commutes_with_the_action(drawn: tuple) -> None:
    field, window, g = drawn
    assert_same_field(field.restrict(window).transform(g), field.transform(g).restrict(window.transform(g)))
    if g.power:
        assert field.restrict(window).transform(g).window != field.transform(g).restrict(window).window


@given(restrictions(1))
def test_fixed_window_and_the_action_have_no_inverse_together(drawn: tuple) -> None:
    field, _, g = drawn
    assume(g.power)
    there = field.transform(g).restrict(field.window)
    back = there.transform(g.inverse()).restrict(field.window)
    lost = min(abs(g.power), field.window.channels)
    assert back.defined.count(False) == lost  # these would be zeros in a truncated shift
    kept = [n for n, defined in enumerate(back.defined) if defined]
    assert same_bits(back.tensor[:, :, kept], field.tensor[:, :, kept])


def lifted(channels: int = 3, features: int = 2) -> ScaleField:
    """A float64 field of random images, each channel its own."""
    window = ScaleWindow(ROOT, 1.0, channels)
    return ScaleField(
        torch.randn(2, features, channels, 5, 5, dtype=torch.float64), FieldType.scalars(ROOT, features), window
    )


WIDER = ScaleWindow(ROOT, 1.0, 6, first=-2)  # two undefined channels below `lifted()`, one above
POOLINGS = [Max(), Mean(), LogSumExp(), TopK(2)]


@pytest.mark.parametrize("pooling", POOLINGS, ids=repr)
def test_pooling_ignores_undefined_channels(pooling: Pooling) -> None:
    field = lifted()
    pool = nn.ScalePool(field.type, pooling)
    assert same_bits(pool(field.restrict(WIDER)).tensor, pool(field).tensor)


@pytest.mark.parametrize("pooling", [Mean(), LogSumExp()], ids=repr)
def test_pooling_over_zeros_in_their_place_differs(pooling: Pooling) -> None:
    field = lifted()
    pool = nn.ScalePool(field.type, pooling)
    padded = replace(field.restrict(WIDER), tensor=field.restrict(WIDER).tensor.nan_to_num(0.0), defined=())
    assert not torch.allclose(pool(padded).tensor, pool(field).tensor)


def test_scale_selection_ignores_undefined_channels() -> None:
    field = lifted(features=5)
    scores = nn.ReadOut(field.type)(field)
    wider = scores.restrict(WIDER)
    selected = functional.select_scale(wider.tensor, wider.window)
    torch.testing.assert_close(selected, functional.select_scale(scores.tensor, scores.window))
    filled = functional.select_scale(wider.tensor.nan_to_num(9.0), wider.window)
    assert (filled < 1).all()  # the control: the finest of the undefined channels would win


@pytest.mark.parametrize("pooling", POOLINGS, ids=repr)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_no_nan_of_an_undefined_channel_enters_a_value_or_a_gradient(pooling: Pooling, training: bool) -> None:
    full, wide = (
        _scores_and_gradients(lambda field: field, pooling, training),
        _scores_and_gradients(lambda field: field.restrict(WIDER), pooling, training),
    )
    for with_undefined, without in zip(wide, full, strict=True):
        assert with_undefined.isfinite().all()
        torch.testing.assert_close(with_undefined, without)


def test_nan_that_is_not_marked_enters_gradients() -> None:
    def unmarked(field: ScaleField) -> ScaleField:
        return replace(field.restrict(WIDER), defined=())

    _, *gradients = _scores_and_gradients(unmarked, Max(), training=True)
    assert not all(gradient.isfinite().all() for gradient in gradients)


def _scores_and_gradients(
    prepare: Callable[[ScaleField], ScaleField], pooling: Pooling, training: bool
) -> list[torch.Tensor]:
    """Scores of a small network on a field, and the gradients of its parameters and of the field."""
    torch.manual_seed(1)
    field = lifted()
    leaf = field.tensor.requires_grad_()
    first = nn.JetConv(field.type, 4)
    layers = [first, nn.BatchNorm(first.out_type), nn.ReLU(first.out_type), nn.JetConv(first.out_type, 3, beta=1.25)]
    layers += [nn.ReadOut(layers[-1].out_type)]
    layers += [nn.ScalePool(layers[-1].out_type, pooling)]
    net = torch.nn.Sequential(*layers).double().train(training)
    result = net(prepare(replace(field, tensor=leaf))).tensor
    result.square().sum().backward()
    gradients = [parameter.grad for parameter in net.parameters()] + [leaf.grad]
    assert all(gradient is not None for gradient in gradients)
    return [result.detach(), *gradients]  # type: ignore[list-item]
