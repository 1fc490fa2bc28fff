"""Dropout leaves out whole features: in all scale channels and at all places alike, so that it commutes with both."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.comparison import ROUNDING, same_bits
from scalegroup import Background, Dense, FieldType, RotationGroup, ScaleField, ScaleGroup, ScaleWindow, nn
from scalegroup.nn import checkpointing

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, 1.0, 4)
C4 = RotationGroup(4)
TYPE = FieldType.scalars(6)
TURNING = FieldType.rotating(2 * C4.regular + 3 * C4.trivial)
every_type = pytest.mark.parametrize("type_", [TYPE, TURNING], ids=["features", "rotating fields"])


def random_field(type_: FieldType = TYPE, batch: int = 5) -> ScaleField:
    generator = torch.Generator().manual_seed(1)
    tensor = torch.randn(batch, type_.size, WINDOW.channels, 9, 7, dtype=torch.float64, generator=generator)
    return ScaleField.of(tensor, type_, WINDOW)


def on_equal_grids(field: ScaleField) -> ScaleField:
    """The same values, all scale channels in one run, as on self-similar grids."""
    grids = field.grids.map(lambda grid: type(grid)(grid.y, grid.x, 1.0))
    return ScaleField((torch.cat(field.maps),), field.type, field.window, grids)


def drawn(call: Callable[[], Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return call()


def same(one: ScaleField, other: ScaleField) -> bool:
    assert (one.window, one.grids, one.type) == (other.window, other.grids, other.type)
    return all(map(same_bits, one.maps, other.maps))


class PerPlace(nn.Dropout):
    """The control: another mask at every place."""

    def forward(self, field: ScaleField) -> ScaleField:
        return field.on_runs(lambda run: F.dropout(run.maps, self.p))


class PerChannel(nn.Dropout):
    """The control: another mask in every scale channel."""

    def forward(self, field: ScaleField) -> ScaleField:
        return field.on_runs(lambda run: F.dropout2d(run.maps, self.p))


# -- what it commutes with --------------------------------------------------------------------------------------------


def part(field: ScaleField) -> ScaleField:
    return field.crop(field.grids.map(lambda grid: grid.dilated(-2)))


def coarser(field: ScaleField) -> ScaleField:
    return field.restrict(WINDOW.select(2, 4))


def relabelled(field: ScaleField) -> ScaleField:
    return field.transform(G.element(3))


@every_type
@pytest.mark.parametrize("grids", [lambda field: field, on_equal_grids], ids=["runs of one", "one run"])
@pytest.mark.parametrize("action", [relabelled, part, coarser])
def test_dropout_commutes_with_scaling_and_with_taking_parts_in_training(
    type_: FieldType, grids: Callable[[ScaleField], ScaleField], action: Callable[[ScaleField], ScaleField]
) -> None:
    """To the bit: of all scale channels and places it leaves out the same."""
    field, layer = grids(random_field(type_)), nn.Dropout(type_, p=0.5)
    assert same(drawn(lambda: layer(action(field))), drawn(lambda: action(layer(field))))
    assert not same(layer(field), field)  # something is left out


@pytest.mark.parametrize("wrong, action", [(PerPlace, part), (PerPlace, coarser), (PerChannel, coarser)])
def test_other_masks_at_other_places_or_scales_do_not(
    wrong: type[nn.Dropout], action: Callable[[ScaleField], ScaleField]
) -> None:
    field, layer = random_field(), wrong(TYPE, p=0.5)
    assert not same(drawn(lambda: layer(action(field))), drawn(lambda: action(layer(field))))


def test_features_that_rotations_permute_are_left_out_together() -> None:
    field = on_equal_grids(random_field(TURNING, batch=50))
    square = field.crop(field.grids.map(lambda grid: grid.intersection(grid.around(3.0))))
    layer, turn = nn.Dropout(TURNING, p=0.5), C4.element(1)
    turned, after = drawn(lambda: layer(square.rotate(turn))), drawn(lambda: layer(square).rotate(turn))
    assert torch.equal(turned.tensor, after.tensor)
    kept = layer(square).tensor.count_nonzero((2, 3, 4)) > 0
    assert (kept[:, :4].all(1) == kept[:, :4].any(1)).all()
    assert (kept[:, 4:8].all(1) == kept[:, 4:8].any(1)).all()
    assert (kept[:, 0] != kept[:, 4]).any()  # the control: two fields are not one
    assert (kept[:, 8] != kept[:, 9]).any()
    plain = nn.Dropout(FieldType.scalars(TURNING.size), p=0.5)
    free = ScaleField(square.maps, plain.in_type, square.window, square.grids)
    kept = plain(free).tensor.count_nonzero((2, 3, 4)) > 0
    assert (kept[:, :4].all(1) != kept[:, :4].any(1)).any()  # the control: features of which nothing is said


# -- what it leaves out -----------------------------------------------------------------------------------------------


def ones(batch: int, type_: FieldType = TYPE) -> ScaleField:
    return ScaleField.of(torch.ones(batch, type_.size, WINDOW.channels, 1, 1), type_, WINDOW)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@every_type
def test_the_mean_over_many_draws_is_the_input(p: float, type_: FieldType) -> None:
    """Every value is 0 or 1 / (1 - p) times what it was: of mean 1 and variance p / (1 - p)."""
    draws = 4000
    values = nn.Dropout(type_, p)(ones(draws, type_)).tensor[:, :, 0, 0, 0]
    assert values.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    tolerance = 5 * math.sqrt(p / (1 - p) / draws)  # five standard deviations of the mean
    assert (values.mean(0) - 1).abs().max() < tolerance
    assert ((1 - p) * values.mean(0) - 1).abs().min() > tolerance  # the control: not scaled up


def test_images_and_features_are_left_out_each_for_itself() -> None:
    def correlation(kept: torch.Tensor) -> torch.Tensor:
        pairs = torch.corrcoef(torch.cat([kept[:1000], kept[1000:]], 1).double().T)
        return (pairs - torch.eye(len(pairs), dtype=pairs.dtype)).abs().max()

    kept = nn.Dropout(TYPE, 0.5)(ones(2000)).tensor[:, :, 0, 0, 0] > 0
    assert correlation(kept) < 5 / math.sqrt(1000)  # of independent pairs: five standard deviations
    assert correlation(kept[:, :1].expand_as(kept)) > 0.99  # the control


def test_in_evaluation_and_with_probability_zero_it_is_the_identity() -> None:
    field = random_field()
    assert nn.Dropout(TYPE, 0.9).eval()(field) is field
    assert nn.Dropout(TYPE, 0.0)(field) is field
    assert not same(nn.Dropout(TYPE, 0.9)(field), field)  # the control


# -- within networks --------------------------------------------------------------------------------------------------


def network(dropout: Callable[[FieldType], nn.Layer], *ends: object, **options: bool) -> nn.Sequential:
    torch.manual_seed(0)
    jet = partial(nn.JetConv, out_type=3)
    layers = [nn.Lift(WINDOW, boundary=Background(0.3)), jet, nn.BatchNorm, nn.ReLU, dropout, jet, dropout]
    return nn.Sequential(*layers, *ends, **options).double().train()  # type: ignore[arg-type]


def images() -> Tensor:
    return torch.randn(3, 1, 15, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dropout, exact", [(partial(nn.Dropout, p=0.4), True), (partial(PerPlace, p=0.4), False)])
def test_a_planned_part_is_that_part_of_the_whole_in_training(dropout: Callable, exact: bool) -> None:
    """To rounding, behind batch norm and far from the image as well; a mask per place is the control."""
    net = network(dropout)
    whole = drawn(lambda: net(images()))
    wanted = whole.grids.map(lambda grid: grid.around(1.0))
    planned, cropped = drawn(lambda: net(images(), wanted=wanted)), whole.crop(wanted)
    gaps = [planned.channel(n) - cropped.channel(n) for n in range(WINDOW.channels)]
    assert (max(gap.abs().max() for gap in gaps) < ROUNDING[torch.float64]) == exact


@pytest.mark.parametrize("ends", [(nn.ReadOut,), (nn.ReadOut, nn.Dropout, nn.ScalePool, nn.Dropout)])
def test_checkpointing_draws_the_same_again(ends: tuple) -> None:
    """Scores, gradients and running statistics to the bit."""
    outcomes = []
    for again in (False, True):
        net = network(partial(nn.Dropout, p=0.4), *ends, checkpointing=again)
        result = drawn(lambda net=net: net(images()))
        maps = result if isinstance(result, Tensor) else result.tensor
        maps.square().sum().backward()
        outcomes.append([maps, *(p.grad for p in net.parameters()), *net.buffers()])
    assert all(map(same_bits, *outcomes))


def test_checkpointing_sees_the_device_of_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not the CPU its random numbers are kept only if a tensor of it is among what is handed over."""
    seen = []

    def watched(function: Callable, *arguments: object, **options: object) -> object:
        seen.append([leaf for leaf in torch.utils._pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)])
        return torch.utils.checkpoint.checkpoint(function, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpointing, "checkpoint", watched)
    network(nn.Dropout, checkpointing=True)(images())
    assert len(seen) > 2
    assert all(seen)


def test_it_draws_on_the_device_of_the_field() -> None:
    net = network(nn.Dropout, partial(nn.ReadOut, readout=Dense()), nn.ScalePool, nn.Dropout).to("meta")
    result = net(images().to("meta"))
    assert {maps.device.type for maps in result.maps} == {"meta"}
