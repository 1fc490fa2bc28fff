"""The commutative diagrams of Figures 2 and 5: scaling and then a layer is the layer and then scaling, in every layer.

Twice: for the action by relabelling, to the bit, and for two independently sampled images f(x) and f(x/S). And what the
grids make possible: all scale channels are one network, so that they run folded, or one by one, or in any window.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor

from proofs_tests.comparison import ROUNDING, assert_same_field
from proofs_tests.networks import after_a_batch, and_nothing, difference, jet_network
from scalegroup import (
    Dense,
    FieldType,
    Grids,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    functional,
    nn,
)
from scalegroup.testing.closed_form import Blobs

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, 1.0, 3)
Chain = Callable[[ScaleWindow], nn.Sequential]


def residual(type_: FieldType) -> nn.Layer:
    return nn.Residual(nn.Sequential(nn.JetConv(type_, 3), nn.BatchNorm, nn.ReLU, partial(nn.JetConv, out_type=3)))


def forked(type_: FieldType) -> nn.Layer:
    return nn.Concat(nn.JetConv(type_, 2, stride=2), nn.Sequential(nn.JetConv(type_, 1, beta=1.5), nn.Subsample))


def across(type_: FieldType) -> nn.Layer:
    return nn.ScaleConv(type_, 3, G)


READ = (nn.ReadOut, nn.ScalePool)
NETWORKS: dict[str, dict[str, Any]] = {
    "six layers": {"depth": 6, "behind": READ},
    "strides": {"depth": 4, "strides": (1, 2, 2), "r": 2**0.5, "behind": READ},
    "blocks": {"depth": 2, "behind": (residual, forked, nn.ReLU, partial(nn.Mix, out_type=4), *READ)},
    "across scale": {"depth": 2, "behind": (nn.ReLU, across, nn.ReLU, partial(nn.JetConv, out_type=2))},
    "the grid of the image": {
        "depth": 2, "grid": "image", "behind": (nn.ReLU, partial(nn.ReadOut, readout=Dense()), nn.ScalePool)
    },
}  # fmt: skip
every_network = pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
by_every_element = pytest.mark.parametrize("power", [-3, 1, 4])
in_both_modes = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


def images() -> Tensor:
    return torch.randn(2, 1, 13, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def ladder(net: nn.Sequential, field: ScaleField, start: int = 1) -> list[ScaleField]:
    """The field, and what it becomes after each layer of the net from the one numbered `start`."""
    with torch.no_grad():
        return list(accumulate(list(net)[start:], lambda field, layer: layer(field), initial=field))


def lifted(net: nn.Sequential, x: Tensor) -> ScaleField:
    """What the layers need, and a little more."""
    canvas = net[0].canvas(Grids.of_pixels(tuple(x.shape[-2:]), net.window.sigmas))
    needed = net[1:].needs(net[1:].canvas(canvas), canvas)
    return net[0](x, wanted=needed.map(lambda grid: grid.dilated(2)))


# -- by relabelling ---------------------------------------------------------------------------------------------------


@in_both_modes
@by_every_element
@every_network
def test_acting_between_any_two_layers_gives_the_same_bits(options: dict, power: int, training: bool) -> None:
    """Figure 5: every square of the ladder, and every rectangle that is made of them; Figure 2 is the first column."""
    g, net = G.element(power), jet_network(WINDOW, **options)
    fields = ladder(net.train(), lifted(net, images()))  # a batch, for statistics to use in evaluation
    net.train(training)
    fields = ladder(net, fields[0])
    assert len(fields) == len(net)
    for level in range(len(fields)):
        for scaled, field in zip(ladder(net, fields[level].transform(g), level + 1), fields[level:], strict=True):
            assert_same_field(scaled, field.transform(g))
            with pytest.raises(AssertionError):  # the control: another element
                assert_same_field(scaled, field.transform(g * G.generator))


@by_every_element
def test_moving_the_window_is_no_relabelling(power: int) -> None:
    """The control: in other channels the same image is another field."""
    net = after_a_batch(jet_network(WINDOW, depth=2, behind=READ), images())
    ours, theirs = net.field(images()), net.field(images(), window=WINDOW.transform(G.element(power)))
    assert ours.transform(G.element(power)).window == theirs.window
    assert (ours.tensor - theirs.tensor).abs().max() > 1e-2


# -- one network in all channels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "across scale"])
def test_folded_channels_are_the_channels_one_by_one(name: str) -> None:
    """In evaluation; in training they share their statistics."""
    options = NETWORKS[name]
    net = after_a_batch(jet_network(WINDOW, **options | {"behind": options["behind"][:-1]}), images())
    together = net.field(images())
    for n in range(WINDOW.channels):
        alone, other = (net.field(images(), window=WINDOW.select(m, m + 1)) for m in (n, (n + 1) % 3))
        assert (alone.channel(0) - together.channel(n)).abs().max() <= ROUNDING[torch.float64]
        assert (other.channel(0) - together.channel(n)).abs().max() > 1e-3  # the control


@pytest.mark.parametrize(("grid", "same"), [("self-similar", True), ("image", False)])
def test_samples_exchanged_between_channels_come_out_exchanged(grid: str, same: bool) -> None:
    """Every channel applies the same function to its samples; the image's own grid is the control."""
    net, order = after_a_batch(jet_network(WINDOW, depth=2, grid=grid), images()), [2, 0, 1]
    field = lifted(net, images())
    field = net[0](images(), wanted=field.grids.map(lambda g: g.around(25)))
    channels = [field.channel(n) for n in order]
    exchanged = replace(field, maps=(torch.cat(channels),) if len(field.maps) == 1 else tuple(channels))
    ours, theirs = (centre(net[1:](part)) for part in (field, exchanged))
    assert ((ours[..., order] - theirs).abs().max() <= ROUNDING[torch.float64]) == same


def centre(field: ScaleField) -> Tensor:
    """`[image, feature, scale]`."""
    maps = [field.channel(n) for n in range(len(field.grids.grids))]
    return torch.stack([m[..., m.shape[-2] // 2, m.shape[-1] // 2] for m in maps], dim=2)


# -- two images, each sampled from its closed form --------------------------------------------------------------------

SIGMAS = ScaleWindow(G, 2.0, 4)
TOLERANCE = 1e-9  # of the signal, as in the theorem
Twice = tuple[list[ScaleField], list[ScaleField]]


@pytest.fixture(scope="module")
def sampled_twice() -> Twice:
    """The ladders of two objects and of the same objects scaled by √2, with ReLU and the paper's kernels."""
    net = jet_network(SIGMAS, depth=6)
    blobs = Blobs.random(3, 4, widths=(1.5, 2.0), extent=4, generator=torch.Generator().manual_seed(3))
    x, y = and_nothing(blobs.sample(41, 41)), and_nothing(blobs.sample(57, 57, factor=2**0.5))
    region = net[0].sampling.canvas((9, 9), SIGMAS.sigmas)

    def fields(images: Tensor) -> list[ScaleField]:
        canvas = Grids.of_pixels(tuple(images.shape[-2:]), SIGMAS.sigmas)
        grids = replace(region, size=canvas.size).map(lambda grid: grid.around(38))
        return ladder(net, net[0](images, wanted=grids))

    fields(x)
    net.eval()
    return fields(x), fields(y)


def test_every_layer_sees_the_scaled_object_in_the_channel_that_moved_along(sampled_twice: Twice) -> None:
    """Figure 5 and eq 15-18, on the plane and with ReLU: F'_k(Sx; Sσ_k) = F_k(x; σ_k) in all samples."""
    assert len(sampled_twice[0]) == 1 + 6 + 2 * 5
    for ours, theirs in zip(*sampled_twice, strict=True):
        assert max(difference(ours, theirs, move=1)) <= TOLERANCE
        assert min(difference(ours, theirs)) > 1e-2  # the control: the channel that stayed


def test_maximum_over_scale_is_the_same_in_every_layer(sampled_twice: Twice) -> None:
    """Figure 5 with eq 21 on top: the scaled object has the same values over scale (eq 22 and 23), moved along."""
    for ours, theirs in zip(*(map(centre, ladder) for ladder in sampled_twice), strict=True):
        moved, lost = theirs[..., 1:].amax(2), theirs[..., 2:].amax(2)
        expected = ours[..., :-1].amax(2)
        signal = (expected - expected[-1])[:-1].norm()
        assert (moved - expected)[:-1].norm() <= TOLERANCE * signal
        assert (lost - expected)[:-1].norm() > 1e-3 * signal  # the control: the finest channel is lost


def test_selected_scale_moves_with_the_object_in_every_layer(sampled_twice: Twice) -> None:
    """S·argmax F = argmax F' over σ₀, for every feature of every object apart."""
    fine, coarse = SIGMAS.select(0, 3), SIGMAS.select(1, 4)
    seen = set()

    def selected(values: Tensor, window: ScaleWindow) -> Tensor:
        return functional.select_scale(values[:-1].flatten(0, 1)[:, None], window)

    for ours, theirs in list(zip(*(map(centre, ladder) for ladder in sampled_twice), strict=True))[1::3]:
        expected = 2**0.5 * selected(ours[..., :-1], fine)
        torch.testing.assert_close(selected(theirs[..., 1:], coarse), expected, rtol=1e-12, atol=0)
        assert not (selected(theirs[..., 1:].roll(1, 2), coarse) == expected).any()  # the control: channels off by one
        seen |= set(expected.tolist())
    assert len(seen) == 3
