"""Fields: relabelling is a group action to the bit and commutes with layers; grids, and what lies between samples."""

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests.comparison import RATIOS, ROUNDING, assert_same_field, same_bits
from scalegroup import (
    Axis,
    Background,
    BandLimited,
    CentrePixel,
    Dense,
    DiscreteGaussian,
    FieldType,
    Grid,
    Grids,
    GroupElement,
    ImageGrid,
    ImageType,
    IntegratedGaussian,
    Iso,
    LogSumExp,
    Reflect,
    Replicate,
    Representation,
    SampledDerivatives,
    SampledLifting,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SelfSimilar,
    SpatialMax,
    SpatialMean,
    TopK,
    Zero,
    character,
    functional,
    nn,
)
from scalegroup.fields.channels import folded
from scalegroup.fields.resample import resample, support, supported
from scalegroup.nn.branches import shared_samples
from scalegroup.testing.closed_form import Blobs, ContinuousImage, Sinusoids
from scalegroup.testing.strategies import fields_and_elements

ROOT = ScaleGroup(2**0.5)
every_ratio = pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)

Act = Callable[[ScaleField, GroupElement], ScaleField]

# -- relabelling is a group action ------------------------------------------------------------------------------------


def assert_action(act: Act, field: ScaleField, g: GroupElement, h: GroupElement) -> None:
    assert_same_field(act(field, g * h), act(act(field, h), g))
    assert_same_field(act(field, g.group.identity), field)
    assert_same_field(act(act(field, g), g.inverse()), field)


@pytest.mark.parametrize("over_scale", [True, False])
@pytest.mark.parametrize("over_plane", [True, False])
def test_type_with_no_axes_left_is_that_of_a_vector(over_scale: bool, over_plane: bool) -> None:
    type_ = replace(FieldType.scalars(3), over_scale=over_scale, over_plane=over_plane)
    assert (not over_scale and not over_plane) == ("no axes left" in repr(type_))
    assert ("scale" in repr(type_), "plane" in repr(type_)) == (over_scale, over_plane)


@given(fields_and_elements(2))
def test_relabelling_is_a_group_action(drawn: tuple) -> None:
    assert_action(ScaleField.transform, *drawn)


@every_ratio
def test_relabelling_is_a_group_action_for_all_small_powers(ratio: float) -> None:
    group = ScaleGroup(ratio)
    gradient = FieldType(Representation((1, -2)))
    field = ScaleField.of(torch.randn(1, 2, 3, 2, 2), gradient, ScaleWindow(group, 0.9, 3))
    for i in range(-4, 5):
        for j in range(-4, 5):
            assert_action(ScaleField.transform, field, group.element(i), group.element(j))


def test_multiplying_the_values_is_no_action_to_the_bit() -> None:
    group = ScaleGroup(1.3)  # no root of an integer: products of its factors round
    field = ScaleField.of(torch.randn(1, 1, 1, 3, 3), FieldType(character(1)), ScaleWindow(group, 1.0, 1))

    def multiplied(field: ScaleField, g: GroupElement) -> ScaleField:
        return replace(field, maps=tuple(maps / g.scale_factor for maps in field.maps))

    with pytest.raises(AssertionError):
        assert_action(multiplied, field, group.element(3), group.element(-5))


@given(fields_and_elements())
def test_relabelling_moves_window_and_power_by_the_power_and_nothing_else(drawn: tuple) -> None:
    field, g = drawn
    moved = field.transform(g)
    assert moved.window == field.window.transform(g)
    assert moved.power == field.power + g.power
    assert moved.exponents == tuple(weight * moved.power for weight in field.type.fibre.weights)
    assert moved.maps is field.maps
    assert moved.type == field.type
    assert moved.grids is field.grids  # all that a layer sees of scale
    assert (moved.window.sigmas == field.window.sigmas) == (g.power == 0)  # the control: physical σ₀ do change


@given(fields_and_elements())
def test_values_are_the_tensor_with_its_characters_multiplied_out(drawn: tuple) -> None:
    field, g = drawn
    values, rho = field.transform(g).values, field.type.fibre.matrix(g)
    expected = torch.einsum("fe, besyx -> bfsyx", rho, field.tensor)
    assert torch.equal(values, expected)  # one product each: the zeros of a diagonal matrix add nothing
    assert torch.equal(field.transform(g).transform(g.inverse()).values, field.tensor)
    if any(field.transform(g).exponents):
        assert not torch.equal(values, torch.einsum("fe, besyx -> bfsyx", rho.inverse(), field.tensor))


def layers(type_: FieldType, group: ScaleGroup) -> nn.Layer:
    """Of every way that a layer may look at scale; `test_every_layer` has them one by one."""
    torch.manual_seed(1)
    scale_conv = partial(nn.ScaleConv, out_type=3, group=group)
    return nn.Sequential(nn.JetConv(type_, 4), nn.BatchNorm, nn.ReLU, scale_conv, nn.ReadOut)


@every_ratio
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shared", [True, False])
def test_layers_commute_with_relabelling(shared: bool, dtype: torch.dtype, ratio: float) -> None:
    window = ScaleWindow(ScaleGroup(ratio), 1.0, 3)
    canvas = SelfSimilar(1.0).canvas((9, 8), window.sigmas)
    one = Grid(Axis.within(20), Axis.within(25), 1.0)
    wanted = canvas.map((lambda _: one) if shared else (lambda grid: grid.dilated(25)))
    images = torch.randn(2, 3, 9, 8, dtype=dtype)
    field = functional.lift(images, window, sampling=SelfSimilar(1.0), wanted=wanted)
    layer = layers(field.type, window.group).to(dtype).train()
    pool = nn.ScalePool(layer.out_type)

    def assert_commutes(layer: Callable[[ScaleField], ScaleField], power: int) -> None:
        g = window.group.element(power)
        assert_same_field(layer(field.transform(g)), layer(field).transform(g))

    def result(field: ScaleField) -> ScaleField:
        return pool(layer(field))

    def of_labels(field: ScaleField) -> ScaleField:
        return result(replace(field, maps=tuple(maps * (1 + field.window.first) for maps in field.maps)))

    for power in (-3, -1, 0, 1, 5):
        assert_commutes(result, power)
    with pytest.raises(AssertionError):  # the control
        assert_commutes(of_labels, 1)


# -- runs, channels and samples ---------------------------------------------------------------------------------------


def several(*half_widths: int, batch: int = 2) -> ScaleField:
    """A field with a scale channel of each half-width; neighbours of one share a grid."""
    window = ScaleWindow(ROOT, 1.0, len(half_widths))
    grids = Grids((9, 9), window.sigmas, tuple(Grid(Axis.within(n), Axis.within(3), 1.0) for n in half_widths))
    channels = [torch.randn(batch, 2, *grid.shape, dtype=torch.float64) for grid in grids.grids]
    return ScaleField(folded(channels, grids), FieldType.scalars(2), window, grids)


def test_neighbours_that_share_a_grid_are_one_run() -> None:
    field = several(3, 3, 2, 3, 3, 3)
    assert [(run.start, run.stop, len(run.maps), run.grid.shape) for run in field.runs] == [
        (0, 2, 4, (7, 7)),
        (2, 3, 2, (5, 7)),
        (3, 6, 6, (7, 7)),
    ]
    assert field.batch == 2
    for run in field.runs:
        for n in range(run.start, run.stop):
            assert same_bits(field.channel(n), run.maps[2 * (n - run.start) : 2 * (n - run.start + 1)])
    with pytest.raises(ScaleGroupError, match="as many samples in each"):
        _ = field.tensor
    whole = several(3, 3, 3)
    assert whole.tensor.shape == (2, 2, 3, 7, 7)
    assert all(same_bits(whole.tensor[:, :, n], whole.channel(n)) for n in range(3))


@pytest.mark.parametrize("smaller", [(2, 2, 2, 1), (2, 1, 1, 1), (3, 3, 2, 2), (3, 2, 3, 0)])
def test_cropping_keeps_values_and_composes(smaller: tuple[int, ...]) -> None:
    field = several(3, 3, 3, 2)
    wanted = replace(field.grids, grids=tuple(Grid(Axis.within(n), Axis(-1, 3), 1.0) for n in smaller))
    cropped = field.crop(wanted)
    assert cropped.grids == wanted
    for n, half in enumerate(smaller):
        height = field.grids.grids[n].y.length // 2
        assert same_bits(cropped.channel(n), field.channel(n)[:, :, height - half : height + half + 1, 2:5])
    half_way = field.crop(wanted.map(lambda a, b: Grid(b.y, a.x, 1.0), field.grids))
    for n in range(4):
        assert same_bits(half_way.crop(wanted).channel(n), cropped.channel(n))
    assert field.crop(field.grids) is field
    with pytest.raises(ScaleGroupError, match="at least the samples"):
        cropped.crop(field.grids)


def test_fields_meet_on_the_samples_that_all_hold() -> None:
    a, b = several(3, 2, 2), several(1, 3, 2)
    left, right = shared_samples([a, b])
    assert left.grids == right.grids == several(1, 2, 2).grids
    assert [maps.shape for maps in left.maps] == [maps.shape for maps in right.maps]  # whatever was alike before
    assert same_bits(left.channel(0), a.channel(0)[:, :, 2:5])
    assert same_bits(right.channel(2), b.channel(2))
    with pytest.raises(ScaleGroupError, match="fields of one image"):
        shared_samples([a, several(3, 2)])


# -- where samples lie ------------------------------------------------------------------------------------------------

axes = st.one_of(st.builds(Axis, st.integers(-9, 9), st.integers(1, 20)), st.builds(Axis.pixels, st.integers(1, 20)))


def samples(axis: Axis) -> set[float]:
    return set(axis.positions.tolist())


@given(axes, axes, st.integers(0, 5))
def test_axes_are_sets_of_positions(a: Axis, b: Axis, radius: int) -> None:
    assert a.dilated(radius).dilated(-radius) == a
    assert samples(a.dilated(radius)) == {p + n for p in samples(a) for n in range(-radius, radius + 1)}
    assert len(a.positions) == a.length
    assume(a.on_integers == b.on_integers)
    assert samples(a) | samples(b) <= samples(a.union(b))
    assert {min(samples(a) | samples(b)), max(samples(a) | samples(b))} <= samples(a.union(b))
    assert samples(a.intersection(b)) == samples(a) & samples(b)
    assert a.contains(b) == (samples(b) <= samples(a))


@given(axes, axes)
def test_integers_and_halves_do_not_contain_each_other(a: Axis, b: Axis) -> None:
    assume(a.on_integers != b.on_integers)
    assert not a.contains(b)


@given(st.builds(Axis, st.integers(-9, 9), st.integers(2, 20)))
def test_every_second_sample_is_counted_from_the_centre(axis: Axis) -> None:
    assert {2 * p for p in samples(axis.every_second())} == {p for p in samples(axis) if p % 2 == 0}
    assert axis.halfway().every_second() == axis
    grid = Grid(axis, axis, 2.0)
    assert (grid.every_second().samples_per_sigma, grid.halfway().samples_per_sigma) == (1.0, 4.0)


@given(st.integers(1, 30), st.floats(0.1, 9))
def test_samples_of_a_kind_are_centred_and_all_within_the_extent(size: int, extent: float) -> None:
    axis = Axis.pixels(size).alike(extent)
    assert axis.on_integers == Axis.pixels(size).on_integers == (size % 2 == 1)
    assert samples(axis) == {-p for p in samples(axis)}
    assert axis.length == 2 or max(samples(axis)) <= extent + 1e-9
    assert max(samples(axis)) + 1 > extent
    assert Axis.pixels(size).alike((size - 1) / 2) == Axis.pixels(size)


# -- between the samples: approximate ---------------------------------------------------------------------------------

# `resample` interpolates by a sinc of 8 lobes under a Kaiser window with β = 8. Kaiser's design formulas give the
# attenuation A = β/0.1102 + 8.7 = 81 dB, the ripple δ = 10^(-A/20) and the width (A - 8)/(2.285·16) of the transition
# about π. Up to half of that below π (of the coarser grid) an axis errs by at most δ in the passband and δ through the
# mirrored spectra; two axes of an image of amplitude one by at most 4δ. Observed: 1.1δ.
_ATTENUATION = 8 / 0.1102 + 8.7
RIPPLE = 10 ** (-_ATTENUATION / 20)
HIGHEST = math.pi - (_ATTENUATION - 8) / (2.285 * 16) / 2
RESAMPLING = 4 * RIPPLE

FACTORS = [0.5, 2**-0.5, 1.0, 1.3, 2**0.5, 2.0]
WANTED = Grid(Axis(-7, 19), Axis.pixels(12), 1.0)


def values(image: ContinuousImage, grid: Grid, factor: float = 1.0) -> Tensor:
    """The image at the samples of a grid of that spacing."""
    x, y = (torch.from_numpy(factor * axis.positions) for axis in (grid.x, grid.y))
    return image.at(x, y)


def resampling_error(image: ContinuousImage, factor: float, *, off: float = 1.0, shift: float = 0.0) -> float:
    """The largest difference from the continuous image at the samples of `WANTED`, `factor` apart."""
    held = support(WANTED, factor * off, Grid(Axis.within(0), Axis.within(0), factor))
    result = resample(values(image, held), held, WANTED, factor * off)
    moved = replace(WANTED, x=replace(WANTED.x, first=WANTED.x.first + shift))
    return (result - values(image, moved, factor)).abs().max().item()


def waves(factor: float) -> Sinusoids:
    return Sinusoids.random(4, 3, HIGHEST / max(1.0, factor), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", FACTORS)
def test_resampling_is_close_to_sampling_at_the_new_places(factor: float) -> None:
    assert resampling_error(waves(factor), factor) <= RESAMPLING
    assert resampling_error(waves(factor), factor, off=1.01) > 100 * RESAMPLING  # the controls: a spacing, a place
    assert resampling_error(waves(factor), factor, shift=0.5) > 100 * RESAMPLING


def test_resampling_is_as_exact_under_autocast() -> None:
    held = support(WANTED, 1.3, WANTED)
    maps = torch.rand(2, *held.shape, generator=torch.Generator().manual_seed(0))
    plain = resample(maps, held, WANTED, 1.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same_bits(resample(maps, held, WANTED, 1.3), plain)
        assert (maps @ maps.mT).dtype == torch.bfloat16  # the control


@pytest.mark.parametrize("factor", [2**0.5, 1.7, 2.0, 3.0])
def test_what_coarser_samples_cannot_hold_is_taken_out(factor: float) -> None:
    """Waves from the stop band to the highest that the finer samples hold, on one axis or on both.

    Through the low-pass no more than the ripple is left of one, δ on its axis and 1 + δ on the other; without it they
    would come back whole, as waves that are not in the image.
    """
    lowest = (2 * math.pi - HIGHEST) / factor  # the mirror image of the passband's end
    along = torch.linspace(lowest, math.pi, 12, dtype=torch.float64)
    pairs = [torch.stack(pair, -1) for pair in ((along, 0 * along), (0.1 + 0 * along, along), (along, along.flip(0)))]
    frequencies = torch.cat(pairs)[:, None]
    ones = torch.ones(len(frequencies), 1, dtype=torch.float64)
    fine = Sinusoids(ones, frequencies, 0.8 * ones)
    held = support(WANTED, factor, Grid(Axis.within(0), Axis.within(0), factor))
    maps = values(fine, held)
    left = resample(maps, held, WANTED, factor).abs().amax((-2, -1))
    assert left.max() <= 2 * RIPPLE  # δ through the pass, and δ through the mirrored spectra
    # the control: the waves at those places, which is what samples without a low-pass are
    assert values(fine, WANTED, factor).abs().amax((-2, -1)).min() > 0.6


@pytest.mark.parametrize(("first", "then"), [(2**0.5, 2**0.5), (0.5, 2.0), (2.0, 0.5), (1.3, 1.0)])
def test_resampling_composes_approximately(first: float, then: float) -> None:
    image = waves(max(first, 1.0) * max(then, 1.0))
    between = support(WANTED, then, Grid(Axis.within(0), Axis.within(0), 1.0))
    held = support(between, first, between)
    twice = resample(resample(values(image, held), held, between, first), between, WANTED, then)
    # two steps, each of which errs by at most RESAMPLING and carries an error on with a gain near one
    assert (twice - values(image, WANTED, first * then)).abs().max() <= 2.1 * RESAMPLING


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("factor", FACTORS)
def test_resampling_keeps_constants(factor: float, dtype: torch.dtype) -> None:
    held = support(WANTED, factor, WANTED)
    constant = resample(torch.full((1, *held.shape), 3.0, dtype=dtype), held, WANTED, factor)
    torch.testing.assert_close(constant, torch.full_like(constant, 3.0), rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("size", [15, 16])
@pytest.mark.parametrize("factor", FACTORS)
def test_resampling_keeps_the_centre(factor: float, size: int) -> None:
    """Turning a map by 180° about its centre commutes with resampling."""
    wanted = Grid(Axis.pixels(size), Axis.pixels(size), 1.0)
    held = support(wanted, factor, Grid(Axis.within(0), Axis.within(0), factor))
    maps = torch.randn(1, *held.shape, dtype=torch.float64)
    turned = resample(maps.flip(1, 2), held, wanted, factor).flip(1, 2)
    torch.testing.assert_close(turned, resample(maps, held, wanted, factor), rtol=0, atol=ROUNDING[torch.float64])
    aside = replace(held, x=replace(held.x, first=held.x.first + 1))
    assert (resample(maps.flip(1, 2), aside, wanted, factor).flip(1, 2) - turned).abs().max() > 0.01  # the control


halves = st.sampled_from([0.0, 0.5])


@given(st.floats(0.3, 3), st.integers(20, 60), st.integers(20, 60), halves, halves)
def test_support_is_what_is_enough_and_no_more(
    factor: float, before: int, behind: int, held_at: float, wanted_at: float
) -> None:
    """`supported` gives the most samples, integers or halves, whose support is held; that of no other sample is."""
    held = Grid(Axis(held_at - before, before + behind + 1), Axis.within(40), 1.0)
    most = supported(Grid(Axis(wanted_at, 1), Axis.within(0), 1.0), factor, held)
    assert most.y.first % 1 == wanted_at
    assert held.contains(support(most, factor, held))
    for other in (most.y.first - 1, most.y.stop):
        assert not held.contains(support(replace(most, y=Axis(other, 1)), factor, held))


@pytest.mark.parametrize("shape", [(81, 81), (80, 81)], ids=str)
@pytest.mark.parametrize("g", [1.0, 2.0])
def test_dense_read_out_brings_samples_back_to_the_pixels(shape: tuple[int, int], g: float) -> None:
    """A blob that the lifting has smoothed, whose spectrum ends below HIGHEST: its closed form at every pixel."""
    window, width, one = ScaleWindow(ROOT, 0.7, 5), 6.0, torch.ones(1, 1, dtype=torch.float64)
    image = Blobs(one, width * one, torch.tensor([[[2.0, -1.5]]], dtype=torch.float64))
    lift = nn.Lift(window, boundary=Background(0.0), samples_per_sigma=g)
    result = nn.Sequential(lift, partial(nn.ReadOut, readout=Dense()))(image.sample(*shape))
    assert result.grids == Grids.of_pixels(shape, window.sigmas)
    for n, sigma in enumerate(window.sigmas):
        variance = width**2 + (lift.sampling.smoothed * sigma) ** 2
        smooth = width**2 / variance * replace(image, widths=math.sqrt(variance) * one).sample(*shape)
        # beside the ripple, the spectrum beyond HIGHEST, missed and mirrored, on either axis
        beyond = 4 * math.erfc(HIGHEST * g / sigma * math.sqrt(variance / 2))
        assert (result.channel(n) - smooth).abs().max() <= RESAMPLING + beyond
    assert min((result.channel(n) - result.channel(n + 1)).abs().max() for n in range(4)) > 10 * RESAMPLING


# -- what the objects are ---------------------------------------------------------------------------------------------

KERNELS = [DiscreteGaussian(), SampledDerivatives(), IntegratedGaussian(), Iso()]


def values_of(group: ScaleGroup, size: int) -> list[Any]:
    """One of each value object, different in `group` or in `size`."""
    return [
        group,
        group.element(size),
        ScaleWindow(group, 1.0, size),
        Representation((size,)),
        FieldType.scalars(size),
        ImageType(size),
        Axis.within(size),
        Grid(Axis.within(1), Axis.within(2), size),
        Grids.of_pixels((size, 5), (1.0,)),
        SelfSimilar(size),
        Background(size),
        TopK(size),
        LogSumExp(size),
        *(type(kernel)(tail=0.1**size) for kernel in KERNELS),
    ]


def kind(value: Any) -> str:
    return type(value).__name__


def test_values_are_equal_and_hashable_by_what_they_say() -> None:
    ours, twins = values_of(ROOT, 2), values_of(ScaleGroup(math.sqrt(2)), 2)
    assert ours == twins
    assert list(map(hash, ours)) == list(map(hash, twins))
    others = values_of(ScaleGroup(3), 3)
    assert all(one != other for one, other in zip(ours, others, strict=True))
    assert len({*ours, *twins, *others}) == 2 * len(ours)


STRATEGIES = (
    *(CentrePixel, SpatialMax, SpatialMean, Dense),
    *(Reflect, Replicate, Zero, ImageGrid, BandLimited, SampledLifting),
)  # without parameters


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
def test_strategies_without_parameters_are_all_alike(strategy: type) -> None:
    assert strategy() == strategy()
    assert hash(strategy()) == hash(strategy())
    assert all(strategy() != other() for other in STRATEGIES if other is not strategy)


VALUES = [*values_of(ROOT, 2), *(strategy() for strategy in STRATEGIES), several(2, 2)]


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_values_and_fields_are_immutable(value: Any) -> None:
    for name in [*vars(value), "novelty"]:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 3)
        with pytest.raises(FrozenInstanceError):
            delattr(value, name)


def test_fields_are_equal_to_themselves_only() -> None:
    field, twin = (functional.lift(torch.zeros(1, 1, 3, 3), ScaleWindow(ROOT, 1.0, 1)) for _ in range(2))
    assert field == field
    assert field != twin  # tensors have no one equality, so fields have none
    assert len({field, twin}) == 2


def test_repr_reads_as_a_sentence() -> None:
    window = ScaleWindow(ScaleGroup(2), 1.0, 2)
    field = functional.lift(torch.zeros(4, 3, 5, 7), window, sampling=SelfSimilar(1.0))
    smoothed = f", smoothed by {field.type.smoothed:g}·σ₀"
    assert repr(field) == (
        f"a batch of 4 fields of 3 scalar feature(s) over scale and plane{smoothed} with 2 scale channels with σ₀ from "
        "1 to 2 by powers of 2, 5×7 … 3×3 samples of a 5×7 image"
    )
    assert repr(field.restrict(ScaleWindow(ScaleGroup(2), 2.0, 2))).endswith(
        "with 1 scale channel with σ₀ = 2 by powers of 2, 3×3 samples of a 5×7 image"
    )
    assert repr(ImageType(3)) == "images with 3 channel(s)"
    assert repr(FieldType(character(1))) == "1 weight-(1,) feature(s) over scale and plane"
    axes = (True, False), (False, True), (False, False)
    projected = [replace(FieldType.scalars(3), over_scale=scale, over_plane=plane) for scale, plane in axes]
    assert [repr(type_) for type_ in projected] == [
        f"3 scalar feature(s) {where}" for where in ("over scale", "over the plane", "with no axes left")
    ]


@pytest.mark.parametrize("power", [5000, -5000])
def test_repr_never_raises(power: int) -> None:
    field = functional.lift(torch.zeros(1, 1, 3, 3), ScaleWindow(ROOT, 1.0, 1)).transform(ROOT.element(power))
    assert f"σ₀ = 1·γ^{power} by" in repr(field)
