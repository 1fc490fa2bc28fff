"""From images to fields."""

from __future__ import annotations

import torch
from torch import Tensor

from scalegroup import functional
from scalegroup.boundary import Background
from scalegroup.errors import ScaleGroupError, check_images, check_instance, check_integer
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType, ImageType
from scalegroup.grid import pad
from scalegroup.nn.layer import Layer
from scalegroup.window import ScaleWindow


class Lift(Layer):
    """Images to a field on group × plane (eq 9): every scale channel of the window sees the same image.

    Args:
        window: the scale channels, by physical σ₀. Not part of `state_dict`: a trained network takes another one.
        channels: image channels, 1 for grey and 3 for colour.
        background: the value of the world outside the image where that is known (layers then use it as their boundary).
        spacing: the pixels have spacing γ^spacing.
        margin: pixels of background put around the images. Beyond them a layer takes the response of the layer before
            it for that to the background alone, which is wrong where filters still reach into the image: coarse scale
            channels see objects at the border better with a margin of a few σ₀. May be changed, as the window may.

    Raises:
        ScaleGroupError: if an argument cannot be used, or there is a margin without a background.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> Lift(ScaleWindow(ScaleGroup(2), 1.0, 3))(torch.zeros(2, 1, 9, 9)).tensor.shape
    torch.Size([2, 1, 3, 9, 9])
    """

    in_type: ImageType

    def __init__(
        self,
        window: ScaleWindow,
        channels: int = 1,
        *,
        background: float | Tensor | None = None,
        spacing: int = 0,
        margin: int = 0,
    ) -> None:
        in_type = ImageType(channels)
        check_instance("window", window, ScaleWindow, mend="make one: ScaleWindow(group, sigma0=1.0, channels=8)")
        if background is not None:
            Background(background).constant(torch.empty(1, in_type.channels, 1, 1))  # refuses what does not fit
        super().__init__(in_type, FieldType.scalars(window.group, in_type.channels))
        self.window = window
        self.background = background
        self.spacing = check_integer("spacing", spacing)
        self.margin = check_integer("margin", margin, at_least=0)
        if margin and background is None:
            raise ScaleGroupError(
                f"margin {margin} around an unknown background",
                expected="the value that the margin has",
                mend="pass background=, of networks boundary=Background(value)",
            )

    def forward(self, images: Tensor) -> ScaleField:
        """`[batch, channel, y, x]` → a field."""
        check_images(images, self.in_type.channels)
        return functional.lift(self.with_margin(images), self.window, background=self.background, spacing=self.spacing)

    def with_margin(self, images: Tensor) -> Tensor:
        """The images with the margin around them."""
        if not self.margin:
            return images
        constant = Background(self.background).constant(images)[:, None, None]  # type: ignore[arg-type]
        return pad(images - constant, (self.margin, self.margin), (self.margin, self.margin)) + constant

    def extra_repr(self) -> str:
        """The types, the window and the margin."""
        margin = f", margin={self.margin}" if self.margin else ""
        return f"{super().extra_repr()}, {self.window!r}{margin}"
