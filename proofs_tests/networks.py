"""Small networks that laws are shown on, the same for the same seed, and how two of their fields are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scalegroup import (
    Background,
    Boundary,
    DiscreteGaussian,
    Kernel,
    LiftingKernel,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    nn,
)
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net

PAPER = DiscreteGaussian(tail=1e-3)
G = ScaleGroup(2**0.5)
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, repr=False)
class OneChannelOff(ScaleWindow):
    """A window with a bug: the σ₀ of its second channel is one per cent too large."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        first, second, *others = super().sigmas
        return (first, 1.01 * second, *others)


def small_net(channels: int = 3, window: ScaleWindow | None = None, **options: Any) -> GaussianDerivativeNet:
    """That of a user, in evaluation."""
    torch.manual_seed(0)
    options = {"widths": (4, 4), "boundary": Background(0.0)} | options
    return gaussian_derivative_net(window=window or ScaleWindow(G, 1.0, channels), **options).eval()


def maps_net(
    *ends: Any,
    window: ScaleWindow = ScaleWindow(G, 1.0, 3),  # noqa: B008
    jets: int = 2,
    boundary: Boundary = Background(0.0),  # noqa: B008
    **lift: Any,
) -> nn.Sequential:
    """2-jet layers and ReLUs, and what comes behind them: nothing, for fields."""
    torch.manual_seed(0)
    layers: list[Any] = [nn.Lift(window, boundary=boundary, **lift)]
    for depth in range(jets):
        layers += [nn.ReLU] * bool(depth) + [partial(nn.JetConv, out_type=3, beta=1.25**depth)]
    return nn.Sequential(*layers, *ends).eval()


def jet_network(
    window: ScaleWindow,
    *,
    depth: int = 6,
    width: int = 3,
    r: float = 1.1,
    kernel: Kernel = PAPER,
    activation: Activation = torch.relu,
    norm: bool = True,
    strides: Sequence[int] = (),
    boundary: Boundary = Background(0.0),  # noqa: B008
    behind: Sequence[Any] = (),
    seed: int = 0,
    lifting: LiftingKernel | None = None,
    **lift: Any,
) -> nn.Sequential:
    """2-jet layers with σ_k = r^(k-1)·σ₀ (eq 13) in float64; batch norm keeps the statistics of the last batch."""
    torch.manual_seed(seed)
    layers: list[Any] = [nn.Lift(window, boundary=boundary, kernel=lifting, **lift)]
    for k, stride in zip(range(depth), [*strides, *[1] * depth], strict=False):
        if k:
            layers += [partial(nn.BatchNorm, momentum=1.0)] if norm else []
            layers += [partial(nn.Pointwise, function=activation)]
        layers += [partial(nn.JetConv, out_type=width, beta=r**k, kernel=kernel, stride=stride)]
    net = nn.Sequential(*layers, *behind).double()
    with torch.no_grad():
        for layer in jets(net):
            layer.offset.normal_(std=0.3)
    return net


def after_a_batch(net: nn.Sequential, images: Tensor) -> nn.Sequential:
    """In evaluation, with the statistics of these images."""
    with torch.no_grad():
        net.train()(images)
    return net.eval()


def jets(net: nn.Sequential) -> list[nn.JetConv]:
    return [layer for layer in net.modules() if isinstance(layer, nn.JetConv)]


def shared(ours: ScaleField, theirs: ScaleField, at: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Of a scale channel of each the samples that both hold, `[batch, feature, y, x]`."""
    grids = [field.grids.grids[n] for field, n in zip((ours, theirs), at, strict=True)]
    part = grids[0].intersection(grids[1])
    assert min(part.shape) > 0
    a, b = (grid.crop(field.channel(n), part) for grid, field, n in zip(grids, (ours, theirs), at, strict=True))
    return a, b


def difference(ours: ScaleField, theirs: ScaleField, *, move: int = 0) -> list[float]:
    """‖difference‖ / ‖output - background‖, the worst image, for each channel n of ours and n + move of theirs.

    The last image of ours is the background; what it gives is the same everywhere.
    """
    errors = []
    for n in range(len(ours.grids.grids) - move):
        a, b = shared(ours, theirs, (n, n + move))
        gaps, signals = (a[:-1] - b[: len(a) - 1]).flatten(1), (a[:-1] - a[-1:]).flatten(1)
        assert (signals.norm(dim=1) > 0).all()  # of a network that says nothing, nothing is shown
        errors.append((gaps.norm(dim=1) / signals.norm(dim=1)).max().item())
    return errors


def and_nothing(images: Tensor, value: float = 0.0) -> Tensor:
    """The images, and the background as the last one."""
    return torch.cat([images, torch.full_like(images[:1], value)])
