"""A Gaussian derivative network that is equivariant to rotations as well as to scalings."""

from __future__ import annotations

from typing import Any

from scalegroup.errors import refusing
from scalegroup.models.gaussian_derivative import GaussianDerivativeNet, gaussian_derivative_net


@refusing
def rotation_scale_net(order: int = 8, *, preset: str = "larger", **parts: Any) -> GaussianDerivativeNet:
    """The network of `gaussian_derivative_net` on fibres of the product group {γ^i} × C_N: regular fields of C_N.

    Its 2-jets are steered (eq 7 and 8), never interpolated. Each hidden layer holds width / N fields of N features, so
    it costs what the network without rotations costs, with about N times fewer weights. The last layer gives features
    that no rotation changes.

    Args:
        order: N; rotations by multiples of 2π/N.
        preset: as of `gaussian_derivative_net`.
        **parts: the same.

    Raises:
        ScaleGroupError: if a width is no multiple of N, or a value cannot be used.

    >>> net = rotation_scale_net(4)
    >>> net(torch.zeros(2, 1, 65, 65)).shape, net.parameter_count
    (torch.Size([2, 10]), 8168)
    """
    return gaussian_derivative_net(preset, rotations=order, **parts)
