"""A network of Riesz transforms: scale covariant without scale channels (Barisin, Schladitz and Redenbach, 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from benchmarks.baselines.plain_cnn import check_widths, read_centre
from scalegroup.errors import check_images, check_like
from scalegroup.fields.lifting import without_autocast

_TRANSFORMS = 5


class RieszNet(torch.nn.Module):
    """Combinations of Riesz transforms, read out at the centre as the Gaussian derivative networks are.

    Build one with `riesz_net`.

    Args:
        body: from images to one map per class.
        in_channels: of the images.
    """

    def __init__(self, body: torch.nn.Module, in_channels: int) -> None:
        super().__init__()
        self.body, self.in_channels = body, in_channels

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        check_like("weights", next(self.parameters()), check_images(images, self.in_channels))
        return read_centre(self.body(images))


class RieszConv(torch.nn.Conv2d):
    """A learnt combination of the five Riesz transforms of all features, `[batch, out_features, y, x]`.

    It is `riesz_transforms` and a 1×1 convolution. Both are linear, so features are combined before the way back from
    the frequency domain, which is then that of the combinations alone.

    Args:
        in_features, out_features: of the maps.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(_TRANSFORMS * in_features, out_features, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`[batch, in_features, y, x]` to `[batch, out_features, y, x]`."""
        weight, offset = self.weight.flatten(2), self.bias

        def combine(spectra: Tensor) -> Tensor:
            parts = torch.view_as_real(spectra.flatten(1, 2)).flatten(2)  # weights are real: for both parts the same
            mixed = F.conv1d(parts, weight).contiguous()  # which it is not where weights are channels-last
            return torch.view_as_complex(mixed.unflatten(2, (*spectra.shape[-2:], 2)))

        with without_autocast(maps):  # there are no complex numbers in bfloat16
            combined = _filtered(maps, combine)
            return combined if offset is None else combined + offset[:, None, None]


def riesz_net(widths: Sequence[int] = (12, 16, 24, 32, 80), *, in_channels: int = 1, num_classes: int = 10) -> RieszNet:
    """The network of Riesz transforms that its authors train on MNIST Large Scale, with 20 882 parameters.

    Every hidden layer is a learnt combination of the five Riesz transforms of all features, batch norm and ReLU. The
    last layer combines the features of a pixel, without transforms. A Riesz transform commutes with scaling, and so
    does everything else here: there are no scale channels, and nothing to choose a scale with.

    What it does not see: a Riesz transform of a constant is zero, so of a map that ReLU has left with a mean, the mean
    is lost. In the plane, a compact object on its background has none. On the canvas of the image it has, the larger
    the more of the canvas it fills: an error that grows with the object, and the reason to extend the maps.

    Args:
        widths: of the hidden layers.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.

    Raises:
        ScaleGroupError: if a number cannot be used.

    >>> net = riesz_net()
    >>> net(torch.zeros(2, 1, 20, 20)).shape, sum(parameter.numel() for parameter in net.parameters())
    (torch.Size([2, 10]), 20882)
    """
    *features, classes = check_widths(widths, in_channels, num_classes)
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(features):
        layers += [RieszConv(before, after), torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    layers.append(torch.nn.Conv2d(features[-1], classes, kernel_size=1))
    return RieszNet(torch.nn.Sequential(*layers), in_channels)


def riesz_transforms(maps: Float[Tensor, "batch feature y x"]) -> Float[Tensor, "batch feature 5 y x"]:
    """R_x, R_y, R_xx, R_xy and R_yy of every map.

    The discrete Fourier transform sees a map without end: it is extended by its border pixels, by a quarter of its
    size on each side, which keeps the next copy of an object away, and to an odd number of samples, which has no
    highest frequency (where a derivative would have no sign).

    >>> maps = torch.randn(1, 1, 9, 9)
    >>> jets = riesz_transforms(maps - maps.mean())
    >>> jets.shape, (riesz_transforms(maps + 1) - riesz_transforms(maps)).abs().max() < 1e-5
    (torch.Size([1, 1, 5, 9, 9]), tensor(True))
    """
    return _filtered(maps, lambda spectra: spectra)


def _filtered(maps: Tensor, combine: Callable[[Tensor], Tensor]) -> Tensor:
    """What is made of the half spectra `[batch, feature, 5, y, x]` of the transforms, as maps again."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))  # there is no FFT of every size in half precision
    height, width = maps.shape[-2:]
    top, left = height // 4, width // 4
    extended = F.pad(maps, (left, left + 1 - width % 2, top, top + 1 - height % 2), mode="replicate")
    size = extended.shape[-2:]
    factors = riesz_multipliers(*size, dtype=maps.dtype, device=maps.device)
    filtered = torch.fft.irfft2(combine(torch.fft.rfft2(extended)[:, :, None] * factors), s=size)
    return filtered[..., top : top + height, left : left + width]


def riesz_multipliers(
    height: int, width: int, *, dtype: torch.dtype, device: torch.device
) -> Complex[Tensor, "5 {height} half_width"]:
    """What the transforms multiply the half spectrum of `rfft2` with, homogeneous of degree zero in ω.

    R_x: -i·ω_x/|ω| and R_y: -i·ω_y/|ω|; R_xx, R_xy and R_yy: their products. All are 0 at ω = 0.

    Args:
        height: of the transformed maps, in samples.
        width: of the transformed maps, in samples.
        dtype: of the maps.
        device: of the maps.
    """
    wy = torch.fft.fftfreq(height, dtype=dtype, device=device)[:, None]
    wx = torch.fft.rfftfreq(width, dtype=dtype, device=device)
    length = torch.hypot(wy, wx)
    length = torch.where(length > 0, length, torch.ones_like(length))
    x, y = -1j * wx / length, -1j * wy / length
    return torch.stack([x, y, x * x, x * y, y * y])
