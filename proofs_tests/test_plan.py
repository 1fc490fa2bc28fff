"""The plan: regions are exact, a planned run is the whole one, and coarser grids are what they would be by hand."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from proofs_tests.comparison import ROUNDING, same_bits
from scalegroup import (
    Background,
    Boundary,
    Dense,
    DiscreteGaussian,
    FieldType,
    Grid,
    Grids,
    Iso,
    Jet,
    Mean,
    Reflect,
    Replicate,
    SampledDerivatives,
    SampledLifting,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SelfSimilar,
    SpatialMax,
    SpatialMean,
    Zero,
    nn,
)
from scalegroup.fields.axis import Axis

TOLERANCE = ROUNDING[torch.float64]
SHORT = DiscreteGaussian(tail=1e-2)
jet = partial(nn.JetConv, kernel=SHORT)
chain = nn.Sequential
soft = partial(nn.Pointwise, function=F.softplus)  # of everything something is seen behind it
WINDOW = ScaleWindow(ScaleGroup(2**0.5), 0.9, 3)
two, mean = partial(jet, out_type=2), partial(nn.ScalePool, pooling=Mean())

# layers behind the lifting, with every kind of region
LAYERS: dict[str, list[Any]] = {
    "chain": [partial(jet, out_type=3), nn.BatchNorm, soft, partial(two, beta=1.25)],
    "nested": [lambda t: chain(jet(t, 2), soft, lambda t: chain(jet(t, 2), nn.BatchNorm)), soft, two],
    "iso": [partial(two, beta=1.5, kernel=Iso(tail=1e-2)), soft, partial(two, kernel=Iso(tail=1e-2))],
    "separate": [partial(two, kernel=SampledDerivatives(tail=1e-2)), soft, two],
    "residual": [two, lambda t: nn.Residual(chain(jet(t, 3), nn.BatchNorm, soft, two))],
    "shortcut": [
        two,
        lambda t: nn.Residual(chain(jet(t, 3, stride=2), soft), chain(nn.Mix(t, 3), nn.Subsample)),
        two,
    ],
    "concat": [lambda t: nn.Concat(jet(t, 2), jet(t, 1, beta=2.0)), soft, two],
    "add": [two, lambda t: nn.Add(jet(t, 2), nn.Identity(t), jet(t, 2, beta=1.5)), soft],
    "strides": [
        partial(two, stride=2), nn.BatchNorm, soft,
        partial(two, beta=2.0, stride=2), soft, partial(two, beta=4.0),
    ],
    "centre": [two, soft, partial(two, beta=1.25), nn.ReadOut, mean],
    "maximum": [partial(two, stride=2), nn.BatchNorm, soft, partial(nn.ReadOut, readout=SpatialMax())],
    "mean": [two, soft, partial(nn.ReadOut, readout=SpatialMean())],
    "dense": [two, soft, partial(nn.ReadOut, readout=Dense()), nn.ScalePool],
    "coarser dense": [partial(two, stride=2), soft, partial(nn.ReadOut, readout=Dense())],
    "gates": [two, partial(nn.GroupNorm, groups=2), soft, partial(nn.SqueezeExcite, kernel=SHORT), two],
    "across scale": [
        two, lambda t: nn.ScaleConv(t, 2, ScaleGroup(2**0.5)), soft, two
    ],
    "heads": [
        two, soft,
        lambda t: nn.Heads(a=chain(jet(t, 2), nn.ReadOut), b=jet(t, 1, beta=2.0), c=nn.Heads(d=nn.Mix(t, 2))),
    ],
}  # fmt: skip
SIZES = {"odd": (13, 13), "even": (12, 12), "oblong": (9, 14), "one pixel": (1, 1)}
every_network = pytest.mark.parametrize("name", LAYERS)


def network(name: str, window: ScaleWindow = WINDOW, boundary: Boundary = Reflect(), g: float = 1.5) -> nn.Sequential:  # noqa: B008
    torch.manual_seed(0)
    net = chain(nn.Lift(window, boundary=boundary, samples_per_sigma=g), *LAYERS[name]).double()
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    return net


def random_images(*size: int) -> Tensor:
    return torch.randn(2, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def regions(net: nn.Sequential, images: Tensor) -> tuple[Grids, Any]:
    """(the samples that the layers behind the lifting need, those that they give) for the whole image."""
    canvas = net[0].canvas(Grids.of_pixels(tuple(images.shape[-2:]), net.window.sigmas))
    wanted = net[1:].canvas(canvas)
    return net[1:].needs(wanted, canvas), wanted


def lifted(net: nn.Sequential, images: Tensor) -> ScaleField:
    """A larger part of the world: 12 samples more on every side than the plan says."""
    return net[0](images, wanted=regions(net, images)[0].map(lambda grid: grid.dilated(12)))


def whole(net: nn.Sequential, images: Tensor) -> Any:
    """What the layers give of a larger part of the world, one after the other, knowing of no plan."""
    field: Any = lifted(net, images)
    for layer in net[1:]:
        field = layer(field)
    return field


def parts(result: Any) -> list[ScaleField]:
    return [part for each in result.values() for part in parts(each)] if isinstance(result, dict) else [result]


def state(net: nn.Sequential) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def outcome(net: nn.Sequential, fields: list[ScaleField], before: dict[str, Tensor]) -> list[Tensor]:
    """The maps of fields, gradients of all parameters, and running statistics, which are then as they were before."""
    net.zero_grad()
    maps = [field.channel(n) for field in fields for n in range(len(field.grids.grids))]
    sum((m * torch.linspace(-1, 1, m.numel(), dtype=m.dtype).view_as(m)).sum() for m in maps).backward()  # type: ignore[union-attr]
    buffers = [buffer.clone() for buffer in net.buffers()]
    net.load_state_dict(before)
    return [*(m.detach() for m in maps), *(p.grad for p in net.parameters()), *buffers]  # type: ignore[list-item]


def gap(net: nn.Sequential, images: Tensor) -> float:
    """The largest difference of the two ways in any of those."""
    before = state(net)
    planned = parts(net.field(images))
    ours = outcome(net, planned, before)
    everything = [field.crop(part.grids) for field, part in zip(parts(whole(net, images)), planned, strict=True)]
    pairs = zip(ours, outcome(net, everything, before), strict=True)
    return torch.stack([(a - b).abs().max() / max(1.0, b.abs().max()) for a, b in pairs]).max().item()


# -- regions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@every_network
def test_planned_run_is_the_whole_one(name: str, size: tuple[int, int], training: bool) -> None:
    """Maps, gradients and running statistics."""
    assert gap(network(name).train(training), random_images(*size)) <= TOLERANCE


@settings(max_examples=10)
@given(
    st.sampled_from(["chain", "strides", "dense", "heads"]),
    st.floats(1.05, 3), st.floats(0.4, 2), st.floats(0.6, 1.5), st.integers(1, 12), st.integers(1, 12),
    st.sampled_from([Background(0.3), Replicate()]),
)  # fmt: skip
def test_planned_run_is_the_whole_one_for_every_window_and_density(
    name: str, ratio: float, sigma0: float, g: float, height: int, width: int, boundary: Boundary
) -> None:
    window = ScaleWindow(ScaleGroup(ratio), sigma0, 2)
    assert gap(network(name, window, boundary, g), random_images(height, width)) <= TOLERANCE


def test_plan_without_the_statistics_domain_trains_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: statistics over whatever happens to be computed are caught in training, and invisible in evaluation."""
    monkeypatch.setattr(nn.BatchNorm, "needs", lambda _, wanted, __: wanted)
    monkeypatch.setattr(nn.BatchNorm, "domain", lambda _, canvas: canvas.map(lambda grid: grid.dilated(10**6)))
    net, images = network("chain"), random_images(13, 13)
    with torch.no_grad():
        planned, everywhere = net.train()(images), whole(net, images)
        assert (planned.channel(0) - everywhere.crop(planned.grids).channel(0)).abs().max() > 1e-3
    assert gap(net.eval(), images) <= TOLERANCE


# of maxima only the largest sample has a gradient, and at the ends of a windowed sinc it is below rounding
EXACT = [name for name in LAYERS if name not in ("maximum", "across scale", "dense", "coarser dense")]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", EXACT)
def test_lifted_region_is_exactly_what_the_result_depends_on(name: str, training: bool) -> None:
    """The bounding box of the samples with a gradient, of those that were lifted beyond the region as well."""
    net, images = network(name).train(training), random_images(7, 9)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm) and not training:
            layer.half_width = 1e-6  # the domain of the statistics, which evaluation does not use
    needed, wanted = regions(net, images)
    field = lifted(net, images)
    leaf = ScaleField(tuple(m.requires_grad_() for m in field.maps), field.type, field.window, field.grids)
    layers: Any = leaf
    for layer in net[1:]:
        layers = layer(layers)
    cropped = [part.crop(grids) for part, grids in zip(parts(layers), parts(wanted), strict=True)]
    weighted = [(m * torch.rand_like(m)).sum() for part in cropped for m in part.maps]
    for maps, run in zip(torch.autograd.grad(sum(weighted), leaf.maps), field.runs, strict=True):  # type: ignore[arg-type]
        seen, region = maps.abs().amax((0, 1)) > 0, needed.grids[run.start]
        for axis, of, along in ((run.grid.y, region.y, seen.any(1)), (run.grid.x, region.x, seen.any(0))):
            first, *_, last = along.nonzero().flatten().tolist()
            assert (axis.first + first, last - first + 1) == (of.first, of.length)


@every_network
def test_nothing_beyond_the_region_is_looked_at_and_one_sample_less_is_refused(name: str) -> None:
    net, images = network(name).eval(), random_images(7, 9)
    needed, wanted = regions(net, images)
    layers, field = net[1:], lifted(net, images)
    beyond = field.on_runs(lambda run: _fill(run.maps, run.grid, needed.grids[run.start]))
    assert not any(maps.isfinite().all() for maps in beyond.maps)
    for ours, theirs in zip(parts(layers(beyond, wanted=wanted)), parts(layers(field, wanted=wanted)), strict=True):
        assert all(map(same_bits, ours.maps, theirs.maps))
        assert all(maps.isfinite().all() for maps in ours.maps)
    for side in ("y", "x"):
        for at in (0, 1):
            less = Grids(needed.size, needed.sigmas, tuple(_without(grid, side, at) for grid in needed.grids))
            with pytest.raises(ScaleGroupError, match="samples"):
                layers(field.crop(less), wanted=wanted)


def _fill(maps: Tensor, held: Grid, kept: Grid) -> Tensor:
    """NaN but for the samples of a grid."""
    inside = F.pad(torch.ones(kept.shape), [int(n) for a, b in ((held.x, kept.x), (held.y, kept.y)) for n in (b.first - a.first, a.stop - b.stop)])  # fmt: skip  # noqa: E501
    return maps.masked_fill(inside == 0, math.nan)


def _without(grid: Grid, side: str, at: int) -> Grid:
    """One sample less, at the first or at the last place of an axis."""
    axis = getattr(grid, side)
    shorter = type(axis)(axis.first + (at == 0), axis.length - 1)
    return Grid(**{"y": grid.y, "x": grid.x, side: shorter}, samples_per_sigma=grid.samples_per_sigma)


class Greedy(nn.PerChannel):
    """Looks at its neighbours and does not say so."""

    def reach(self, samples_per_sigma: float) -> int:
        return 0

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        return F.avg_pool2d(maps, 3, 1)


class Secretive(nn.Layer):
    """Gives what it should, of fewer samples than it asks for."""

    def forward(self, field: ScaleField) -> ScaleField:
        return field.on_runs(lambda run: F.avg_pool2d(run.maps, 3, 1), grids=field.grids.map(lambda g: g.dilated(-1)))

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return wanted


@pytest.mark.parametrize("make", [Greedy, Secretive])
def test_layers_that_need_more_than_they_say_are_refused(make: Callable) -> None:
    net = chain(nn.Lift(WINDOW), lambda t: make(t, t))
    with pytest.raises(ScaleGroupError, match="samples"):
        net(torch.rand(1, 1, 9, 9))


@pytest.mark.parametrize("name", ["chain", "residual", "strides", "concat"])
def test_behind_a_centre_read_out_all_channels_have_one_region_and_run_folded(name: str) -> None:
    net = chain(nn.Lift(WINDOW), *LAYERS[name], nn.ReadOut).eval()
    seen = []
    for layer in net:
        layer.register_forward_hook(lambda _, __, field: seen.append([len(maps) for maps in field.maps]))
    net(torch.rand(2, 1, 9, 9))
    assert seen == [[2 * WINDOW.channels]] * len(net)
    assert all(len(set(step.grids.grids)) == 1 for step in net.plan((9, 9)).steps)
    # the control: maps of the whole image are a pyramid, a grid for each channel
    assert len(set(net[:-1].plan((33, 33)).steps[-1].grids.grids)) == WINDOW.channels


def test_scale_channels_do_not_see_each_other_out_of_training() -> None:
    """What a channel gives is the same in every window that has it; in training they share their statistics."""
    images = random_images(13, 13)
    for start, stop in ((0, 1), (1, 3), (2, 3)):
        net = network("centre")[:-1]
        part = net.eval().field(images, window=WINDOW.select(start, stop)).tensor
        assert (part - net.field(images).tensor[:, :, start:stop]).abs().max() <= TOLERANCE
        net = network("chain")
        ours = net.train().field(images, window=WINDOW.select(start, stop))
        net = network("chain")
        theirs = net.train().field(images).restrict(ours.window)
        assert (ours.channel(0) - theirs.channel(0)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["centre", "chain", "strides", "heads", "dense"])
@pytest.mark.parametrize(
    "window",
    [
        ScaleWindow(ScaleGroup(1.3), 0.7, 4),
        ScaleWindow(ScaleGroup(2), 1.1, 1),
        WINDOW.transform(WINDOW.group.element(2)),
    ],
    ids=["another γ", "one channel", "moved"],
)
def test_another_window_is_the_network_built_with_it(name: str, window: ScaleWindow) -> None:
    net, images = network(name).eval(), random_images(13, 12)
    built = network(name, window).eval()
    built.load_state_dict(net.state_dict())
    for ours, theirs in zip(parts(net.field(images, window=window)), parts(built.field(images)), strict=True):
        assert (ours.window, ours.grids) == (theirs.window, theirs.grids)
        assert all(map(same_bits, ours.maps, theirs.maps))
    assert net.window == WINDOW  # an argument, no mutation
    assert net.plan((13, 12), window=window) == built.plan((13, 12))


# -- nothing is stale -------------------------------------------------------------------------------------------------


def setting(layer: int, name: str, value: Any) -> Callable[[nn.Sequential], None]:
    return lambda net: setattr(net[layer], name, value)


CHANGES: dict[str, Callable[[nn.Sequential], None]] = {
    "boundary": setting(0, "boundary", Replicate()),
    "background": setting(0, "boundary", Background(0.4)),
    "window": setting(0, "window", WINDOW.transform(WINDOW.group.element(1))),
    "samples per σ₀": setting(0, "sampling", SelfSimilar(1.2)),
    "kernel of the lifting": setting(0, "sampling", SelfSimilar(1.5, kernel=SampledLifting())),
    "beta": setting(4, "beta", 2.0),
    "kernel": setting(4, "kernel", DiscreteGaussian(tail=1e-4)),
    "smaller half_width": setting(2, "half_width", 3.0),
    "larger half_width": setting(2, "half_width", 12.0),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def results(net: nn.Sequential) -> list[Tensor]:
    before = state(net.train())
    return outcome(net, parts(net.field(random_images(13, 12))), before)


@every_change
def test_settings_changed_after_a_call_are_heeded_as_those_of_a_new_network(change: Callable) -> None:
    """Of lifting, statistics and layers: what has been worked out for others is not taken for theirs."""
    used, new = network("chain"), network("chain")
    before = results(used)
    for net in (used, new):
        change(net)
    ours, theirs = results(used), results(new)
    assert all(map(same_bits, ours, theirs))
    assert used.plan((13, 12)) == new.plan((13, 12))
    assert not all(map(same_bits, before, theirs))  # the control: the change matters


class Remembering(nn.Sequential):
    """It works out the regions for a size of image once."""

    def _through(self, layers: Any, x: Any, window: Any, wanted: Any) -> Any:
        self.regions = getattr(self, "regions", {})
        return super()._through(layers, x, window, wanted)

    def _regions(self, layers: Any, wanted: Any, canvases: Any) -> list[Any]:  # type: ignore[override]
        return self.regions.setdefault(canvases[0].size, nn.Sequential._regions(layers, wanted, canvases))


@every_change
def test_a_network_that_remembers_its_regions_does_not(change: Callable) -> None:
    """The control: its statistics are of other samples, or it has too few of them, wherever regions change."""
    used, new = (Remembering(*network("chain")) for _ in range(2))
    images = random_images(13, 12)
    with torch.no_grad():
        used.train()(images)
        used.load_state_dict(new.state_dict())
        for net in (used, new):
            change(net)
        theirs = new.train()(images)
        try:
            ours = used.train()(images)
            same = ours.grids == theirs.grids and all(map(same_bits, ours.maps, theirs.maps))
        except ScaleGroupError:
            same = False
    regions_stay = change in (CHANGES["boundary"], CHANGES["background"], CHANGES["kernel of the lifting"])
    assert same == regions_stay


# -- the world around an image ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", ["chain", "separate", "strides", "centre"])
@pytest.mark.parametrize("g", [0.5, 1.5])
def test_a_known_background_is_the_image_with_a_wide_border_of_it(name: str, g: float, training: bool) -> None:
    """Through activations and coarser grids; also where layers respond to constants, as narrow sampled derivatives do.

    Nothing is known beforehand of what a constant becomes: it is computed, as all else. The lifting is that of sampled
    Gaussians: the tails of a band-limited one are let run out farther from larger images.
    """
    images = random_images(13, 12)

    def run(boundary: Boundary, border: int = 0, value: float = 0.3) -> ScaleField:
        net = network(name, boundary=boundary, g=g).train(training)
        net[0].sampling = SelfSimilar(g, kernel=SampledLifting())
        (field,) = parts(net.field(F.pad(images, [border] * 4, value=value)))
        return field

    expected, same = run(Background(0.3)), run(Background(0.3), 4)
    others = run(Background(0.0)), run(Background(0.3), 4, value=0.0), run(Zero())  # the controls
    for n in range(len(expected.grids.grids)):
        ours, *rest = (
            field.grids.grids[n].crop(field.channel(n), expected.grids.grids[n]) for field in (same, *others)
        )
        assert (ours - expected.channel(n)).abs().max() <= TOLERANCE
        assert min((other - expected.channel(n)).abs().max() for other in rest) > 1e-4


# -- the change of grid -----------------------------------------------------------------------------------------------


def by_hand(first: nn.JetConv, second: nn.JetConv, field: ScaleField, *, wrong: float = 1.0) -> Tensor:
    """Two 2-jets of one scale channel, the reduction between them, and σ in samples of the grid that they are on."""
    g, smoothed = field.grids.grids[0].samples_per_sigma, field.type.smoothed
    fine = first.kernel.combine(
        field.channel(0), first.coefficients, first.offset, sigma=first.beta * g, smoothed=smoothed * g
    )
    y, x = (len(axis) // 2 % 2 for axis in (fine[0, 0], fine[0, 0].T))  # from the centre on
    coarse = torch.relu(fine[..., y::2, x::2])
    return second.kernel.combine(coarse, second.coefficients, second.offset, sigma=wrong * second.beta * g / 2)


@pytest.mark.parametrize("beta", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_network_behind_a_change_of_grid_is_its_halves_and_the_reduction_composed_by_hand(
    size: tuple[int, int], beta: float
) -> None:
    torch.manual_seed(0)
    window = ScaleWindow(ScaleGroup(2), 0.9, 1)
    net = chain(
        nn.Lift(window, boundary=Background(0.3)),
        partial(jet, out_type=3, stride=2),
        nn.ReLU,
        partial(jet, out_type=2, beta=beta),
    ).double()
    images = random_images(*size)
    result, field = net(images), lifted(net, images)
    composed = by_hand(net[1], net[3], field)
    wrong = by_hand(net[1], net[3], field, wrong=2.0)

    def centre(maps: Tensor) -> Tensor:
        rows, columns = (
            (long - short) // 2 for long, short in zip(maps.shape[-2:], result.tensor.shape[-2:], strict=True)
        )
        return maps[..., rows : rows + result.tensor.shape[-2], columns : columns + result.tensor.shape[-1]]

    ours = result.channel(0)
    assert (ours - centre(composed)).abs().max() <= TOLERANCE
    assert (ours - centre(wrong)).abs().max() > 0.1 * ours.abs().max()  # the control: σ in samples of the finer grid


def test_stride_is_the_layer_and_a_reduction_behind_it() -> None:
    """In all scale channels, by the same rule."""
    strided, images = network("strides").eval(), random_images(13, 12)
    layers = []
    for layer in strided:
        if getattr(layer, "stride", 1) == 2:
            plain = nn.JetConv(layer.in_type, layer.out_type, beta=layer.beta, kernel=layer.kernel).double()
            plain.load_state_dict(layer.state_dict())
            layers += [plain, nn.Subsample(plain.out_type)]
        else:
            layers.append(layer)
    ours, theirs = strided(images), chain(*layers)(images)
    assert ours.grids == theirs.grids
    assert max((a - b).abs().max() for a, b in zip(ours.maps, theirs.maps, strict=True)) <= TOLERANCE
    without = chain(*(layer for layer in layers if not isinstance(layer, nn.Subsample)))(images)  # the control
    assert (ours.channel(0)[..., 0, 0] - without.channel(0)[..., 0, 0]).abs().max() > 1e-3


# -- what it says -----------------------------------------------------------------------------------------------------


def test_plan_counts_what_the_layers_multiply() -> None:
    """Mixing: nine per pair of features and sample; blur: the taps along each axis; lifting: two products."""
    net = chain(nn.Lift(WINDOW, samples_per_sigma=1.5), partial(jet, out_type=3, beta=1.25), nn.ReadOut)
    plan = net.plan((9, 14))
    lift, layer, readout = plan.steps
    reach = SHORT.reach(1.25 * 1.5, net[0].out_type.smoothed * 1.5)
    taps, side = 2 * reach - 1, 2 * reach + 1
    assert [grid.shape for grid in lift.grids.grids] == [(side, side)] * 3
    assert lift.multiply_adds == (side * 14 * 9 + side * side * 14,) * 3
    assert layer.multiply_adds == (3 * 9 + taps * 3 * (3 + taps - 1) + taps * 3 * 3,) * 3
    assert readout.multiply_adds == (0,) * 3
    assert plan.multiply_adds == sum(sum(step.multiply_adds) for step in plan.steps)
    assert layer.bytes == 4 * 3 * 3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("make", [nn.JetConv, nn.Mix], ids=lambda make: make.__name__)
def test_layers_count_the_multiplications_that_are_done(make: Callable[..., Any], stride: int) -> None:
    """As torch counts them: two operations each, and the stencils' own share once."""
    options = {"beta": 1.4, "kernel": SHORT, "stride": stride} if make is nn.JetConv else {}
    layer = make(FieldType.scalars(3, smoothed=0.5), 4, **options)
    wanted = Grid(Axis.within(3), Axis.within(5), 1.3)
    held = layer.needs(Grids((99, 99), (1.0,), (wanted,)), Grids((99, 99), (1.0,), (wanted,))).grids[0]
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        result = layer.maps(torch.zeros(1, 3, *held.shape), held.samples_per_sigma)
    assert result.shape[2:] == wanted.shape
    stencils = 2 * 4 * 3 * 5 * 9 if make is nn.JetConv else 0
    assert counted.get_total_flops() == 2 * layer.multiply_adds(wanted) + stencils


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("jet_of", [Jet(1), Jet(4), Jet(2, zero=True)], ids=repr)
def test_layers_of_any_jet_count_what_their_groups_multiply(jet_of: Jet, groups: int) -> None:
    layer = nn.JetConv(FieldType.scalars(4), 8, beta=1.4, kernel=SHORT, jet=jet_of, groups=groups)
    wanted = Grid(Axis.within(3), Axis.within(5), 1.3)
    held = layer.needs(Grids((99, 99), (1.0,), (wanted,)), Grids((99, 99), (1.0,), (wanted,))).grids[0]
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        result = layer.maps(torch.zeros(1, 4, *held.shape), held.samples_per_sigma)
    assert result.shape[2:] == wanted.shape
    fused = 2 * layer.coefficients.numel() * SHORT.stencils(jet_of).shape[-1] ** 2
    assert counted.get_total_flops() == 2 * layer.multiply_adds(wanted) + fused
    dense = nn.JetConv(FieldType.scalars(4), 8, beta=1.4, kernel=SHORT, jet=jet_of)
    assert groups == 1 or dense.multiply_adds(wanted) > layer.multiply_adds(wanted)  # the control
    separate = SampledDerivatives(tail=1e-2).multiply_adds
    sizes = 1.4, 0.5, 4, 8, (3, 5), 1, jet_of
    assert separate(*sizes, 1) - separate(*sizes, groups) == jet_of.size * 4 * (8 - 8 // groups) * 15


@pytest.mark.parametrize("stride", [1, 2])
def test_separate_orders_count_three_maps_along_one_axis_and_five_along_the_other(stride: int) -> None:
    kernel, (rows, columns) = SampledDerivatives(tail=1e-2), (6, 11)
    taps = 2 * kernel.reach(1.4, 0.5) + 1
    height, width = stride * (rows - 1) + 1, stride * (columns - 1) + 1
    along_y, along_x = 3 * taps * height * (width + taps - 1), 5 * taps * height * width
    mixed = 5 * 3 * 4 * rows * columns
    assert kernel.multiply_adds(1.4, 0.5, 3, 4, (rows, columns), stride) == 3 * (along_y + along_x) + mixed


@every_network
def test_plan_prints_a_row_per_layer_that_computes(name: str) -> None:
    plan = network(name).plan((13, 12))
    title, _, _, *rows = str(plan).splitlines()
    assert title.startswith("plan for 13×12 images, 3 scale channels")
    assert len(rows) == len(plan.steps)
    printed = sum(float(row.split("|")[4]) for row in rows)
    assert printed == pytest.approx(plan.multiply_adds / 1e6, abs=0.005 * len(rows))
