"""Dropout of whole features, alike in all scale channels and at all places."""

from typing import Any

from torch.nn import functional as F

from scalegroup.errors import check_instance, check_probability
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType, orbits_of
from scalegroup.nn.layer import check_permuted
from scalegroup.nn.per_channel import SamePlaces


class Dropout(SamePlaces):
    """In training every feature of every image is left out with probability p, the others grow by 1 / (1 - p).

    After Srivastava and others (JMLR 15, 2014), of whole maps as in Tompson and others (CVPR 2015). A feature is left
    out in all scale channels and at all places, so that the layer commutes with scaling and translation in training as
    well, and a part of the plane is that part of the whole. Features that rotations permute are left out together. In
    evaluation mode it is the identity.

    Args:
        type: features over any axes; of fields that rotations permute where it says anything of rotations.
        p: probability, in [0, 1).

    Raises `ScaleGroupError` if an argument cannot be used.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> window = ScaleWindow(ScaleGroup(2), 1.0, 4)
    >>> field = ScaleField.of(torch.ones(2, 50, 4, 5, 5), FieldType.scalars(50), window)
    >>> dropped = Dropout(field.type, p=0.5)(field)
    >>> dropped.tensor.unique().tolist(), dropped.tensor.flatten(2).std(2).max().item()
    ([0.0, 2.0], 0.0)
    """

    orbits: Any
    """Of each feature the number of its orbit under rotations; None where every feature is one."""

    def __init__(self, type: FieldType, p: float = 0.1) -> None:
        check_permuted("type", check_instance("type", type, FieldType, mend="put nn.Dropout behind nn.Lift"))
        super().__init__(type, type)
        self.p = p
        orbits, self._count = orbits_of(type)
        self.register_buffer("orbits", orbits, persistent=False)

    def _check_p(self, p: Any) -> float:
        return check_probability("p", p)

    def forward(self, field: ScaleField) -> ScaleField:
        """The field less some of its features."""
        self.check_input(field)
        if not self.training or self.p == 0:
            return field
        kept = F.dropout(field.maps[0].new_ones(field.batch, self._count), self.p)  # 0, or 1 / (1 - p)
        kept = (kept if self.orbits is None else kept[:, self.orbits])[..., None, None]
        return field.on_runs(lambda run: run.maps * kept.repeat(run.stop - run.start, 1, 1, 1))

    def extra_repr(self) -> str:
        return f"{self.out_type.size} features, p={self.p:g}"
