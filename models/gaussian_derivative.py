"""The Gaussian derivative networks of the paper (§5 and §6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalegroup import functional, nn
from scalegroup.boundary import Background, Boundary
from scalegroup.errors import ScaleGroupError, check_instance, check_integer, check_positive
from scalegroup.field import ScaleField
from scalegroup.group import ScaleGroup
from scalegroup.kernels import Kernel
from scalegroup.models.weights import find_trained
from scalegroup.pooling import Max, Pooling
from scalegroup.readout import CentrePixel, ReadOut
from scalegroup.window import ScaleWindow

_GROUP = ScaleGroup(2**0.5)
MIN_GRID_SIGMA = 2.0


@dataclass(frozen=True)
class Preset:
    """Widths of the hidden layers and scale channels of a network of the paper."""

    widths: tuple[int, ...]
    window: ScaleWindow


_MULTI = ScaleWindow(_GROUP, sigma0=1.0, channels=8, first=-1)  # σ₀ from 1/√2 to 8 (§6)

PRESETS = {
    "single_scale": Preset((12, 14, 16, 20, 64), ScaleWindow(_GROUP, sigma0=0.9, channels=1)),  # §5
    "multi_scale": Preset((12, 16, 24, 32, 64), _MULTI),  # §6, Figure 9 top
    "larger": Preset((16, 24, 32, 48, 64), _MULTI),  # §6, Figure 9 bottom
}


class GaussianDerivativeNet(nn.Sequential):
    """A `Sequential` of 2-jet layers, read out and pooled over scale. Build one with `gaussian_derivative_net`.

    `scores` below are `[batch, classes]`; a dense read-out keeps its rows and columns behind them.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self._values(self.field(images)).squeeze(2)

    def scale_logits(self, images: Tensor) -> Tensor:
        """Class scores of every scale channel, `[batch, classes, scale]`."""
        return self._values(self.field(images, pooled=False))

    def select_scale(self, images: Tensor) -> Tensor:
        """σ₀ of the scale channel in which the predicted class scores highest, `[batch]` (§6.1, Figure 10)."""
        return self.predict(images)[1]

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(class scores, selected σ₀) in one pass."""
        field = self.field(images, pooled=False)
        scores = self._values(self.layers[-1](field)).squeeze(2)
        return scores, functional.select_scale(self._values(field), self.lift.window, classes=scores.argmax(dim=1))

    def _values(self, field: ScaleField) -> Tensor:
        return field.tensor if self.out_type.over_plane else field.tensor[..., 0, 0]

    @property
    def parameter_count(self) -> int:
        """How many numbers training changes."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def paper_parameter_count(self) -> int:
        """The paper's count: six per pair of an input and an output feature, C₀ among them, batch norm left out.

        It has none for weights that rotations share: 0.
        """
        jets = [layer for layer in self.layers if isinstance(layer, nn.JetConv)]
        own = [layer for layer in jets if not isinstance(layer, nn.SteerableJetConv)]
        return 6 * sum(layer.offset.numel() * layer.in_type.size for layer in own)

    def extra_repr(self) -> str:
        """The parameter counts."""
        paper = self.paper_parameter_count
        return f"{self.parameter_count} parameters" + (f" ({paper} as the paper counts)" if paper else "")


def gaussian_derivative_net(
    preset: str = "multi_scale",
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    widths: Sequence[int] | None = None,
    window: ScaleWindow | None = None,
    sigma0: float | None = None,
    r: float = 1.25,
    kernel: Kernel | None = None,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    boundary: Boundary | None = None,
    margin: int | None = None,
    pooling: Pooling | None = None,
    readout: ReadOut | None = None,
    min_grid_sigma: float | None = MIN_GRID_SIGMA,
    checkpointing: bool = False,
    weights: str | Path | None = None,
) -> GaussianDerivativeNet:
    """A Gaussian derivative network of the paper (eq 9 and 10): 2-jet layers with σ_k = r^(k-1)·σ₀ (eq 13).

    | preset | hidden widths | scale channels |
    |---|---|---|
    | `"single_scale"` | 12-14-16-20-64 | one, σ₀ = 0.9 (§5) |
    | `"multi_scale"` | 12-16-24-32-64 | eight, σ₀ from 1/√2 to 8 by √2 (§6, Figure 9 top) |
    | `"larger"` | 16-24-32-48-64 | the same (§6, Figure 9 bottom) |

    Every layer but the last is followed by batch norm shared over scale and by the activation.

    Args:
        preset: what to start from; every keyword below replaces a part of it.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.
        widths: of the hidden layers.
        window: the scale channels, by physical σ₀ in pixels.
        sigma0: σ₀ of the finest channel, in place of the preset's.
        r: the ratio of σ between one layer and the next.
        kernel: the discretisation; default `DiscreteGaussian(tail=1e-3)`, about 3.5σ.
        activation: a pointwise function of tensors.
        boundary: `Background(value)` where the value around the object is known; default `Reflect()`.
        margin: pixels of background put around the images, for coarse scale channels (`nn.Lift`); default 0.
        pooling: over scale; default `Max()`.
        readout: what is looked at in the plane; default `CentrePixel()`.
        min_grid_sigma: layers run on coarser grids where σ₀ and their own σ are at least so many samples; None: on that
            of the image. The default is from the table of `python -m benchmarks strides`.
        checkpointing: keep less than half of the maps for the backward pass, and compute the others again there.
        weights: of a trained network: a name that comes with the package, or the path of a safetensors file written by
            `save_trained`. Window, boundary, margin, pooling, read-out and `min_grid_sigma` that are not given (or are
            the default) are then those it was saved with, and the network is returned in evaluation mode.

    Raises:
        ScaleGroupError: for an unknown preset or unknown weights, weights that do not fit or are damaged, or a value
            that cannot be used.

    >>> net = gaussian_derivative_net("larger")
    >>> net(torch.zeros(2, 1, 65, 65)).shape, net.paper_parameter_count
    (torch.Size([2, 10]), 38496)
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ScaleGroupError(f"preset {preset!r}", expected=f"one of {sorted(PRESETS)}", mend="or replace its parts")
    trained = find_trained(weights) if weights is not None else None
    if trained is not None:
        setting = trained.setting.check_preset(preset)
        window = setting.window if window is None and sigma0 is None else window
        boundary, pooling = boundary or setting.boundary, pooling or setting.pooling
        readout = readout or setting.readout
        margin = setting.margin if margin is None else margin
        min_grid_sigma = setting.min_grid_sigma if min_grid_sigma == MIN_GRID_SIGMA else min_grid_sigma
    if window is None:
        window = PRESETS[preset].window
        if sigma0 is not None:
            window = ScaleWindow(window.group, sigma0=sigma0, channels=window.channels)
    elif sigma0 is not None:
        raise ScaleGroupError("both window and sigma0", expected="one of them", mend="put sigma0 into the window")
    if widths is None:
        widths = PRESETS[preset].widths
    check_instance("widths", widths, Sequence, mend="pass one number per hidden layer")
    sizes = [
        *(check_integer("width", width, at_least=1) for width in widths),
        check_integer("num_classes", num_classes, at_least=1),
    ]
    net = assemble(
        [partial(nn.JetConv, out_type=size) for size in sizes],
        window=window,
        in_channels=in_channels,
        r=r,
        kernel=kernel,
        activation=activation,
        boundary=boundary,
        margin=margin or 0,
        pooling=pooling or Max(),
        readout=readout or CentrePixel(),
        min_grid_sigma=min_grid_sigma,
        checkpointing=checkpointing,
    )
    if trained is None:
        return net
    trained.load_into(net)
    return net.eval()


def assemble(
    jets: Sequence[Callable[..., nn.Layer]],
    *,
    window: ScaleWindow,
    in_channels: int,
    r: float,
    kernel: Kernel | None,
    activation: Callable[[Tensor], Tensor],
    boundary: Boundary | None,
    margin: int,
    pooling: Pooling,
    readout: ReadOut,
    min_grid_sigma: float | None,
    checkpointing: bool,
) -> GaussianDerivativeNet:
    """The networks of this package: `jets`, 2-jet layers of any kind, and what goes before, between and behind them."""
    check_positive("r", r)
    background = boundary.value if isinstance(boundary, Background) else None
    extension = None if background is not None else boundary
    layers: list[Any] = [nn.Lift(window, in_channels, background=background, margin=margin)]
    for depth, jet_layer in enumerate(jets):
        if depth:
            layers += [nn.BatchNorm, partial(nn.Pointwise, function=activation)]
        layers.append(partial(jet_layer, beta=r**depth, kernel=kernel, boundary=extension))
    read_and_pool = partial(nn.ReadOut, readout=readout), partial(nn.ScalePool, pooling=pooling)
    return GaussianDerivativeNet(*layers, *read_and_pool, min_grid_sigma=min_grid_sigma, checkpointing=checkpointing)
