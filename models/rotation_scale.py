"""A Gaussian derivative network that is equivariant to rotations as well as to scalings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from scalegroup import nn
from scalegroup.boundary import Boundary
from scalegroup.errors import ScaleGroupError
from scalegroup.kernels import Kernel
from scalegroup.models.gaussian_derivative import MIN_GRID_SIGMA, PRESETS, GaussianDerivativeNet, assemble
from scalegroup.models.plain_cnn import check_widths
from scalegroup.pooling import Max, Pooling
from scalegroup.readout import CentrePixel, ReadOut
from scalegroup.rotation import RotationGroup
from scalegroup.window import ScaleWindow


def rotation_scale_net(
    order: int = 8,
    widths: Sequence[int] = PRESETS["larger"].widths,
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    window: ScaleWindow = PRESETS["larger"].window,
    r: float = 1.25,
    kernel: Kernel | None = None,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    boundary: Boundary | None = None,
    margin: int = 0,
    pooling: Pooling = Max(),  # noqa: B008
    readout: ReadOut = CentrePixel(),  # noqa: B008
    min_grid_sigma: float | None = MIN_GRID_SIGMA,
    checkpointing: bool = False,
) -> GaussianDerivativeNet:
    """The network of `gaussian_derivative_net` on fibres of the product group {γ^i} × C_N: regular fields of C_N.

    Its 2-jets are steered (eq 7 and 8), never interpolated. Each hidden layer holds width / N fields of N features, so
    it costs what the network without rotations costs, with about N times fewer weights. The last layer gives features
    that no rotation changes.

    Args:
        order: N; rotations by multiples of 2π/N.
        widths: features of the hidden layers, fields × N.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.
        window: the scale channels, by physical σ₀ in pixels.
        r: the ratio of σ between one layer and the next.
        kernel: the discretisation.
        activation: a pointwise function of tensors, which commutes with permutations.
        boundary: as of `gaussian_derivative_net`.
        margin: the same.
        pooling: over scale.
        readout: what is looked at in the plane.
        min_grid_sigma: as of `gaussian_derivative_net`.
        checkpointing: the same.

    Raises:
        ScaleGroupError: if a width is no multiple of N, or a value cannot be used.

    >>> net = rotation_scale_net(4)
    >>> net(torch.zeros(2, 1, 65, 65)).shape, net.parameter_count
    (torch.Size([2, 10]), 8168)
    """
    rotations = RotationGroup(order)
    *hidden, classes = check_widths(widths, in_channels, num_classes)[1:]
    for width in hidden:
        if width % order:
            raise ScaleGroupError(
                f"width {width} for C{order}", expected=f"fields × {order}", mend=f"pass multiples of {order}"
            )
    fields = [*(width // order * rotations.regular for width in hidden), classes * rotations.trivial]
    return assemble(
        [partial(nn.SteerableJetConv, rotation=rotation) for rotation in fields],
        window=window,
        in_channels=in_channels,
        r=r,
        kernel=kernel,
        activation=activation,
        boundary=boundary,
        margin=margin,
        pooling=pooling,
        readout=readout,
        min_grid_sigma=min_grid_sigma,
        checkpointing=checkpointing,
    )
