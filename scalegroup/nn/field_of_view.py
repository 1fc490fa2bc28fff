"""What a scale channel sees of an image."""

from typing import Any

from scalegroup.errors import check_positive
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.nn.layer import Layer, check_map_type


class FieldOfView(Layer):
    """The field within `half_width`·σ₀ of the image's centre; beyond, it is as at the border of that.

    In every scale channel the same number of samples, so that it commutes with scalings about the centre: coarse
    channels see a wide part of the image, fine ones a narrow one (Lindeberg and Florack 1994, foveal scale-space). Deep
    networks look much further than what counts: reaches add up, while widths of kernels add up by their squares.
    Behind the lifting and behind each block it makes a network cost what lies within.

    Args:
        type: scalar features over scale and plane.
        half_width: in units of the channel's σ₀.

    Raises `ScaleGroupError` if the half-width is no positive number.

    >>> from scalegroup import ScaleGroup, ScaleWindow, functional
    >>> field = functional.lift(torch.randn(2, 1, 65, 65), ScaleWindow(ScaleGroup(2), 1.0, 3))
    >>> view = FieldOfView(field.type, 8.0)(field)
    >>> [view.channel(n).shape for n in range(3)]
    [torch.Size([2, 1, 11, 11]), torch.Size([2, 1, 11, 11]), torch.Size([2, 1, 11, 11])]
    """

    def __init__(self, type: FieldType, half_width: float) -> None:
        super().__init__(check_map_type("type", type), type)
        self.half_width = half_width

    def _check_half_width(self, half_width: Any) -> float:
        return check_positive("half_width", half_width)

    def forward(self, field: ScaleField) -> ScaleField:
        self.check_input(field)
        view = self.view(field.grids)
        return field.crop(self.needs(field.grids, field.grids)).with_live(view)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """What of it lies within; where nothing does, the nearest that does."""
        return wanted.within_reach(self.view(wanted))

    def live(self, live: Grids) -> Grids:
        return self.view(live)

    def view(self, canvas: Grids) -> Grids:
        return canvas.around(self.half_width)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, half_width={self.half_width:g}"
