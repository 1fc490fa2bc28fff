"""The Gaussian 2-jet: the order of its coefficients, its normalisation, its stencils and its steering.

Everywhere in this library a 2-jet has five components in the order Lx, Ly, Lxx, Lxy, Lyy (C₀ is kept apart), where x
runs along the last axis of an image and y along the one before it. Derivatives here are per pixel; `normalisation`
turns them into the terms of eq 6.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.errors import ScaleGroupError

COMPONENTS = ("x", "y", "xx", "xy", "yy")
SIZE = len(COMPONENTS)
ORDERS = ((0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # of differentiation along y and along x

# 1-D stencils, as correlations: out(n) = Σ_m stencil(m) in(n + m).
_ONE = np.array([1.0])
_FIRST = np.array([-0.5, 0.0, 0.5])  # δx
_SECOND = np.array([1.0, -2.0, 1.0])  # δxx
_SMOOTH = np.array([1.0, 4.0, 1.0]) / 6
_COMPACT_SECOND = np.convolve(_SECOND, np.array([1.0, 10.0, 1.0]) / 12)


def normalisation(sigma: float) -> np.ndarray:
    """What eq 6 puts in front of Cx Lx, Cy Ly, Cxx Lxx, Cxy Lxy, Cyy Lyy: σ, σ, σ²/2, 2·σ²/2, σ²/2 (γ = 1).

    >>> normalisation(2.0).tolist()
    [2.0, 2.0, 2.0, 4.0, 2.0]
    """
    first, second = sigma, sigma**2 / 2
    return np.array([first, first, second, 2 * second, second])


def _stencils(radius: int, *pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """along_y ⊗ along_x of each pair, in squares of the given radius."""
    return np.stack([np.outer(*(np.pad(taps, radius - len(taps) // 2) for taps in pair)) for pair in pairs])


CENTRAL_DIFFERENCES = _stencils(1, (_ONE, _FIRST), (_FIRST, _ONE), (_ONE, _SECOND), (_FIRST, _FIRST), (_SECOND, _ONE))
"""§5.1's stencils, `[5, 3, 3]`: δx = (-½, 0, ½), δxx = (1, -2, 1), δxy = δx δy."""

_SECONDS = ((_SMOOTH, _COMPACT_SECOND), (_FIRST, _FIRST), (_COMPACT_SECOND, _SMOOTH))
ISOTROPIC_DIFFERENCES = _stencils(2, (_SMOOTH, _FIRST), (_FIRST, _SMOOTH), *_SECONDS)
"""Stencils `[5, 5, 5]` whose leading error is isotropic, so that a blur of variance σ² - 1/3 absorbs it (`Iso`)."""


def _components(jet: Tensor) -> tuple[Tensor, ...]:
    """The five components along the last axis."""
    if jet.ndim == 0 or jet.shape[-1] != SIZE:
        raise ScaleGroupError(
            f"jets of shape {list(jet.shape)}",
            expected=f"{SIZE} components {', '.join(COMPONENTS)} along the last axis",
            mend="move the axis of the components last: jet.movedim(2, -1)",
        )
    return jet.unbind(-1)


def steer(coefficients: Float[Tensor, "*batch 5"], angle: float) -> Float[Tensor, "*batch 5"]:
    """The coefficients of the same combination of derivatives in a frame turned by `angle` (radians, from x to y).

    A layer with steered coefficients sees an image as the layer itself sees the image turned back by the angle. With
    Lφ = cos φ Lx + sin φ Ly (eq 7) and Lφφ = cos²φ Lxx + 2 cos φ sin φ Lxy + sin²φ Lyy (eq 8), in which Cx Lx becomes
    Cx Lφ and so on, first-order coefficients turn as a vector and second-order ones as a symmetric matrix.

    >>> steer(torch.tensor([1., 0., 1., 0., 0.]), math.pi / 2).round(decimals=6).abs().tolist()
    [0.0, 1.0, 0.0, 0.0, 1.0]
    """
    c, s = math.cos(angle), math.sin(angle)
    cx, cy, cxx, cxy, cyy = _components(coefficients)
    return torch.stack(
        [
            c * cx - s * cy,
            s * cx + c * cy,
            c * c * cxx - 2 * c * s * cxy + s * s * cyy,
            c * s * (cxx - cyy) + (c * c - s * s) * cxy,
            s * s * cxx + 2 * c * s * cxy + c * c * cyy,
        ],
        dim=-1,
    )


def directional_derivatives(jet: Float[Tensor, "*batch 5"], angle: float) -> Float[Tensor, "*batch 2"]:
    """(Lφ, Lφφ) of eq 7 and 8 from a jet (Lx, Ly, Lxx, Lxy, Lyy), for the direction φ = `angle` in radians.

    >>> directional_derivatives(torch.tensor([1., 2., 3., 4., 5.]), 0.0).tolist()
    [1.0, 3.0]
    """
    c, s = math.cos(angle), math.sin(angle)
    lx, ly, lxx, lxy, lyy = _components(jet)
    return torch.stack([c * lx + s * ly, c * c * lxx + 2 * c * s * lxy + s * s * lyy], dim=-1)
