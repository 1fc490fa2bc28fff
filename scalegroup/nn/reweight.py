"""From one homogeneity weight to another."""

from dataclasses import replace

import numpy as np

from scalegroup.algebra.representation import Representation
from scalegroup.constants import cast, constant_tensor
from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.per_channel import SamePlaces


class Reweight(SamePlaces):
    """Features of homogeneity weights w made features of weights v, by factors σ₀^(w - v), σ₀ in pixels.

    An un-normalised derivative of order n has the weight n: with v = 0 it becomes scale-normalised, σⁿ∂ⁿ (eq 6), and
    what follows may be any layer for scalar features.

    Args:
        in_type: features over scale.
        fibre: how they shall transform; default: not at all.

    Raises `ScaleGroupError` if the fibre has another dimension, or the features are not over scale.

    >>> from scalegroup import ScaleGroup, ScaleWindow, character
    >>> type = FieldType(character(1))
    >>> field = ScaleField.of(torch.ones(1, 1, 3, 1, 1), type, ScaleWindow(ScaleGroup(2), 1.0, 3))
    >>> Reweight(type)(field).tensor.flatten().tolist()
    [1.0, 2.0, 4.0]
    """

    def __init__(self, in_type: FieldType, fibre: Representation | None = None) -> None:
        check_instance("in_type", in_type, FieldType, mend="use FieldType(character(1))")
        fibre = fibre or Representation((0,) * in_type.size)
        if fibre.dimension != in_type.size or not in_type.over_scale:
            raise ScaleGroupError(
                f"a fibre of {fibre.dimension} dimensions for {in_type!r}",
                expected=f"one of {in_type.size}, over scale",
                mend="give each feature a weight, and pool over scale behind it",
            )
        super().__init__(in_type, replace(in_type, fibre=fibre))

    def forward(self, field: ScaleField) -> ScaleField:
        self.check_input(field)
        pairs = zip(self.in_type.fibre.weights, self.out_type.fibre.weights, strict=True)
        change = [before - after for before, after in pairs]
        maps = []
        for run in field.runs:
            sigmas = field.grids.sigmas[run.start : run.stop]
            factors = cast(_factors(sigmas, tuple(change), like=run.maps), run.maps.dtype)
            maps.append((run.channels * factors).flatten(0, 1))
        # σ₀ in pixels does not change when a field is relabelled, so that this commutes with it to the bit
        return replace(field, maps=tuple(maps), type=self.out_type)


@constant_tensor
def _factors(sigmas: tuple[float, ...], powers: tuple[int, ...]) -> np.ndarray:
    """`[channel, 1, feature, 1, 1]`."""
    return np.array([[sigma**power for power in powers] for sigma in sigmas])[:, None, :, None, None]
