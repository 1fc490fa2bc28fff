"""`parametrize_with_checks`: every check passes good modules, and fails one that breaks its law."""

from functools import partial

import pytest
import torch
from torch import nn as torch_nn

from proofs_tests.networks import maps_net, small_net
from scalegroup import FieldType, ScaleGroupError, nn
from scalegroup.testing import checks, layer_laws, parametrize_with_checks


@parametrize_with_checks([small_net(), maps_net(), torch_nn.ReLU()], powers=(1,), size=35)
def test_good_modules_pass_every_check(module, check):
    check(module)


class _Mixing(torch_nn.Module):
    def forward(self, images):
        return images - images.amax()


class _Random(torch_nn.Module):
    def forward(self, images):
        return images + torch.rand(())


class _Infinite(torch_nn.Module):
    def forward(self, images):
        return 1 / (images - images[:1, :, :1, :1])  # at one pixel of one image


class _SteepRoot(torch_nn.Module):
    def forward(self, images):
        return (0 * images).sqrt()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (_Infinite(), "output_is_finite"),
        (_Random(), "output_repeats"),
        (_Mixing(), "images_do_not_mix"),
        (_SteepRoot(), "gradients_are_finite"),
        (torch_nn.AvgPool2d(9, stride=1, padding=4), "equivariant_under_2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_check_fails_a_module_that_breaks_its_law(module, name):
    named = checks(powers=(2,), size=49)
    with pytest.raises(AssertionError):
        named[name](module)
    named[name](torch_nn.ReLU())


class _Sideways(nn.JetConv):
    """A layer that depends on more than it says."""

    def reach(self, samples_per_sigma):
        return super().reach(samples_per_sigma) - 1


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.ReLU, "ReLU"),
        (partial(nn.JetConv, out_type=2), "JetConv"),
        (nn.JetConv(FieldType.scalars(3), 2), "JetConv"),
    ],
    ids=["class", "partial", "layer"],
)
def test_layers_are_put_through_their_laws(layer, name):
    cases = parametrize_with_checks([layer], powers=(1,)).args[1]
    assert [case.id for case in cases] == [f"{name}-{title.replace(' ', '_')}" for title in layer_laws(nn.ReLU)]
    for case in cases:
        module, check = case.values
        check(module)


def test_a_layer_that_breaks_a_law_fails_it_by_name():
    cases = {case.id: case.values for case in parametrize_with_checks([partial(_Sideways, out_type=2)]).args[1]}
    module, check = cases["_Sideways-gradients_are_right"]
    with pytest.raises((AssertionError, RuntimeError, ScaleGroupError)):
        check(module)


def test_checks_of_nothing_are_refused():
    with pytest.raises(ScaleGroupError, match="one or more"):
        parametrize_with_checks([])
    with pytest.raises(ScaleGroupError, match="a module or a layer"):
        parametrize_with_checks(["relu"])
