"""The residual block of Gaussian derivative networks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from scalegroup.errors import ScaleGroupError
from scalegroup.fields.field_type import FieldType
from scalegroup.nn.batch_norm import BatchNorm
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.layer import Layer
from scalegroup.nn.mix import Mix
from scalegroup.nn.pointwise import Identity, ReLU, Subsample
from scalegroup.nn.residual import Residual
from scalegroup.nn.sequential import Sequential


class ResidualBlock(Sequential):
    """θ(body(x) + shortcut(x)): jet layers with batch norm behind each and θ between them, and a way around them.

    He and others, CVPR 2016, of Gaussian derivatives at growing σ (Perzanowski and Lindeberg, arXiv 2603.02843). The
    shortcut is the identity; where the body changes the features, a `Mix`; where it has strides, every second sample.

    Args:
        in_type: features over scale and plane.
        out: what `jets` give: how many features, or their representation.
        betas: the relative scale of each jet layer (eq 13), of two as a rule.
        strides: of each, 1 or 2; default: all 1.
        jets: what makes a jet layer, called as `jets(type, out, beta=, stride=)`: `JetConv`, `SeparableJetConv`,
            `SteerableJetConv`, or a `functools.partial` of one.
        activation: θ: a layer, as a function of the field type before it.

    Raises `ScaleGroupError` if a jet layer cannot be made, or nothing mixes the features that are to go around it:
    those of rotations.

    >>> block = ResidualBlock(FieldType.scalars(8), 16, betas=(1.5, 1.8))
    >>> block.out_type, len(block)
    (16 scalar feature(s) over scale and plane, 2)
    """

    def __init__(
        self,
        in_type: FieldType,
        out: Any,
        *,
        betas: Sequence[float] = (1.0, 1.25),
        strides: Sequence[int] | None = None,
        jets: Callable[..., Layer] = JetConv,
        activation: Callable[[FieldType], Layer] = ReLU,
    ) -> None:
        strides = [1] * len(betas) if strides is None else strides
        if not betas or len(strides) != len(betas):
            raise ScaleGroupError(
                f"{len(betas)} betas and {len(strides)} strides",
                expected="one of each for every jet layer, one layer at least",
                mend="pass betas=(1.0, 1.25), and as many strides",
            )

        def jet(type: FieldType, beta: float, stride: int) -> Layer:
            return jets(type, out, beta=beta, stride=stride)

        first, *others = [partial(jet, beta=beta, stride=stride) for beta, stride in zip(betas, strides, strict=True)]
        behind = [part for other in others for part in (activation, other, BatchNorm)]
        body = Sequential(first(in_type), BatchNorm, *behind)
        halvings = [Subsample] * sum(stride == 2 for stride in strides)
        mix = [] if in_type.unsmoothed == body.out_type else [partial(Mix, out_type=body.out_type)]
        super().__init__(Residual(body, Sequential(Identity(in_type), *halvings, *mix)), activation)
