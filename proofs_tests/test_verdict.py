"""Verdicts: what is not equivariant is refused, whatever it hides behind, and what is, is accepted."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn as torch_nn

from proofs_tests.comparison import ROUNDING
from proofs_tests.judged import (
    CHEATS,
    HONEST,
    ROOT,
    SILENT,
    Before,
    Function,
    across_scale,
    box,
    centre,
    ours,
    ratio_of_integrals,
)
from proofs_tests.networks import OneChannelOff
from scalegroup import Background, Reflect, ScaleGroup, ScaleGroupError, ScaleWindow, nn
from scalegroup.testing import (
    EQUIVARIANT,
    NOT_DECIDED,
    NOT_EQUIVARIANT,
    Curve,
    Family,
    assert_equivariant,
    assert_invariant,
    check_module,
    error_curves,
    families,
)
from scalegroup.testing.curves import in_the_pictures_world
from scalegroup.testing.outputs import output_type

BLUR = Function(box(5))


@pytest.mark.parametrize("judged", CHEATS.values(), ids=CHEATS)
def test_cheats_are_refused_by_the_family_that_exposes_them(judged):
    verdict = judged.verdict()
    assert verdict.decision == NOT_EQUIVARIANT
    assert verdict.worst.family in verdict.reason
    exposed = {curve.family for curve in verdict.curves if curve.verdict == NOT_EQUIVARIANT}
    assert judged.family in exposed


@pytest.mark.parametrize("judged", HONEST.values(), ids=HONEST)
def test_honest_modules_are_accepted(judged):
    verdict = judged.verdict()
    assert verdict.decision == EQUIVARIANT, str(verdict)


@pytest.mark.parametrize("judged", SILENT.values(), ids=SILENT)
def test_a_module_that_ignores_its_input_is_not_decided(judged):
    verdict = judged.verdict()
    assert verdict.decision == NOT_DECIDED
    assert "does not depend on the picture" in verdict.reason


# -- what a curve says ------------------------------------------------------------------------------------------------


def curve(*errors, explained=None, responds=True):
    return Curve("fine blobs", 2.0, "maps", (1, 2, 4, 8)[: len(errors)], errors, explained, responds, 2e-3, math.inf)


@given(limit=st.floats(0, 1), fall=st.floats(0.05, 1), ratio=st.floats(0.1, 0.6))
def test_the_limit_of_a_geometric_sequence_is_found(limit, fall, ratio):
    """limit + fall·ratio^n, which is what errors of sampling beside a constant one are."""
    found = curve(*(limit + fall * ratio**n for n in range(3)))
    assert found.limit == pytest.approx(limit if found.errors[-1] > 2e-3 else 0.0, abs=1e-9)


@given(power=st.floats(0.8, 4), size=st.floats(0.1, 10))
def test_an_error_that_falls_is_that_of_sampling_and_one_that_stays_is_not(power, size):
    falling = curve(*(size * resolution**-power for resolution in (1, 2, 4)))
    assert falling.verdict == EQUIVARIANT
    assert falling.slope == pytest.approx(power) or falling.errors[-1] <= 2e-3
    staying = curve(*(size * (1 + resolution**-power) for resolution in (1, 2, 4)))
    assert staying.verdict == NOT_EQUIVARIANT
    assert curve(size, size, size).limit == size
    assert curve(size, size, 2 * size).verdict == NOT_EQUIVARIANT


def test_an_error_that_falls_slowly_or_unevenly_is_not_decided():
    """∝ resolution^-½ it may still tend to nothing, and a fall that shrinks may end: larger pictures would show."""
    slow = curve(*(resolution**-0.5 for resolution in (1, 2, 4)))
    assert slow.limit == pytest.approx(0, abs=1e-12)
    assert slow.verdict == NOT_DECIDED
    assert curve(0.5, 0.06, 0.03).verdict == NOT_DECIDED


@pytest.mark.parametrize(("last", "decision"), [(0.04, EQUIVARIANT), (0.25, NOT_EQUIVARIANT)])
def test_what_is_not_decided_is_looked_at_more_finely(last, decision):
    """A ratio of integrals, and a mean, which does not scale, with a weight that falls unevenly, and then on or not."""
    weights = {65: 5.0, 129: 0.6, 257: 0.3, 513: last}

    def ratio_and_mean(x):
        sizes.append(x.shape[-1])
        return ratio_of_integrals(x)[:, :1] + weights[x.shape[-1]] * x.mean((2, 3))

    sizes = []
    verdict = check_module(Function(ratio_and_mean), ROOT, powers=[2])
    assert (max(sizes), verdict.decision) == (513, decision)
    assert verdict.worst.resolutions == (1, 2, 4, 8)


def test_a_derived_bound_decides_alone():
    assert curve(0.3, 1e-6, explained=(0.4, 2e-6)).verdict == EQUIVARIANT
    assert curve(0.3, 1e-6, explained=(0.2, 2e-6)).verdict == NOT_EQUIVARIANT
    assert curve(0.3, 1e-6, explained=(0.4, 0.5e-6)).verdict == NOT_EQUIVARIANT


@given(limit=st.floats(0, 1), fall=st.floats(0.1, 10))
def test_of_four_errors_a_limit_beside_an_error_of_order_two_is_found(limit, fall):
    four = curve(*(limit + fall * resolution**-2 for resolution in (1, 2, 4, 8)))
    assert four.limit == pytest.approx(limit if four.errors[-1] > 2e-3 else 0.0, abs=1e-6)


def test_uneven_falls_are_those_of_sampling_where_they_go_on():
    assert curve(0.13, 0.026, 0.0045, 0.0023).verdict == EQUIVARIANT
    assert curve(0.5, 0.06, 0.03, 0.004).verdict == EQUIVARIANT
    for stays in ((0.5, 0.06, 0.03, 0.025), (1.0, 0.35, 0.2, 0.14), (272.0, 32.0, 17.0, 16.06)):
        assert curve(*stays).verdict == NOT_EQUIVARIANT
    assert curve(0.0, 0.5, 0.3, 0.25).verdict == NOT_DECIDED


def test_what_is_not_finite_or_does_not_respond_decides_nothing():
    assert curve(math.nan, 0.0, 0.0).verdict == NOT_DECIDED
    assert curve(math.inf, 0.0, 0.0).verdict == NOT_DECIDED
    assert curve(0.0, 0.0, 0.0, responds=False).verdict is None


def test_nan_and_infinity_are_not_accepted():
    for wrong in (math.nan, math.inf):
        verdict = check_module(Function(lambda x, wrong=wrong: x * wrong), ROOT, powers=[2])
        assert verdict.decision == NOT_DECIDED
        assert "not finite" in verdict.reason


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", families(65, 2.0, channels=3), ids=lambda family: family.name)
def test_values_alone_do_not_tell_a_picture_from_the_stretched_or_the_scaled_one(family):
    """So what a pointwise function makes of them is no part of the response. Off the centre nothing is stretched."""
    if not family.symmetric:
        return
    plain, scaled = family.sample(65), family.sample(65, factor=2.0)
    stretched = family.sample(65, stretched=True)
    assert (scaled[..., ::2, ::2] - plain[..., 16:49, 16:49]).abs().max() < ROUNDING[torch.float64]
    reach = int(family.middle)
    along_x, along_y = family.halves
    for offset in range(-reach, reach + 1):
        assert torch.equal(stretched[along_x, ..., 32 + 2 * offset], plain[along_x, ..., 32 + offset])
        assert torch.equal(stretched[along_y, ..., 32 + 2 * offset, :], plain[along_y, ..., 32 + offset, :])
    peaks = [pictures.amax((-2, -1)) for pictures in (plain, scaled, stretched)]
    shown = [image is not None for image in family.images]
    assert all(torch.equal(peak[:, shown], plain[..., 32, 32][:, shown]) for peak in peaks)
    assert not torch.allclose(stretched, plain, atol=0.05)  # the control


def test_pictures_fade_out_within_the_canvas_and_smaller_ones_are_refused():
    for family in families(49, 2.0):
        edges = family.sample(49, factor=2.0)[..., 0, :].abs().amax(-1) / family.sample(49).abs().amax((-2, -1))
        assert edges.max() < 1e-4
    with pytest.raises(ScaleGroupError, match="size=49 or more"):
        families(47, 2.0)


def test_channels_differ_and_each_is_shown_alone():
    shown = families(65, 2.0, channels=3)
    assert [family.name for family in shown[4:]] == [f"channel {n} alone" for n in range(3)]
    for number, family in enumerate(shown[4:]):
        pictures = family.sample(65)
        assert [bool(pictures[:, n].any()) for n in range(3)] == [n == number for n in range(3)]
    first, second, _ = shown[0].sample(65).unbind(1)
    assert not torch.allclose(first, second, atol=0.05)


def test_groups_lie_far_from_the_centre_at_both_sizes():
    groups = next(family for family in families(65, 2.0) if not family.symmetric)
    for factor in (1.0, 2.0):
        pictures = groups.sample(65, factor=factor).abs()
        near = pictures[..., 30:35, 30:35].amax((-2, -1))
        assert (near < 0.05 * pictures.amax((-2, -1))).all()


def test_a_peak_between_pixels_loses_what_is_allowed_for():
    """exp(-d²/2w²) at ½ pixel on both axes."""
    family = Family("", (), 1.0, 1.5, symmetric=False)
    assert family.peaks_lost(2.0) == pytest.approx(1 - math.exp(-(0.5**2 + 0.5**2) / (2 * 3.0**2)))
    assert dataclasses.replace(family, symmetric=True).peaks_lost(2.0) == 0


# -- networks of this library -----------------------------------------------------------------------------------------


class Off(torch_nn.Module):
    """A network whose second scale channel has another σ₀ by this factor."""

    def __init__(self, by):
        super().__init__()
        self.net = Before(ours(window=ScaleWindow(ROOT, 1.0, 3)))
        self.by = by

    def forward(self, pictures):
        right = self.net(pictures)
        with in_the_pictures_world(self.net, self.by, Background(0.0)):
            wrong = self.net(pictures)
        return torch.cat([right[..., :1], wrong[..., 1:2], right[..., 2:]], 2)


def test_one_scale_channel_that_is_off_is_seen_as_far_as_the_report_says():
    """Here no bound is derived. A tenth of what is visible passes, four times as much is refused."""
    visible = min(curve.visible for curve in error_curves(Off(1.0), [ROOT.element(1)]))
    assert 0 < visible < 0.005
    assert check_module(Off(1 + visible / 10), ROOT, powers=[1]).passed
    assert not check_module(Off(1 + 4 * visible), ROOT, powers=[1]).passed


@pytest.mark.parametrize("boundary", [Background(0.0), Background(-0.76), Reflect()], ids=repr)
def test_errors_of_our_networks_are_within_the_derived_bound(boundary):
    """Whatever they take for the world around: they are shown the pictures in their own world."""
    verdict = check_module(ours(boundary=boundary), ROOT, powers=[1], budget=False)
    assert verdict.passed
    for found in verdict.curves + verdict.channels:
        assert found.explained is not None
        assert all(error <= bound for error, bound in zip(found.errors, found.explained, strict=True))
        assert found.explained[-1] < 1e-3  # and it says something


def test_a_window_that_is_off_by_one_per_cent_is_beyond_the_derived_bound():
    verdict = check_module(ours(window=OneChannelOff(ROOT, 1.0, 4)), ROOT, powers=[1], budget=False)
    assert verdict.decision == NOT_EQUIVARIANT
    assert verdict.worst in verdict.channels
    assert verdict.worst.channel.startswith(("σ₀ 2.86", "σ₀ 4"))  # the one, and what it is compared with


def test_a_network_of_one_scale_channel_is_judged_by_its_scores_and_refused():
    verdict = check_module(ours(window=ScaleWindow(ROOT, 2.0, 1)), ROOT, powers=[2])
    assert verdict.decision == NOT_EQUIVARIANT
    assert (verdict.channels, verdict.budget) == ((), None)


def test_scale_channels_are_compared_before_pooling_unless_they_are_the_output():
    pooled = ours()
    assert check_module(pooled, ROOT, powers=[2], budget=False).channels
    assert check_module(torch_nn.Sequential(pooled), ROOT, powers=[2], budget=False).channels  # found within
    assert not check_module(nn.Sequential(*list(pooled)[:-1]), ROOT, powers=[2], budget=False).channels


def test_networks_that_look_across_scale_are_judged_where_no_neighbour_is_missing():
    pooled = nn.Sequential(*across_scale(5), nn.ReadOut, nn.ScalePool).eval()
    assert check_module(pooled, ROOT, powers=[1], budget=False).decision == EQUIVARIANT
    with pytest.raises(AssertionError, match="not equivariant"):  # the control
        assert_equivariant(across_scale(5), ROOT.generator)
    with pytest.raises(ScaleGroupError, match="more scale channels"):
        check_module(across_scale(3), ROOT, powers=[1], budget=False)


def test_one_feature_that_is_off_is_found_beside_others_that_are_large():
    def mixed(x):
        return torch.cat([1e3 * x, 1e3 * x**2, box(5)(x)], 1)

    verdict = check_module(Function(mixed), ROOT, powers=[2])
    assert verdict.decision == NOT_EQUIVARIANT
    assert verdict.worst.channel == "maps, feature 2"


# -- how a module is put to the question ------------------------------------------------------------------------------


def test_factors_of_root_two_and_two_are_the_default():
    """With √2 alone, of maps on pixels nothing but the centre is compared."""
    factors = {curve.factor for curve in check_module(torch_nn.ReLU(), ROOT).curves}
    assert factors == {ROOT.factor(1), ROOT.factor(2)}
    assert {curve.factor for curve in check_module(torch_nn.ReLU(), ScaleGroup(3.0)).curves} == {3.0}


def test_a_module_is_judged_in_evaluation_and_left_as_it_was():
    module = torch_nn.Sequential(torch_nn.Dropout(0.5), ours()).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    window = module[1].window
    assert check_module(module, ROOT, powers=[2], budget=False).passed
    assert all(part.training for part in module.modules())
    assert module[1].window == window
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not check_module(_AlwaysTraining(), ROOT, powers=[2]).passed  # the control: dropout that stays


class _AlwaysTraining(torch_nn.Module):
    def forward(self, pictures):
        return torch_nn.functional.dropout(pictures, 0.5, training=True)


def test_windows_and_boundaries_are_put_back_even_after_an_error():
    net = ours(boundary=Reflect())
    inside = []

    def interrupted():
        with in_the_pictures_world(net, 2.0, Background(1.0)):
            inside.append(net.window.sigma0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert inside == [2.0]
    assert net.window.sigma0 == 1.0
    assert net(torch.zeros(1, 1, 33, 33)).isfinite().all()
    assert any(getattr(part, "boundary", None) == Reflect() for part in net.modules())


def test_a_module_of_one_size_is_shown_pictures_of_that_size():
    class OneSize(torch_nn.Module):
        def forward(self, pictures):
            assert pictures.shape[2:] == (193, 193)
            return centre(pictures)

    assert check_module(OneSize(), ROOT, size=193, fixed_size=True).passed
    with pytest.raises(AssertionError):
        check_module(OneSize(), ROOT, size=193)
    blurred = Function(lambda x: centre(box(5)(x)))
    assert check_module(blurred, ROOT, size=193, fixed_size=True).decision == NOT_EQUIVARIANT


def test_features_of_a_weight_take_their_factor():
    """A plain tensor that declares it: differences of pixels are derivatives that are not scale-normalised."""

    def slopes(x):
        return torch_nn.functional.pad((x[..., 2:] - x[..., :-2]) / 2, (1, 1))

    right = check_module(Function(slopes), ROOT, powers=[2], output=output_type("maps", weight=1.0))
    assert right.decision == EQUIVARIANT
    for weight in (0.0, 2.0):
        wrong = check_module(Function(slopes), ROOT, powers=[2], output=output_type("maps", weight=weight))
        assert wrong.decision == NOT_EQUIVARIANT


def test_the_background_of_the_user_is_around_the_pictures():
    for background, channels in ((-0.7, 1), ((1.0, 2.0, 3.0), 3)):
        corners = []
        module = Function(lambda x, corners=corners: corners.append(x[0, :, 0, 0]) or centre(x))
        check_module(module, ROOT, powers=[2], in_channels=channels, background=background)
        expected = torch.tensor(background, dtype=torch.float64).expand(channels)
        assert all(torch.allclose(corner, expected, atol=1e-3) for corner in corners)


def test_assertions_judge_as_the_check_does():
    assert_equivariant(torch_nn.ReLU(), ROOT.element(2))
    with pytest.raises(AssertionError, match=r"not equivariant: .*scaling by 2"):
        assert_equivariant(BLUR, ROOT.element(2))
    with pytest.raises(AssertionError, match=r"not decided: .*does not depend"):
        assert_equivariant(torch.zeros_like, ROOT.element(2))
    with pytest.raises(ScaleGroupError, match="class scores"):
        assert_invariant(torch_nn.ReLU(), ROOT.element(2))


def test_the_inverse_of_a_scaling_is_judged_alike():
    for power in (-2, 2):
        assert_equivariant(torch_nn.ReLU(), ROOT.element(power), size=97)
        with pytest.raises(AssertionError):
            assert_equivariant(BLUR, ROOT.element(power), size=97)
