"""The Gaussian jet layer that commutes with rotations as well as with scalings."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.algebra.rotation import RotationRepresentation
from scalegroup.errors import ScaleGroupError, check_instance
from scalegroup.fields.channels import concatenated
from scalegroup.fields.field_type import FieldType
from scalegroup.jets.steerable import invariants, jet_intertwiners
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.layer import check_map_type


class SteerableJetConv(JetConv):
    """A `JetConv` whose coefficients are confined to those that commute with the rotations C_N (eq 7 and 8).

    Jets are steerable: in the polar basis they are of the frequencies 0, 1, … `jet.order` of SO(2), so the confined
    coefficients are exactly equivariant combinations of filters that are not interpolated. In all else it is a
    `JetConv`, in one group.

    Args:
        in_type: scalar features over scale and plane; without a rotation (images, say), they do not mix under any.
        rotation: the fields that it gives, such as `4 * RotationGroup(8).regular`.
        **options: `jet`, `beta`, `kernel`, `stride` and `first_offset`, as of `JetConv`.

    Attributes:
        weights: one `[fields out, fields in, basis]` for each pair of kinds of fields.

    Raises `ScaleGroupError` if the types do not fit, or rotations leave no way from the one to the other.

    >>> from scalegroup import RotationGroup, ScaleGroup, ScaleWindow, functional
    >>> G, C4 = ScaleGroup(2), RotationGroup(4)
    >>> field = functional.lift(torch.randn(2, 1, 33, 33), ScaleWindow(G, 1.0, 1))
    >>> layer = SteerableJetConv(field.type, 3 * C4.regular)
    >>> quarter = C4.element(1)
    >>> torch.allclose(layer(field.rotate(quarter)).tensor, layer(field).rotate(quarter).tensor, atol=1e-5)
    True
    """

    _accepted = staticmethod(check_map_type)

    def __init__(self, in_type: FieldType, rotation: RotationRepresentation, **options: Any) -> None:
        check_instance("rotation", rotation, RotationRepresentation, mend="pass 4 * RotationGroup(8).regular")
        before = self._accepted("in_type", in_type).rotation
        if before is not None and before.group != rotation.group:
            raise ScaleGroupError(
                f"{rotation!r} behind {before!r}", expected="one group of rotations", mend="use one RotationGroup"
            )
        super().__init__(in_type, FieldType.rotating(rotation), groups=1, **options)

    def _make_parameters(self) -> None:
        rotation: Any = self.out_type.rotation
        before = self.in_type.rotation or self.in_type.size * rotation.group.trivial
        bases = [
            jet_intertwiners(rotation.group, kind_in, kind_out, self.jet)
            for (kind_out, _), (kind_in, _) in product(rotation.fields, before.fields)
        ]
        counts = [(m, n) for (_, m), (_, n) in product(rotation.fields, before.fields)]
        self.weights = nn.ParameterList(torch.empty(*of, len(b)) for of, b in zip(counts, bases, strict=True))
        fixed = [(invariants(rotation.group, kind), count) for kind, count in rotation.fields]
        self.offsets = nn.ParameterList(torch.empty(count, len(basis)) for basis, count in fixed)
        self._columns = columns = len(before.fields)
        if not all(any(len(basis) for basis in bases[n : n + columns]) for n in range(0, len(bases), columns)):
            raise ScaleGroupError(
                f"fields {before!r} → {rotation!r}",
                expected=f"kinds between which a part of {self.jet!r} commutes with rotations",
                mend=f"use frequencies that differ by {self.jet.order} at most, or regular fields",
            )
        self._bases = (*bases, *(basis for basis, _ in fixed))  # in float64, whatever the layer is converted to
        self._place_bases()

    def _place_bases(self) -> None:
        for n, basis in enumerate(self._bases):
            self.register_buffer(f"basis{n}", basis.to(self.weights[0]), persistent=False)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> nn.Module:
        super()._apply(fn, recurse)
        self._place_bases()  # from float64: a layer made double again is exact
        return self

    def reset_parameters(self) -> None:
        """Normal weights for polar coefficients of variance 2 / (jet.size·in) in the mean, the offsets zero."""
        for weights, basis in zip(self.weights, self._bases, strict=False):
            per_weight = basis.shape[1:].numel() / max(len(basis), 1)  # of the coefficients of a pair of fields
            nn.init.normal_(weights, std=math.sqrt(2 * per_weight / (self.jet.size * self.in_type.size)))
        for number, offset in enumerate(self.offsets, start=len(self.weights)):
            with torch.no_grad():
                offset.copy_(self.first_offset * getattr(self, f"basis{number}").sum(1))

    @property
    def coefficients(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """`[out, in, jet.size]`, Cx, Cy, Cxx, Cxy, Cyy, as the weights make them."""
        blocks = [
            torch.einsum("mnk,koic->monic", weights, getattr(self, f"basis{n}")).flatten(0, 1).flatten(1, 2)
            for n, weights in enumerate(self.weights)
        ]
        rows = [concatenated(blocks[n : n + self._columns], 1) for n in range(0, len(blocks), self._columns)]
        return concatenated(rows)

    @property
    def offset(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """`[out]`, C₀: what no rotation changes."""
        first = len(self.weights)
        return concatenated([(o @ getattr(self, f"basis{first + n}")).flatten() for n, o in enumerate(self.offsets)])

    @property
    def paper_parameter_count(self) -> int:
        """The paper has none for weights that rotations share: 0."""
        return 0

    def extra_repr(self) -> str:
        return f"{self.in_type.rotation or 'no rotation'} → {self.out_type.rotation!r}, {super().extra_repr()}"
