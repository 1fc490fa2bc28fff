"""The laws of a layer measure what they say: an error of scaling by the signal, whatever constant is beside it."""

from functools import partial

import pytest
import torch

from scalegroup import FieldType, ScaleField, ScaleGroup, ScaleGroupError, nn
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
