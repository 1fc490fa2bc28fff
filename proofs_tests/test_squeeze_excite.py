"""Squeeze and excitation is its slow reference, and local: a mean over the picture keeps none of its laws."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from proofs_tests import slow_reference as slow
from proofs_tests.comparison import ROUNDING
from scalegroup import (
    DiscreteGaussian,
    FieldType,
    IntegratedGaussian,
    Iso,
    Jet,
    Kernel,
    SampledDerivatives,
    SampledGaussian,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    nn,
)
from scalegroup.fields.grid import Grid, Grids
from scalegroup.testing import layer_laws

TOLERANCE = ROUNDING[torch.float64]
TYPE = FieldType.scalars(4)
KERNELS: dict[str, Kernel] = {
    "discrete": DiscreteGaussian(tail=1e-3),
    "sampled": SampledGaussian(tail=1e-3),
    "integrated": IntegratedGaussian(tail=1e-3),
    "derivatives": SampledDerivatives(tail=1e-3),
    "iso": Iso(tail=1e-3),
}


def layer_of(type_: FieldType = TYPE, **options: object) -> nn.SqueezeExcite:
    torch.manual_seed(0)
    layer = nn.SqueezeExcite(type_, **{"reduction": 2} | options).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))
    return layer


def field_of(maps: Tensor, type_: FieldType = TYPE) -> ScaleField:
    """In one scale channel, of a sample per σ₀."""
    return ScaleField.of(maps[:, :, None], type_, ScaleWindow(ScaleGroup(2), 1.0, 1))


def random(*size: int, images: int = 2, features: int = 4) -> Tensor:
    """Features of different means: there is something to see in an average."""
    noise = torch.randn(images, features, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return noise + torch.linspace(-1, 1, features)[:, None, None] * torch.linspace(0, 2, size[1])


# -- what it is --------------------------------------------------------------------------------------------------------


def reference(layer: nn.SqueezeExcite, maps: Tensor, name: str, sigma: float, average: Tensor | None = None) -> Tensor:
    """On maps of as many samples, of which the inner ones do not see the border."""
    squeeze, squeeze_offset, excite, excite_offset = (parameter.detach().numpy() for parameter in layer.parameters())
    radius = layer.kernel.taps(sigma, 0.0, Jet(0, zero=True)).shape[-1] // 2
    given = None if average is None else average.expand_as(maps).numpy()
    weights, offsets = (squeeze, excite), (squeeze_offset, excite_offset)
    return torch.from_numpy(slow.squeeze_excite(maps.numpy(), weights, offsets, sigma, name, radius, given))


@pytest.mark.parametrize("smoothed", [0.0, 0.9])
@pytest.mark.parametrize("name", KERNELS)
def test_layer_is_the_slow_reference(name: str, smoothed: float) -> None:
    """Behind a lifting, which has smoothed already, what is left of σ."""
    type_ = FieldType.scalars(4, smoothed=smoothed)
    layer, maps = layer_of(type_, width=1.5, kernel=KERNELS[name]), random(19, 17, images=1)
    result = layer(field_of(maps, type_)).channel(0)
    reach = (maps.shape[2] - result.shape[2]) // 2
    left = float(np.sqrt(1.5**2 - smoothed**2))

    def error(expected: Tensor) -> float:
        return (result - expected[..., reach:-reach, reach:-reach]).abs().max().item()

    assert error(reference(layer, maps, name, left)) <= 10 * TOLERANCE  # values to ten
    # the controls: another width; the mean over the picture; nothing but the place itself
    assert error(reference(layer, maps, name, left * 0.9)) > 1e-3
    assert error(reference(layer, maps, name, left, maps.mean((2, 3), keepdim=True))) > 1e-2
    assert error(reference(layer, maps, name, left, maps)) > 1e-2


def test_twice_sigma0_is_looked_at_by_default_and_a_quarter_of_the_features_in_the_middle() -> None:
    layer = nn.SqueezeExcite(FieldType.scalars(9))
    assert (layer.width, layer.reduction, layer.squeeze.shape) == (2.0, 4, (2, 9))
    assert nn.SqueezeExcite(FieldType.scalars(3)).squeeze.shape == (1, 3)  # never none
    assert layer.reach(2.0) == layer.kernel.reach(4.0, 0.0, Jet(0, zero=True)) > layer.reach(1.0)


def test_multiply_adds_are_those_of_the_average_and_the_two_maps() -> None:
    layer, wanted = layer_of(), field_of(random(9, 9)).grids.grids[0]
    taps, rows, columns, size, hidden = 2 * layer.reach(1.0) + 1, *wanted.shape, 4, 2
    average = size * (taps * rows * (columns + taps - 1) + taps * rows * columns)
    assert layer.multiply_adds(wanted) == average + (2 * hidden + 1) * size * rows * columns


# -- what a mean over the picture is not -------------------------------------------------------------------------------


class OfThePicture(nn.Layer):
    """The control: the squeeze of Hu et al., one mean for each picture and scale channel."""

    def __init__(self, type_: FieldType) -> None:
        super().__init__(type_, type_)
        self.gate = nn.SqueezeExcite(type_, reduction=1)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        return wanted.map(Grid.union, canvas)

    def forward(self, field: ScaleField) -> ScaleField:
        self.check_input(field)
        pictures = field.crop(field.grids.canvas().map(Grid.intersection, field.grids))
        channels = [self._gated(field.channel(n), pictures.channel(n)) for n in range(len(field.grids.grids))]
        return replace(field, maps=tuple(channels), live=None)

    def _gated(self, maps: Tensor, picture: Tensor) -> Tensor:
        hidden = picture.mean((2, 3)) @ self.gate.squeeze.T + self.gate.squeeze_offset
        gates = (hidden.relu() @ self.gate.excite.T + self.gate.excite_offset).sigmoid()
        return maps * gates[..., None, None]


LOCAL = partial(nn.SqueezeExcite, reduction=1)
every_gate = pytest.mark.parametrize(("make", "local"), [(LOCAL, True), (OfThePicture, False)], ids=["local", "mean"])


@every_gate
def test_gates_of_the_surroundings_commute_with_scaling_and_those_of_the_picture_do_not(make, local: bool) -> None:
    law = layer_laws(make, TYPE)["commutes with scaling"]
    if local:
        law()
        return
    with pytest.raises(AssertionError, match="of the signal"):
        law()


@every_gate
def test_gates_of_the_surroundings_commute_with_translations_and_those_of_the_picture_do_not(make, local: bool) -> None:
    """By whole samples, of pictures that are cut out of a larger one."""
    torch.manual_seed(0)
    layer, world = make(TYPE).double(), random(31, 31)
    one, moved = (layer(field_of(part)).channel(0) for part in (world[..., :-2, :-3], world[..., 2:, 3:]))
    error = (one[..., 2:, 3:] - moved[..., :-2, :-3]).abs().max()
    assert error <= TOLERANCE if local else error > 1e-3
