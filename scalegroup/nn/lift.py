"""From images to fields."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from scalegroup import functional
from scalegroup.boundary import Background
from scalegroup.errors import check_images, check_instance, check_integer
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType, ImageType
from scalegroup.grid import Grid
from scalegroup.nn.layer import Layer
from scalegroup.window import ScaleWindow


class Lift(Layer):
    """Images to a field on group × plane (eq 9): every scale channel of the window sees the same image.

    Args:
        window: the scale channels, by physical σ₀. Not part of `state_dict`: a trained network takes another one.
        channels: image channels, 1 for grey and 3 for colour.
        background: the value of the world outside the image where that is known (layers then use it as their boundary).
        spacing: the pixels have spacing γ^spacing.

    Raises:
        ScaleGroupError: if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> Lift(ScaleWindow(ScaleGroup(2), 1.0, 3))(torch.zeros(2, 1, 9, 9)).tensor.shape
    torch.Size([2, 1, 3, 9, 9])
    """

    in_type: ImageType

    def __init__(
        self, window: ScaleWindow, channels: int = 1, *, background: float | Tensor | None = None, spacing: int = 0
    ) -> None:
        in_type = ImageType(channels)
        check_instance("window", window, ScaleWindow, mend="make one: ScaleWindow(group, sigma0=1.0, channels=8)")
        if background is not None:
            Background(background).constant(torch.empty(1, in_type.channels, 1, 1))  # refuses what does not fit
        super().__init__(in_type, FieldType.scalars(window.group, in_type.channels))
        self.window = window
        self.background = background
        self.spacing = check_integer("spacing", spacing)

    def forward(self, images: Tensor) -> ScaleField:
        """`[batch, channel, y, x]` → a field."""
        check_images(images, self.in_type.channels)
        return functional.lift(images, self.window, background=self.background, spacing=self.spacing)

    def channel(self, images: Tensor, window: ScaleWindow, grid: Grid) -> ScaleField:
        """A part of the images, on a grid of its own, as the field of one scale channel."""
        field = functional.lift(images, window, background=self.background, spacing=self.spacing)
        return replace(field, grid=grid)

    def extra_repr(self) -> str:
        """The types and the window."""
        return f"{super().extra_repr()}, {self.window!r}"
