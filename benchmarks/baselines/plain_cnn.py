"""An ordinary convolutional network of the same widths: the baseline in cost, and the control in covariance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from scalegroup import Axis, Grid
from scalegroup.errors import ScaleGroupError, check_images, check_instance, check_integer


class PlainCNN(torch.nn.Module):
    """Convolutions at full resolution, read out at the centre as the Gaussian derivative networks are.

    Build one with `plain_cnn`.

    Args:
        body: from images to one map per class.
    """

    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return read_centre(self.body(check_images(images)))


def plain_cnn(
    widths: Sequence[int] = (16, 24, 32, 48, 64),
    *,
    kernel_size: int = 3,
    downsample: Sequence[int] = (),
    in_channels: int = 1,
    num_classes: int = 10,
) -> PlainCNN:
    """An ordinary CNN: convolutions with zero padding, batch norm and ReLU after every one but the last.

    Args:
        widths: of the hidden layers.
        kernel_size: of every layer, odd.
        downsample: after which hidden layers, from 1, the maps are halved by 2×2 means. Without any, six layers of 3×3
            see 13×13 pixels, and do not know what larger objects look like.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.

    Raises:
        ScaleGroupError: if a number cannot be used.

    >>> plain_cnn((4, 8))(torch.zeros(2, 1, 20, 20)).shape
    torch.Size([2, 10])
    """
    padding = check_odd("kernel_size", kernel_size) // 2
    sizes = check_widths(widths, in_channels, num_classes)
    halved = check_downsample(downsample, widths)
    layers: list[torch.nn.Module] = []
    for depth, (before, after) in enumerate(pairwise(sizes)):
        if depth:
            layers += [torch.nn.BatchNorm2d(before), torch.nn.ReLU()]
        if depth in halved:
            layers.append(torch.nn.AvgPool2d(2))
        layers.append(torch.nn.Conv2d(before, after, kernel_size, padding=padding))
    return PlainCNN(torch.nn.Sequential(*layers))


def check_widths(widths: Sequence[int], in_channels: int, num_classes: int) -> list[int]:
    """How many features there are before every layer and after the last, or a `ScaleGroupError`."""
    check_instance("widths", widths, Sequence, mend="pass one number per hidden layer")
    names = ["in_channels", *("width" for _ in widths), "num_classes"]
    sizes = [in_channels, *widths, num_classes]
    return [check_integer(name, size, at_least=1) for name, size in zip(names, sizes, strict=True)]


def three_halvings(widths: Sequence[int]) -> range:
    """After which hidden layers maps are halved to see the whole of 112 pixels from the centre, as our networks do.

    Or the most of it: 132 pixels with kernels of 5×5, 70 with 3×3.
    """
    return range(1, min(3, len(widths)) + 1)


def check_downsample(downsample: Sequence[int], widths: Sequence[int]) -> set[int]:
    """The numbers of hidden layers, from 1, or a `ScaleGroupError`."""
    check_instance("downsample", downsample, Sequence, mend="pass numbers of hidden layers, such as (1, 2)")
    numbers = {check_integer("downsample", number, at_least=1) for number in downsample}
    if max(numbers, default=0) > len(widths):
        raise ScaleGroupError(
            f"downsample {tuple(downsample)}",
            expected=f"numbers from 1 to {len(widths)}, of hidden layers",
            mend="leave the others out",
        )
    return numbers


def check_odd(name: str, value: int) -> int:
    """`value` as an odd, positive integer, or a `ScaleGroupError`."""
    if check_integer(name, value, at_least=1) % 2:
        return value
    raise ScaleGroupError(f"{name} {value}", expected="an odd number", mend=f"pass {name}={value + 1}")


def read_centre(maps: Tensor) -> Tensor:
    """`[batch, feature, y, x]` at the centre, `[batch, feature]`: the mean of the central two where a size is even."""
    whole = Grid(*map(Axis.pixels, maps.shape[-2:]), samples_per_sigma=1.0)
    return whole.crop(maps, whole.around(0.0)).mean((-2, -1))
