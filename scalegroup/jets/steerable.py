"""The combinations of a jet that commute with rotations: all of them, from any fields to any others.

In the polar basis a jet falls apart into frequencies of SO(2) (`Jet.blocks`); the 2-jet into the Laplacian, the
gradient, and (Lxx - Lyy, 2·Lxy), which a rotation by φ turns by 0, φ and 2φ. That is eq 7 and 8 in other words, and
exact for every angle: no filter is interpolated. A layer is equivariant to C_N if its coefficients are invariant under
turning them in this basis and changing the features before and behind them; the projection onto these is a mean over
the group.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.algebra.rotation import Kind, RotationGroup
from scalegroup.jets.jet import TWO_JET, Jet


def polar_rotation(angle: float, jet: Jet = TWO_JET) -> Float[Tensor, "{jet.size} {jet.size}"]:
    """How polar coefficients turn with the image, counter-clockwise as it is shown (y down): by `frequency` angles.

    >>> polar_rotation(math.pi / 2).round().abs().diagonal().tolist()
    [1.0, 0.0, 0.0, 1.0, 1.0]
    """

    def turn(frequency: int) -> Tensor:
        c, s = math.cos(frequency * angle), math.sin(frequency * angle)
        return torch.tensor([[c, s], [-s, c]] if frequency else [[1.0]], dtype=torch.float64)

    return torch.block_diag(*(turn(frequency) for frequency, _ in jet.blocks))


@lru_cache(maxsize=64)
def jet_intertwiners(
    group: RotationGroup, before: Kind, behind: Kind, jet: Jet = TWO_JET
) -> Float[Tensor, "basis out in {jet.size}"]:
    """A basis of the coefficients C that commute with rotations: C = ρ_out(g)·turned(C)·ρ_in(g)⁻¹ for all g in C_N.

    The order of its elements is fixed (weights in files depend on it), and they are orthonormal in the polar basis.

    Args:
        group: C_N.
        before: how a field in front of the layer transforms.
        behind: how one behind it does.
        jet: the derivatives.

    >>> C4 = RotationGroup(4)
    >>> (trivial, _), (regular, _) = C4.trivial.fields[0], C4.regular.fields[0]
    >>> [len(jet_intertwiners(C4, *pair)) for pair in ((trivial, trivial), (trivial, regular), (regular, regular))]
    [1, 5, 20]
    """
    projection = sum(
        torch.kron(
            torch.kron(behind.matrix(step), before.matrix(step)), polar_rotation(2 * math.pi * step / group.order, jet)
        )
        for step in range(group.order)
    )
    basis = _orthonormal_columns(torch.as_tensor(projection) / group.order)
    return basis.view(-1, behind.dimension, before.dimension, jet.size) @ jet.polar_basis


@lru_cache(maxsize=64)
def invariants(group: RotationGroup, kind: Kind) -> Float[Tensor, "basis n"]:
    """An orthonormal basis of the features of one field that no rotation changes: what an offset may be."""
    return _orthonormal_columns(torch.stack([kind.matrix(step) for step in range(group.order)]).mean(0))


def _orthonormal_columns(projection: Float[Tensor, "n n"]) -> Float[Tensor, "rank n"]:
    """A basis of what an orthogonal projection projects to, from its columns in their order.

    Eigenvectors would be a basis too, but which one would depend on the machine.
    """
    rank = round(projection.trace().item())
    basis = projection.new_zeros(0, len(projection))
    for column in projection.T:
        if len(basis) == rank:
            break
        rest = column - (basis @ column) @ basis
        rest = rest - (basis @ rest) @ basis  # once more, for what rounding has left
        if rest.norm() > 1e-6:
            basis = torch.cat([basis, rest[None] / rest.norm()])
    return basis
