"""Scale-channel dropout."""

from typing import Any

import torch

from scalegroup.errors import ScaleGroupError, check_integer
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.per_channel import SamePlaces


class ScaleDropout(SamePlaces):
    """In training every call leaves out a random number of the finest scale channels, so that no size is left to one.

    Scale-channel dropout (Perzanowski and Lindeberg, arXiv 2409.11140), here of the finest alone. The number is uniform
    in 0 … `finest`, the same for the whole batch, and at least one channel stays. Right behind `nn.Lift` the layers
    that follow never see what is left out, and it costs them nothing; behind it a network has fewer scale channels, as
    if `window=` had said so. In evaluation mode it is the identity.

    The number comes from torch's global generator of the CPU: processes that share a batch must seed it alike. It
    decides on shapes, so that `torch.compile` cannot hold it in training mode (draw `window=` yourself there, without
    this layer); in evaluation mode networks compile with `fullgraph=True`, and export.

    Args:
        type: features over scale.
        finest: so many of the finest scale channels are left out at most.

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> field = ScaleField.of(torch.ones(1, 1, 4, 5, 5), FieldType.scalars(1), ScaleWindow(ScaleGroup(2), 1.0, 4))
    >>> layer = ScaleDropout(field.type, finest=2)
    >>> sorted({layer(field).window.channels for _ in range(50)}), layer.eval()(field).window.channels
    ([2, 3, 4], 4)
    """

    def __init__(self, type: FieldType, finest: int = 1) -> None:
        if not isinstance(type, FieldType) or not type.over_scale:
            raise ScaleGroupError(
                f"scale-channel dropout of {type!r}",
                expected="features over scale",
                mend="put it right behind nn.Lift, and pool over scale behind it",
            )
        super().__init__(type, type)
        self.finest = finest

    def _check_finest(self, finest: Any) -> int:
        return check_integer("finest", finest, at_least=0)

    def forward(self, field: ScaleField) -> ScaleField:
        """The field in the scale channels that are left."""
        self.check_input(field)
        channels = field.window.channels
        most = min(self.finest, channels - 1) if self.training else 0
        if not most:
            return field
        dropped = int(torch.randint(most + 1, (), device="cpu"))
        return field.restrict(field.window.select(dropped, channels))

    def extra_repr(self) -> str:
        return f"{self.out_type.size} features, at most {self.finest} of the finest scale channels"
