"""Far from the image a constant world has nothing to see: what is not computed there is what it would have been."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from proofs_tests.comparison import ROUNDING
from proofs_tests.test_citizenship import heads, residual, tensors, total
from scalegroup import Axis, Background, Boundary, Dense, Reflect, ScaleGroup, ScaleGroupError, ScaleWindow, Zero, nn
from scalegroup.fields.grid import Grid, Grids
from scalegroup.fields.lifting import SelfSimilar
from scalegroup.fields.lifting_kernels import BandLimited

WINDOW = ScaleWindow(ScaleGroup(2.0), 1.0, 4)  # σ₀ from 1 to 8: of a small image the coarsest see little
SIZE = (25, 31)

jet = nn.JetConv
READ = (nn.ReadOut, nn.ScalePool)
BLOCK = (partial(jet, out_type=3), nn.BatchNorm, nn.ReLU)
FAR = partial(jet, out_type=2, beta=6.0)  # which looks beyond a small image
NETWORKS: dict[str, tuple[Callable[..., nn.Layer], ...]] = {
    "plain": (*BLOCK, FAR, *READ),
    "strides": (partial(jet, out_type=2, stride=2), nn.BatchNorm, nn.ReLU, partial(FAR, beta=12.0), *READ),
    "chain within a chain": (lambda t: nn.Sequential(jet(t, 3), nn.ReLU), FAR, *READ),
    "residual": (*BLOCK, residual, nn.ReLU, FAR, *READ),
    "across scale": (*BLOCK, FAR, partial(nn.ScaleConv, out_type=2, group=WINDOW.group), nn.ReLU, *READ),
    "dense": (*BLOCK, FAR, partial(nn.ReadOut, readout=Dense())),
    "gates": (partial(jet, out_type=2), partial(nn.GroupNorm, groups=1), nn.SqueezeExcite, FAR, *READ),
    "heads": (*BLOCK, FAR, heads),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def network(name: str, boundary: Boundary = Background(0.3), grid: str = "self-similar") -> nn.Sequential:  # noqa: B008
    torch.manual_seed(0)
    net = nn.Sequential(nn.Lift(WINDOW, boundary=boundary, grid=grid), *NETWORKS[name]).double()
    with torch.no_grad():
        for parameter in net.parameters():  # no world outside lies on a ReLU's edge
            parameter.add_(torch.rand_like(parameter), alpha=0.2)
    return net


def images(*size: int) -> Tensor:
    return torch.randn(2, 1, *(size or SIZE), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def found(net: nn.Sequential) -> list[Tensor]:
    """The mean of the outputs, each with a weight of its own, and its gradients by images and parameters."""
    pictures = images().requires_grad_()
    outputs = net(pictures)
    result = total(outputs) / sum(tensor.numel() for tensor in tensors(outputs))
    return [result.detach(), *torch.autograd.grad(result, [pictures, *net.parameters()])]


def apart(one: list[Tensor], other: list[Tensor]) -> float:
    return max(((a - b).abs().max() / b.abs().max().clamp(min=1)).item() for a, b in zip(one, other, strict=True))


@every_network
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    ("boundary", "grid"),
    [(Background(0.3), "self-similar"), (Zero(), "self-similar"), (Background(0.3), "image")],
    ids=["background", "zero", "pixels"],
)
def test_outputs_and_gradients_are_those_of_all_samples(name, training, boundary, grid, monkeypatch):
    net = network(name, boundary, grid).train(training)
    with_less = found(net)
    monkeypatch.setattr(nn.Lift, "live", lambda *_: None)
    assert apart(with_less, found(net)) <= ROUNDING[torch.float64]


def test_a_live_part_one_sample_too_small_is_seen(monkeypatch):
    """The control."""
    net = network("plain")
    right = found(net)
    live = SelfSimilar.live
    monkeypatch.setattr(SelfSimilar, "live", lambda *of: live(*of).map(lambda grid: grid.dilated(-4)))
    assert apart(found(net), right) > 1e-8


@pytest.mark.parametrize("name", ["plain", "strides", "across scale", "dense", "gates"])
def test_a_plan_shows_the_samples_that_are_computed(name):
    net, computed = network(name).eval(), {}
    norms = nn.BatchNorm | nn.GroupNorm  # which are given those of their statistics as well
    layers = [layer for layer in net if not isinstance(layer, norms)]
    for layer in layers:
        layer.register_forward_hook(lambda *call: computed.setdefault(call[0], call[-1]))
    net(images())
    steps = dict(zip(net, net.plan(SIZE).steps, strict=True))
    assert all(steps[layer].grids.grids == computed[layer].grids.grids for layer in layers)


@every_network
def test_coarse_channels_of_a_constant_world_are_computed_where_the_image_is(name):
    of = [network(name, boundary).plan(SIZE).steps[1].grids.grids for boundary in (Background(0.3), Reflect())]
    less, whole = ([math.prod(grid.shape) for grid in grids] for grids in of)
    assert less[:2] == whole[:2]  # whose lifting has the tails of a sinc
    assert all(part <= 0.75 * all_of_it for part, all_of_it in zip(less[2:], whole[2:], strict=True))
    assert BandLimited().reach(0.9 * 2.0) == math.inf > BandLimited().reach(0.9 * 4.0)


def test_what_is_beyond_the_live_samples_is_what_is_at_their_border():
    lift = nn.Lift(WINDOW, boundary=Background(0.3))
    grids = lift.canvas(Grids.of_pixels(SIZE, WINDOW.sigmas))
    wide = grids.map(lambda grid: grid.dilated(40))
    live = lift.sampling.live(grids)
    field = replace(lift(images(), wanted=wide.map(Grid.within_reach, live)), live=live)
    whole = lift(images(), wanted=wide)
    for n in range(WINDOW.channels):
        assert (field.crop(wide).channel(n) - whole.channel(n)).abs().max() <= ROUNDING[torch.float64]
    coarse = field.restrict(WINDOW.select(2, 4))
    aside = coarse.crop(coarse.grids.map(lambda grid: replace(grid, x=Axis(grid.x.stop + 5, 3))))
    assert all((maps - 0.3).abs().max() <= ROUNDING[torch.float64] for maps in aside.maps)
    with pytest.raises(ScaleGroupError, match="at least the samples"):  # not of what holds less than is live
        field.crop(live.map(lambda grid: grid.dilated(-1))).crop(wide)
    with pytest.raises(ScaleGroupError, match="at least the samples"):  # nor where nothing is said
        replace(field, live=None).crop(wide)


def test_a_layer_that_says_nothing_of_what_is_live_is_given_all_samples():
    class Shy(nn.ReLU):
        def live(self, live):
            return None

    nets = [network("plain"), nn.Sequential(*list(network("plain"))[:3], Shy, *list(network("plain"))[4:])]
    assert apart(found(nets[1]), found(nets[0])) <= ROUNDING[torch.float64]
