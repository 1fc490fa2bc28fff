"""Certificates: no scaling changes the scores of an image by more than is certified, and a broken network's by more."""

import dataclasses

import pytest
import torch

from proofs_tests.networks import OneChannelOff
from scalegroup import Attention, Background, Dense, ScaleGroup, ScaleGroupError, ScaleWindow, SpatialMax, nn
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import Blobs, certificate, families, lifting_bound
from scalegroup.testing.certificate import lifted, lipschitz

ROOT = ScaleGroup(2**0.5)
SIZE = 65
RATIOS = [2**0.5, 2 ** (1 / 3), 2.0]


def network(window: ScaleWindow, **options):
    torch.manual_seed(0)
    return gaussian_derivative_net(widths=(4, 6), window=window, boundary=Background(0.0), **options).double().eval()


def images(seed: int) -> Blobs:
    generator = torch.Generator().manual_seed(seed)
    return Blobs.random(3, 3, widths=(1.0, 1.5), extent=4.0, generator=generator)


def change(net, image, element) -> float:
    """Of the scores, with the window moved with the image."""
    factor, moved = element.scale_factor, net.window.transform(element)
    with torch.no_grad():
        before, after = net(image.sample(SIZE, SIZE)), net(image.sample(SIZE, SIZE, factor=factor), window=moved)
    return (before - after).abs().max().item()


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("seed", range(3))
def test_scores_change_by_no_more_than_is_certified(ratio, seed):
    net, element = network(ScaleWindow(ScaleGroup(ratio), 0.7, 4)), ScaleGroup(ratio).generator
    found = certificate(net, images(seed), element, size=SIZE)
    assert found.bound == found.lifting * found.lipschitz
    assert 0 < change(net, images(seed), element) <= found.bound


def test_what_is_certified_of_a_learnt_pooling_holds():
    net = network(ScaleWindow(ROOT, 0.7, 4), pooling=Attention())
    torch.nn.init.normal_(net[-1].reduction.weight, std=3.0)
    found = certificate(net, images(0), ROOT.generator, size=SIZE)
    assert 0 < change(net, images(0), ROOT.generator) <= found.bound


def test_a_certificate_says_something():
    """At σ₀ = 1 less than a hundredth of the scores, and it falls fast."""
    bounds = []
    for sigma0 in (0.7, 1.0, 1.4):
        net = network(ScaleWindow(ROOT, sigma0, 4))
        with torch.no_grad():
            scores = net(images(0).sample(SIZE, SIZE)) - net(torch.zeros(1, 1, SIZE, SIZE).double())
        bounds.append(certificate(net, images(0), ROOT.generator, size=SIZE).bound / scores.abs().max().item())
    assert 0.01 > bounds[1] > 10 * bounds[2]
    assert bounds[0] > bounds[1]


def test_a_network_with_one_channel_off_changes_by_more():
    """The control: σ₀ one per cent too large in one scale channel of two."""
    wrong = OneChannelOff(ROOT, 1.4, 2)
    net = network(ScaleWindow(ROOT, 1.4, 2))
    found = certificate(net, images(0), ROOT.generator, size=SIZE)
    with torch.no_grad():
        before = net.scale_logits(images(0).sample(SIZE, SIZE))[..., 0]
        after = network(wrong).scale_logits(images(0).sample(SIZE, SIZE, factor=ROOT.ratio))[..., 1]
    assert (before - after).abs().max() > 10 * found.bound


def test_the_lipschitz_constant_is_the_worst_case_of_a_linear_network():
    """Of one 2-jet layer it is the ℓ1 norm of its kernel: reached by samples of ±1 of the signs of the gradient."""
    window = ScaleWindow(ROOT, 1.0, 3)
    net = nn.Sequential(nn.Lift(window), lambda before: nn.JetConv(before, 2), nn.ReadOut).double()
    field = lifted(net, torch.zeros(1, 1, SIZE, SIZE).double(), window)
    constant = lipschitz(net, field)
    maps = [part.clone().requires_grad_() for part in field.maps]
    outputs = net[1:].run(dataclasses.replace(field, maps=tuple(maps)), net[1:].canvas(field.grids.canvas()))
    outputs.channel(0)[:, 1].sum().backward()
    worst = dataclasses.replace(field, maps=tuple(part.grad.sign() for part in maps))
    largest = net[1:].run(worst, net[1:].canvas(field.grids.canvas())).channel(0)[0, 1].item()
    offset = net[1].offset[1].item()
    assert largest - offset <= constant * (1 + 1e-12)
    assert largest - offset >= 0.2 * constant


@pytest.mark.parametrize("family", families(SIZE, 2.0), ids=lambda family: family.name)
def test_bars_and_textures_are_lifted_within_their_bound_as_well(family):
    """Against pictures sampled four times as finely, σ₀ with them, where nothing is left of the error."""
    window, (image,) = ScaleWindow(ROOT, 0.7, 1), family.images
    net = nn.Sequential(nn.Lift(window, boundary=Background(0.0)), lambda before: nn.JetConv(before, 1)).double()

    def sampled(times: int):
        size = times * (SIZE - 1) + 1
        finer = dataclasses.replace(window, sigma0=window.sigma0 * times)
        return lifted(net, image.sample(size, size, factor=times), finer).channel(0)

    error, bound = (sampled(1) - sampled(4)).abs().max().item(), lifting_bound(image, 0.7, net[0].sampling)
    assert error <= bound < 0.3
    assert bound < 1000 * error


def test_what_cannot_be_certified_is_refused():
    pixels = network(ScaleWindow(ROOT, 1.0, 3), grid="image")
    with pytest.raises(ScaleGroupError, match="self-similar"):
        certificate(pixels, images(0), ROOT.generator, size=SIZE)
    everywhere = network(ScaleWindow(ROOT, 1.0, 3), readout=SpatialMax())
    dense = network(ScaleWindow(ROOT, 1.0, 3), readout=Dense())
    for net in (everywhere, dense):
        with pytest.raises(ScaleGroupError, match="where the image ends"):
            certificate(net, images(0), ROOT.generator, size=SIZE)
    with pytest.raises(ScaleGroupError, match="Blobs"):
        certificate(network(ScaleWindow(ROOT, 1.0, 3)), torch.zeros(1, 1, 9, 9), ROOT.generator)


def test_a_certificate_says_what_it_is():
    said = str(certificate(network(ScaleWindow(ROOT, 1.0, 3)), images(0), ROOT.generator, size=SIZE))
    assert "derived" in said
    assert "measured" in said
