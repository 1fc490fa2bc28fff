"""A network of escnn of the same widths, equivariant to rotations and reflections: the peer to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmarks.baselines.plain_cnn import check_downsample, check_odd, check_widths, read_centre
from scalegroup.errors import ScaleGroupError, check_images, check_instance, check_integer


class SteerableCNN(torch.nn.Module):
    """A sequence of escnn's modules, read out at the centre as the Gaussian derivative networks are.

    Build one with `steerable_cnn`.

    Args:
        body: an escnn module from images to one invariant map per class.
    """

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Images `[batch, channel, y, x]` to class scores `[batch, classes]`."""
        return read_centre(self.body(self.body.in_type(check_images(images))).tensor)


def steerable_cnn(
    order: int,
    widths: Sequence[int] = (16, 24, 32, 48, 64),
    *,
    reflections: bool = False,
    kernel_size: int = 5,
    downsample: Sequence[int] = (),
    in_channels: int = 1,
    num_classes: int = 10,
) -> SteerableCNN:
    """A CNN equivariant to the group C_order or D_order, on regular fields, in escnn's own modules and types.

    Batch norm (one set per field) and ReLU follow every convolution but the last, which gives invariant maps.

    Args:
        order: how many rotations there are; 1 is an ordinary CNN, in escnn.
        widths: features of the hidden layers, fields × elements of the group: multiples of their number.
        reflections: D_order, of 2·order elements, in place of C_order, of as many as it has rotations.
        kernel_size: of every layer, odd.
        downsample: after which hidden layers, from 1, the maps are halved by 2×2 means; of even maps these commute
            with quarter turns.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: width of the last layer.

    Raises:
        ScaleGroupError: if a number cannot be used, or escnn is not installed.
    """
    check_integer("order", order, at_least=1)
    sizes = check_widths(widths, in_channels, num_classes)
    padding = check_odd("kernel_size", kernel_size) // 2
    check_instance("reflections", reflections, bool, mend="pass True for D_order, False for C_order")
    elements, name = (2 * order, f"D{order}") if reflections else (order, f"C{order}")
    for width in widths:
        if width % elements:
            raise ScaleGroupError(
                f"width {width} for {name}", expected=f"fields × {elements}", mend=f"pass multiples of {elements}"
            )
    gspaces, enn = _escnn()
    space = gspaces.flipRot2dOnR2(order) if reflections else gspaces.rot2dOnR2(order)
    types = [
        enn.FieldType(space, sizes[0] * [space.trivial_repr]),
        *(enn.FieldType(space, width // elements * [space.regular_repr]) for width in widths),
        enn.FieldType(space, sizes[-1] * [space.trivial_repr]),
    ]
    halved = check_downsample(downsample, widths)
    layers: list[Any] = []
    for depth, (before, after) in enumerate(pairwise(types)):
        if depth:
            layers += [enn.InnerBatchNorm(before), enn.ReLU(before)]
        if depth in halved:
            layers.append(enn.PointwiseAvgPool2D(before, kernel_size=2))
        layers.append(enn.R2Conv(before, after, kernel_size=kernel_size, padding=padding))
    return SteerableCNN(enn.SequentialModule(*layers))


def _escnn() -> tuple[Any, Any]:
    """The spaces and modules of escnn, imported only where they are used: the library does without."""
    try:
        from escnn import gspaces, nn  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ScaleGroupError(
            f"no escnn ({error})",
            expected="it installed (it needs a Fortran compiler)",
            mend="pip install 'scalegroup[escnn]'",
        ) from None
    return gspaces, nn
