"""Yardsticks: the same network computed in the two ways that everybody would try first. Not for use, for comparison.

`TextbookLayer` follows eq 6 to the letter, `DenseLayer` builds each kernel in full. Both compute every scale channel on
the image's grid, in contiguous tensors with zero padding. Away from the border they are a `nn.JetConv` of that radius
(the tests hold them to that), so that a comparison with `grid="image"` is of cost alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from scipy import ndimage  # scipy.signal takes seconds to import
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.baselines.plain_cnn import read_centre
from scalegroup import Jet, ScaleWindow
from scalegroup.jets import gaussian

_JET = Jet(2)  # of eq 6


class JetLayer(nn.Module):
    """A layer of `inputs` and `outputs` features with the parameters of `scalegroup.nn.JetConv`, at σ = beta·σ₀."""

    radius: float
    """Of the smoothing, in units of σ."""

    def __init__(self, inputs: int, outputs: int, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.coefficients = nn.Parameter(torch.randn(outputs, inputs, _JET.size) * math.sqrt(2 / (_JET.size * inputs)))
        self.offset = nn.Parameter(torch.zeros(outputs))

    @abstractmethod
    def forward(self, images: Tensor, sigma0: float) -> Tensor:
        """`[batch, in, y, x]` to `[batch, out, y, x]`."""

    def sigma_and_blur(self, sigma0: float) -> tuple[float, np.ndarray]:
        """σ, and the discrete Gaussian cut at `radius`·σ."""
        sigma = self.beta * sigma0
        return sigma, smoothing_kernel(sigma, math.ceil(self.radius * sigma))


class TextbookLayer(JetLayer):
    """Eq 6 read aloud: smooth along x and y, take the five derivatives as five maps, mix them by a 1×1 convolution."""

    radius = 4.0

    def forward(self, images: Tensor, sigma0: float) -> Tensor:
        sigma, blur = self.sigma_and_blur(sigma0)
        first, second = np.array([-0.5, 0.0, 0.5]), np.array([1.0, -2.0, 1.0])
        smooth = _along_y(_along_x(images, blur), blur)
        along_y = _along_y(smooth, first)
        maps = [
            sigma * _along_x(smooth, first),
            sigma * along_y,
            sigma**2 / 2 * _along_x(smooth, second),
            sigma**2 / 2 * 2 * _along_x(along_y, first),
            sigma**2 / 2 * _along_y(smooth, second),
        ]
        weights = self.coefficients.transpose(1, 2).flatten(1)[..., None, None]
        return F.conv2d(torch.cat(maps, dim=1), weights, self.offset)


class DenseLayer(JetLayer):
    """One convolution with full two-dimensional kernels, made from the coefficients in every step."""

    radius = 3.0

    def forward(self, images: Tensor, sigma0: float) -> Tensor:
        sigma, blur = self.sigma_and_blur(sigma0)
        kernels = torch.as_tensor(dense_kernels(sigma, len(blur) // 2), dtype=images.dtype, device=images.device)
        weights = (self.coefficients @ kernels.flatten(1)).unflatten(2, kernels.shape[1:])
        return F.conv2d(images, weights, self.offset, padding="same")


class JetNetwork(nn.Module):
    """The Gaussian derivative network of those layers: batch norm shared by the scale channels, maximum over scale.

    Args:
        layer: the kind of layer.
        window: the scale channels.
        widths: of the hidden layers.
        num_classes: width of the last layer.
        r: the ratio of σ between one layer and the next.
    """

    def __init__(
        self, layer: type[JetLayer], window: ScaleWindow, widths: Sequence[int], num_classes: int = 10, r: float = 1.25
    ) -> None:
        super().__init__()
        self.window = window
        sizes = pairwise((1, *widths, num_classes))
        self.layers = nn.ModuleList(layer(before, after, r**depth) for depth, (before, after) in enumerate(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, 1, y, x]` to class scores `[batch, classes]`."""
        sigmas = self.window.sigmas
        channels = [images for _ in sigmas]
        for depth, layer in enumerate(self.layers):
            if depth:
                joint = torch.relu(self.norms[depth - 1](torch.cat(channels)))
                channels = list(joint.chunk(len(sigmas)))
            channels = [layer(maps, sigma0) for maps, sigma0 in zip(channels, sigmas, strict=True)]
        return torch.stack([read_centre(maps) for maps in channels]).amax(0)


@lru_cache
def smoothing_kernel(sigma: float, radius: int) -> np.ndarray:
    """The discrete Gaussian T(n; σ²) with unit mass, `[2·radius + 1]`."""
    return gaussian.normalised(gaussian.discrete_gaussian(sigma, radius))


@lru_cache
def dense_kernels(sigma: float, radius: int) -> np.ndarray:
    """The scale-normalised 2-jet of eq 6 as full kernels, `[5, 2·radius + 3, 2·radius + 3]`."""
    blur = smoothing_kernel(sigma, radius)
    smooth = np.pad(np.outer(blur, blur), 1)
    kernels = [ndimage.convolve(smooth, stencil, mode="constant") for stencil in _JET.differences]
    return np.stack(kernels) * _JET.normalisation(sigma)[:, None, None]


def _along_x(maps: Tensor, taps: np.ndarray) -> Tensor:
    """Depthwise correlation, zero outside."""
    features, radius = maps.shape[1], len(taps) // 2
    weights = torch.as_tensor(taps, dtype=maps.dtype, device=maps.device).expand(features, 1, 1, -1)
    return F.conv2d(maps, weights, padding=(0, radius), groups=features)


def _along_y(maps: Tensor, taps: np.ndarray) -> Tensor:
    features, radius = maps.shape[1], len(taps) // 2
    weights = torch.as_tensor(taps, dtype=maps.dtype, device=maps.device)[:, None].expand(features, 1, -1, 1)
    return F.conv2d(maps, weights, padding=(radius, 0), groups=features)
