"""`equivariance_error`: one number for any module, ratio and output, from its definition."""

import dataclasses
import math
import statistics
from functools import partial

import pytest
import torch
from torch import nn as torch_nn

from proofs_tests.networks import G, maps_net, small_net
from scalegroup import Representation, ScaleField, ScaleGroup, ScaleGroupError, ScaleWindow, nn
from scalegroup.testing import OUTPUT_TYPES, check_module, equivariance_error, error_budget, object_images

WINDOW = ScaleWindow(G, sigma0=1.0, channels=4)


@pytest.mark.parametrize("ratio", [2**0.5, 2 ** (1 / 3), 2.0, 1.25])
def test_error_is_measured_for_any_ratio(ratio):
    group = ScaleGroup(ratio)
    report = equivariance_error(torch_nn.ReLU(), group.generator, size=65)
    assert report.error < 1e-12
    assert report.factor == group.ratio
    blur = torch_nn.AvgPool2d(5, stride=1, padding=2)  # the control: a window of fixed width
    assert equivariance_error(blur, group.generator, size=65).error > 0.02


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("widest", [1.0, 1.5])
def test_objects_have_no_mass_and_blobs_as_fine_as_is_asked(factor, widest):
    """No network passes by its response to a mean. The narrowest is of one to two units at the smaller size."""
    objects = object_images(97, factor, widest=widest)
    mass = objects.sample(257, 257, factor=factor).sum((1, 2, 3))
    single = (2 * math.pi * objects.amplitudes.abs() * (factor * objects.widths) ** 2).amax(1)
    assert (mass.abs() < 1e-6 * single).all()
    unit = widest * max(1.0, 1 / factor)
    assert unit <= objects.widths.min() < objects.widths.max() <= 2 * unit
    reach = objects.centres.abs().amax()
    assert unit < reach <= 4 * unit
    edges = objects.sample(97, 97, factor=factor)[..., 0, :].abs().max()
    assert edges < 1e-3
    heavier = dataclasses.replace(objects, amplitudes=objects.amplitudes.abs())  # the control
    assert (heavier.sample(257, 257, factor=factor).sum((1, 2, 3)) > single).all()


def test_canvas_too_small_for_the_factor_is_refused():
    assert object_images(41, 2.0)
    with pytest.raises(ScaleGroupError, match="size=41 or more"):
        object_images(39, 2.0)


def test_maps_are_measured_on_blobs_of_one_pixel_and_scores_on_wider_ones():
    for module, widest in ((lambda x: x, 1.0), (lambda x: x.amax((2, 3)), 2.0)):
        seen = []
        equivariance_error(lambda x, module=module, seen=seen: seen.append(x) or module(x), G.element(2), size=97)
        assert torch.equal(seen[1], object_images(97, 2.0, widest=widest).sample(97, 97))


def test_equal_outputs_have_no_error_even_where_nothing_responds():
    report = equivariance_error(torch.zeros_like, G.element(2), size=65)
    assert (report.error, report.maximum) == (0.0, 0.0)
    values = iter((0.0, 1.0, 0.0))  # of the background, the images, the scaled images
    report = equivariance_error(lambda x: torch.full((len(x), 1), next(values)), G.element(2), size=65)
    assert math.isinf(report.error)


def test_an_error_that_is_not_a_number_for_one_image_is_none():
    """A median would pass over it."""

    def one_of_many(number):
        def module(pictures):
            scores = pictures.amax((2, 3))
            scores[:1] = number if len(scores) > 1 else scores[:1]  # the background is a single picture
            return scores

        return equivariance_error(module, G.element(2), size=97).error

    assert math.isnan(one_of_many(math.nan))
    assert one_of_many(0.0) < 1  # the control


@pytest.mark.parametrize("grid", ["self-similar", "image"])
@pytest.mark.parametrize("power", [1, 2], ids=["√2", "2"])
def test_report_is_the_median_over_sixteen_images_of_each_channel(power, grid):
    """From the definition. On self-similar grids all samples of the scaled image's channels are samples of the other's.

    Of 65 pixels on an axis √2 sends the centre to a pixel, 2 the middle 33.
    """
    net, factor = maps_net(window=WINDOW, jets=1, grid=grid).double(), G.factor(power)
    images = object_images(65, factor)
    views = images.sample(65, 65), images.sample(65, 65, factor=factor), torch.zeros(1, 1, 65, 65).double()
    with torch.no_grad():
        fields = [net(view) for view in views]
    errors, largest, means, compared = [], [], [], []
    for n in range(4 - power):
        one, other, blank = (field.channel(n + moved) for field, moved in zip(fields, (0, power, power), strict=True))
        size = other.shape[-1]
        if grid == "self-similar":
            spare = (one.shape[-1] - size) // 2
            before, after = range(spare, spare + size), range(size)
        else:
            before, after = {1: ([32], [32]), 2: (range(16, 49), range(0, 65, 2))}[power]
        compared.append((len(after) ** 2, size**2))
        one, other, blank = (maps[:, :, at][..., at] for maps, at in ((one, before), (other, after), (blank, after)))
        each = (one - other).flatten(1).norm(dim=1) / (other - blank).flatten(1).norm(dim=1)
        errors.append(statistics.median(each.tolist()))
        means.append(each.mean().item())
        largest.append(((one - other).abs().max() / (other - blank).abs().max()).item())

    report = equivariance_error(net, G.element(power), size=65)
    assert report.images == 16
    assert report.errors == pytest.approx(errors, rel=1e-12)
    assert report.error == max(report.errors)
    assert report.maximum == pytest.approx(max(largest), rel=1e-12)
    assert list(report.channels) == [f"σ₀ {sigma:.3g}" for sigma in WINDOW.sigmas[power:]]
    assert report.channels_compared == (4 - power) / 4
    part, whole = map(sum, zip(*compared, strict=True))
    assert report.pixels_compared == pytest.approx(part / whole, rel=1e-12)
    assert (report.pixels_compared == 1) == (grid == "self-similar")
    assert report.errors != pytest.approx(means, rel=1e-3)  # the control: the mean is another number


@pytest.mark.parametrize("power", [-2, -1, 1, 2])
def test_channels_of_networks_agree_to_the_error_of_the_lifting(power):
    """In float64. Of blobs two pixels wide in channels from σ₀ = 1 on it is exp(-(2² + 0.9²)π²/2) = 5e-11 at the most,
    of an amplitude. The control is the paper's literal implementation.
    """
    net, literal = small_net().double(), small_net(grid="image").double()
    for module in (net.scale_logits, lambda images: net.field(images, pooled=False)):
        assert equivariance_error(module, G.element(power)).error <= 1e-9
    assert equivariance_error(literal.scale_logits, G.element(power)).error > 1e-2


@pytest.mark.parametrize("power", [-1, 1])
def test_features_of_a_weight_are_compared_with_their_factor(power):
    net = maps_net(partial(nn.Reweight, fibre=Representation((0, 1, 2)))).double()
    assert equivariance_error(net, G.element(power), size=97).error < 1e-9
    for wrong in ((0, 0, 0), (0, 1, 1)):  # the controls

        def relabelled(images, weights=wrong):
            field = net(images)
            type = dataclasses.replace(field.type, fibre=Representation(weights))
            return ScaleField(field.maps, type, field.window, field.grids)

        assert equivariance_error(relabelled, G.element(power), size=97).error > 0.1


def test_inverse_of_a_scaling_is_measured_alike():
    net = small_net()
    up, down = (equivariance_error(net, G.element(power), size=65).error for power in (2, -2))
    assert 0.5 < up / down < 2


def test_output_type_is_found_from_the_shape_of_the_output():
    outputs = {
        "scores": lambda x: x.mean((2, 3)),
        "scale_scores": lambda x: x.mean((2, 3))[:, :, None].expand(-1, -1, 4),
        "maps": lambda x: x,
        "fields": lambda x: x[:, :, None].expand(-1, -1, 4, -1, -1),
    }
    for name, module in outputs.items():
        assert equivariance_error(module, G.element(2), size=65).output == OUTPUT_TYPES[name].name
    with pytest.raises(ScaleGroupError, match="two axes"):
        equivariance_error(lambda x: x.sum(), G.element(2), size=65)
    with pytest.raises(ScaleGroupError, match="class scores"):
        equivariance_error(outputs["maps"], G.element(2), size=65, output=OUTPUT_TYPES["scores"])
    with pytest.raises(ScaleGroupError, match="dict"):
        equivariance_error(lambda x: {"scores": x}, G.element(2), size=65)


def test_scale_axis_of_a_plain_tensor_moves_by_the_power():
    net = small_net().double()
    for power in (1, 2):
        plain = equivariance_error(net.scale_logits, G.element(power), size=129)
        typed = equivariance_error(lambda x: net.field(x, pooled=False), G.element(power), size=129)
        assert plain.errors == typed.errors
        assert plain.channels_compared == (3 - power) / 3
    unshifted = equivariance_error(lambda x: net.scale_logits(x).flip(2), G.element(1), size=129)  # the control
    assert unshifted.error > 10 * plain.error


@pytest.mark.parametrize("measure", [equivariance_error, error_budget])
def test_scalings_and_images_of_another_kind_are_refused(measure):
    net = small_net(2)
    with pytest.raises(ScaleGroupError, match=r"mend: pass group\.element"):
        measure(net, 2.0, size=65)
    with pytest.raises(ScaleGroupError, match="a ContinuousImage"):
        measure(net, G.element(1), torch.rand(1, 1, 65, 65), size=65)
    with pytest.raises(ScaleGroupError, match="a ScaleGroup"):
        check_module(net, 2.0)
