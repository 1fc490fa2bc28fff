"""The error budget: its parts add up to the error of the network, and a source that is made worse is blamed."""

import runpy
import statistics
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn as torch_nn

from proofs_tests.networks import G, maps_net, small_net
from scalegroup import Attention, Background, Dense, Reflect, ScaleGroupError, ScaleWindow, SpatialMax, nn
from scalegroup.testing import SOURCES, Blobs, ErrorBudget, equivariance_error, error_budget, object_images
from scalegroup.testing.budget import _Bench, moved_channels

EXAMPLES = Path(__file__).parent.parent / "examples"
TAIL = 1e-5  # of the signal: the layers' kernels are cut off, and look at a little less than is there


# -- what switches a source off ---------------------------------------------------------------------------------------


@dataclass
class Seen:
    """Images that note how they are sampled."""

    images: Blobs
    samplings: list = field(default_factory=list)

    def sample(self, rows, columns, *, factor):
        self.samplings.append((rows, columns, factor))
        return self.images.sample(rows, columns, factor=factor)


def bench(size=33):
    net = small_net(2, widths=(2,), boundary=Reflect()).double()
    images = Seen(object_images(41, G.ratio, count=1))
    return _Bench(net, G.ratio, moved_channels(net.window, G.generator), images, size, 0.0), images.samplings


def test_images_are_sampled_as_finely_as_three_pixels_of_sigma_where_sampling_is_off():
    one, plain = bench()
    one.errors([])
    assert plain == [(33, 33, factor) for factor in (1.0, G.ratio)]
    one, finer = bench()
    one.errors(["sampling"])
    times = [3.0, 3.0 / G.ratio]
    assert [factor for _, _, factor in finer] == pytest.approx([t * f for t in times for f in (1.0, G.ratio)])
    assert [rows for rows, _, _ in finer] == [97, 97, 69, 69]  # 16 pixels on each side, and the centre


def test_a_larger_canvas_changes_nothing_where_the_image_boundary_is_off():
    def errors(size, *off):
        one, samplings = bench(size)
        return one.errors(off), min(rows for rows, _, _ in samplings)

    for off in ((), ("sampling",)):
        (held, rows), (larger, _) = errors(9, *off, "image boundary"), errors(149, *off, "image boundary")
        assert rows > 9
        assert held == pytest.approx(larger, abs=TAIL)
        small, large = errors(9, *off)[0], errors(149, *off)[0]  # the control
        assert abs(small[-1] - large[-1]) > 100 * TAIL


# -- what the budget is of --------------------------------------------------------------------------------------------


def budget_of(net, power=1, **options):
    return error_budget(net, G.element(power), size=65, **options)


@pytest.mark.parametrize(("grid", "left"), [("self-similar", 1e-12), ("image", 5e-3)])
def test_parts_of_the_budget_add_up_to_the_error_of_the_network(grid, left):
    """On self-similar grids nothing but rounding is left over; on the image's own the aliasing of ReLU at σ₀ = 3."""
    net = small_net(widths=(2, 2), grid=grid).double()
    budget = budget_of(net)
    images = object_images(65, G.ratio, count=4)
    whole = equivariance_error(net, G.element(1), images, size=65)
    assert budget.observed[-1] == pytest.approx(whole.error, rel=1e-6)
    assert len(budget.parts) == 4
    assert budget.sources == (*(s for s in SOURCES if grid == "image" or s != "discretisation"), "left over")
    assert max(row[-1] for row in budget.parts) < left


ENDS = {
    "fields": (),
    "fields behind a ReLU": (nn.ReLU,),
    "dense": (partial(nn.ReadOut, readout=Dense()),),
    "scale scores": (nn.ReadOut,),
    "largest over the plane": (partial(nn.ReadOut, readout=SpatialMax()), nn.ScalePool),
    "maps pooled over scale": (partial(nn.ReadOut, readout=Dense()), nn.ScalePool),
    "maps pooled, then read out": (partial(nn.ReadOut, readout=Dense()), nn.ScalePool, nn.ReadOut),
    "class scores": (nn.ReadOut, nn.ScalePool),
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_parts_add_up_to_the_error_whatever_the_network_ends_in(ends):
    """The error of the output, which is that at the centre pixel where it is maps."""
    net, images = maps_net(*ends).double(), object_images(65, G.ratio, count=4)
    budget = error_budget(net, G.element(1), images, size=65)
    pooled = nn.ScalePool in ends
    assert budget.layers == ("layer 1", "layer 2", "pooled" if pooled else "output")

    def centre(samples):
        field = net.field(samples)
        return field.crop(field.grids.map(lambda grid: grid.around(0.0))).tensor.mean((-2, -1))

    with torch.no_grad():
        views = images.sample(65, 65), images.sample(65, 65, factor=G.ratio), torch.zeros(1, 1, 65, 65).double()
        one, other, blank = map(centre, views)
    if not pooled:
        one, other, blank = one[..., :-1], other[..., 1:], blank[..., 1:]
    each = (one - other).flatten(1).norm(dim=1) / (other - blank).flatten(1).norm(dim=1)
    assert budget.observed[-1] == pytest.approx(statistics.median(each.nan_to_num().tolist()), rel=1e-6, abs=1e-14)
    scale_boundary = [row[budget.sources.index("scale boundary")] for row in budget.parts]
    assert (scale_boundary[-1] != 0) == pooled
    assert scale_boundary[:-1] == [0, 0]


@pytest.mark.parametrize(
    ("source", "clean", "spoilt"),
    [
        ("rounding", {"dtype": torch.float64}, {"dtype": torch.float32}),
        ("discretisation", {"grid": "image", "sigma0": 2.8}, {"grid": "image", "sigma0": 0.7}),
        ("sampling", {"sigma0": 1.4}, {"sigma0": 0.35}),
        ("image boundary", {"sigma0": 2.8, "size": 129}, {"sigma0": 2.8, "size": 33}),
        ("scale boundary", {"channels": 7}, {"channels": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_budget_blames_the_source_that_was_made_worse(source, clean, spoilt):
    def part(sigma0=1.4, channels=2, size=65, dtype=torch.float64, grid="self-similar"):
        window = ScaleWindow(G, sigma0=sigma0, channels=channels, first=-(channels // 3))
        net = small_net(window=window, widths=(2,), boundary=Reflect(), grid=grid).to(dtype)
        images = object_images(41, G.ratio, count=4)
        budget = error_budget(net, G.element(1), images, size=size)
        return abs(budget.parts[-1 if source == "scale boundary" else -2][budget.sources.index(source)])

    assert part(**spoilt) > 3 * part(**clean)


def across_scale(window, *ends):
    """A block that looks at neighbouring scale channels, within a chain within a residual block."""
    mixed = partial(nn.ScaleConv, out_type=3, group=window.group)

    def block(before):
        return nn.Residual(nn.Sequential(nn.JetConv(before, 3, beta=1.25), nn.ReLU, mixed))

    return maps_net(block, nn.ReLU, partial(nn.JetConv, out_type=2, beta=1.5), *ends, window=window, jets=1).double()


@pytest.mark.parametrize("ends", [(), (nn.ReadOut, nn.ScalePool)], ids=["fields", "scores"])
def test_budget_sees_into_blocks_and_what_the_ends_of_the_window_cost_layers_that_look_across_scale(ends):
    window = ScaleWindow(G, 1.0, 3)
    budget = budget_of(across_scale(window, *ends))
    assert budget.layers == ("layer 1", "layer 2", "layer 3", "pooled" if ends else "output")
    at_the_ends = [row[budget.sources.index("scale boundary")] for row in budget.parts]
    assert at_the_ends[:2] == pytest.approx([0, 0], abs=1e-12)
    assert min(at_the_ends[2:]) > 1e-3
    assert max(row[-1] for row in budget.parts) < 1e-12
    if ends:  # channel by channel, or together
        images = object_images(65, G.ratio, count=4)
        whole = equivariance_error(across_scale(window, *ends), G.element(1), images, size=65)
        assert budget.observed[-1] == pytest.approx(whole.error, rel=1e-6)


def test_budget_takes_a_background_per_channel_even_sizes_and_no_layers_at_all():
    plain = budget_of(maps_net())
    grey = budget_of(maps_net(channels=2, boundary=Background((0.5, -0.5))))
    assert grey.observed[-1] < 10 * plain.observed[-1]
    even = error_budget(maps_net(grid="image").double(), G.element(1), size=64)
    assert even.observed[-1] > even.parts[-1][-1] > 0
    nothing = budget_of(maps_net(nn.ReLU, jets=0, grid="image"))
    assert nothing.layers == ("output",)
    assert nothing.observed == (0.0,)


def test_budget_of_what_joins_all_scale_channels_blames_the_ends_of_the_window():
    """A learnt pooling, of values in float64 with weights in float32; statistics of all channels."""
    pooled = small_net(widths=(2,), pooling=Attention())
    torch_nn.init.normal_(pooled[-1].reduction.weight, std=3.0)
    for net in (pooled, maps_net(partial(nn.GroupNorm, groups=1), nn.ReadOut, nn.ScalePool, jets=1).double()):
        budget = budget_of(net)
        assert budget.parts[-1][budget.sources.index("scale boundary")] > 1e-3
        assert max(row[-1] for row in budget.parts) < 1e-12


def test_budget_leaves_a_mistake_over():
    OneChannelOff = runpy.run_path(str(EXAMPLES / "check_your_module.py"))["OneChannelOff"]
    budget = budget_of(small_net(window=OneChannelOff(G, sigma0=1.0, channels=3)))
    assert budget.parts[-1][-1] > 0.2
    assert "look for a mistake" in str(budget)
    assert "look for a mistake" not in str(budget_of(small_net()))


def test_budget_needs_a_network_whose_layers_it_can_see():
    with pytest.raises(ScaleGroupError, match="needs to see the layers"):
        error_budget(torch_nn.ReLU(), G.element(1))
    with pytest.raises(ScaleGroupError, match="more scale channels"):
        error_budget(small_net(1), G.element(1))
    heads = maps_net(lambda before: nn.Heads(one=nn.ReadOut(before), other=nn.ReadOut(before)))
    with pytest.raises(ScaleGroupError, match="several heads"):
        error_budget(heads, G.element(1))


# -- how it is shown --------------------------------------------------------------------------------------------------


def test_budget_is_printed_and_drawn():
    from matplotlib.figure import Figure

    budget = budget_of(small_net(2))
    lines = str(budget).splitlines()
    assert all(source in lines[1] for source in budget.sources)
    assert [line.split("  ")[0] for line in lines[2:]] == ["layer 1", "layer 2", "layer 3", "pooled"]
    axes = Figure().subplots()
    budget.draw(axes)
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {*budget.sources, "observed"}


class Axes:
    """They take everything, and note the bars."""

    def __init__(self):
        self.bars = []

    def bar(self, layers, values, *, bottom, label):
        self.bars.append((tuple(layers), label, [(b, b + v) for b, v in zip(bottom, values, strict=True)]))

    def __getattr__(self, name):
        return lambda *_, **__: None


def test_parts_are_stacked_from_zero_up_and_those_that_are_negative_down():
    budget = ErrorBudget(2.0, ("one", "two"), ("a", "b", "c"), ((0.5, -0.25, 0.125), (-0.5, 0.25, -0.125)))
    axes = Axes()
    budget.draw(axes)
    assert axes.bars == [
        (("one", "two"), "a", [(0.0, 0.5), (0.0, -0.5)]),
        (("one", "two"), "b", [(0.0, -0.25), (0.0, 0.25)]),
        (("one", "two"), "c", [(0.5, 0.625), (-0.5, -0.625)]),
    ]
    assert budget.observed == (0.375, -0.375)


@pytest.mark.parametrize(
    ("sources", "suspect"), [(("rounding", "left over"), 1e-6), (("discretisation", "left over"), 0.025)]
)
def test_what_is_left_over_is_suspect_where_it_is_most_of_the_error_and_more_than_is_usual(sources, suspect):
    def warned(*parts):
        return "look for a mistake" in str(ErrorBudget(2.0, ("output",), sources, (parts,)))

    assert warned(0.0, 1.1 * suspect)
    assert not warned(0.0, 0.9 * suspect)
    assert warned(0.9 * suspect * 2, 1.1 * suspect * 2)
    assert not warned(1.1 * suspect * 2, 0.9 * suspect * 2)


@pytest.mark.parametrize(
    ("power", "pairs"), [(1, [(0, 1), (1, 2)]), (-1, [(1, 0), (2, 1)]), (2, [(0, 2)]), (-2, [(2, 0)]), (3, [])]
)
def test_channels_are_moved_by_the_power_as_far_as_there_are_any(power, pairs):
    assert moved_channels(ScaleWindow(G, 1.0, 3), G.element(power)) == pairs
