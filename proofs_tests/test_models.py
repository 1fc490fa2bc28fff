"""The networks of the paper: what their keywords do, what their methods say of each other, that they travel."""

import copy
import io
import math
import pickle
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from proofs_tests.comparison import ROUNDING, same_bits
from scalegroup import (
    SAMPLES_PER_SIGMA,
    Attention,
    Background,
    CentrePixel,
    Dense,
    DiscreteGaussian,
    IntegratedGaussian,
    Jet,
    LogSumExp,
    Max,
    Mean,
    Reflect,
    Replicate,
    SampledDerivatives,
    SampledLifting,
    ScaleField,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    SpatialMean,
    TopK,
    Zero,
    nn,
)
from scalegroup.fields.grid import Grids
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.models.architecture import MIN_GRID_SIGMA, MIN_GRID_SIGMA_ANYWHERE
from scalegroup.testing.networks import chain_of

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, sigma0=1.0, channels=3)
TINY: dict[str, Any] = {"widths": (3, 4), "num_classes": 5, "window": WINDOW}
PRESETS = ("single_scale", "multi_scale", "larger")


def build(seed: int = 0, **options: Any) -> GaussianDerivativeNet:
    """A net from a seed, in float64 and evaluation mode."""
    torch.manual_seed(seed)
    return gaussian_derivative_net(**options).double().eval()


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape or (2, 1, 41, 41), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def jet_layers(net: GaussianDerivativeNet) -> list[nn.JetConv]:
    return [layer for layer in net if isinstance(layer, nn.JetConv)]


# -- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "paper", "real"),
    [("single_scale", 15864, 13608), ("multi_scale", 24264, 20674), ("larger", 38496, 32642)],
)
def test_parameter_counts_are_those_of_the_paper_and_the_real_ones(preset: str, paper: int, real: int) -> None:
    """Ten classes; the paper counts six per pair (C₀ among them) and no batch norm."""
    net = gaussian_derivative_net(preset)
    assert net.paper_parameter_count == paper
    assert net.parameter_count == real == sum(value.numel() for value in net.parameters())
    widths = [1, *(layer.offset.numel() for layer in jet_layers(net))]
    pairs = sum(before * after for before, after in pairwise(widths))
    assert (paper, real) == (6 * pairs, 5 * pairs + sum(widths[1:]) + 2 * sum(widths[1:-1]))
    assert f"{real} parameters ({paper} as the paper counts)" in repr(net)
    assert gaussian_derivative_net(preset, num_classes=11).paper_parameter_count == paper + 6 * 64  # control


@pytest.mark.parametrize("preset", PRESETS)
def test_sigma_grows_by_r_from_layer_to_layer(preset: str) -> None:
    """Eq 13, σ_k = r^(k-1)·σ₀, in all scale channels; eq 14, the windows of §5 and §6."""
    for r in (1.25, 1.0, 1.5):
        net = gaussian_derivative_net(preset, r=r)
        assert [layer.beta for layer in jet_layers(net)] == pytest.approx([r**k for k in range(6)], rel=1e-15)
    assert gaussian_derivative_net(preset).window.sigmas == pytest.approx(
        [0.9] if preset == "single_scale" else [2 ** (i / 2) for i in range(-1, 7)]
    )


def transfer(sigma: float, smoothed: float, frequency: float) -> float:
    """What a 2-jet layer of Cxx = 1 makes of a wave along x: ½σ²·δxx of it, smoothed by the rest of T(n; σ²)."""
    fall = 1 - math.cos(frequency)
    return -(sigma**2) * fall * math.exp(-(sigma**2 - smoothed**2) * fall)


# parts of a network, and the strides of its layers by hand
GRIDS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "the preset's": ({}, (1, 2, 1, 1, 1, 1)),
    "another r": ({"r": 1.5, "samples_per_sigma": 1.0, "min_grid_sigma": 1.1}, (1, 2, 1, 2, 1, 1)),
    "one grid": ({"r": 1.1, "samples_per_sigma": 2.0, "min_grid_sigma": None}, (1, 1, 1, 1, 1, 1)),
}


def gains(net: GaussianDerivativeNet, wave: float) -> list[Tensor]:
    """By how much each 2-jet layer multiplies a wave along x, at the centre of each scale channel."""
    canvas = net[0].canvas(Grids.of_pixels((9, 9), net.window.sigmas))
    needed = net[1:].needs(net[1:].canvas(canvas), canvas)
    (grid,) = set(needed.grids)
    maps = torch.cos(wave * torch.from_numpy(grid.x.positions).double()).expand(len(needed.grids), 1, *grid.shape)
    field, values, found = ScaleField((maps,), net[0].out_type, net.window, needed), torch.ones(1), []
    for layer in net[1:-2]:
        before = values
        field = layer(field)
        values = field.grids.grids[0].crop(field.maps[0], field.grids.grids[0].around(0.0)).flatten()
        found += [values / before] if layer in jet_layers(net) else []
    return found


@pytest.mark.parametrize(("parts", "strides"), GRIDS.values(), ids=GRIDS)
def test_layers_smooth_and_normalise_by_sigmas_that_grow_by_r(parts: dict, strides: tuple[int, ...]) -> None:
    """Eq 13 as the maps have it, on finer and coarser grids: layer after layer, waves are damped as σ_k says.

    All layers have one feature and Cxx alone, and nothing else does anything. σ_k is r^(k-1)·σ₀, in samples of the grid
    that the layer looks at; they are twice as far apart behind every stride.
    """
    options: dict[str, Any] = {
        "kernel": DiscreteGaussian(tail=1e-14),
        "window": WINDOW,
        "activation": lambda maps: maps,
    }
    net = build(widths=(1,) * 5, num_classes=1, **options | parts)
    g, r = parts.get("samples_per_sigma", SAMPLES_PER_SIGMA), parts.get("r", 1.25)
    with torch.no_grad():
        for layer in jet_layers(net):
            layer.coefficients.copy_(torch.tensor([0.0, 0, 1, 0, 0]))
        for layer in net:
            if isinstance(layer, nn.BatchNorm):
                layer.running_variance.fill_(1 - layer.eps)
        found = {wave: gains(net, wave) for wave in (0.3, 0.6)}
    spacing, smoothed = 1, net[0].sampling.smoothed
    for k, stride in enumerate(strides):
        sigma, wrong = r**k * g / spacing, []
        for wave, measured in found.items():
            of = partial(transfer, smoothed=smoothed * g if k == 0 else 0.0, frequency=wave * spacing)
            assert measured[k].tolist() == pytest.approx([of(sigma)] * 3, rel=ROUNDING[torch.float64], abs=0)
            wrong.append([abs(of(slip * sigma) / of(sigma) - 1) for slip in (1.01, 2.0)])
        assert min(map(max, zip(*wrong, strict=True))) > 1e-3  # the controls: σ off by 1 %, and of another grid
        spacing *= stride


def test_unknown_presets_and_clashing_keywords_are_refused() -> None:
    with pytest.raises(ScaleGroupError, match="preset 'huge'"):
        gaussian_derivative_net("huge")
    with pytest.raises(ScaleGroupError, match="both window and sigma0"):
        gaussian_derivative_net(window=WINDOW, sigma0=2.0)
    for wrong in ({"r": 0.0}, {"widths": (3, 0)}, {"num_classes": 0}, {"in_channels": 0}, {"min_grid_sigma": -1.0}):
        with pytest.raises(ScaleGroupError):
            gaussian_derivative_net(**wrong)  # type: ignore[arg-type]


# -- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", [CentrePixel(), SpatialMax(), SpatialMean(), Dense()], ids=repr)
@pytest.mark.parametrize("pooling", [Max(), Mean(), LogSumExp(0.5), TopK(2), Attention()], ids=repr)
def test_forward_is_the_pooling_of_the_scale_logits(pooling: Any, readout: Any) -> None:
    net, x = build(**TINY, pooling=pooling, readout=readout), images(2, 1, 21, 20)
    learnt = list(net[-1].parameters())
    for weight in learnt:  # of attention, which begins as the mean
        torch.nn.init.normal_(weight)
    space = (21, 20) if isinstance(readout, Dense) else ()
    scores, logits, (predicted, sigma) = net(x), net.scale_logits(x), net.predict(x)
    assert scores.shape == (2, 5, *space)
    assert logits.shape == (2, 5, 3, *space)
    assert sigma.shape == (2, *space)
    expected = net[-1].reduction.reduce(logits, 2).squeeze(2)
    assert (scores - expected).abs().max() <= (ROUNDING[torch.float64] if learnt else 0)  # sums of another layout
    assert not learnt or not torch.equal(scores, Mean().reduce(logits, 2).squeeze(2))
    assert torch.equal(scores, predicted)
    assert torch.equal(sigma, net.select_scale(x))
    # the scale channel in which the predicted class scores highest, one position after the other
    flat, classes = logits.flatten(3) if space else logits[..., None], scores.flatten(2) if space else scores[..., None]
    for b in range(2):
        for position in range(flat.shape[3]):
            of_class = flat[b, classes[b, :, position].argmax(), :, position]
            assert sigma[b].flatten()[position] == WINDOW.sigmas[int(of_class.argmax())]


def test_selected_scales_differ_between_images() -> None:
    """Control of the above: it is not one σ₀ for all."""
    assert len(set(build(**TINY).select_scale(images(32, 1, 21, 21)).tolist())) == 3


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.sampled_from([None, 0.3]))
def test_every_image_size_gives_finite_scores(height: int, width: int, channels: int, least: float | None) -> None:
    net = build(**TINY, in_channels=channels, min_grid_sigma=least)
    scores = net(images(2, channels, height, width))
    assert scores.shape == (2, 5)
    assert scores.isfinite().all()
    assert net.train()(images(2, channels, height, width)).isfinite().all()


def test_wrong_images_are_refused() -> None:
    net = build(**TINY, in_channels=3)
    for wrong, message in (
        (images(2, 1, 21, 21), "1 channels"),
        (images(3, 21, 21), "four axes"),
        (images(2, 3, 21, 21).long(), "floating point"),
        (images(2, 3, 21, 21) * torch.nan, "NaN"),
        (images(2, 3, 21, 21)[:0], "at least one image"),
    ):
        for method in (net, net.scale_logits, net.select_scale, net.predict, net.field):
            with pytest.raises(ScaleGroupError, match=message):
                method(wrong)


def test_colours_are_told_apart() -> None:
    net, x = build(**TINY, in_channels=3), images(2, 3, 21, 21)
    assert (net(x) - net(x[:, [1, 0, 2]])).abs().max() > 1e-3


# -- keywords ---------------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[Any, ...]] = {
    "widths": ((3, 5), (3,), (3, 4, 4)),
    "window": (replace(WINDOW, first=1), replace(WINDOW, channels=2), replace(WINDOW, group=ScaleGroup(2))),
    "r": (1.3, 1.0),
    "kernel": (DiscreteGaussian(tail=1e-6), IntegratedGaussian(tail=1e-3), SampledDerivatives(tail=1e-3)),
    "activation": (torch.nn.functional.softplus, torch.square),
    "boundary": (Background(0.0), Background(0.5), Replicate(), Zero()),
    "pooling": (Mean(), LogSumExp(), TopK(2), Attention()),
    "readout": (SpatialMax(), SpatialMean()),
    "min_grid_sigma": (0.7, 0.3),
    "samples_per_sigma": (0.6, 1.0),
    "grid": ("image",),
    "lifting": (SampledLifting(),),
    "first_offset": (-5.0,),
    "jet": (Jet(1), Jet(3), Jet(2, zero=True)),
    "residual": (True,),
    "separable": (True,),
    "neighbours": (1, 2),
    "field_of_view": (3.0,),
}


@pytest.mark.parametrize("keyword", CHANGES)
def test_every_keyword_has_its_effect(keyword: str) -> None:
    """On images of the size of the filters, where boundaries show, too."""
    x, net = images(2, 1, 15, 15), build(**TINY)
    plain = net(x)
    for value in CHANGES[keyword]:
        changed = build(**TINY | {keyword: value})(x)
        assert (changed - plain).abs().max() > 1e-4 * plain.abs().max(), value
    default = getattr(net.architecture, keyword)
    assert torch.equal(build(**TINY | {keyword: default})(x), plain)  # control


def test_dropout_stands_in_front_of_the_last_jet_and_behind_the_lifting_where_it_is_asked_for() -> None:
    kinds = nn.ScaleDropout | nn.Dropout
    assert not any(isinstance(layer, kinds) for layer in build(**TINY).modules())  # by default there is none
    net = build(**TINY, dropout=0.3, scale_dropout=2)
    chain = chain_of(net)
    places = {type(layer): number for number, layer in enumerate(chain) if isinstance(layer, kinds)}
    last = max(number for number, layer in enumerate(chain) if isinstance(layer, nn.JetConv))
    assert places == {nn.ScaleDropout: 1, nn.Dropout: last - 1}
    assert (chain[1].finest, chain[last - 1].p) == (2, 0.3)
    assert set(net.state_dict()) == set(build(**TINY).state_dict())
    x, outcomes = images(), []
    for mode in (True, False):
        net.train(mode)
        outcomes.append(torch.stack([net(x) for _ in range(4)]).std(0).max())
    assert outcomes[0] > 0.01  # by chance in training ...
    assert outcomes[1] == 0  # ... and not in evaluation


@pytest.mark.parametrize("sigma0", [1.0, 2.0, 4.0])
def test_single_scale_networks_have_the_sigma0_of_section_5(sigma0: float) -> None:
    net = build(preset="single_scale", sigma0=sigma0, widths=(3, 4))
    x = images(2, 1, 61, 61)
    assert net.window.sigmas == (sigma0,)
    assert net.window.channels == 1
    assert net.select_scale(x).tolist() == [sigma0, sigma0]
    assert torch.equal(net(x), net.scale_logits(x)[..., 0])
    assert (net(x) - build(preset="single_scale", widths=(3, 4))(x)).abs().max() > 1e-3  # control: .9


# -- the group --------------------------------------------------------------------------------------------------------


def lifted(net: GaussianDerivativeNet, x: Tensor) -> ScaleField:
    """The field that the layers behind the lifting are given."""
    pixels, behind = Grids.of_pixels((x.shape[2], x.shape[3]), net.window.sigmas), net[1:]
    canvas = net[0].canvas(pixels)
    return net[0](x, wanted=behind.needs(behind.canvas(canvas), canvas))


def body(net: GaussianDerivativeNet, field: ScaleField) -> Tensor:
    """Everything behind the lifting, on a field."""
    return net[1:](field)


@given(st.integers(-6, 6), st.booleans(), st.sampled_from([Reflect(), Background(0.3), Zero()]))
def test_network_is_invariant_under_relabelling_bitwise(power: int, training: bool, boundary: Any) -> None:
    """The scaled image, sampled as coarsely as it was scaled, is the same samples: all channels move, none is lost."""
    net = build(**TINY, boundary=boundary).train(training)
    field = lifted(net, images(2, 1, 21, 21))
    state = copy.deepcopy(net.state_dict())
    plain = body(net, field)
    net.load_state_dict(state)
    assert same_bits(body(net, field.transform(G.element(power))), plain)


def test_network_is_not_invariant_when_only_the_pixels_move() -> None:
    """Control: the same samples with another σ in samples of the grid."""
    net = build(**TINY)
    field = lifted(net, images(2, 1, 41, 41))
    coarser = field.grids.map(lambda grid: replace(grid, samples_per_sigma=grid.samples_per_sigma / G.ratio))
    assert (body(net, replace(field, grids=coarser)) - body(net, field)).abs().max() > 1e-3


def test_lifted_network_is_its_forward() -> None:
    net, x = build(**TINY), images()
    assert (body(net, lifted(net, x)) - net(x)).abs().max() <= 1e-12


# -- travelling -------------------------------------------------------------------------------------------------------


def trained(**options: Any) -> GaussianDerivativeNet:
    """Three steps of training, so that no parameter or statistic is what it was made."""
    net = build(**TINY | options).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for step in range(3):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(images(4, 1, 21, 21, seed=step)), torch.arange(4)).backward()
        optimiser.step()
    return net.eval()


def test_trained_weights_come_back_through_safetensors(tmp_path: Path) -> None:
    net, x = trained(), images(2, 1, 21, 21)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other = build(seed=7, **TINY)
    assert (other(x) - net(x)).abs().max() > 1e-3  # control
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    assert torch.equal(other(x), net(x))


def test_trained_weights_do_not_depend_on_the_window() -> None:
    """Neither names nor shapes do; on a longer window, the channels that both have answer alike.

    To rounding: how many maps one convolution is given at once decides the order in which it adds.
    """
    net, x = trained(), images()
    longer = build(seed=7, **TINY | {"window": replace(WINDOW, channels=5, first=-1)})
    longer.load_state_dict(net.state_dict())
    rounding = ROUNDING[torch.float64]
    assert (longer.scale_logits(x)[..., 1:4] - net.scale_logits(x)).abs().max() <= rounding
    before = net(x)
    assert torch.equal(net(x, window=longer.window), longer(x))
    assert (longer(x) >= before - rounding).all()
    assert torch.equal(net(x), before)  # the window is an argument, and no more


@pytest.mark.parametrize("boundary", [Reflect(), Background((0.3,)), Zero()], ids=repr)
@pytest.mark.parametrize("way", ["pickle", "deepcopy", "torch.save"])
def test_copies_are_the_same_network_and_apart_from_it(way: str, boundary: Any) -> None:
    net, x = trained(boundary=boundary, min_grid_sigma=0.5), images(2, 1, 21, 21)
    expected = net(x)
    if way == "pickle":
        twin = pickle.loads(pickle.dumps(net))
    elif way == "deepcopy":
        twin = copy.deepcopy(net)
    else:
        torch.save(net, buffer := io.BytesIO())
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
    assert torch.equal(twin(x), expected)
    assert repr(twin) == repr(net)
    assert twin.architecture == net.architecture
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    assert torch.equal(net(x), expected)
    assert not torch.equal(twin(x), expected)  # control


def test_same_seed_gives_the_same_network() -> None:
    first, again, other = (build(seed=seed, **TINY).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    x = images(2, 1, 21, 21)
    assert torch.equal(trained()(x), trained()(x))


@pytest.mark.parametrize("preset", PRESETS)
def test_initial_coefficients_have_the_variance_that_keeps_features_in_range(preset: str) -> None:
    """2/(5·in) per coefficient, to the sampling error of n numbers: 5·√(2/n); offsets are zero."""
    torch.manual_seed(0)
    for layer in jet_layers(gaussian_derivative_net(preset)):
        count = layer.coefficients.numel()
        ratio = layer.coefficients.square().mean().item() / (2 / (5 * layer.in_type.size))
        assert abs(ratio - 1) <= 5 * (2 / count) ** 0.5
        assert not layer.offset.any()


@pytest.mark.parametrize("boundary", [Reflect(), Background(0.3)], ids=repr)
@pytest.mark.parametrize("least", [None, 0.5])
def test_float32_agrees_with_float64(boundary: Any, least: float | None) -> None:
    """1e-6·max(1, σ²) of the largest score for each layer, σ in samples of its grid."""
    net = build(boundary=boundary, min_grid_sigma=least, window=WINDOW)
    x = images(2, 1, 41, 41)
    exact = net(x).detach()
    g, rounding = SAMPLES_PER_SIGMA, 0.0
    for layer in jet_layers(net):
        rounding += 1e-6 * max(1.0, (layer.beta * g) ** 2)
        g /= layer.stride

    def error(scores: Tensor) -> float:
        return float((scores.detach() - exact).abs().max() / exact.abs().max())

    assert error(build(boundary=boundary, min_grid_sigma=least, window=WINDOW).float()(x.float())) <= rounding
    assert error(net(x.half().double())) > rounding  # control: eleven bits are not enough


def test_late_layers_are_finer_where_the_read_out_looks_anywhere():
    """At what may fall between samples; an explicit number is kept, and so is that of trained weights."""
    centre = gaussian_derivative_net().architecture
    anywhere = gaussian_derivative_net(readout=SpatialMax()).architecture
    assert (centre.min_grid_sigma, anywhere.min_grid_sigma) == (MIN_GRID_SIGMA, MIN_GRID_SIGMA_ANYWHERE)
    assert centre.changed(readout=SpatialMax()) == anywhere
    assert anywhere.changed(readout=CentrePixel()) == centre
    assert centre.changed(min_grid_sigma=0.8).changed(readout=SpatialMax()).min_grid_sigma == 0.8
    assert gaussian_derivative_net(readout=SpatialMax(), min_grid_sigma=None).architecture.min_grid_sigma is None
    assert gaussian_derivative_net(readout=SpatialMax(), grid="image").architecture.min_grid_sigma is None
