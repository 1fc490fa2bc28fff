"""The two projections: reading out of the plane, and pooling over scale."""

from dataclasses import replace
from typing import Any

from scalegroup.errors import ScaleGroupError, check_instance, check_unchanged
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.fields.pooling import Max, Pooling
from scalegroup.fields.readout import CentrePixel
from scalegroup.fields.readout import ReadOut as ReadOutStrategy
from scalegroup.nn.layer import EVERY_CHANNEL, Layer

_READOUTS = "pass one of scalegroup, such as CentrePixel()"


def _check_axis(name: str, type_: Any, axis: str) -> FieldType:
    if not isinstance(type_, FieldType) or not getattr(type_, axis) or not type_.fibre.is_trivial:
        raise ScaleGroupError(
            f"{name} of {type_!r}",
            expected=f"scalar features {axis.replace('_', ' ')}",
            mend="read out and pool each axis once",
        )
    return type_


class ReadOut(Layer):
    """Features over the plane to one value per feature and scale channel, or to the pixels of the image.

    Args:
        type: scalar features over the plane (and over scale, or already pooled).
        readout: what to look at: `CentrePixel()` (the paper's), `SpatialMax()`, `SpatialMean()` or `Dense()`.

    >>> from scalegroup import ScaleGroup, ScaleWindow, ScaleField
    >>> tensor = torch.arange(9.).view(1, 1, 1, 3, 3).expand(-1, -1, 2, -1, -1)
    >>> field = ScaleField.of(tensor, FieldType.scalars(1), ScaleWindow(ScaleGroup(2), 1.0, 2))
    >>> ReadOut(field.type)(field).tensor.flatten().tolist()
    [4.0, 4.0]
    """

    projects = True

    def __init__(self, type: FieldType, readout: ReadOutStrategy = CentrePixel()) -> None:  # noqa: B008
        _check_axis("a read-out", type, "over_plane")
        check_instance("readout", readout, ReadOutStrategy, mend=_READOUTS)
        super().__init__(type, replace(type.unsmoothed, over_plane=readout.keeps_plane))
        self.readout = readout

    def _check_readout(self, readout: Any) -> ReadOutStrategy:
        if check_instance("readout", readout, ReadOutStrategy, mend=_READOUTS).keeps_plane != self.out_type.over_plane:
            check_unchanged(self, "readout", readout)
        return readout

    def forward(self, field: ScaleField) -> ScaleField:
        """The read-out of every scale channel; the result is a field of one sample, unless it is dense."""
        self.check_input(field)
        maps, grids = self.readout.read(field)
        return replace(field, maps=maps, type=self.out_type, grids=grids)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """What the read-out looks at."""
        return self.readout.needs(wanted, canvas)

    def canvas(self, canvas: Grids) -> Grids:
        return self.readout.canvas(canvas)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.readout!r}"


class ScalePool(Layer):
    """Pooling over scale (eq 21): the projection of the regular representation to the trivial one.

    Args:
        type: scalar features over scale, read out of the plane or brought back to pixels.
        pooling: `Max()` (the paper's), `Mean()`, `LogSumExp()`, `TopK(k)`, or `Attention()`, which is learnt.

    >>> from scalegroup import ScaleGroup, ScaleWindow, ScaleField
    >>> field = ScaleField.of(torch.ones(1, 1, 4, 3, 3), FieldType.scalars(1), ScaleWindow(ScaleGroup(2), 1.0, 4))
    >>> ScalePool(field.type)(field).tensor.shape
    torch.Size([1, 1, 1, 3, 3])
    """

    across_scale = EVERY_CHANNEL
    projects = True

    def __init__(self, type: FieldType, pooling: Pooling = Max()) -> None:  # noqa: B008
        _check_axis("scale pooling", type, "over_scale")
        check_instance("pooling", pooling, Pooling, mend="pass one of scalegroup, such as Max()")
        super().__init__(type, replace(type.unsmoothed, over_scale=False))
        self.pooling = pooling
        self.reduction = pooling.of_type(type)

    def _check_pooling(self, pooling: Any) -> Pooling:
        return check_unchanged(self, "pooling", pooling)

    def forward(self, field: ScaleField) -> ScaleField:
        """The pooled field. Raises `ScaleGroupError` if the scale channels' samples do not lie at the same places."""
        self.check_input(field)
        if field.type.over_plane and len(set(field.grids.spacings)) > 1:
            raise ScaleGroupError(
                f"pooling over scale channels with samples {field.grids.spacings} pixels apart",
                expected="samples at the same places in all of them",
                mend="put nn.ReadOut in front, with Dense() for maps",
            )
        pooled = self.reduction.reduce(field.tensor, 2)
        return replace(field, maps=(pooled.squeeze(2),), type=self.out_type, grids=self.canvas(field.grids))

    def run(self, field: ScaleField, wanted: Grids) -> ScaleField:
        """See `Layer`; every scale channel at the places wanted."""
        return self(field)

    def needs(self, wanted: Grids, canvas: Grids) -> Grids:
        """The same places of every scale channel. Raises `ScaleGroupError` if so few channels cannot be pooled."""
        self.reduction.check(len(canvas.grids))
        return canvas

    def canvas(self, canvas: Grids) -> Grids:
        """That of the coarsest scale channel, which is there even where finer ones are left out in training."""
        last = len(canvas.grids)
        return canvas.select(last - 1, last)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.pooling!r}"
