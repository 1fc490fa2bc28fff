"""Scale-steerable convolutions with interaction across scales, after Sosnovik, Szmaja and Smeulders (2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from benchmarks.baselines.plain_cnn import check_odd, check_widths, read_centre
from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.errors import check_images, check_instance, check_integer, check_like

_WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=5, first=-1)  # σ from 1/√2 to 2√2


class HermiteConv(torch.nn.Module):
    """A convolution of a field over scale and plane, `[batch, feature, scale, y, x]`, of as many scale channels.

    A filter is a learnt combination of Hermite functions: of their own σ in every scale channel, with the coefficients
    shared by all. Scale channel s sees the channels s, …, s + scale_size - 1 of the input, each with coefficients of
    its own; beyond the coarsest channel there is zero. In the plane the convolution is valid.

    Args:
        in_features, out_features: of the fields.
        sigmas: of the scale channels, in pixels, fine to coarse.
        kernel_size: of the filters of the coarsest scale channel, odd; finer ones are cut at the same multiple of σ.
        scale_size: how many scale channels of the input one of the output sees.
    """

    def __init__(
        self, in_features: int, out_features: int, sigmas: Sequence[float], kernel_size: int, scale_size: int
    ) -> None:
        super().__init__()
        self.scale_size, self.radius = scale_size, kernel_size // 2
        sizes = [int(kernel_size * sigma / sigmas[-1]) // 2 * 2 + 1 for sigma in sigmas]
        if sizes[0] < 3:  # of odd functions nothing is left
            least = math.ceil(2 * sigmas[-1] / sigmas[0]) // 2 * 2 + 1
            raise ScaleGroupError(
                f"kernel_size {kernel_size} for σ from {sigmas[0]:.3g} to {sigmas[-1]:.3g}: filters of 1×1",
                expected="filters of 3×3 at least",
                mend=f"pass kernel_size={least} or more, or a window of fewer channels",
            )
        bases = [hermite_functions(sigma, size) for sigma, size in zip(sigmas, sizes, strict=True)]
        norms = bases[0].square().sum((1, 2), keepdim=True).sqrt()  # of the finest, for all: they stay one family
        for number, basis in enumerate(bases):
            normalised = (basis / norms).to(torch.get_default_dtype())
            self.register_buffer(f"basis{number}", normalised, persistent=False)  # it is not learnt
        shape = (out_features, in_features, scale_size, len(norms))
        self.coefficients = torch.nn.Parameter(torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:])))
        self.offset = torch.nn.Parameter(torch.zeros(out_features))

    def forward(self, field: Tensor) -> Tensor:
        """`[batch, in_features, scale, y, x]` to `[batch, out_features, scale, y - 2·radius, x - 2·radius]`."""
        padded = F.pad(field, (0, 0, 0, 0, 0, self.scale_size - 1))
        return torch.stack([self._channel(padded, number) for number in range(field.shape[2])], dim=2)

    def _channel(self, padded: Tensor, number: int) -> Tensor:
        basis = self.get_buffer(f"basis{number}")
        weight = torch.einsum("oisn,nyx->oisyx", self.coefficients, basis).flatten(1, 2)
        margin = basis.shape[-1] // 2 - self.radius  # what a finer channel does not see
        seen = padded[:, :, number : number + self.scale_size].flatten(1, 2)
        return F.conv2d(F.pad(seen, 4 * (margin,)) if margin else seen, weight, self.offset)


class SteerableHermite(torch.nn.Module):
    """Hermite convolutions, read out at the centre and pooled over scale. Build one with `steerable_hermite`.

    Args:
        body: from fields that repeat the image in every scale channel to one feature per class.
        in_channels: of the images.
        window: the scale channels.
    """

    def __init__(self, body: torch.nn.Sequential, in_channels: int, window: ScaleWindow) -> None:
        super().__init__()
        self.body, self.in_channels, self.window = body, in_channels, window
        self.reach = sum(layer.radius for layer in body if isinstance(layer, HermiteConv))

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self.scale_logits(images).amax(2)

    def scale_logits(self, images: Tensor) -> Tensor:
        """Class scores of every scale channel, `[batch, classes, scale]`."""
        check_like("weights", next(self.parameters()), check_images(images, self.in_channels))
        # what the central one (odd) or two (even) samples see; zero where that is outside the image
        y, x = (self.reach + 1 - (size + 1) // 2 for size in images.shape[-2:])
        centre = F.pad(images, (x, x, y, y))
        field = self.body(centre[:, :, None].expand(-1, -1, self.window.channels, -1, -1))
        return read_centre(field.flatten(1, 2)).unflatten(1, (-1, self.window.channels))


def steerable_hermite(
    widths: Sequence[int] = (12, 16, 24, 32),
    *,
    window: ScaleWindow = _WINDOW,
    kernel_size: int = 17,
    scale_size: int = 2,
    in_channels: int = 1,
    num_classes: int = 10,
) -> SteerableHermite:
    """A scale-steerable network in the manner of SESN, with interaction across scales.

    The first layer takes the image to a field over scale and plane, the others see `scale_size` scale channels. Batch
    norm shared over scale and ReLU follow every layer but the last, the maximum over scale the last. Filters have nine
    coefficients for every pair of features and every scale channel seen.

    Other than in SESN there is no pooling in the plane, which costs covariance. Instead only what the read-out sees is
    computed, and enters the statistics of batch norm: by default the central 81 × 81 pixels of the image.

    Args:
        widths: of the hidden layers.
        window: the scale channels, by σ in pixels.
        kernel_size: of the filters of the coarsest scale channel, odd; finer ones are cut at the same multiple of σ.
        scale_size: how many scale channels one of the next layer sees: itself, the next coarser one, and so on.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.

    Raises:
        ScaleGroupError: if a value cannot be used, or there are fewer scale channels than a layer is to see.

    >>> net = steerable_hermite((4, 8))
    >>> net.scale_logits(torch.zeros(2, 1, 20, 20)).shape, net(torch.zeros(2, 1, 20, 20)).shape
    (torch.Size([2, 10, 5]), torch.Size([2, 10]))
    """
    check_instance("window", window, ScaleWindow, mend="build one: ScaleWindow(ScaleGroup(2**0.5), 1.0, 4)")
    check_odd("kernel_size", kernel_size)
    if check_integer("scale_size", scale_size, at_least=1) > window.channels:
        raise ScaleGroupError(
            f"scale_size {scale_size}",
            expected=f"at most the {window.channels} scale channels",
            mend="pass a smaller scale_size or a window of more channels",
        )
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(check_widths(widths, in_channels, num_classes)):
        if layers:
            layers += [torch.nn.BatchNorm3d(before), torch.nn.ReLU()]
        layers.append(HermiteConv(before, after, window.sigmas, kernel_size, scale_size if layers else 1))
    return SteerableHermite(torch.nn.Sequential(*layers), in_channels, window)


def hermite_functions(sigma: float, size: int) -> Float[Tensor, "9 {size} {size}"]:
    """He_m(y/σ)·He_n(x/σ)·exp(-(x² + y²)/(2σ²)) / (2πσ²) for m, n = 0, 1, 2, sampled on a centred grid, in float64.

    With σ⁻² in front, what they give of an image does not change when both are scaled: filters of the same coefficients
    are one filter at many scales. They are the scale-normalised derivatives (-σ)^(m+n)·∂^(m+n) of the Gaussian, up to
    order two on each axis.

    >>> hermite_functions(1.5, 13)[0].sum()
    tensor(1.0000, dtype=torch.float64)
    """
    t = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / sigma
    polynomials = torch.stack([torch.ones_like(t), t, t**2 - 1])
    along = polynomials * torch.exp(-(t**2) / 2) / (math.sqrt(2 * math.pi) * sigma)
    return torch.einsum("my,nx->mnyx", along, along).flatten(0, 1)
