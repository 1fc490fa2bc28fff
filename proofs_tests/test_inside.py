"""What `examples/inside.py` says of networks is true of them."""

import pytest
import torch

from examples.inside import Look, attributions, effective_filters, half_width, learnt_jets, resized, responses, spread
from proofs_tests.networks import G, jets, small_net
from scalegroup import Dense, DiscreteGaussian, Reflect, SampledDerivatives, ScaleWindow, SpatialMax, nn
from scalegroup.testing import Blobs


def blob(x=0.0, y=0.0, width=4.0, size=(65, 65)):
    one = torch.ones(1, 1, dtype=torch.float64)
    return Blobs(one, width * one, torch.tensor([[[x, y]]], dtype=torch.float64)).sample(*size)


def look(*, image=None, offsets=0.3, **options):
    """Into a network whose ReLUs switch between nothing and a picture."""
    net = small_net(**options).double()
    with torch.no_grad():
        for layer in jets(net):
            layer.offset.normal_(std=offsets)
    return Look(net, blob(3.0, -2.0, width=8.0) if image is None else image, range(10))


def error_of_first_filters(inside):
    features, filters = effective_filters(inside, inside.jets["layer 1"], 4)
    closed = learnt_jets(inside, features)
    return (filters - closed).norm() / closed.norm(), (filters - closed.flip(2, 3)).norm() / closed.norm()


@pytest.mark.parametrize("normalised", [{}, {"mean": (0.5,), "std": (0.25,)}], ids=["as it is", "normalised"])
def test_filters_of_the_first_layer_are_its_learnt_jets(normalised):
    window, kernel = ScaleWindow(G, 2.5, 1), SampledDerivatives(tail=1e-12)
    inside = look(image=blob(size=(65, 61)), window=window, kernel=kernel, grid="image", **normalised)
    error, turned = error_of_first_filters(inside)
    assert error < 1e-9
    assert turned > 0.1  # the control


def test_filters_of_the_first_layer_tend_to_its_learnt_jets_as_the_inverse_square_of_samples_per_sigma():
    options = {"window": ScaleWindow(G, 3.0, 1), "kernel": DiscreteGaussian(tail=1e-9)}
    coarse, fine = (error_of_first_filters(look(samples_per_sigma=g, **options))[0] for g in (2.0, 4.0))
    assert 3.5 < coarse / fine < 4.5


def test_filters_say_what_a_point_of_light_adds():
    inside, point = look(), 1e-6
    assert 0 < inside.channel < 2  # neither the first nor the last: another one would be noticed
    for name, stage in inside.stages.items():
        features, filters = effective_filters(inside, inside.jets[name], 3)
        for y, x in ((32, 32), (30, 33), (36, 28)):
            lit = inside.image.clone()
            lit[..., y, x] += point
            with torch.no_grad():
                before, behind = nn.Sequential(*stage, nn.ReadOut).field(torch.cat([inside.image, lit])).tensor
            added = (behind - before)[features, inside.channel, 0, 0] / point
            assert (added - filters[:, 0, y, x]).abs().max() < 1e-5 * filters.abs().max()
        assert filters[:, 0, 32, 32].abs().max() > 1e-3 * filters.abs().max()  # of nothing, nothing is shown


def test_filters_of_a_layer_within_a_block_are_those_of_the_way_to_it():
    inside = look(residual=True, widths=(4, 4))
    *before, block = inside.stages["layer 3"]
    body, _ = block[0].within
    way = nn.Sequential(*before, *body[:1], nn.ReadOut)
    features, filters = effective_filters(inside, inside.jets["layer 2"], 3)
    images = inside.image.repeat(len(features), 1, 1, 1).requires_grad_()
    values = way.field(images).tensor[range(len(features)), features, inside.channel, 0, 0]
    (gradients,) = torch.autograd.grad(values.sum(), images)
    assert (filters - gradients).abs().max() < 1e-12 * gradients.abs().max()
    _, behind = effective_filters(inside, inside.jets["layer 3"], 3)
    assert (behind - gradients).abs().max() > 0.1 * gradients.abs().max()  # the control


def test_of_a_network_with_a_field_of_view_no_more_is_shown_than_it_sees():
    narrow, whole = (look(widths=(4, 4), field_of_view=view, channels=3) for view in (6.0, None))
    spans = [responses(inside, inside.stages["layer 2"])[1].grids[0].y.length for inside in (narrow, whole)]
    assert spans[0] < spans[1]


def test_maps_lie_where_the_picture_has_them_and_cover_it():
    x, y = 9.0, -6.0
    inside = look(image=blob(x, y, size=(65, 71)), channels=5)
    maps, grids = responses(inside, inside.net[:1])
    for values, grid, spacing in zip(maps, grids.grids, grids.spacings, strict=True):
        row, column = divmod(int(values[0].argmax()), values.shape[2])
        assert abs(grid.y.positions[row] * spacing - y) <= spacing / 2
        assert abs(grid.x.positions[column] * spacing - x) <= spacing / 2
        assert min((grid.y.stop - 0.5) * spacing / 65, (grid.x.stop - 0.5) * spacing / 71) > 0.5


def test_shares_of_the_pixels_sum_to_the_change_of_a_linear_network_and_of_others_on_the_way():
    linear = look(widths=())
    each, integrated, change = attributions(linear, 4)
    assert (each.sum((1, 2)) - change).abs().max() < 1e-12 * change.abs().max()
    assert abs(integrated.sum() - change[linear.channel]) < 1e-12 * change.abs().max()
    inside = look()
    each, integrated, change = attributions(inside, 256)
    missed = abs(each[inside.channel].sum() - change[inside.channel])
    assert missed > 0.01 * abs(change[inside.channel])  # the control: ReLUs switch
    assert abs(integrated.sum() - change[inside.channel]) < 0.02 * missed


@pytest.mark.parametrize(
    "net",
    [
        small_net(widths=(4, 4), rotations=4),
        small_net(readout=Dense(), in_channels=3),
        small_net(readout=SpatialMax(), grid="image"),
        small_net(boundary=Reflect(), num_classes=1),
        small_net(widths=(4, 4), residual=True, neighbours=1, field_of_view=8.0),
        small_net(scale_dropout=1, mean=(0.1,), std=(0.2,)).eval(),
    ],
    ids=[
        "rotations",
        "dense, colour",
        "image grid",
        "reflect, one class",
        "residual, across scale",
        "scale dropout, normalised",
    ],
)
def test_any_network_can_be_looked_into(net):
    channels, classes = net.architecture.in_channels, net.architecture.num_classes
    inside = Look(net, blob(3.0, size=(33, 41)).float().expand(1, channels, -1, -1), range(classes))
    assert list(inside.stages) == ["layer 1", list(inside.jets)[-2], "classes"]
    assert len(inside.jets) == (4 if net.architecture.residual else 3)
    assert sorted(inside.ranking) == list(range(classes))
    for layer in inside.jets.values():
        features, filters = effective_filters(inside, layer, 3)
        assert filters.shape == (len(features), channels, 33, 41)
        assert filters.abs().max() > 0
    for stage in inside.stages.values():
        assert len(responses(inside, stage)[0]) == 3
    each, integrated, change = attributions(inside, 2)
    assert (*each.shape, *integrated.shape, *change.shape) == (3, 33, 41, 33, 41, 3)


def test_of_many_layers_a_few_are_looked_at():
    assert list(look(widths=(2,) * 9).stages) == ["layer 1", "layer 3", "layer 5", "layer 7", "layer 9", "classes"]
    assert spread(range(3), 5) == [0, 1, 2]


def test_a_resized_picture_is_the_scaled_picture():
    for factor, length in ((0.5, 65), (2**0.5, 64), (2.0, 65)):
        scaled, actual = resized(blob(width=6.0, size=(length, length)), factor)
        assert actual == pytest.approx(factor, rel=0.02)
        assert [size % 2 for size in scaled.shape[2:]] == 2 * [length % 2]
        assert (scaled - blob(width=6.0 * actual, size=scaled.shape[2:])).abs().max() < 0.02
    assert torch.equal(resized(blob(), 1.0)[0], blob())


def test_half_the_width_of_a_filter_is_that_of_the_square_that_holds_it():
    filters = torch.zeros(2, 1, 9, 11)
    filters[0, 0, 4, 5] = filters[1, 0, 4, 2] = 1.0
    assert half_width(filters[:1]) == 0.5
    assert half_width(filters) == 3.5
