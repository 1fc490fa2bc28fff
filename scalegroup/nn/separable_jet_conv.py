"""Depthwise-separable jet layers."""

from typing import Any

from scalegroup.errors import check_instance
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.mix import Mix
from scalegroup.nn.sequential import Sequential


class SeparableJetConv(Sequential):
    """A combination of derivatives of every feature for itself, then linear combinations of the features.

    y_o = Σ_i W_oi·(C₀_i + Σ_n C_in·σⁿ∂ⁿ(g ∗ x_i)), n over the jet (eq 6): a `JetConv` with as many groups as features,
    and a `Mix` (Chollet, CVPR 2017, there of learnt filters): with N derivatives in + N·in + in·out weights in place of
    N·in·out.

    Args:
        in_type: scalar features over scale and plane, of which nothing is said about rotations.
        out_type: the same, or just how many features.
        **options: `jet`, `beta`, `kernel` and `stride`, as of `JetConv`.

    Raises `ScaleGroupError` as `JetConv` does.

    >>> layer = SeparableJetConv(FieldType.scalars(8), 16)
    >>> layer.out_type, sum(weights.numel() for weights in layer.parameters())
    (16 scalar feature(s) over scale and plane, 176)
    """

    def __init__(self, in_type: FieldType, out_type: FieldType | int, **options: Any) -> None:
        size = check_instance("in_type", in_type, FieldType, mend="use FieldType.scalars(size)").size
        depthwise = JetConv(in_type, size, groups=size, **options)
        super().__init__(depthwise, Mix(depthwise.out_type, out_type))
