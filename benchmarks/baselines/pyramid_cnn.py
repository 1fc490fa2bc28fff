"""An ordinary CNN run fully convolutionally over an image pyramid: how objects of many sizes are found today."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.baselines.plain_cnn import check_widths
from scalegroup import ScoreVolume
from scalegroup.errors import check_images, check_positive
from scalegroup.fields.score_volume import Places

_STRIDE = 4  # of the class maps, in pixels of a level


class PyramidCNN(torch.nn.Module):
    """The same convolutions on the image at several resolutions.

    Build one with `pyramid_cnn`.

    Args:
        body: from images to class maps of every fourth pixel.
        levels: by how much each level is shrunk; it takes the place of σ₀.
        background: the value around images.
    """

    def __init__(self, body: torch.nn.Module, levels: Sequence[float], background: float) -> None:
        super().__init__()
        self.body, self.background = body, background
        self.levels = tuple(check_positive("level", level) for level in levels)

    def dense_scores(self, images: Tensor, **_: Any) -> ScoreVolume:
        """The class maps of all levels: as of `nn.Sequential.dense_scores`."""
        images = check_images(images) - self.background  # so that zero padding is what is around
        rows, columns = images.shape[-2:]
        maps, places = [], []
        for level in self.levels:
            size = [max(1, round(length / level)) for length in (rows, columns)]
            maps.append(self.body(F.interpolate(images, size=size, mode="bilinear", antialias=level > 1)))
            steps = [length / small for length, small in zip((rows, columns), size, strict=True)]
            places.append(
                [Places(step / 2, _STRIDE * step, n) for step, n in zip(steps, maps[-1].shape[-2:], strict=True)]
            )
        y, x = zip(*places, strict=True)
        return ScoreVolume(tuple(maps), y, x, self.levels, (rows, columns))


def pyramid_cnn(
    levels: Sequence[float],
    widths: Sequence[int] = (16, 24, 32, 32, 32),
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    background: float = 0.0,
    first_offset: float = -5.0,
) -> PyramidCNN:
    """Convolutions of 3×3, of which the second and the third halve the maps, batch norm and ReLU behind each.

    A value sees 33×33 pixels of its level with five hidden layers, an object of 20 and what is around it. The last
    layer begins with the log-odds of nothing, `first_offset`.

    >>> net = pyramid_cnn((1.0, 2.0))
    >>> [tuple(maps.shape) for maps in net.dense_scores(torch.zeros(1, 1, 64, 96)).maps]
    [(1, 10, 16, 24), (1, 10, 8, 12)]
    >>> sum(weights.numel() for weights in net.parameters())
    32106
    """
    channels, *hidden, classes = check_widths(widths, in_channels, num_classes)
    layers: list[torch.nn.Module] = []
    for depth, (before, after) in enumerate(pairwise([channels, *hidden])):
        stride = 2 if depth in (1, 2) else 1
        layers.append(torch.nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False))
        layers += [torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    last = torch.nn.Conv2d(hidden[-1], classes, 3, padding=1)
    torch.nn.init.constant_(last.bias, first_offset)  # type: ignore[arg-type]
    return PyramidCNN(torch.nn.Sequential(*layers, last), levels, background)
