"""A chain is a list of layers: slices compose to the whole, appending is building with one more."""

from functools import partial

import pytest
import torch
from torch import Tensor

from proofs_tests.comparison import same_bits
from scalegroup import CentrePixel, Dense, ScaleField, ScaleGroup, ScaleGroupError, ScaleWindow, nn

WINDOW = ScaleWindow(ScaleGroup(2**0.5), 0.9, 3)


def chain(*last: object, checkpointing: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Lift(WINDOW), partial(nn.JetConv, out_type=3), nn.ReLU, partial(nn.JetConv, out_type=2, beta=1.25)]
    return nn.Sequential(*layers, *last, checkpointing=checkpointing)  # type: ignore[arg-type]


def images() -> Tensor:
    return torch.rand(2, 1, 12, 15)


def values(field: ScaleField) -> list[Tensor]:
    return list(field.maps)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_slices_compose_to_the_whole(cut: int) -> None:
    net, x = chain(), images()
    assert len(net[:cut]) == cut
    assert list(net[:cut]) + list(net[cut:]) == list(net) == [net[n] for n in range(len(net))]
    wanted = net.canvas(net.plan((12, 15)).steps[0].grids)  # what the whole net gives of these images
    behind = net[:cut](x, wanted=net[cut:].needs(wanted, wanted))
    assert all(map(same_bits, values(net[cut:](behind, wanted=wanted)), values(net(x, wanted=wanted))))


def test_slices_keep_how_the_whole_is_run() -> None:
    assert chain(checkpointing=True)[1:].checkpointing
    assert not chain()[1:].checkpointing


def test_appending_is_building_with_one_more() -> None:
    x, net = images(), chain()
    before = net(x)
    assert net.append(partial(nn.ReadOut, readout=CentrePixel())) is net
    whole = chain(partial(nn.ReadOut, readout=CentrePixel()))
    assert len(net) == len(whole) == 5
    assert net.out_type == whole.out_type != before.type  # the control: it was another one before
    assert net.plan((12, 15)) == whole.plan((12, 15))
    assert all(map(same_bits, values(net(x)), values(whole(x))))
    with pytest.raises(ScaleGroupError, match="ReadOut"):
        net.append(nn.ReLU(before.type))
    assert len(net) == 5


def test_the_field_in_front_of_the_pooling_is_that_of_the_layers_before_it() -> None:
    x, net = images(), chain(nn.ReadOut, nn.ScalePool)
    assert all(map(same_bits, values(net.field(x, pooled=False)), values(net[:5].field(x))))
    assert net.field(x, pooled=False).type.over_scale
    assert not net.field(x).type.over_scale  # the control
    maps = chain(partial(nn.ReadOut, readout=Dense()))
    assert all(map(same_bits, values(maps.field(x, pooled=False)), values(maps.field(x))))  # nothing is pooled
