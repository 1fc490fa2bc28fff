"""The laws of a layer measure what they say: an error of scaling by the signal, whatever constant is beside it."""

from functools import partial

import pytest
import torch

from scalegroup import FieldType, RotationGroup, ScaleField, ScaleGroup, ScaleGroupError, nn
from scalegroup.testing import layer_laws


class Off(nn.Pointwise):
    """A constant, and values that grow with the label of the finest scale channel: the commuting error is `by`."""

    def __init__(self, type, by):
        super().__init__(type, torch.relu)
        self.by = by

    def forward(self, field: ScaleField) -> ScaleField:
        return field.on_runs(lambda run: 10 + run.maps * (1 + self.by * field.window.first))


def test_scaling_may_change_a_layers_output_by_a_hundred_millionth_of_the_signal():
    """That much the lifting errs. The constant, which is no signal, hides nothing and adds nothing."""
    layer_laws(partial(Off, by=0.9e-8))["commutes with scaling"]()
    with pytest.raises(AssertionError, match="of the signal"):
        layer_laws(partial(Off, by=1.1e-8))["commutes with scaling"]()


@pytest.mark.parametrize("layer", [nn.JetConv, nn.Mix, partial(nn.ScaleConv, group=ScaleGroup(2))])
def test_a_number_of_features_that_cannot_be_is_named_as_it_was_passed(layer):
    for number in (0, -1, 1.5):
        with pytest.raises(ScaleGroupError, match="out_type"):
            layer(FieldType.scalars(2), out_type=number)
    assert layer(FieldType.scalars(2), out_type=1).out_type.size == 1


def test_every_kind_of_field_must_come_of_another_by_some_2_jet():
    """Of scalars, 2-jets have no frequency above 2."""
    group = RotationGroup(16)
    scalars = FieldType.scalars(1)
    for possible in (group.trivial, group.frequency(2), group.trivial + group.frequency(1)):
        nn.SteerableJetConv(scalars, possible)
    for impossible in (group.frequency(4), group.trivial + group.frequency(4), group.frequency(4) + group.trivial):
        with pytest.raises(ScaleGroupError, match="differ by 2 at most"):
            nn.SteerableJetConv(scalars, impossible)


def test_what_follows_from_the_type_is_not_kept_with_the_weights():
    layer = nn.BatchNorm(FieldType.rotating(2 * RotationGroup(4).regular))
    assert set(layer.state_dict()) == {"weight", "bias", "running_mean", "running_variance"}
