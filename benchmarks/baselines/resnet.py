"""An ordinary small residual network: the baseline for natural pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torchvision.models.resnet import BasicBlock

from benchmarks.baselines.plain_cnn import check_widths
from scalegroup.errors import check_images


class ResNet(torch.nn.Module):
    """A convolution, torchvision's blocks, the mean over the plane, a linear layer.

    Build one with `resnet`.

    Args:
        body: from images to maps.
        head: from their means to class scores.
    """

    def __init__(self, body: torch.nn.Module, head: torch.nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return self.head(self.body(check_images(images)).mean((-2, -1)))


def resnet(widths: Sequence[int] = (16, 16, 24, 48), *, in_channels: int = 3, num_classes: int = 10) -> ResNet:
    """The network of He and others (CVPR 2016, §4.2) for small pictures, a block for each width behind the first.

    Every block but the first halves the maps. The default widths give as many weights as
    `gaussian_derivative_resnet("small")` has, to 1 %.

    Raises:
        ScaleGroupError: if a number cannot be used.

    >>> net = resnet()
    >>> net(torch.zeros(2, 3, 64, 64)).shape, sum(weights.numel() for weights in net.parameters())
    (torch.Size([2, 10]), 47338)
    """
    channels, first, *others, classes = check_widths(widths, in_channels, num_classes)
    layers = [torch.nn.Conv2d(channels, first, 3, padding=1, bias=False), torch.nn.BatchNorm2d(first), torch.nn.ReLU()]
    for depth, (before, after) in enumerate(pairwise([first, *others])):
        stride = 2 if depth else 1
        around = None
        if stride > 1 or before != after:
            mix = torch.nn.Conv2d(before, after, 1, stride=stride, bias=False)
            around = torch.nn.Sequential(mix, torch.nn.BatchNorm2d(after))
        layers.append(BasicBlock(before, after, stride, around))
    return ResNet(torch.nn.Sequential(*layers), torch.nn.Linear([first, *others][-1], classes))
