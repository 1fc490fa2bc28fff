"""Residual Gaussian derivative networks, for pictures with more in them than a digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import refusing
from scalegroup.fields.window import ScaleWindow
from scalegroup.jets.jet import Jet
from scalegroup.models.architecture import Architecture
from scalegroup.models.gaussian_derivative import GaussianDerivativeNet, from_preset

_WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=7, first=-2)  # σ₀ from ½ to 4 pixels
_SMALL = Architecture(
    (16, 16, 24, 32, 48), _WINDOW, in_channels=3, r=1.2, jet=Jet(2, zero=True), residual=True, field_of_view=24.0
)
_MEDIUM = replace(_SMALL, widths=(24, 24, 32, 48, 64, 96, 96), r=1.15)
_LARGE = replace(_SMALL, widths=(32, 32, 48, 64, 96, 128, 128, 128, 128), r=1.12)

RESNET_PRESETS = {
    "small": _SMALL,
    "medium": _MEDIUM,
    "large": _LARGE,
    "separable_small": replace(_SMALL, widths=(24, 24, 40, 64, 112), separable=True),
    "separable_medium": replace(_MEDIUM, widths=(32, 32, 64, 96, 160, 208, 208), separable=True),
    "separable_large": replace(_LARGE, widths=(48, 48, 80, 128, 192, 320, 320, 320, 320), separable=True),
}
"""For `gaussian_derivative_resnet`: by name, what each is made of."""


@refusing
def gaussian_derivative_resnet(
    preset: str | None = None,
    *,
    weights: str | Path | None = None,
    sigma0: float | None = None,
    checkpointing: bool = False,
    **parts: Any,
) -> GaussianDerivativeNet:
    """A residual Gaussian derivative network, of `nn.ResidualBlock`s of two jet layers (arXiv 2603.02843).

    A jet layer for the first width, a block for each other one, a jet layer to the class scores. Jet layer k has
    σ_k = r^(k-1)·σ₀ (eq 13). For colour images, in seven scale channels of σ₀ from ½ to 4 pixels. The jets have the
    zero-order term: of CIFAR-10 a plain network read 73 % with it, and 57 % without (`benchmarks/results/cifar10`).

    | preset | widths | jet layers | r | weights |
    |---|---|--:|--:|--:|
    | `"small"` (the default) | 16-16-24-32-48 | 10 | 1.2 | 49 258 |
    | `"medium"` | 24-24-32-48-64-96-96 | 14 | 1.15 | 306 418 |
    | `"large"` | 32-32-48-64-96-128-128-128-128 | 18 | 1.12 | 968 266 |
    | `"separable_small"` | 24-24-40-64-112 | 10 | 1.2 | 51 706 |
    | `"separable_medium"` | 32-32-64-96-160-208-208 | 14 | 1.15 | 310 170 |
    | `"separable_large"` | 48-48-80-128-192-320-320-320-320 | 18 | 1.12 | 1 030 666 |

    Separable ones have about as many weights at twice the width.

    Args:
        preset: what to start from.
        weights: of a trained network, as of `gaussian_derivative_net`.
        sigma0: σ₀ of the finest scale channel, in place of the preset's.
        checkpointing: keep fewer maps for the backward pass, and compute the others again there.
        **parts: of the `Architecture`, as of `gaussian_derivative_net`.

    Raises:
        ScaleGroupError: as `gaussian_derivative_net`.

    >>> import torch
    >>> net = gaussian_derivative_resnet("small")
    >>> net(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    return from_preset(RESNET_PRESETS, "small", preset, weights, sigma0, checkpointing, parts)
