"""Pooling over scale is a permutation-invariant projection, invariant over overlaps; selection follows the action."""

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import scalegroup
from benchmarks.baselines import scale_channel_cnn
from proofs_tests.comparison import RATIOS, ROUNDING, same_bits
from scalegroup import (
    Attention,
    CentrePixel,
    Dense,
    FieldType,
    ImageGrid,
    LogSumExp,
    Max,
    Mean,
    Pooling,
    ReadOut,
    RotationGroup,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    SpatialMean,
    TopK,
    functional,
    nn,
)
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing.strategies import POWERS, elements, groups, tensors

FIXED = [Max(), Mean(), LogSumExp(), LogSumExp(0.1), TopK(1), TopK(2)]
LEARNT = [Attention(), Attention(per_feature=True)]
POOLINGS: list[Pooling] = [*FIXED, *LEARNT]
TOLERANCE = ROUNDING[torch.float64]  # everything here is float64, of values near 1
every_pooling = pytest.mark.parametrize("pooling", POOLINGS, ids=repr)
every_ratio = pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)


@every_pooling
def test_poolings_are_values_that_cannot_be_changed(pooling: Pooling) -> None:
    assert pooling == replace(pooling)  # type: ignore[type-var]
    assert [other for other in POOLINGS if other == pooling] == [pooling]
    assert len({pooling, replace(pooling)}) == 1  # type: ignore[type-var]
    for name in [*vars(pooling), "novelty"]:
        with pytest.raises(FrozenInstanceError):
            setattr(pooling, name, 1)


@dataclass(frozen=True)
class PositionWeighted(Pooling):
    """A control: a weighted mean that knows which channel is which."""

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        weights = torch.arange(1.0, values.shape[dim] + 1, dtype=values.dtype)
        return (values.movedim(dim, -1) @ (weights / weights.sum())).unsqueeze(dim)


@dataclass(frozen=True)
class Sum(Pooling):
    """A control: permutation-invariant, but no projection."""

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        return values.sum(dim, keepdim=True)


@dataclass(frozen=True)
class PlainLogSumExp(Pooling):
    """A control: log Σ exp, which grows with the number of channels."""

    def reduce(self, values: Tensor, dim: int) -> Tensor:
        return values.logsumexp(dim, keepdim=True)


def with_weights(thing: Any) -> Any:
    """What is learnt begins at zero, which hides it: at random instead."""
    for parameter in thing.parameters() if isinstance(thing, torch.nn.Module) else ():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return thing


def reduced(pooling: Pooling, values: Tensor) -> Tensor:
    """`[batch, feature, …, scale]` along the last axis."""
    type_ = FieldType.scalars(values.shape[1])
    return with_weights(pooling.of_type(type_)).reduce(values, -1)


def close(a: Tensor, b: Tensor, atol: float = TOLERANCE) -> bool:
    return torch.allclose(a, b, rtol=0, atol=atol)


def scale_values() -> st.SearchStrategy[Tensor]:
    """`[2, 3, channels]` with two to six scale channels."""
    return st.integers(2, 6).flatmap(lambda channels: tensors((2, 3, channels)))


def test_no_public_pooling_or_read_out_is_missing_from_the_lists() -> None:
    public = {thing for name in scalegroup.__all__ if isinstance(thing := getattr(scalegroup, name), type)}
    assert {type(pooling) for pooling in POOLINGS} == {c for c in public if issubclass(c, Pooling)} - {Pooling}
    assert {type(readout) for readout in READOUTS} == {c for c in public if issubclass(c, ReadOut)} - {ReadOut}


# -- pooling ----------------------------------------------------------------------------------------------------------


def assert_permutation_invariant(pooling: Pooling, values: Tensor, order: Tensor) -> None:
    assert close(reduced(pooling, values[..., order]), reduced(pooling, values))


@every_pooling
@given(scale_values(), st.randoms(use_true_random=False))
def test_pooling_is_permutation_invariant(pooling: Pooling, values: Tensor, random: Any) -> None:
    order = list(range(values.shape[-1]))
    random.shuffle(order)
    assert_permutation_invariant(pooling, values, torch.tensor(order))


def test_pooling_that_knows_positions_is_not_permutation_invariant() -> None:
    with pytest.raises(AssertionError):
        assert_permutation_invariant(PositionWeighted(), torch.randn(3, 4).double(), torch.tensor([1, 0, 2, 3]))


def assert_projection(pooling: Pooling, values: Tensor) -> None:
    pooled = reduced(pooling, values)
    assert pooled.shape == (*values.shape[:-1], 1)
    assert close(reduced(pooling, pooled.expand(values.shape)), pooled)


@every_pooling
@given(scale_values())
def test_pooling_is_a_projection(pooling: Pooling, values: Tensor) -> None:
    assert_projection(pooling, values)


@pytest.mark.parametrize("pooling", [Sum(), PlainLogSumExp()], ids=repr)
def test_sums_over_scale_are_no_projections(pooling: Pooling) -> None:
    with pytest.raises(AssertionError):
        assert_projection(pooling, torch.randn(3, 4).double())


@every_pooling
def test_pooling_a_field_that_is_constant_over_scale_gives_it_back(pooling: Pooling) -> None:
    images = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    field = functional.lift(images, ScaleWindow(ScaleGroup(2), 1.0, 4), sampling=ImageGrid())
    pooled = with_weights(nn.ScalePool(field.type, pooling))(field)
    assert close(pooled.channel(0), images)
    assert pooled.type == replace(field.type, over_scale=False)


@given(scale_values(), st.floats(0.1, 10), st.floats(1.01, 3))
def test_logsumexp_lies_between_mean_and_max_and_falls_with_temperature(
    values: Tensor, temperature: float, more: float
) -> None:
    mean, soft, softer, most = (
        pooling.reduce(values, -1) for pooling in (Mean(), LogSumExp(temperature), LogSumExp(temperature * more), Max())
    )
    for low, high in ((mean, softer), (softer, soft), (soft, most)):
        assert (low <= high + 10 * TOLERANCE).all()  # it is rounded at the size of the temperature, up to 30
    assert not (PlainLogSumExp().reduce(values, -1) <= most).all()  # the control


@given(scale_values())
def test_logsumexp_has_the_limits_max_and_mean(values: Tensor) -> None:
    n = values.shape[-1]
    span = values.amax(-1, keepdim=True) - values.amin(-1, keepdim=True)
    for t in (1e-3, 1e-2, 1e-1):  # a mean of n numbers of which one is exp(max/t) is at least exp(max/t)/n
        assert (Max().reduce(values, -1) - LogSumExp(t).reduce(values, -1) <= t * math.log(n) + TOLERANCE).all()
    for t in (1e1, 1e2, 1e3):  # Hoeffding's lemma: log mean exp(x/t) - mean x/t ≤ (span/t)²/8
        excess = LogSumExp(t).reduce(values, -1) - Mean().reduce(values, -1)
        assert (excess <= span**2 / (8 * t) + t * TOLERANCE).all()
    assert not close(LogSumExp(1.0).reduce(values, -1), Max().reduce(values, -1))  # the controls: no limit at t = 1
    assert not close(LogSumExp(1.0).reduce(values, -1), Mean().reduce(values, -1))


@given(scale_values())
def test_topk_runs_from_max_to_mean(values: Tensor) -> None:
    n = values.shape[-1]
    assert same_bits(TopK(1).reduce(values, -1), Max().reduce(values, -1))
    assert close(TopK(n).reduce(values, -1), Mean().reduce(values, -1))
    assert not close(TopK(2).reduce(values, -1), Max().reduce(values, -1))
    assert n == 2 or not close(TopK(2).reduce(values, -1), Mean().reduce(values, -1))


def gradient(pooling: Pooling, values: Tensor) -> Tensor:
    leaf = values.clone().requires_grad_()
    reduced(pooling, leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


@every_pooling
@given(scale_values())
def test_gradients_over_scale_are_weights_that_sum_to_one(pooling: Pooling, values: Tensor) -> None:
    """All of them positive, but where a value weighs in the scores as well."""
    weights = gradient(pooling, values)
    assert pooling in LEARNT or (weights >= 0).all()
    assert close(weights.sum(-1), torch.ones_like(values[..., 0]))
    assert not close(gradient(Sum(), values).sum(-1), torch.ones_like(values[..., 0]))


# -- attention --------------------------------------------------------------------------------------------------------

every_attention = pytest.mark.parametrize("pooling", LEARNT, ids=repr)


@every_attention
def test_attention_is_its_definition(pooling: Attention) -> None:
    """In numbers of Python; the controls: scores of the first feature alone, and of the other kind."""
    values = torch.randn(2, 3, 4, dtype=torch.float64)
    attention = with_weights(pooling.of_type(FieldType.scalars(3)))
    rows = attention.weight.tolist()
    assert len(rows) == (3 if pooling.per_feature else 1)

    def expected(rows: list[list[float]]) -> Tensor:
        result = torch.empty(2, 3, 1, dtype=torch.float64)
        for b, k in ((b, k) for b in range(2) for k in range(3)):
            row = rows[k % len(rows)]
            scores = [math.exp(sum(row[j] * values[b, j, i].item() for j in range(3))) for i in range(4)]
            result[b, k] = sum(a * values[b, k, i].item() for i, a in enumerate(scores)) / math.fsum(scores)
        return result

    assert close(attention.reduce(values, -1), expected(rows))
    assert not close(attention.reduce(values, 2), expected([[row[0], 0.0, 0.0] for row in rows]))
    assert not close(attention.reduce(values, 2), expected(rows[:1] if len(rows) > 1 else [*rows, [0.0] * 3]))


@every_attention
def test_attention_does_not_count_scale_channels(pooling: Attention) -> None:
    """Of twice as many of the same it makes the same, as means do and sums do not: other windows may have more."""
    values = torch.randn(2, 3, 4, dtype=torch.float64)
    twice = values.repeat(1, 1, 2)
    assert close(reduced(pooling, twice), reduced(pooling, values))
    assert not close(reduced(Sum(), twice), reduced(Sum(), values))  # the control


@every_attention
def test_attention_pools_the_channels_of_another_window_with_the_same_weights(pooling: Attention) -> None:
    parts: dict[str, Any] = {"widths": (3,), "window": ScaleWindow(ScaleGroup(2**0.5), 1.0, 3)}
    net, images = with_weights(gaussian_derivative_net(**parts, pooling=pooling)), torch.rand(2, 1, 15, 15)
    finer = ScaleWindow(ScaleGroup(2**0.25), 0.5, 6)
    scores, logits = net(images, window=finer), net.scale_logits(images, window=finer)
    assert logits.shape == (2, 10, 6)
    assert close(scores, net[-1].reduction.reduce(logits, 2)[..., 0], atol=ROUNDING[torch.float32])
    assert not close(scores, net(images), atol=ROUNDING[torch.float32])  # the control: the window that it has
    assert set(net.select_scale(images, window=finer).tolist()) <= set(torch.tensor(finer.sigmas).tolist())


@every_attention
def test_attention_begins_as_the_mean_and_learns_from_there(pooling: Attention) -> None:
    values = torch.randn(2, 3, 4, dtype=torch.float64)
    attention = pooling.of_type(FieldType.scalars(3))
    pooled = attention.reduce(values, -1)
    assert close(pooled, Mean().reduce(values, -1))
    assert not close(reduced(pooling, values), pooled)  # the control
    (pooled * torch.randn_like(pooled)).sum().backward()
    assert (attention.weight.grad != 0).all()


@given(scale_values(), st.floats(10, 1e4))
def test_attention_to_the_feature_itself_has_the_limits_max_and_min(values: Tensor, sharpness: float) -> None:
    """A softmax of n values misses their maximum by no more than log(n) over its sharpness."""
    attention = Attention(per_feature=True).of_type(FieldType.scalars(3))
    bound = math.log(values.shape[-1]) / sharpness + TOLERANCE
    for sign in (1, -1):
        torch.nn.init.zeros_(attention.weight).detach().fill_diagonal_(sign * sharpness)
        missing = Max().reduce(sign * values, -1) - sign * attention.reduce(values, -1)
        assert (missing <= bound).all()
    span = values.amax(-1) - values.amin(-1)
    assume(span.max() > 2 * bound)
    assert not (Max().reduce(values, -1) - attention.reduce(values, -1) <= bound).all()  # the control: the other sign


def test_attention_of_half_precision_is_that_of_float32() -> None:
    values = 10 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    pooled, exact = reduced(Attention(), values), reduced(Attention(), values.float())
    assert same_bits(pooled.float(), exact.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        assert same_bits(reduced(Attention(), values.float()), exact)


def test_only_scale_pooling_of_features_that_no_rotation_changes_has_a_place_for_weights() -> None:
    """What has none would go on with the mean, without a word."""
    C4, values = RotationGroup(4), torch.randn(2, 3, 4)
    regular, trivial = (
        replace(FieldType.rotating(fields), over_plane=False) for fields in (C4.regular, 3 * C4.trivial)
    )
    nn.ScalePool(trivial, Attention())
    for refused in (
        lambda: nn.ScalePool(regular, Attention()),
        lambda: nn.RotationPool(FieldType.rotating(C4.regular), Attention()),
        lambda: scale_channel_cnn((3,), scale_factors=(0.5, 1.0), pooling=Attention()),
        lambda: Attention().reduce(values, -1),
    ):
        with pytest.raises(ScaleGroupError, match="Attention"):
            refused()


def test_fixed_poolings_add_nothing_to_a_state_dict() -> None:
    """Files of networks from before attention are read as they were."""
    type_ = FieldType.scalars(3)
    assert not any(nn.ScalePool(type_, pooling).state_dict() for pooling in FIXED)
    assert [list(nn.ScalePool(type_, pooling).state_dict()) for pooling in LEARNT] == [["reduction.weight"]] * 2


# -- two windows ------------------------------------------------------------------------------------------------------


def full_field(group: ScaleGroup) -> ScaleField:
    """Ten scale channels of random features: the part of an infinite field that the windows below can see."""
    tensor = torch.randn(2, 3, 10, 4, 4, dtype=torch.float64)
    return ScaleField.of(tensor, FieldType.scalars(3), ScaleWindow(group, 1.0, 10, first=-5))


def two_views(group: ScaleGroup, power: int) -> tuple[ScaleField, ScaleField, ScaleWindow]:
    """An image and the image scaled by γ^power (eq 22), each through one fixed window; what the first has in common."""
    full, fixed, g = full_field(group), ScaleWindow(group, 1.0, 5, first=-2), group.element(power)
    overlap = fixed.overlap(fixed.transform(g.inverse()))
    assert overlap is not None
    return full.restrict(fixed), full.transform(g).restrict(fixed), overlap


@every_pooling
@every_ratio
@pytest.mark.parametrize("power", [-3, -1, 1, 2])
def test_pooling_over_the_overlap_of_two_windows_is_invariant(pooling: Pooling, ratio: float, power: int) -> None:
    group = ScaleGroup(ratio)
    image, scaled, overlap = two_views(group, power)
    pool = with_weights(nn.ScalePool(image.type, pooling))
    ours, theirs = image.restrict(overlap), scaled.restrict(overlap.transform(group.element(power)))
    assert ours.window.channels == theirs.window.channels == 5 - abs(power)
    assert same_bits(pool(ours).tensor, pool(theirs).tensor)
    # the control: over the fixed window channels come and go
    assert not close(pool(image).tensor, pool(scaled).tensor)


# -- scale selection --------------------------------------------------------------------------------------------------


@given(st.data(), groups(), POWERS, st.floats(0.5, 4), scale_values())
def test_selected_scale_follows_the_action(
    data: st.DataObject, group: ScaleGroup, first: int, sigma0: float, scores: Tensor
) -> None:
    window, g = ScaleWindow(group, sigma0, scores.shape[-1], first), data.draw(elements(group))
    before, after = functional.select_scale(scores, window), functional.select_scale(scores, window.transform(g))
    winners = [window.sigmas.index(sigma) for sigma in before.tolist()]
    assert after.tolist() == [window.transform(g).sigmas[winner] for winner in winners]  # exactly the same channels
    assert torch.allclose(after, g.scale_factor * before, rtol=1e-13, atol=0)  # powers to 30: a few units each
    assume(g.power)
    assert not (after == before).any()


@pytest.mark.parametrize(("ratio", "octave"), [(2**0.5, 2), (2 ** (1 / 3), 3), (2.0, 1)])
def test_selected_scale_doubles_exactly_with_the_image(ratio: float, octave: int) -> None:
    group, scores = ScaleGroup(ratio), torch.randn(8, 3, 5, dtype=torch.float64)
    window = ScaleWindow(group, 0.9, 5)
    once, twice = (functional.select_scale(scores, w) for w in (window, window.transform(group.element(octave))))
    assert torch.equal(twice, 2 * once)


@every_ratio
def test_selected_scale_follows_a_field_through_its_read_out(ratio: float) -> None:
    group = ScaleGroup(ratio)
    field, g = full_field(group), group.element(-3)

    def selected(field: ScaleField) -> Tensor:
        scores = nn.ReadOut(field.type)(field)
        return functional.select_scale(scores.tensor[..., 0, 0], scores.window)

    labels = [field.window.sigmas.index(sigma) for sigma in selected(field).tolist()]
    assert selected(field.transform(g)).tolist() == [field.window.transform(g).sigmas[n] for n in labels]
    assert selected(replace(field, maps=field.maps[1:] + field.maps[:1])).tolist() != selected(field).tolist()


WINDOW = ScaleWindow(ScaleGroup(2), 1.0, 3)  # σ₀ = 1, 2, 4


def test_selection_asks_the_winning_class_or_the_one_that_is_given() -> None:
    scores = torch.tensor([[[0.0, 3.0, 1.0], [2.0, 0.0, 0.0], [1.0, 1.5, 2.5]]])
    assert functional.select_scale(scores, WINDOW).tolist() == [2.0]
    for given_class, sigma in ((0, 2.0), (1, 1.0), (2, 4.0)):
        assert functional.select_scale(scores, WINDOW, classes=torch.tensor([given_class])).tolist() == [sigma]


def test_ties_select_the_finest_scale_and_the_first_class() -> None:
    scores = torch.tensor([[[0.0, 3.0, 3.0], [3.0, 0.0, 0.0]]])
    assert functional.select_scale(scores, WINDOW).tolist() == [2.0]
    assert functional.select_scale(scores.flip(1), WINDOW).tolist() == [1.0]
    assert functional.select_scale(torch.zeros(1, 2, 3), WINDOW).tolist() == [1.0]
    assert functional.select_scale(scores.flip(2), WINDOW).tolist() == [1.0]


def test_dense_selection_is_selection_at_every_pixel() -> None:
    scores = torch.randn(2, 4, 3, 5, 6)
    dense = functional.select_scale(scores, WINDOW)
    assert dense.shape == (2, 5, 6)
    for y in range(5):
        for x in range(6):
            assert torch.equal(dense[:, y, x], functional.select_scale(scores[..., y, x], WINDOW))
    assert len(dense.unique()) == 3  # the control: not everywhere the same


# -- read-outs --------------------------------------------------------------------------------------------------------

READOUTS = [CentrePixel(), SpatialMax(), SpatialMean(), Dense()]
SHAPES = [(5, 5), (4, 6), (5, 4), (1, 1), (2, 1)]


def read(readout: ReadOut, tensor: Tensor) -> Tensor:
    """The read-out of a field of one scale channel."""
    type_ = FieldType.scalars(tensor.shape[1])
    field = ScaleField.of(tensor, type_, ScaleWindow(ScaleGroup(2), 1.0, tensor.shape[2]))
    result = nn.ReadOut(type_, readout)(field)
    assert result.type.over_plane == readout.keeps_plane
    assert result.window == field.window
    return result.tensor


def plane(*shape: int) -> Tensor:
    return torch.randn(2, 3, 4, *shape, dtype=torch.float64)


def test_centre_is_one_pixel_of_odd_sizes_and_the_mean_of_four_of_even_ones() -> None:
    odd, even, mixed = plane(5, 7), plane(4, 6), plane(5, 6)
    assert same_bits(read(CentrePixel(), odd), odd[..., 2:3, 3:4])
    assert close(read(CentrePixel(), even), even[..., 1:3, 2:4].mean((-2, -1), keepdim=True))
    assert close(read(CentrePixel(), mixed), mixed[..., 2:3, 2:4].mean((-2, -1), keepdim=True))
    assert not close(read(CentrePixel(), even), even[..., 2:3, 3:4])


def assert_turned_images_read_the_same(read_one: Callable[[Tensor], Tensor], tensor: Tensor) -> None:
    assert close(read_one(tensor.flip(-1, -2)), read_one(tensor))


@pytest.mark.parametrize("readout", READOUTS[:3], ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_read_outs_do_not_change_when_the_image_is_turned_about_its_centre(
    readout: ReadOut, shape: tuple[int, int]
) -> None:
    assert_turned_images_read_the_same(lambda tensor: read(readout, tensor), plane(*shape))


def test_pixel_at_half_the_size_is_no_centre_of_an_even_image() -> None:
    with pytest.raises(AssertionError):
        assert_turned_images_read_the_same(lambda tensor: tensor[..., 2, 2], plane(4, 4))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_spatial_read_outs_reduce_the_whole_plane(shape: tuple[int, int]) -> None:
    tensor = plane(*shape)
    pixels = tensor.flatten(-2)
    assert same_bits(read(SpatialMax(), tensor)[..., 0, 0], pixels.max(-1).values)
    assert close(read(SpatialMean(), tensor)[..., 0, 0], pixels.sum(-1) / pixels.shape[-1])
    assert same_bits(read(Dense(), tensor), tensor)
    if pixels.shape[-1] > 4:
        assert not close(read(CentrePixel(), tensor), read(SpatialMean(), tensor))


@pytest.mark.parametrize("readout", READOUTS, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_reach_exactly_the_pixels_that_are_looked_at(readout: ReadOut, shape: tuple[int, int]) -> None:
    leaf = plane(*shape).requires_grad_()
    result = read(readout, leaf)
    result.sum().backward()
    assert leaf.grad is not None
    values = result.shape[-1] * result.shape[-2]
    assert close(leaf.grad.sum((-2, -1)), torch.full(leaf.shape[:-2], values, dtype=leaf.dtype))
    reached = (leaf.grad[0, 0, 0] != 0).sum().item()
    centre = math.prod(2 - size % 2 for size in shape)
    assert reached == {CentrePixel: centre, SpatialMax: 1}.get(type(readout), math.prod(shape))


@pytest.mark.parametrize("readout", [CentrePixel(), SpatialMax(), SpatialMean()], ids=repr)
@pytest.mark.parametrize(("size", "first"), [((9, 7), (0, 0)), ((4, 6), (-0.5, -0.5)), ((1, 2), (0, -0.5))], ids=str)
def test_what_is_read_out_lies_at_the_centre(
    readout: ReadOut, size: tuple[int, int], first: tuple[float, float]
) -> None:
    """As a map of one sample: the central one or, where the centre is between samples, the first of the central two."""
    field = functional.lift(torch.rand(1, 1, *size), ScaleWindow(ScaleGroup(2), 1.0, 2), sampling=ImageGrid())
    layer = nn.ReadOut(field.type, readout)
    for grids in (layer(field).grids, layer.canvas(field.grids)):
        assert [(grid.y.first, grid.x.first) for grid in grids.grids] == [first] * 2
        assert [grid.shape for grid in grids.grids] == [(1, 1)] * 2
    assert field.grids.grids[0].shape == size  # the control: before, all of the image
