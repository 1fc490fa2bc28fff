"""What an error curve says, and what it is made of: the samples compared, the units of its errors, what is nothing."""

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn as torch_nn

from proofs_tests.comparison import ROUNDING as TOLERANCE
from proofs_tests.judged import box, centre, curve, ours
from proofs_tests.networks import G
from scalegroup import Background, Mean, Reflect, ScaleWindow, nn
from scalegroup.testing import EQUIVARIANT, NOT_DECIDED, NOT_EQUIVARIANT, Family, families
from scalegroup.testing.certificate import explained_by_sampling, lifted, lifting_gap, lipschitz
from scalegroup.testing.curves import ROUNDING, SMALL, _Bench, _curve, _Point
from scalegroup.testing.networks import background_of, before_pooling, chain_of, networks_in, on_pixels
from scalegroup.testing.outputs import FIELDS, MAPS, SCALE_SCORES, SCORES, matches

JUST = 1.001  # beyond a threshold


# -- verdicts of one curve --------------------------------------------------------------------------------------------


def falling(power, rest=0.0, count=3):
    """Errors that fall as resolution^-power to a rest."""
    return curve(*(rest + resolution**-power for resolution in (1, 2, 4, 8)[:count]))


@given(power=st.floats(0.8, 4), size=st.floats(0.1, 10))
def test_an_error_that_falls_is_that_of_sampling_and_one_that_stays_is_not(power, size):
    falls = curve(*(size * resolution**-power for resolution in (1, 2, 4)))
    assert falls.verdict == EQUIVARIANT
    assert falls.slope == pytest.approx(power) or falls.errors[-1] <= 2e-3
    staying = curve(*(size * (1 + resolution**-power) for resolution in (1, 2, 4)))
    assert staying.verdict == NOT_EQUIVARIANT
    assert curve(size, size, size).limit == size
    assert curve(size, size, 2 * size).verdict == NOT_EQUIVARIANT


@pytest.mark.parametrize("count", [3, 4])
def test_a_curve_falls_from_slope_seven_tenths_on_and_stays_below_half_of_it(count):
    """At the limit of 0 that all of these tend to, if they fall; larger pictures would show those in between."""
    slopes = (0.7 * JUST, 0.7 / JUST, 0.35 * JUST, 0.35 / JUST)
    decisions = [falling(slope, count=count).verdict for slope in slopes]
    assert decisions == [EQUIVARIANT, NOT_DECIDED, NOT_DECIDED, NOT_EQUIVARIANT]
    assert [curve(4**slope, 2**slope, 1.0).verdict for slope in (0.7, 0.35)] == [EQUIVARIANT, NOT_DECIDED]
    assert falling(0.5).limit == pytest.approx(0, abs=1e-12)
    assert falling(0.5).verdict == NOT_DECIDED


def test_the_slope_is_that_of_the_last_two_steps():
    assert curve(100.0, 1.0, 0.5, 0.25).slope == pytest.approx(1)
    assert curve(100.0, 1.0, 0.5).slope == pytest.approx(math.log(200) / math.log(4))  # the control: of three, of both
    assert curve(0.0, 0.0, 0.5).slope == -math.inf


def test_half_of_the_last_error_may_be_the_limit_of_one_that_falls():
    """rest + 4^-n: the last of three is rest + 1/16."""
    for part, decision in ((0.5 / JUST, EQUIVARIANT), (0.5 * JUST, NOT_DECIDED)):
        rest = part / (1 - part) / 16
        found = falling(2.0, rest)
        assert found.limit == pytest.approx(part * found.errors[-1])
        assert found.verdict == decision
    assert curve(1.0, 0.3, 0.2).limit == pytest.approx(0.2 - 0.1 / 6)  # falls shrink seven times: 1/7 + 1/7² …
    assert curve(1.0, 0.3, 0.2).verdict == NOT_DECIDED


def test_what_is_nothing_has_no_slope_and_no_limit():
    for least, slope, limit in ((2e-3, math.inf, 0.0), (2e-3 * JUST, 0.0, 2e-3 * JUST)):
        found = curve(least, least, least)
        assert (found.slope, found.limit) == (slope, limit)
        assert found.verdict == (EQUIVARIANT if limit == 0 else NOT_EQUIVARIANT)


@given(limit=st.floats(0, 1), fall=st.floats(0.05, 1), ratio=st.floats(0.1, 0.6))
def test_the_limit_of_a_geometric_sequence_is_found(limit, fall, ratio):
    """limit + fall·ratio^n, which is what errors of sampling beside a constant one are."""
    found = curve(*(limit + fall * ratio**n for n in range(3)))
    assert found.limit == pytest.approx(limit if found.errors[-1] > 2e-3 else 0.0, abs=1e-9)


def test_falls_that_do_not_shrink_are_taken_to_halve():
    """So the error tends to the last less the last fall; where it does not fall, to the last."""
    assert curve(4.0, 3.0, 2.5).limit == pytest.approx(2.0)  # the control: these halve
    assert curve(4.5, 3.5, 2.5).limit == pytest.approx(1.5)
    assert curve(4.0, 3.5, 2.5).limit == pytest.approx(1.5)
    assert curve(3.5, 3.5, 2.5).limit == pytest.approx(1.5)
    assert curve(4.0, 3.5, 3.5).limit == 3.5
    assert curve(4.0, 3.0, 3.5).limit == 3.5
    assert curve(9.0, 5.0, 1.0).limit == 0.0  # below nothing there is none


def test_of_four_errors_the_smaller_of_two_limits_counts():
    """That of a fit of order two, where falls end early, and Aitken's, where they shrink more slowly than that."""
    assert curve(4.0, 3.0, 2.9).limit == pytest.approx(2.9 - 0.1 / 9)  # the control: of three
    assert 2.0 < curve(9.0, 4.0, 3.0, 2.9).limit < 2.9 - 0.1 / 3
    assert curve(9.0, 4.0, 3.0, 2.5).limit == pytest.approx(2.0)


@given(limit=st.floats(0, 1), fall=st.floats(0.1, 10))
def test_of_four_errors_a_limit_beside_an_error_of_order_two_is_found(limit, fall):
    four = curve(*(limit + fall * resolution**-2 for resolution in (1, 2, 4, 8)))
    assert four.limit == pytest.approx(limit if four.errors[-1] > 2e-3 else 0.0, abs=1e-6)


def test_uneven_falls_are_those_of_sampling_where_they_go_on():
    assert curve(0.5, 0.06, 0.03).verdict == NOT_DECIDED
    assert curve(0.13, 0.026, 0.0045, 0.0023).verdict == EQUIVARIANT
    assert curve(0.5, 0.06, 0.03, 0.004).verdict == EQUIVARIANT
    for stays in ((0.5, 0.06, 0.03, 0.025), (1.0, 0.35, 0.2, 0.14), (272.0, 32.0, 17.0, 16.06)):
        assert curve(*stays).verdict == NOT_EQUIVARIANT
    assert curve(0.0, 0.5, 0.3, 0.25).verdict == NOT_DECIDED


def test_a_derived_bound_decides_alone_and_is_reached_but_not_passed():
    assert curve(0.5, 0.25, 0.125, explained=(0.5, 0.25, 0.125)).verdict == EQUIVARIANT
    assert curve(0.5, 0.25, 0.125, explained=(0.5, 0.25, 0.125 / JUST)).verdict == NOT_EQUIVARIANT
    assert curve(0.5, 0.25, 1e-4, explained=(0.5, 0.25, 1.0)).limit == 1e-4  # with a bound nothing is extrapolated
    assert curve(0.3, 1e-6, explained=(0.4, 2e-6)).verdict == EQUIVARIANT
    assert curve(0.3, 1e-6, explained=(0.2, 2e-6)).verdict == NOT_EQUIVARIANT
    assert curve(0.3, 1e-6, explained=(0.4, 0.5e-6)).verdict == NOT_EQUIVARIANT


def test_what_is_not_finite_or_does_not_respond_decides_nothing():
    assert curve(math.nan, 0.0, 0.0).verdict == NOT_DECIDED
    assert curve(math.inf, 0.0, 0.0).verdict == NOT_DECIDED
    assert curve(0.0, 0.0, 0.0, responds=False).verdict is None


def test_the_worst_curve_is_by_verdict_then_limit_then_error():
    worse = [
        curve(9.0, 9.0, 9.0, responds=False),
        falling(2.0),
        curve(math.nan, 0.0, 0.0),
        curve(0.1, 0.1, 0.1),
        curve(0.2, 0.2, 0.2),
    ]
    assert all(one.badness < other.badness for one, other in pairwise(worse))
    small, large = falling(2.0), curve(*(3 * 4.0**-n for n in range(3)))
    assert (small.limit, small.verdict) == (large.limit, large.verdict)
    assert large.badness > small.badness


# -- what a curve is made of ------------------------------------------------------------------------------------------


FAMILY = Family("edges", (None,), 1.5, 1.0)
POINT = _Point("maps", error=0.5, structure=2.0, response=4.0, moved=0.25, rounding=1e-3, explained=None)


def test_errors_are_parts_of_the_structure_or_of_the_response_where_there_is_none():
    points = [replace(POINT, error=error) for error in (1.0, 0.5)]
    assert _curve(FAMILY, 2.0, points, [2.0, 2.0]).errors == (0.5, 0.25)
    assert _curve(FAMILY, 2.0, points, [1e-3 * JUST, 1e-3]).errors == pytest.approx((1e3 / JUST, 0.125))
    silent = [replace(point, response=0.0) for point in points]
    assert _curve(FAMILY, 2.0, silent, [0.0, 0.0]).errors == (1.0, 0.5)


def test_a_module_responds_where_one_of_its_responses_is_more_than_rounding():
    def responds(*responses, error=1e-3):
        points = [replace(POINT, response=response, error=error) for response in responses]
        return _curve(FAMILY, 2.0, points, [0.0] * len(responses)).responds

    assert not responds(1e-3, 1e-3)
    assert responds(1e-3, 1e-3 * JUST)
    assert responds(1e-3 * JUST, 1e-3)
    assert responds(math.nan, 0.0)  # which is to be seen
    assert responds(0.0, error=1e-3 * JUST)  # to one size of a picture, and not to another


def test_bounds_are_in_the_unit_of_the_errors_and_rounding_is_added():
    points = [replace(POINT, explained=explained) for explained in (0.5, 0.25)]
    assert _curve(FAMILY, 2.0, points, [2.0, 4.0]).explained == pytest.approx((0.2505, 0.06275), rel=1e-12)
    assert _curve(FAMILY, 2.0, [points[0], POINT], [2.0, 4.0]).explained is None


def test_nothing_is_what_a_canvas_a_peak_or_rounding_hide():
    def small(family=FAMILY, structure=2.0, **changes):
        return _curve(family, 2.0, [replace(POINT, **changes)] * 2, [structure] * 2).small

    assert small() == SMALL == 2e-3  # a finite canvas
    aside = replace(FAMILY, symmetric=False)
    assert small(aside) == aside.peaks_lost(2) == pytest.approx(1 - math.exp(-1 / 16))  # at the last resolution
    assert small(rounding=0.01) == 0.005
    assert small(structure=0.2, rounding=0.01) == pytest.approx(0.05)


def test_what_is_visible_is_in_proportion_to_what_one_per_cent_of_scale_moves():
    def visible(**changes):
        return _curve(FAMILY, 2.0, [replace(POINT, **changes)], [2.0]).visible

    assert visible() == pytest.approx(0.01 * 0.5 / 0.25)
    assert visible(error=0.0) == pytest.approx(0.01 * (SMALL * 2.0) / 0.25)  # less is nothing
    assert visible(error=0.0, explained=0.1) == pytest.approx(0.01 * 1e-3 / 0.25)  # but rounding, beside a bound
    assert visible(moved=1e-3) == math.inf
    assert visible(moved=1e-3 * JUST) < math.inf


def bench(module, family=None, *, size=49, **options):
    given = {"resolution": 1, "background": Background(0.0), "output": None, "explained": None, "across": 0}
    return _Bench(module, family or families(size, 2.0)[0], size, **given | {"largest": G.element(2)} | options)


class Rounded(torch_nn.Module):
    """1 + part wherever there is anything in the centre of a picture, in parameters of some dtype."""

    def __init__(self, dtype, part):
        super().__init__()
        self.weight = torch_nn.Parameter(torch.zeros(1, dtype=dtype))
        self.part = part

    def forward(self, pictures):
        return 1 + self.part * (centre(pictures) != 0).double()


@pytest.mark.parametrize(
    ("dtype", "part"), [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 0.05), (torch.float16, 5e-3)]
)
def test_a_response_is_one_where_it_is_more_than_the_rounding_of_its_dtype(dtype, part):
    assert ROUNDING[dtype] == part > 4 * torch.finfo(dtype).eps
    for times in (0.9, 1.2):
        (point,) = bench(Rounded(dtype, times * part)).points(G.element(2), last=True)
        assert (point.response > point.rounding) == (times > 1)


def test_a_point_has_the_error_of_the_samples_that_scaling_sends_to_others():
    """Of a blur, from its definition: samples at x, and of the scaled pictures at 2x."""
    blur, family, element = box(5), families(49, 2.0)[0], G.element(2)
    (point,) = bench(blur, family).points(element, last=True)
    before, after, tried = (blur(family.sample(49, factor=factor)) for factor in (1.0, 2.0, 2.02))
    apart = before[..., 12:37, 12:37] - after[..., ::2, ::2]
    assert point.error == pytest.approx(apart.square().mean().sqrt().item())
    assert point.moved == pytest.approx((tried - after)[..., ::2, ::2].square().mean().sqrt().item())
    assert point.response == pytest.approx(
        max(part.square().mean().sqrt().item() for part in (after, after[..., ::2, ::2]))
    )
    assert point.rounding == pytest.approx(1e-12 * after.square().mean().sqrt().item())
    assert (point.channel, point.explained) == ("maps", None)
    assert bench(blur, family).points(element, last=False)[0].moved == 0.0


def test_structure_is_what_stretching_changes_in_the_middle_along_one_axis():
    """The identity has none: what it shows at x the stretched picture shows at 2x. A shift has."""
    family, element = families(49, 2.0)[0], G.element(2)
    (same,), (shifted,) = (
        bench(module, family).points(element, last=True) for module in (lambda x: x, lambda x: torch.roll(x, 2, -1))
    )
    assert same.structure < TOLERANCE[torch.float64] < 0.01 < shifted.structure
    plain, stretched = (torch.roll(family.sample(49, factor=2.0, stretched=which), 2, -1) for which in (False, True))
    narrow, wide = slice(24 - 3, 24 + 4), slice(24 - 6, 24 + 7, 2)  # 1.5 units of two pixels
    along_x = plain[:2, :, ::2, narrow] - stretched[:2, :, ::2, wide]
    along_y = plain[2:, :, narrow, ::2] - stretched[2:, :, wide, ::2]
    changes = [along_x.flatten(), along_y.flatten()]
    assert shifted.structure == pytest.approx(torch.cat(changes).square().mean().sqrt().item())


def test_features_and_scale_channels_are_named():
    points = bench(lambda x: torch.stack([x.repeat(1, 2, 1, 1)] * 5, 2)).points(G.element(2), last=False)
    assert [p.channel for p in points] == [f"channel {n}, feature {c}" for n in (2, 3, 4) for c in (0, 1)]
    points = bench(ours().double()).points(G.element(2), last=False)
    assert {p.channel.partition(",")[0] for p in points} == {SCORES.name}
    points = bench(partial(ours().double().field, pooled=False)).points(G.element(2), last=False)
    assert {p.channel.partition(",")[0] for p in points} == {"σ₀ 2", "σ₀ 2.83", "σ₀ 4"}


# -- which samples are compared ---------------------------------------------------------------------------------------


def test_samples_compared_are_those_that_scaling_sends_to_samples():
    outputs = [torch.zeros(1, 1, 9, 5)]
    (match,) = matches(MAPS, MAPS, outputs, G.element(2))
    assert match.y == [(2, 0), (3, 2), (4, 4), (5, 6), (6, 8)]
    assert match.x == [(1, 0), (2, 2), (3, 4)]
    rows = torch.arange(9.0)[:, None].expand(1, 1, 9, 5)
    before, after = match.of([rows], [rows])
    assert before[0, 0, :, 0].tolist() == [2, 3, 4, 5, 6]
    assert after[0, 0, :, 0].tolist() == [0, 2, 4, 6, 8]
    assert before.shape == (1, 1, 5, 3)
    back = matches(MAPS, MAPS, outputs, G.element(-2))[0]
    assert [(after, before) for before, after in match.y] == back.y


def test_channels_compared_are_those_that_scaling_sends_to_channels():
    outputs = [torch.zeros(1, 1, 1, 1)] * 5
    for power, expected in ((1, [(0, 1), (1, 2), (2, 3), (3, 4)]), (-3, [(3, 0), (4, 1)])):
        assert [(m.before, m.after) for m in matches(SCALE_SCORES, SCALE_SCORES, outputs, G.element(power))] == expected
    across = matches(SCALE_SCORES, SCALE_SCORES, outputs, G.element(1), across=1)
    assert [(m.before, m.after) for m in across] == [(1, 2), (2, 3)]
    assert [m.before for m in matches(SCORES, SCORES, outputs[:1], G.element(1))] == [0]  # without an axis over scale
    assert [m.before for m in matches(FIELDS, FIELDS, outputs, G.element(2))] == [0, 1, 2]


# -- what sampling explains, and where networks are found -------------------------------------------------------------


def linear(window, outputs=2, scale=1.0):
    """A network that reads one 2-jet layer out."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Lift(window), lambda before: nn.JetConv(before, outputs), nn.ReadOut).double().eval()
    with torch.no_grad():
        net[1].coefficients.mul_(scale)
    return net


def test_sampling_explains_of_the_pooled_output_as_much_as_that_depends_on_lifted_samples():
    """The mean over scale is less steep than the steepest scale channel."""
    net = ours(window=ScaleWindow(G, 1.0, 3), widths=(3,), pooling=Mean()).double()
    family, element, images = families(35, G.ratio)[0], G.element(1), families(35, 1.0)[0].sample(35)[:2]
    bounds, shares = [], []
    for module, layers in ((net, net), (partial(net.field, pooled=False), nn.Sequential(*before_pooling(net)))):
        known = explained_by_sampling(module, size=35, in_channels=1)
        gap = lifting_gap(net, family.images[0], 1.0, G.ratio)
        bounds.append(known(family, element, 1, 0))
        shares.append(bounds[-1] / lipschitz(layers, lifted(layers, images, net.window)))
        assert gap < shares[-1] < 1.01 * gap  # and what lies beyond the canvas
    assert shares[0] == pytest.approx(shares[1])
    assert bounds[0] < bounds[1]


def test_the_lipschitz_constant_grows_with_the_weights_and_is_that_of_the_steepest_output():
    window = ScaleWindow(G, 1.0, 3)

    def constant(net):
        return lipschitz(net, lifted(net, torch.zeros(1, 1, 65, 65).double(), window))

    net = linear(window)
    one = constant(net)
    assert constant(linear(window, scale=3.0)) == pytest.approx(3 * one)
    assert lipschitz(net, lifted(net, torch.zeros(1, 1, 65, 65).double(), window.select(0, 1))) == pytest.approx(one)
    each = []
    for feature in range(2):
        alone = linear(window)
        with torch.no_grad():
            alone[1].coefficients[1 - feature].zero_()
        each.append(constant(alone))
    assert one == pytest.approx(max(each))
    assert min(each) < 0.99 * one  # the control


def test_what_sampling_explains_is_the_lipschitz_constant_times_the_gap_of_the_lifting():
    window, element = ScaleWindow(G, 0.7, 3), G.element(1)
    net = linear(window)
    explained = explained_by_sampling(net, size=65, in_channels=1)
    steepest = lipschitz(net, lifted(net, families(65)[0].sample(65)[:2], window))
    colours = families(65, 2**0.5, 3)
    for family in (families(65, 2**0.5)[0], colours[-1]):
        gaps = [lifting_gap(net, image, window.sigmas[1], 2**0.5, finer=2.0) for image in family.images if image]
        assert explained(family, element, 2, 1) == pytest.approx(steepest * max(gaps))
    assert explained(colours[0], element, 1, 1) > 10 * explained(colours[0], element, 2, 1)
    assert explained(colours[0], element, 1, 0) > 10 * explained(colours[0], element, 1, 2)


def test_what_sampling_explains_is_known_of_self_similar_networks_without_neighbours_only():
    def known(module):
        return explained_by_sampling(module, size=65, in_channels=1) is not None

    net = linear(ScaleWindow(G, 1.0, 3))
    assert known(net)
    assert known(net.forward)
    assert not known(torch_nn.ReLU())
    assert not known(torch_nn.Sequential(net))
    assert not known(ours(grid="image", widths=(2,)))
    mixed = nn.Sequential(
        nn.Lift(ScaleWindow(G, 1.0, 3)),
        lambda before: nn.ScaleConv(before, out_type=1, group=G),
        nn.ReadOut,
    ).double()
    assert not known(mixed)


def test_networks_are_found_in_other_modules_once_and_not_within_others():
    net = ours(widths=(2,))
    assert networks_in(net) == [net]
    assert networks_in(torch_nn.Sequential(torch_nn.ReLU(), torch_nn.Sequential(net))) == [net]
    assert networks_in(torch_nn.ModuleList([net, net])) == [net]
    assert networks_in(torch_nn.ReLU()) == []
    other = ours(widths=(2,), grid="image")
    assert networks_in(torch_nn.ModuleList([net, other])) == [net, other]
    assert (on_pixels(net), on_pixels(other)) == (False, True)


def test_layers_before_pooling_are_those_that_keep_scale():
    chain = chain_of(ours(widths=(2,)))
    before = before_pooling(chain)
    assert before == chain[: len(before)]
    assert 0 < len(before) < len(chain)
    assert not chain[len(before)].keeps_scale


def test_the_background_of_a_network_is_its_boundary_where_that_is_constant():
    for boundary, value in ((Background(-0.5), -0.5), (Reflect(), 0.0)):
        assert background_of(ours(widths=(2,), boundary=boundary)) == value
    assert background_of([SimpleNamespace()]) == 0.0
