"""The scale-channel network of the paper's reference [20]: one CNN, applied to rescaled copies of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.baselines.plain_cnn import PlainCNN, plain_cnn, read_centre
from scalegroup import Max, Pooling
from scalegroup.errors import (
    ScaleGroupError,
    check_images,
    check_instance,
    check_integer,
    check_like,
    check_number,
    check_positive,
)

_CUBIC = -0.5  # the parameter of Keys' cubic with which it reproduces quadratics
_REACH = 2  # samples on each side that the cubic sees, where nothing is shrunk


class ScaleChannelCNN(torch.nn.Module):
    """One CNN for all scale channels, each of which sees the centre of the image at its own resolution.

    Build one with `scale_channel_cnn`.

    Args:
        cnn: applied to every scale channel; batch norm takes its statistics over all of them together.
        in_channels: of the images.
        scale_factors: pixels of the image that one pixel of a channel spans, for every scale channel.
        view: pixels of a channel on each axis.
        pooling: over the scale channels.
        background: the value of the image outside its border.
    """

    def __init__(
        self,
        cnn: PlainCNN,
        *,
        in_channels: int,
        scale_factors: tuple[float, ...],
        view: int,
        pooling: Pooling,
        background: float,
    ) -> None:
        super().__init__()
        self.cnn, self.in_channels, self.scale_factors = cnn, in_channels, scale_factors
        self.view, self.pooling, self.background = view, pooling, background

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self.pooling.reduce(self.scale_logits(images), 2).squeeze(2)

    def scale_logits(self, images: Tensor) -> Tensor:
        """Class scores of every scale channel, `[batch, classes, scale]`."""
        check_like("weights", next(self.parameters()), check_images(images, self.in_channels))
        views = [foveate(images, factor, self.view, self.background) for factor in self.scale_factors]
        scores = read_centre(self.cnn.body(torch.cat(views)))
        return torch.stack(scores.chunk(len(views)), dim=2)

    def extra_repr(self) -> str:
        factors = ", ".join(f"{factor:g}" for factor in self.scale_factors)
        return f"view={self.view}, scale_factors=({factors}), pooling={self.pooling}, background={self.background:g}"


def scale_channel_cnn(
    widths: Sequence[int] = (16, 24, 32, 48, 64),
    *,
    kernel_size: int = 5,
    scale_factors: Sequence[float] = tuple(2 ** (k / 4) for k in range(-4, 13)),
    downsample: Sequence[int] = (),
    pooling: Pooling = Max(),  # noqa: B008
    view: int = 28,
    in_channels: int = 1,
    num_classes: int = 10,
    background: float = 0.0,
) -> ScaleChannelCNN:
    """A foveated scale-channel network (Jansson and Lindeberg [20]; FovMax with `Max()`, FovAvg with `Mean()`).

    Scale channel s sees the central view·s × view·s pixels of the image, resampled to view × view. By default these
    are 17 channels, s from ½ to 8 by 2^¼, of 28 × 28 pixels: a digit of MNIST Large Scale, drawn at any of its sizes,
    fills the view of one of them as a digit of MNIST fills its image. The CNN is `plain_cnn`; as this reads its centre
    and does not pool over the plane, its filters are to reach across the view: six layers of 5×5 see 25 × 25.

    Args:
        widths: of the hidden layers.
        kernel_size: of every layer, odd.
        scale_factors: pixels of the image that one pixel of a channel spans, for every scale channel.
        downsample: as of `plain_cnn`.
        pooling: over the scale channels.
        view: pixels of a channel on each axis.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.
        background: the value of the image outside its border.

    Raises:
        ScaleGroupError: if a value cannot be used, or there are too few scale channels for the pooling.

    >>> net = scale_channel_cnn((4, 8), scale_factors=(0.5, 1.0, 2.0))
    >>> net.scale_logits(torch.zeros(2, 1, 40, 40)).shape, net(torch.zeros(2, 1, 40, 40)).shape
    (torch.Size([2, 10, 3]), torch.Size([2, 10]))
    """
    check_instance("scale_factors", scale_factors, Sequence, mend="pass one number per scale channel")
    factors = tuple(check_positive("scale factor", factor) for factor in scale_factors)
    check_instance("pooling", pooling, Pooling, mend="pass Max() or Mean()").check(len(factors))
    if not factors:
        raise ScaleGroupError("no scale_factors", expected="at least one", mend="pass scale_factors=(1.0,)")
    if not math.isfinite(value := check_number("background", background)):
        raise ScaleGroupError(f"background {value}", expected="a finite number", mend="pass the value outside images")
    return ScaleChannelCNN(
        plain_cnn(
            widths, kernel_size=kernel_size, downsample=downsample, in_channels=in_channels, num_classes=num_classes
        ),
        in_channels=in_channels,
        scale_factors=factors,
        view=check_integer("view", view, at_least=1),
        pooling=pooling,
        background=value,
    )


def foveate(
    images: Float[Tensor, "batch channel y x"], factor: float, view: int, background: float
) -> Float[Tensor, "batch channel {view} {view}"]:
    """The central view·factor × view·factor pixels, resampled to view × view, centre on centre.

    By Keys' cubic, stretched where the image shrinks so that it does not alias: `torch.nn.functional.interpolate`
    (`bicubic`, antialiased) of the crop, but for any factor, also where view·factor is no whole number of pixels.

    Args:
        images: what is looked at.
        factor: pixels of the image that one pixel of the result spans.
        view: pixels of the result on each axis.
        background: the value of the image outside its border.

    >>> foveate(torch.ones(1, 1, 8, 8), 2.0, 6, background=0.0)[0, 0, 2].round(decimals=2)
    tensor([0.0700, 0.9400, 1.0200, 1.0200, 0.9400, 0.0700])
    """
    rows, columns = (_taps(size, factor, view, images) for size in images.shape[-2:])
    return rows @ (images - background) @ columns.T + background


def _taps(size: int, factor: float, view: int, like: Tensor) -> Tensor:
    """The weights `[view, size]` with which samples of a centred axis see pixels, of unit mass over the whole line."""
    spread = max(factor, 1.0)
    beyond = math.ceil(view * factor / 2 + _REACH * spread)  # pixels outside the image that a sample may see
    pixels = torch.arange(-beyond, size + beyond, dtype=like.dtype, device=like.device) - (size - 1) / 2
    centres = factor * (torch.arange(view, dtype=like.dtype, device=like.device) - (view - 1) / 2)
    weights = _cubic((pixels - centres[:, None]) / spread)
    return (weights / weights.sum(1, keepdim=True))[:, beyond : beyond + size]


def _cubic(offsets: Tensor) -> Tensor:
    """Keys' cubic (1981, eq 4)."""
    a, t = _CUBIC, offsets.abs()
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return torch.where(t < 1, near, torch.where(t < _REACH, far, torch.zeros_like(t)))
