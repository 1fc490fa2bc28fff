"""Group norm is its definition: moments of each image and group over all scale channels, in the same square of σ₀."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.comparison import RATIOS, ROUNDING, same_bits
from proofs_tests.networks import and_nothing, difference, jet_network, maps_net
from proofs_tests.test_batch_norm import BLOBS, FIELDS, ROTATING, SCALARS, expected_moments, random_field
from scalegroup import FieldType, Grid, RotationGroup, ScaleField, ScaleGroup, ScaleGroupError, ScaleWindow, nn

TOLERANCE = ROUNDING[torch.float64]
LIFTING = 1e-9  # of the signal, as in test_theorem.py


def layer_of(type_: FieldType, groups: int, **options: float) -> nn.GroupNorm:
    torch.manual_seed(0)
    layer = nn.GroupNorm(type_, groups, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.rand_like(parameter))
    return layer


def image_of(field: ScaleField, n: int) -> ScaleField:
    """One of the batch alone."""
    images = [run.maps.unflatten(0, (run.stop - run.start, -1))[:, n] for run in field.runs]
    return replace(field, maps=tuple(images))


# -- what it is --------------------------------------------------------------------------------------------------------


def expected(field: ScaleField, layer: nn.GroupNorm, half_width: float, **left_out: bool) -> list[Tensor]:
    """Of every image its scale channels, `[feature, y, x]`, by moments sample by sample in numbers of Python."""
    each, result = layer.out_type.size // layer.groups, []
    orbits = layer.out_type.rotation.orbits if layer.out_type.rotation else range(layer.out_type.size)
    for n in range(field.batch):
        image = image_of(field, n)
        moments = expected_moments(image, half_width, orbits=[i // each for i in range(4)], **left_out)
        for channel in range(len(field.grids.grids)):
            maps = image.channel(channel)[0].clone()
            for i, orbit in enumerate(orbits):
                mean, variance = (values[i // each] for values in moments)
                deviation = math.sqrt(variance + layer.eps)
                maps[i] = (maps[i] - mean) / deviation * layer.weight[orbit].item() + layer.bias[orbit].item()
            result.append(maps)
    return result


def gap(result: ScaleField, theirs: list[Tensor]) -> float:
    """The largest difference, relative to the value where that is larger than one."""
    ours = [result.channel(c)[n] for n in range(result.batch) for c in range(len(result.grids.grids))]
    pairs = zip(ours, theirs, strict=True)
    return max(((a - b).abs() / b.abs().clamp(min=1)).max().item() for a, b in pairs)


@pytest.mark.parametrize("half_width", [2.0, 5.0, math.inf])
@pytest.mark.parametrize(("type_", "groups"), [(SCALARS, 1), (SCALARS, 2), (SCALARS, 4), (ROTATING, 1)], ids=str)
@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_maps_are_normalised_by_the_moments_of_their_image_and_group(
    make: Callable, type_: FieldType, groups: int, half_width: float
) -> None:
    """Each feature and scale channel weighs the same. The last feature of its own varies by as little as eps."""
    field, layer = make(type_), layer_of(type_, groups, half_width=half_width)
    seen = field.grids.canvas() if half_width == math.inf else field.grids  # of the image of 9×9 pixels, all of it
    held = field.crop(seen.map(Grid.intersection, field.grids))
    reference = partial(expected, held, layer)
    ours = layer(field).crop(held.grids)
    assert gap(ours, reference(half_width)) <= 1e3 * TOLERANCE  # over deviations down to 3e-3
    # the controls: another square; each part of the variance missing
    narrower = half_width / 2 if half_width < math.inf else 1 / field.grids.grids[0].samples_per_sigma
    wrong = [reference(narrower), reference(half_width, between_channels=False)]
    wrong += [reference(half_width, within_channels=False)]
    wrong += [reference(half_width, between_features=False)] if groups < 4 else []
    assert min(gap(ours, other) for other in wrong) > 1e-2


def test_channels_weigh_the_same_however_many_samples_they_hold() -> None:
    field, layer = random_field(half_widths=(6, 6, 3)), layer_of(SCALARS, 2, half_width=5.0)
    assert gap(layer(field), expected(field, layer, 5.0)) <= 1e3 * TOLERANCE
    assert gap(layer(field), expected(field, layer, 5.0, by_samples=True)) > 1e-2  # the control


def test_of_one_channel_and_the_whole_image_it_is_that_of_torch() -> None:
    """With the same eps by default."""
    images = 1e-2 * torch.randn(3, 4, 7, 9, dtype=torch.float64) + 1
    field = ScaleField.of(images[:, :, None], SCALARS, ScaleWindow(ScaleGroup(2), 1.0, 1))
    for groups in (1, 2, 4):
        layer = layer_of(SCALARS, groups, half_width=math.inf)
        theirs = partial(F.group_norm, images, weight=layer.weight, bias=layer.bias)
        torch.testing.assert_close(layer(field).channel(0), theirs(groups), rtol=0, atol=1e3 * TOLERANCE)  # 1 ± 0.01
        for other in (theirs(groups, eps=1e-9), theirs(1 if groups > 1 else 2)):  # the controls
            assert (layer(field).channel(0) - other).abs().max() > 0.01


# -- what it does not depend on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("norm", "same"), [(partial(nn.GroupNorm, groups=2), True), (nn.BatchNorm, False)], ids=str)
def test_an_image_alone_gives_what_it_gives_in_a_batch_in_training_and_in_evaluation(norm, same: bool) -> None:
    """The control: batch norm, which does neither."""
    field, layer = random_field(), norm(SCALARS).double()
    whole = layer.train()(field)
    for n in range(field.batch):
        for training in (True, False):
            alone = layer.train(training)(image_of(field, n))
            pairs = zip(alone.maps, image_of(whole, n).maps, strict=True)
            error = max((a - b).abs().max().item() for a, b in pairs)
            assert error <= 1e3 * TOLERANCE if same else error > 1e-2
    assert set(dict(layer.named_buffers())) == (set() if same else {"running_mean", "running_variance"})


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_networks_commute_with_scaling_where_the_window_moves_along(ratio: float) -> None:
    """In a window that stays, channels come and go, and the moments with them."""
    window = ScaleWindow(ScaleGroup(ratio), 2.0, 2)
    moved, size = window.transform(window.group.generator), 2 * math.ceil(22 * ratio) + 1
    norm = partial(nn.GroupNorm, groups=2)
    net = jet_network(window, depth=1, width=4, behind=(norm, nn.ReLU, partial(nn.JetConv, out_type=2), norm)).eval()
    with torch.no_grad():
        ours, theirs = net.field(and_nothing(BLOBS.sample(45, 45))), and_nothing(BLOBS.sample(size, size, factor=ratio))
        assert max(difference(ours, net.field(theirs, window=moved))) <= 10 * LIFTING  # of two norms
        assert max(difference(ours, net.field(theirs), move=1)) > 1e-2  # the control


def test_moments_of_half_precision_are_those_of_float32() -> None:
    """Of values about 100 a variance in half precision is nothing but rounding."""
    field = random_field()
    near = replace(field, maps=tuple((maps + 100).bfloat16() for maps in field.maps))
    layer = nn.GroupNorm(SCALARS, 1)
    exact = layer(replace(near, maps=tuple(maps.float() for maps in near.maps)))
    result = layer(near)
    assert {maps.dtype for maps in result.maps} == {torch.bfloat16}
    assert all(same_bits(a.float(), b.bfloat16().float()) for a, b in zip(result.maps, exact.maps, strict=True))


def test_groups_hold_orbits_whole() -> None:
    """Statistics of a part of an orbit would change with rotations (test_rotation.py)."""
    group = RotationGroup(4)
    for fields, groups in ((2 * group.regular, 2), (2 * group.regular, 1), (4 * group.trivial, 4)):
        nn.GroupNorm(FieldType.rotating(fields), groups)
    for fields, groups in ((2 * group.regular, 4), (2 * group.regular, 8), (group.regular + 2 * group.trivial, 2)):
        with pytest.raises(ScaleGroupError, match="groups of"):
            nn.GroupNorm(FieldType.rotating(fields), groups)


def test_a_plan_holds_the_statistics_domain_in_all_channels() -> None:
    net = maps_net(partial(nn.GroupNorm, groups=1), nn.ReadOut, window=ScaleWindow(ScaleGroup(2), 1.0, 3), jets=1)
    step = net.plan((5, 5)).steps[1]
    domain = net[2].domain(step.grids.canvas())
    assert step.grids.contains(domain)
    assert not step.grids.contains(domain.map(lambda grid: grid.dilated(1)))
