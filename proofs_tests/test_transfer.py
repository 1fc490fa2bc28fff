"""A trained network as the start of another: what is the same stays, what is new begins anew."""

import pytest
import torch

from proofs_tests.comparison import ROUNDING
from proofs_tests.networks import small_net
from scalegroup import Mean, ScaleGroup, ScaleGroupError, ScaleWindow, SpatialMax
from scalegroup.models import gaussian_derivative_net, save_trained, transfer

IMAGES = torch.rand(2, 1, 21, 21, dtype=torch.float64)
EXACT = ROUNDING[torch.float64]


@pytest.fixture
def net():
    return small_net().double()


def test_a_grey_picture_in_colour_is_read_as_before_and_back(net):
    colour = transfer(net, in_channels=3)
    torch.testing.assert_close(colour(IMAGES.expand(-1, 3, -1, -1)), net(IMAGES), rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(transfer(colour, in_channels=1)(IMAGES), net(IMAGES), rtol=EXACT, atol=EXACT)
    new = small_net(in_channels=3).double()
    assert not torch.allclose(new(IMAGES.expand(-1, 3, -1, -1)), net(IMAGES))  # the control


def test_other_classes_begin_anew_behind_the_same_layers(net):
    other = transfer(net, num_classes=4)
    assert other(IMAGES).shape == (2, 4)
    same = [torch.equal(a, b) for a, b in zip(net[:-3].parameters(), other[:-3].parameters(), strict=True)]
    assert all(same)
    again = transfer(net, num_classes=4)
    assert not torch.equal(again[-3].coefficients, other[-3].coefficients)  # drawn


def test_other_scale_channels_and_projections_change_no_weight(net):
    window = ScaleWindow(ScaleGroup(2.0), 1.5, 2)
    assert torch.equal(transfer(net, window=window)(IMAGES), net(IMAGES, window=window))
    finer = transfer(net, samples_per_sigma=1.0, pooling=Mean(), readout=SpatialMax())
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), finer.parameters(), strict=True))
    assert not torch.allclose(finer(IMAGES), net(IMAGES))


@pytest.mark.parametrize("parts", [{}, {"residual": True, "mean": (0.5,), "std": (0.2,), "scale_dropout": 1}], ids=str)
def test_with_another_field_of_view_or_read_out_weights_are_the_same(parts, tmp_path):
    net = small_net(widths=(4, 4), field_of_view=6.0, **parts).double().eval()
    save_trained(net, tmp_path / "net.safetensors")
    for changed in ({"field_of_view": None}, {"readout": SpatialMax()}, {"field_of_view": 3.0}):
        loaded = gaussian_derivative_net(weights=tmp_path / "net.safetensors", **changed)
        other = transfer(net, **changed)
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), loaded.parameters(), strict=True))
        assert not torch.allclose(other(IMAGES), net(IMAGES))  # the control
    assert transfer(net, field_of_view=None).dense_scores(IMAGES).maps[0].shape[1] == net.architecture.num_classes


def test_classes_colours_window_grids_and_freezing_in_one_call(net):
    window = ScaleWindow(ScaleGroup(2.0), 1.5, 2)
    other = transfer(net, num_classes=4, in_channels=3, window=window, samples_per_sigma=1.0, freeze=True).eval()
    colour = IMAGES.expand(-1, 3, -1, -1)
    assert other(colour).shape == (2, 4)
    assert (other.window, other.architecture.samples_per_sigma) == (window, 1.0)
    assert [name for name, value in other.named_parameters() if value.requires_grad] == [
        f"layers.{len(other) - 3}.{name}" for name in ("coefficients", "offset")
    ]
    step_by_step = transfer(transfer(transfer(net, in_channels=3), window=window), samples_per_sigma=1.0)
    ours, theirs = (some[:-3](colour).maps[0] for some in (other, step_by_step))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, transfer(net, in_channels=3)[:-3](colour).maps[0])  # the control: its own grids


@pytest.mark.parametrize("parts", [{"num_classes": 4}, {"num_classes": 4, "in_channels": 3}], ids=str)
def test_of_a_frozen_network_only_what_is_new_learns(net, parts):
    other = transfer(net, freeze=True, **parts).eval()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    images = IMAGES.expand(-1, parts.get("in_channels", 1), -1, -1)
    step = torch.optim.SGD([value for value in other.parameters() if value.requires_grad], lr=0.1)
    other(images).square().sum().backward()
    step.step()
    moved = {name for name, value in other.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"layers.{len(other) - 3}.{name}" for name in ("coefficients", "offset")}
    assert all(value.requires_grad for value in transfer(net, **parts).parameters())  # the control


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"widths": (4, 5)}, "as the weights are"),
        ({"widths": (4,)}, "other layers"),
        ({"colour": True}, "colour="),
        ({"freeze": 1}, "freeze"),
    ],
    ids=str,
)
def test_what_changes_layers_in_between_is_refused(net, parts, said):
    with pytest.raises(ScaleGroupError, match=said):
        transfer(net, **parts)


def test_only_networks_of_an_architecture_can_be_transferred():
    with pytest.raises(ScaleGroupError, match="net"):
        transfer(torch.nn.Identity())


def test_weights_that_fit_no_more_are_refused_with_the_call_that_makes_them_fit():
    with pytest.raises(ScaleGroupError, match="transfer"):
        gaussian_derivative_net(weights="mnist-large-scale-5k", num_classes=26)
