"""Residual blocks, separable jets and fields of view: what they are made of, and the networks made of them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from proofs_tests.comparison import ROUNDING
from proofs_tests.networks import difference
from scalegroup import (
    Attention,
    Background,
    CentrePixel,
    FieldType,
    Jet,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    functional,
    nn,
)
from scalegroup.models import (
    RESNET_PRESETS,
    Architecture,
    gaussian_derivative_net,
    gaussian_derivative_resnet,
    save_trained,
)
from scalegroup.models.gaussian_derivative_resnet import gaussian_derivative_resnet as documented

WINDOW = ScaleWindow(ScaleGroup(2**0.5), 2.0, 3)
SMALL: dict[str, Any] = {"widths": (4, 4, 6), "window": WINDOW, "r": 1.3}


def lifted(*, size: int = 129, channels: int = 2, seed: int = 0) -> ScaleField:
    images = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.lift(images, WINDOW)


def noisy(layer: nn.Layer) -> nn.Layer:
    """In float64, with statistics, weights and offsets that hide nothing."""
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in [*layer.parameters(), *(b for n, b in layer.named_buffers() if n.endswith("running_mean"))]:
            tensor.add_(0.3 * torch.randn_like(tensor))
    return layer.double().eval()


def resnet(**parts: Any) -> nn.Sequential:
    torch.manual_seed(0)
    net = gaussian_derivative_resnet(**SMALL | parts)
    noisy(net)
    return net


def images(size: int = 33) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# -- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("out", [2, 5])
def test_a_block_is_what_its_layers_give_one_after_the_other(strides: tuple[int, int], out: int) -> None:
    field = lifted()
    block = noisy(nn.ResidualBlock(field.type, out, betas=(1.2, 1.5), strides=strides))
    (first, norm, theta, second, other_norm), around = block[0].within[0], block[0].within[1]
    body = other_norm(second(theta(norm(first(field)))))
    passed = field
    for stride in strides:
        passed = nn.Subsample(field.type)(passed) if stride == 2 else passed
    mixed = around[-1](passed) if out != field.type.size else passed
    by_hand = [
        torch.relu(body.channel(n) + grid.crop(mixed.channel(n), body.grids.grids[n]))
        for n, grid in enumerate(mixed.grids.grids)
    ]
    found = block(field)
    assert [layer.beta for layer in (first, second)] == [1.2, 1.5]
    assert all(torch.equal(found.channel(n), values) for n, values in enumerate(by_hand))
    with torch.no_grad():
        second.offset.add_(1e-6)  # the control
    changed = block(field)
    assert not any(torch.equal(changed.channel(n), values) for n, values in enumerate(by_hand))


def test_a_block_that_keeps_the_features_has_no_weights_around_it() -> None:
    type = FieldType.scalars(4)
    assert not list(nn.ResidualBlock(type, 4)[0].within[1].parameters())
    assert list(nn.ResidualBlock(type, 5)[0].within[1].parameters())  # the control


def test_separable_jets_are_jets_of_coefficients_that_are_products() -> None:
    field, options = lifted(channels=3), {"beta": 1.2, "jet": Jet(3, zero=True)}
    separable = noisy(nn.SeparableJetConv(field.type, 5, **options))
    depthwise, mix = separable
    whole = nn.JetConv(field.type, 5, **options).double()
    with torch.no_grad():
        whole.coefficients.copy_(mix.weight[..., 0] * depthwise.coefficients[:, 0])
        whole.offset.copy_(mix.weight[..., 0, 0] @ depthwise.offset)
        ours, theirs = separable(field), whole(field)
        assert max(difference(ours, theirs)) <= ROUNDING[torch.float64]
        whole.coefficients[0, 0, 0] += 1e-6  # the control
        assert max(difference(ours, whole(field))) > 100 * ROUNDING[torch.float64]


def test_a_mix_is_one_matrix_at_every_place_of_every_scale_channel() -> None:
    field = lifted(channels=3)
    mix = noisy(nn.Mix(field.type, 5))
    mixed = mix(field)
    for n in range(WINDOW.channels):
        seen = field.channel(n)
        by_hand = torch.stack([sum(mix.weight[o, i, 0, 0] * seen[:, i] for i in range(3)) for o in range(5)], dim=1)
        error = (mixed.channel(n) - by_hand).abs().max()
        assert error <= ROUNDING[torch.float64] * by_hand.abs().max()
        assert (mixed.channel(n) - by_hand.flip(1)).abs().max() > 0.1  # the control


# -- field of view ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", range(WINDOW.channels))
def test_a_channel_sees_what_lies_within_its_field_of_view_and_nothing_else(channel: int) -> None:
    view, sigma = 6.0, WINDOW.sigmas[channel]
    net = resnet(field_of_view=view)[:-1]  # before the pooling over scale
    one, other = images(161), images(161)
    far = (torch.arange(161) - 80).abs() > view * sigma + 12 * sigma  # and what the lifting looks at
    other[:, :, far] = 0.0
    other[:, :, :, far] = 0.0
    score, same = (net(pictures, wanted=None).channel(channel) for pictures in (one, other))
    kept = math.exp(-((0.9 * WINDOW.sigmas[0] * math.pi) ** 2) / 2)  # at the band limit: what the lifting's tails hold
    assert (score - same).abs().max() <= kept * score.abs().max()
    other[:, :, 80, 80 + round(sigma)] += 1.0  # the control
    assert (score - net(other).channel(channel)).abs().max() > 1e-3 * score.abs().max()


def test_a_field_of_view_as_wide_as_all_layers_reach_changes_nothing() -> None:
    whole, narrow, wide = (resnet(field_of_view=view)(images()) for view in (None, 4.0, 200.0))
    assert (wide - whole).abs().max() <= ROUNDING[torch.float64] * whole.abs().max()
    assert (narrow - whole).abs().max() > 1e-3 * whole.abs().max()  # the control


def test_a_field_of_view_gives_what_is_at_its_border_beyond_it() -> None:
    field = lifted()
    view = nn.FieldOfView(field.type, 5.0)(field)
    assert len({grid.shape for grid in view.grids.grids}) == 1
    wider = view.crop(field.grids.map(lambda grid: grid.around(9.0)))
    assert all(torch.equal(wider.channel(n)[..., 0, :], wider.channel(n)[..., 3, :]) for n in range(3))
    with pytest.raises(ScaleGroupError):  # the control: of a field without one nothing is known there
        field.crop(field.grids.map(lambda grid: grid.dilated(1)))


def test_a_field_of_view_costs_what_it_shows() -> None:
    costs = [resnet(field_of_view=view).plan((129, 129)).multiply_adds for view in (4.0, 8.0, 16.0, None)]
    assert costs == sorted(set(costs))
    sizes = {resnet(field_of_view=8.0).plan((size, size)).steps[3].grids.grids for size in (65, 257)}
    assert len(sizes) == 1  # of any image


# -- networks ---------------------------------------------------------------------------------------------------------


def test_presets_have_as_many_weights_as_is_written_of_them() -> None:
    text = documented.__doc__ or ""
    rows = [line.split("|") for line in text.splitlines() if line.strip().startswith('| `"')]
    told = {row[1].split('"')[1]: int(row[5].replace(" ", "")) for row in rows}
    assert told == {name: gaussian_derivative_resnet(name).parameter_count for name in RESNET_PRESETS}


@pytest.mark.parametrize(
    "parts",
    [
        {"residual": True},
        {"separable": True},
        {"residual": True, "separable": True, "neighbours": 1},
        {"residual": True, "field_of_view": 9.0},
        {"residual": True, "rotations": 4, "widths": (4, 4)},
    ],
)
def test_every_network_can_be_told_and_made_again(parts: dict[str, Any]) -> None:
    architecture = gaussian_derivative_net(**SMALL | parts).architecture
    again = Architecture.told(architecture.tell())
    assert again == architecture
    assert repr(gaussian_derivative_net(**SMALL | parts)) == repr(type(gaussian_derivative_net())(again))
    assert Architecture.told(architecture.tell() | {"r": 1.4}) != architecture  # the control


def test_a_saved_network_of_blocks_comes_back_with_all_its_parts(tmp_path: Path) -> None:
    parts = {"samples_per_sigma": 1.0, "pooling": Attention(), "readout": SpatialMax(), "neighbours": 1, "dropout": 0.1}
    net = resnet(preset="separable_small", **parts).float()
    save_trained(net, tmp_path / "net.safetensors")
    loaded = gaussian_derivative_resnet(weights=tmp_path / "net.safetensors")
    pictures = images().float()
    assert loaded.architecture == net.architecture
    assert torch.equal(loaded(pictures), net(pictures))
    finer = gaussian_derivative_resnet(weights=tmp_path / "net.safetensors", sigma0=1.0)
    assert finer.window.sigmas[0] == 1.0
    assert not torch.equal(finer(pictures), net(pictures))  # the control


def test_a_read_out_that_looks_anywhere_leaves_the_field_of_view_of_a_preset_out() -> None:
    usual, anywhere = (gaussian_derivative_resnet(readout=of).architecture for of in (CentrePixel(), SpatialMax()))
    assert (usual.field_of_view, anywhere.field_of_view) == (24.0, None)
    moved = []
    for readout in (SpatialMax(), CentrePixel()):
        net = resnet(readout=readout, window=ScaleWindow(ScaleGroup(2**0.5), 0.5, 1), widths=(4, 4))
        pictures = torch.zeros(2, 3, 65, 65, dtype=torch.float64)
        pictures[1, :, 54:60, 54:60] = 5.0  # twice as far from the middle as the view reaches at σ₀ = ½
        before, behind = net(pictures)
        moved.append((behind - before).abs().max())
    assert moved[0] > 0.01
    assert moved[1] < 1e-3 * moved[0]  # the control


def test_jet_layers_have_the_growing_scales_of_the_paper() -> None:
    net = resnet(neighbours=1)
    betas = [layer.beta for layer in net.modules() if isinstance(layer, nn.JetConv)]
    assert betas == [1.3**k for k in range(6)]  # eq 13: one for the first width, two for each other, the last


def test_scale_interaction_sees_neighbours_alone() -> None:
    net = resnet(neighbours=1)[:-1]
    assert net.across_scale == 1
    assert resnet()[:-1].across_scale == 0  # the control


def test_a_network_of_blocks_is_the_same_on_other_scale_channels() -> None:
    net = resnet(boundary=Background(0.0))
    moved = WINDOW.transform(WINDOW.group.element(1))
    scores = net[:-1](images(), window=moved)
    direct = resnet(boundary=Background(0.0), window=moved)[:-1](images())
    assert all(torch.equal(scores.channel(n), direct.channel(n)) for n in range(3))
    unmoved = resnet(boundary=Background(0.0))[:-1](images())
    assert not torch.equal(scores.channel(0), unmoved.channel(0))  # the control


@pytest.mark.parametrize(
    ("parts", "got"),
    [
        ({"residual": 1}, "residual"),
        ({"neighbours": -1}, "neighbours"),
        ({"field_of_view": 0.0}, "field_of_view"),
        ({"separable": True, "rotations": 4, "widths": (4, 4)}, "separable"),
        ({"neighbours": 1, "rotations": 4, "widths": (4, 4), "residual": False}, "neighbours"),
        ({"residual": True, "rotations": 4, "widths": (4, 8)}, "mixing"),
        ({"field_of_view": 9.0, "readout": SpatialMax()}, "field_of_view 9 with SpatialMax"),
        ({"preset": "small", "weights": "mnist-large-scale-5k"}, "preset 'small'"),
        ({"preset": "huge"}, "preset 'huge'"),
    ],
)
def test_what_cannot_be_built_is_refused(parts: dict[str, Any], got: str) -> None:
    with pytest.raises(ScaleGroupError, match=got):
        gaussian_derivative_resnet(**SMALL | parts)


def test_blocks_need_as_many_strides_as_betas() -> None:
    with pytest.raises(ScaleGroupError, match="2 betas and 1 strides"):
        nn.ResidualBlock(FieldType.scalars(2), 2, betas=(1.0, 1.2), strides=(1,))
