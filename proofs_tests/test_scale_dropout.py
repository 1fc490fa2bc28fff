"""Scale-channel dropout: a network trained with it is, in every step, the network of a window that begins coarser."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from proofs_tests.comparison import assert_same_field, same_bits
from scalegroup import (
    Background,
    Dense,
    DiscreteGaussian,
    FieldType,
    Mean,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    SpatialMax,
    nn,
)

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, 0.9, 3)
MOST = 2
jet = partial(nn.JetConv, out_type=3, kernel=DiscreteGaussian(tail=2e-2))
norm = partial(nn.BatchNorm, half_width=2.0)
some = partial(nn.ScaleDropout, finest=MOST)
READ = (nn.ReadOut, partial(nn.ScalePool, pooling=Mean()))  # in which every channel counts


def number(seed: int, most: int = MOST) -> int:
    """How many channels a network leaves out whose first random number is theirs."""
    torch.manual_seed(seed)
    return int(torch.randint(most + 1, ()))


SEEDS = {left_out: next(seed for seed in range(100) if number(seed) == left_out) for left_out in range(MOST + 1)}
"""One for every number."""


def residual(type_: FieldType) -> nn.Layer:
    return nn.Residual(nn.Sequential(jet(type_), norm, nn.ReLU, partial(jet, out_type=type_.size)))


def branches(type_: FieldType) -> nn.Layer:
    return nn.Concat(jet(type_), residual(type_))


def inner(type_: FieldType) -> nn.Layer:
    return nn.Sequential(nn.Sequential(jet(type_), norm), nn.ReLU)


def heads(type_: FieldType) -> nn.Layer:
    return nn.Heads(
        what=nn.Sequential(jet(type_), *READ),
        where=nn.Sequential(jet(type_), partial(nn.ReadOut, readout=Dense()), nn.ScalePool, nn.Identity),
        maps=nn.Mix(type_, 2),
    )


def maximum(type_: FieldType) -> nn.Layer:
    return nn.ReadOut(type_, SpatialMax())


def pixels(type_: FieldType) -> nn.Layer:
    return nn.ReadOut(type_, Dense())


# all that stands behind the lifting
NETWORKS: dict[str, tuple[Any, ...]] = {
    "chain": (jet, norm, nn.ReLU, partial(jet, stride=2, beta=2.0), *READ),
    "branches": (jet, branches, maximum, nn.ScalePool),
    "nested": (inner, inner, *READ),
    "across scale": (jet, nn.ReLU, partial(nn.ScaleConv, out_type=2, group=G), nn.ReLU, jet, *READ),
    "heads": (jet, nn.ReLU, heads),
    "pixels": (jet, pixels, nn.ScalePool, nn.Identity, nn.Identity),
}


def network(name: str, *dropout: Any, nest: bool = False, **options: bool) -> Any:
    torch.manual_seed(0)
    lift: Any = nn.Lift(WINDOW, boundary=Background(0.3))
    front = [nn.Sequential(lift, *dropout)] if nest else [lift, *dropout]
    net = nn.Sequential(*front, *NETWORKS[name], **options).double().train()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.rand_like(parameter), alpha=0.2)
    return net


def images() -> Tensor:
    return torch.randn(2, 1, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def outcome(net: nn.Sequential, seed: int | None = None, **window: ScaleWindow) -> list[Tensor]:
    """What it gives, gradients and statistics."""
    if seed is not None:
        torch.manual_seed(seed)
    net.zero_grad()
    result = tensors(net(images(), **window))
    torch.stack([tensor.square().sum() for tensor in result]).sum().backward()
    return [*result, *(parameter.grad for parameter in net.parameters()), *net.buffers()]  # type: ignore[list-item]


def tensors(result: Any) -> list[Tensor]:
    if isinstance(result, dict):
        return [tensor for part in result.values() for tensor in tensors(part)]
    return [result] if isinstance(result, Tensor) else list(result.maps)


def agree(one: list[Tensor], other: list[Tensor]) -> bool:
    """To the bit."""
    return len(one) == len(other) and all(map(same_bits, one, other))


def agree_to_rounding(one: list[Tensor], other: list[Tensor]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in pairs)


# -- the law ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_in_training_it_is_the_network_of_a_coarser_window(name: str) -> None:
    """Outputs, gradients and batch norm's statistics, to the bit; also within a chain of its own, and recomputed.

    To rounding across scale: there the channels that are left hold what those left out would have looked at.
    """
    alike = agree_to_rounding if name == "across scale" else agree
    expected = {n: outcome(network(name), window=WINDOW.select(n, WINDOW.channels)) for n in SEEDS}
    for left_out, options in ((1, {}), (2, {"nest": True}), (1, {"checkpointing": True})):
        found = outcome(network(name, some, **options), SEEDS[left_out])
        assert [n for n, of in expected.items() if alike(found, of)] == [left_out]  # and no other window's


@pytest.mark.parametrize("name", ["chain", "heads"])
def test_a_window_given_in_the_call_is_what_it_leaves_some_of(name: str) -> None:
    given = replace(WINDOW, first=-1, channels=2)
    for seed in range(2):
        left = given.select(number(seed, most=1), 2)  # one channel stays
        assert agree(outcome(network(name, some), seed, window=given), outcome(network(name), window=left))


def test_what_is_left_out_is_not_computed() -> None:
    """Behind it no layer sees it: neither in the field nor in what is wanted."""
    net, seen = network("nested", some), []
    for layer in net.modules():
        if isinstance(layer, nn.JetConv):
            layer.register_forward_pre_hook(lambda _, arguments: seen.append(len(arguments[0].grids.grids)))
    for left_out, seed in SEEDS.items():
        torch.manual_seed(seed)
        seen.clear()
        net(images())
        assert seen == [WINDOW.channels - left_out] * 2


# -- the layer by itself ----------------------------------------------------------------------------------------------


def random_field(channels: int = 4) -> ScaleField:
    tensor = torch.randn(2, 3, channels, 5, 5, generator=torch.Generator().manual_seed(1))
    return ScaleField.of(tensor, FieldType.scalars(3), replace(WINDOW, channels=channels))


def test_a_field_is_restricted_to_what_is_left() -> None:
    field = random_field()
    layer = nn.ScaleDropout(field.type, finest=2)
    for seed in range(6):
        left = field.window.select(number(seed, most=2), 4)
        torch.manual_seed(seed)
        assert_same_field(layer(field), field.restrict(left))


@pytest.mark.parametrize("channels, finest", [(4, 2), (4, 100), (2, 3), (1, 3), (4, 0)])
def test_every_number_is_as_likely_and_one_channel_stays(channels: int, finest: int) -> None:
    field, draws = random_field(channels), 3000
    layer = nn.ScaleDropout(field.type, finest=finest)
    left = torch.tensor([layer(field).window.channels for _ in range(draws)])
    most = min(finest, channels - 1)
    counts = torch.bincount(left, minlength=channels + 1)[channels - most :]
    assert counts.sum() == draws  # never fewer, never none

    def as_likely(share: float) -> bool:
        deviation = (share * (1 - share) / draws) ** 0.5
        return bool((counts / draws - share).abs().max() <= 5 * deviation)

    assert as_likely(1 / (most + 1))
    assert not as_likely(1 / (most + 2))  # the control


def test_in_evaluation_it_is_the_identity_and_nothing_is_drawn() -> None:
    field = random_field()
    layer = nn.ScaleDropout(field.type, finest=3)
    before = torch.get_rng_state()
    assert layer.eval()(field) is field
    assert torch.equal(torch.get_rng_state(), before)
    layer.train()(field)
    assert not torch.equal(torch.get_rng_state(), before)  # the control
    for name in ("chain", "heads"):
        ours, plain = network(name, some).eval(), network(name).eval()
        assert agree(outcome(ours, 0), outcome(plain))
        assert not agree(outcome(ours.train(), 1), outcome(plain.train()))


def test_the_number_is_drawn_on_the_cpu_whatever_the_device() -> None:
    """Without waiting for one, and alike in all processes."""
    net = network("chain", some).to("meta")
    torch.manual_seed(0)
    with torch.device("meta"):
        assert net(images().to("meta")).device.type == "meta"
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    net.eval()(images().to("meta"))
    assert torch.equal(torch.get_rng_state(), expected)


def test_networks_are_one_graph_in_evaluation() -> None:
    net = nn.Sequential(nn.Lift(WINDOW.select(0, 2)), some, jet, nn.Dropout, *READ).double().eval()
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    exported = torch.export.export(net, (images(),)).module()
    assert same_bits(compiled(images()), net(images()))
    assert same_bits(exported(images()), net(images()))
