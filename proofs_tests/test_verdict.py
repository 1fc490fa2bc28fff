"""Verdicts: what is not equivariant is refused, whatever it hides behind, and what is, is accepted."""

import math
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn as torch_nn

from proofs_tests.judged import (
    CHEATS,
    FEW,
    HONEST,
    ROOT,
    SILENT,
    Before,
    Function,
    across_scale,
    box,
    centre,
    curve,
    ours,
    ratio_of_integrals,
)
from proofs_tests.networks import G, OneChannelOff, maps_net, small_net
from scalegroup import Background, Reflect, SampledDerivatives, ScaleGroup, ScaleGroupError, ScaleWindow, nn
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import (
    EQUIVARIANT,
    NOT_DECIDED,
    NOT_EQUIVARIANT,
    Verdict,
    assert_equivariant,
    assert_invariant,
    check_module,
    covariance_bound,
    error_curves,
)
from scalegroup.testing.certificate import not_shown
from scalegroup.testing.check_module import layers_alone
from scalegroup.testing.outputs import output_type
from scalegroup.testing.pictures import families
from scalegroup.testing.world import in_the_pictures_world

BLUR = Function(box(5))
FALLS = curve(1.0, 0.25, 0.0625)


def judged(module):
    """By √2, on the smallest pictures that fit it."""
    return check_module(module, ROOT, powers=[1], size=35, budget=False)


@pytest.mark.parametrize("one", CHEATS.values(), ids=CHEATS)
def test_cheats_are_refused_by_the_family_that_exposes_them(one):
    verdict = one.verdict()
    assert verdict.decision == NOT_EQUIVARIANT
    assert verdict.worst.family in verdict.reason
    exposed = {curve.family for curve in verdict.curves if curve.verdict == NOT_EQUIVARIANT}
    assert one.family in exposed


@pytest.mark.parametrize("one", HONEST.values(), ids=HONEST)
def test_honest_modules_are_accepted(one):
    verdict = one.verdict()
    assert verdict.decision == EQUIVARIANT, str(verdict)


@pytest.mark.parametrize("one", SILENT.values(), ids=SILENT)
def test_a_module_that_ignores_its_input_is_not_decided(one):
    verdict = one.verdict()
    assert verdict.decision == NOT_DECIDED
    assert "does not depend on the picture" in verdict.reason


# -- how it is reached ------------------------------------------------------------------------------------------------


def test_the_reason_says_what_stands_in_the_way_of_a_decision():
    def reason(*errors, **more):
        return Verdict("Module", (FALLS, curve(*errors, **more))).reason

    assert "not finite" in reason(math.nan, 0.0, 0.0)
    assert "not finite" in reason(1.0, math.inf, 1.0)
    assert reason(0.5, 0.06, 0.03).startswith("larger pictures")
    assert reason(1.0, 1.0, 1.0) == str(curve(1.0, 1.0, 1.0))  # a decision needs no more
    silent = Verdict("Module", (curve(0.0, 0.0, 0.0, responds=False),))
    assert (silent.decision, silent.passed) == (NOT_DECIDED, False)
    assert "does not depend on the picture" in silent.reason


def test_the_worst_curve_of_output_and_channels_decides():
    good, bad = FALLS, curve(1.0, 1.0, 1.0)
    for verdict in (Verdict("Module", (good, bad)), Verdict("Module", (good,), (bad, good))):
        assert (verdict.worst, verdict.decision, verdict.passed) == (bad, NOT_EQUIVARIANT, False)
    assert Verdict("Module", (good,), (good,)).passed


@pytest.mark.parametrize(("last", "decision"), [(0.04, EQUIVARIANT), (0.25, NOT_EQUIVARIANT)])
def test_what_is_not_decided_is_looked_at_more_finely(last, decision):
    """A ratio of integrals, and a mean, which does not scale, with a weight that falls unevenly, and then on or not."""
    weights = {35: 5.0, 69: 0.6, 137: 0.3, 273: last}

    def ratio_and_mean(x):
        sizes.append(x.shape[-1])
        return ratio_of_integrals(x)[:, :1] + weights[x.shape[-1]] * x.mean((2, 3))

    sizes = []
    verdict = check_module(Function(ratio_and_mean), ROOT, powers=[1], size=35)
    assert (max(sizes), verdict.decision) == (273, decision)
    assert verdict.worst.resolutions == (1, 2, 4, 8)


def test_nan_and_infinity_are_not_accepted():
    for wrong in (math.nan, math.inf):
        verdict = check_module(Function(lambda x, wrong=wrong: x * wrong), ROOT, powers=[1], size=35)
        assert verdict.decision == NOT_DECIDED
        assert "not finite" in verdict.reason


# -- networks of this library -----------------------------------------------------------------------------------------


class Off(torch_nn.Module):
    """A network whose second scale channel has another σ₀ by this factor."""

    def __init__(self, by):
        super().__init__()
        self.net = Before(ours(**FEW | {"window": ScaleWindow(ROOT, 1.0, 3)}))
        self.by = by

    def forward(self, pictures):
        right = self.net(pictures)
        with in_the_pictures_world(self.net, self.by, Background(0.0)):
            wrong = self.net(pictures)
        return torch.cat([right[..., :1], wrong[..., 1:2], right[..., 2:]], 2)


def test_one_scale_channel_that_is_off_is_seen_as_far_as_the_report_says():
    """Here no bound is derived. A tenth of what is visible passes, four times as much is refused."""
    visible = min(curve.visible for curve in error_curves(Off(1.0), [ROOT.element(1)], size=35))
    assert 0 < visible < 0.005
    assert check_module(Off(1 + visible / 10), ROOT, powers=[1], size=35).passed
    assert not check_module(Off(1 + 4 * visible), ROOT, powers=[1], size=35).passed


@pytest.mark.parametrize("boundary", [Background(0.0), Background(-0.76), Reflect()], ids=repr)
def test_errors_of_our_networks_are_within_the_derived_bound(boundary):
    """Whatever they take for the world around: they are shown the pictures in their own world."""
    verdict = judged(ours(boundary=boundary, **FEW | {"window": ScaleWindow(ROOT, 1.0, 3)}))
    assert verdict.passed
    for found in verdict.curves + verdict.channels:
        assert found.explained is not None
        assert all(error <= bound for error, bound in zip(found.errors, found.explained, strict=True))
        assert found.explained[-1] < 1e-3  # and it says something


def test_a_window_that_is_off_by_one_per_cent_is_beyond_the_derived_bound():
    verdict = judged(ours(**FEW | {"window": OneChannelOff(ROOT, 1.0, 3)}))
    assert verdict.decision == NOT_EQUIVARIANT
    assert verdict.worst in verdict.channels
    assert verdict.worst.channel.startswith(("σ₀ 2.86", "σ₀ 4"))  # the one, and what it is compared with


def test_a_network_of_one_scale_channel_is_judged_by_its_scores_and_refused():
    verdict = judged(ours(**FEW | {"window": ScaleWindow(ROOT, 2.0, 1)}))
    assert verdict.decision == NOT_EQUIVARIANT
    assert (verdict.channels, verdict.budget) == ((), None)


def test_scale_channels_are_compared_before_pooling_unless_they_are_the_output():
    pooled = ours(**FEW)
    assert judged(pooled).channels
    assert judged(torch_nn.Sequential(pooled)).channels  # found within
    assert not judged(nn.Sequential(*list(pooled)[:-1])).channels


def test_networks_that_look_across_scale_are_judged_where_no_neighbour_is_missing():
    pooled = nn.Sequential(*across_scale(4), nn.ReadOut, nn.ScalePool).eval()
    assert judged(pooled).decision == EQUIVARIANT
    with pytest.raises(AssertionError, match="not equivariant"):  # the control
        assert_equivariant(across_scale(4), ROOT.generator, size=35)
    with pytest.raises(ScaleGroupError, match="more scale channels"):
        judged(across_scale(3))


def test_networks_whose_layers_join_all_scale_channels_are_judged_by_their_scores():
    norm = partial(nn.GroupNorm, groups=1)
    verdict = judged(maps_net(norm, nn.ReLU, nn.ReadOut, nn.ScalePool, window=ScaleWindow(ROOT, 1.0, 3), jets=1))
    assert (verdict.decision, verdict.channels) == (EQUIVARIANT, ())


def test_one_feature_that_is_off_is_found_beside_others_that_are_large():
    def mixed(x):
        return torch.cat([1e3 * x, 1e3 * x**2, box(5)(x)], 1)

    verdict = check_module(Function(mixed), ROOT, powers=[2], size=49)
    assert verdict.decision == NOT_EQUIVARIANT
    assert verdict.worst.channel == "maps, feature 2"


def test_every_layer_alone_stands_beside_its_bound_where_there_is_one():
    layers = layers_alone(small_net(grid="image"), G.element(-1))
    verdict = Verdict("Module", (FALLS,))
    assert list(layers) == ["layer 1", "layer 2", "layer 3"]
    assert "bound" not in str(verdict)
    said = str(replace(verdict, layers=layers))
    assert "no bound for the whole network" in said
    for depth, check in enumerate(layers.values()):
        assert check.sigma == pytest.approx(1.25**depth)
        assert check.factor == pytest.approx(2**0.5)
        assert 0 < check.measured <= check.bound == covariance_bound(check.sigma, check.factor, math.pi / 2)
        assert str(check) in said
    for net in (small_net(grid="image", kernel=SampledDerivatives(tail=1e-3)), small_net()):
        assert layers_alone(net, G.element(1)) == {}


# -- how a module is put to the question ------------------------------------------------------------------------------


def test_factors_of_root_two_and_two_are_the_default():
    """With √2 alone, of maps on pixels nothing but the centre is compared."""
    factors = {curve.factor for curve in check_module(torch_nn.ReLU(), ROOT).curves}
    assert factors == {ROOT.factor(1), ROOT.factor(2)}
    assert {curve.factor for curve in check_module(torch_nn.ReLU(), ScaleGroup(3.0)).curves} == {3.0}


def test_a_module_is_judged_in_evaluation_and_left_as_it_was():
    module = torch_nn.Sequential(torch_nn.Dropout(0.5), ours(**FEW)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    window = module[1].window
    assert judged(module).passed
    assert all(part.training for part in module.modules())
    assert module[1].window == window
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not judged(_AlwaysTraining()).passed  # the control: dropout that stays


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
            assert pictures.shape[2:] == (137, 137)
            return centre(pictures)

    assert check_module(OneSize(), ROOT, powers=[1], size=137, fixed_size=True).passed
    with pytest.raises(AssertionError):
        check_module(OneSize(), ROOT, powers=[1], size=137)
    blurred = Function(lambda x: centre(box(5)(x)))
    assert check_module(blurred, ROOT, powers=[1], size=137, fixed_size=True).decision == NOT_EQUIVARIANT


def test_pictures_of_one_size_show_all_that_there_is_at_every_resolution():
    peaks, edges = [], []

    def seen(x):
        if x.any():
            peaks.append(x.abs().amax((1, 2, 3)).min().item())
            edges.append(x[..., 0, :].abs().max().item())
        return centre(x)

    assert check_module(Function(seen), ROOT, powers=[2], size=193, fixed_size=True).passed
    assert min(peaks) > 0.1
    assert max(edges) < 1e-3


def test_the_background_is_that_of_the_network_unless_another_is_given():
    class Within(torch_nn.Module):
        def __init__(self):
            super().__init__()
            self.net = ours(boundary=Background(-0.76))

        def forward(self, pictures):
            corners.extend(pictures[:, 0, 0, 0].tolist())
            return self.net(pictures)

    for options, background in (({}, -0.76), ({"background": 0.5}, 0.5)):
        corners = []
        check_module(Within(), ROOT, powers=[1], size=35, budget=False, **options)
        assert corners == pytest.approx([background] * len(corners), abs=1e-3)


class Behind(torch_nn.Module):
    """A network behind what somebody does to images before."""

    def __init__(self, change, net):
        super().__init__()
        self.change, self.net = change, net

    def forward(self, pictures):
        return self.net(self.change(pictures))


@pytest.mark.parametrize(
    ("change", "inner", "options"),
    [
        (lambda x: (x - 0.5) / 0.25, Background(-2.0), {"background": 0.0}),
        (lambda x: (x - 0.5) / 0.25, Reflect(), {"background": 0.5}),
        (lambda x: x.mean(1, keepdim=True), Background(0.0), {"in_channels": 3}),
    ],
    ids=["normalised", "normalised, mirrored", "grey"],
)
def test_what_comes_before_a_network_may_change_background_and_colours(change, inner, options):
    under = {"powers": [1], "size": 35, "budget": False} | options
    assert check_module(Behind(change, ours(boundary=inner)), ROOT, **under).decision == EQUIVARIANT
    blurred = partial(torch_nn.functional.avg_pool2d, kernel_size=9, stride=1, padding=4, count_include_pad=False)
    off = Behind(lambda x: change(blurred(x)), ours(boundary=inner))
    assert check_module(off, ROOT, **under).decision != EQUIVARIANT  # the control


def test_networks_in_float64_are_as_equivariant_as_the_pictures_fit_their_canvas():
    torch.manual_seed(0)
    net = gaussian_derivative_net(widths=(4, 4)).double()
    assert check_module(net, ROOT, powers=[2], size=49, budget=False).decision == EQUIVARIANT
    fine, one = families(49, 2.0)[0], partial(not_shown, size=49, factor=2.0)
    assert 0 < one(fine) < 1e-6
    assert not_shown(fine, 33, 2.0) > 100 * one(fine)  # the control: less of them fits there


def test_where_a_module_has_no_weights_it_computes_as_its_buffers_are():
    class Weighed(torch_nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.full((1, 1, 1, 1), 2.0))

        def forward(self, pictures):
            return torch_nn.functional.conv2d(pictures, self.weight)

    assert judged(Weighed()).decision == EQUIVARIANT


def test_errors_of_a_module_are_seen_as_they_are():
    with pytest.raises(RuntimeError, match="expected input") as caught:
        judged(torch_nn.Conv2d(3, 1, 1))
    assert "given images [4, 1, 35, 35]" in caught.value.__notes__[0]
    with pytest.raises(ScaleGroupError):  # the control: of what is asked of the check
        check_module(torch_nn.ReLU(), ROOT, powers=["one"])


def test_the_budget_is_of_pictures_of_the_same_size_and_background(monkeypatch):
    asked = {}
    module = sys.modules["scalegroup.testing.check_module"]
    monkeypatch.setattr(module, "error_budget", lambda *_, **options: asked.update(options))
    check_module(ours(boundary=Background(0.25)), ROOT, powers=[1], size=35)
    assert asked == {"size": 35, "background": 0.25}


def test_features_of_a_weight_take_their_factor():
    """A plain tensor that declares it: differences of pixels are derivatives that are not scale-normalised."""

    def slopes(x):
        return torch_nn.functional.pad((x[..., 2:] - x[..., :-2]) / 2, (1, 1))

    right = check_module(Function(slopes), ROOT, powers=[2], size=49, output=output_type("maps", weight=1.0))
    assert right.decision == EQUIVARIANT
    for weight in (0.0, 2.0):
        wrong = check_module(Function(slopes), ROOT, powers=[2], size=49, output=output_type("maps", weight=weight))
        assert wrong.decision == NOT_EQUIVARIANT


def test_the_background_of_the_user_is_around_the_pictures():
    for background, channels in ((-0.7, 1), ((1.0, 2.0, 3.0), 3)):
        corners = []
        module = Function(lambda x, corners=corners: corners.append(x[0, :, 0, 0]) or centre(x))
        check_module(module, ROOT, powers=[1], size=35, in_channels=channels, background=background)
        expected = torch.tensor(background, dtype=torch.float64).expand(channels)
        assert all(torch.allclose(corner, expected, atol=1e-3) for corner in corners)


def test_assertions_judge_as_the_check_does():
    assert_equivariant(torch_nn.ReLU(), ROOT.element(2), size=49)
    with pytest.raises(AssertionError, match=r"not equivariant: .*scaling by 2"):
        assert_equivariant(BLUR, ROOT.element(2), size=49)
    with pytest.raises(AssertionError, match=r"not decided: .*does not depend"):
        assert_equivariant(torch.zeros_like, ROOT.element(2), size=49)
    with pytest.raises(ScaleGroupError, match="class scores"):
        assert_invariant(torch_nn.ReLU(), ROOT.element(2))


def test_the_inverse_of_a_scaling_is_judged_alike():
    for power in (-2, 2):
        assert_equivariant(torch_nn.ReLU(), ROOT.element(power), size=49)
        with pytest.raises(AssertionError):
            assert_equivariant(BLUR, ROOT.element(power), size=49)
