"""The Gaussian N-jet: which derivatives a layer combines, their normalisation, their differences and their steering.

x runs along the last axis of an image and y along the one before it; derivatives are per pixel. `Jet.normalisation`
turns them into the terms of eq 6. C₀ is kept apart: it belongs to no derivative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import block_diag
from torch import Tensor

from scalegroup.errors import Refusing, ScaleGroupError, check_finite, check_instance, check_integer, refusing

HIGHEST_ORDER = 4


def _product(*factors: Sequence[complex]) -> np.ndarray:
    """Of polynomials, by their coefficients from the lowest power on; of stencils, one behind the other."""
    return reduce(np.convolve, factors, np.ones(1))


# 1-D stencils, as correlations: out(n) = Σ_m stencil(m) in(n + m).
_FIRST = (-0.5, 0.0, 0.5)  # δx
_SECOND = (1.0, -2.0, 1.0)  # δxx

CENTRAL_DIFFERENCES = tuple(
    _product(*(_FIRST,) * (order % 2), *(_SECOND,) * (order // 2)) for order in range(HIGHEST_ORDER + 1)
)
"""§5.1's stencils of order 0, 1, 2, … along one axis: δx = (-½, 0, ½), δxx = (1, -2, 1), δx δxx, δxx δxx."""

ISOTROPIC_DIFFERENCES = (
    np.array([1.0, 4.0, 1.0]) / 6,
    np.array(_FIRST),
    np.convolve(_SECOND, np.array([1.0, 10.0, 1.0]) / 12),
)
"""Stencils up to order 2 whose products' leading error is isotropic: a blur of variance σ² - 1/3 absorbs it (`Iso`)."""


@dataclass(frozen=True)
class Jet(Refusing):
    """The Gaussian derivatives up to some order: what a layer combines (eq 6: those of order 1 and 2).

    Networks with the zero-order term: Perzanowski and Lindeberg (arXiv 2603.02843). Jets of order N: Koenderink and van
    Doorn (Biological Cybernetics 1987); their differences of order 3 and 4 are §5.1's, one behind the other.

    Args:
        order: the highest, 0 to 4.
        zero: whether the zero-order term, the smoothed image L itself, is among them.

    Raises `ScaleGroupError` for other orders, or where nothing is left.

    >>> Jet(2).components, Jet(3, zero=True).size
    (('x', 'y', 'xx', 'xy', 'yy'), 10)
    """

    order: int = 2
    zero: bool = False

    def __post_init__(self) -> None:
        order = check_integer("order", self.order, at_least=0)
        check_instance("zero", self.zero, bool, mend="pass zero=True or zero=False")
        if order > HIGHEST_ORDER:
            raise ScaleGroupError(
                f"order {order}", expected=f"one from 0 to {HIGHEST_ORDER}", mend=f"pass order={HIGHEST_ORDER} or less"
            )
        if order == 0 and not self.zero:
            raise ScaleGroupError(
                "order 0 without the zero-order term",
                expected="a derivative at least",
                mend="pass zero=True, or order=1",
            )
        object.__setattr__(self, "order", order)

    @property
    def ranks(self) -> range:
        """The orders of differentiation that there are: 1 to `order`, or 0 to `order`."""
        return range(0 if self.zero else 1, self.order + 1)

    @property
    def derivatives(self) -> tuple[tuple[int, int], ...]:
        """Orders of differentiation along y and along x: of L; x, y; xx, xy, yy; xxx, …"""
        return tuple([(along_y, rank - along_y) for rank in self.ranks for along_y in range(rank + 1)])

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the derivatives: x, y, xx, …; 1 for the zero-order term."""
        return tuple(["x" * along_x + "y" * along_y or "1" for along_y, along_x in self.derivatives])

    @property
    def size(self) -> int:
        """How many derivatives: k + 1 of order k."""
        return sum([rank + 1 for rank in self.ranks])

    @property
    def orders(self) -> tuple[int, ...]:
        """Of each derivative."""
        return tuple([along_y + along_x for along_y, along_x in self.derivatives])

    @property
    def multiplicities(self) -> tuple[int, ...]:
        """How often each derivative comes in the symmetric tensor of all of its order: k over (times along y)."""
        return tuple([math.comb(along_y + along_x, along_y) for along_y, along_x in self.derivatives])

    def normalisation(self, sigma: float) -> np.ndarray:
        """What eq 6 puts in front of C·L of each derivative, `[size]`: σᵏ/k! times its multiplicity (γ = 1).

        That is Taylor's expansion, in units of σ, with symmetric tensors of coefficients in place of powers.

        >>> Jet(2).normalisation(2.0).tolist()
        [2.0, 2.0, 2.0, 4.0, 2.0]
        """
        pairs = zip(self.orders, self.multiplicities, strict=True)
        return np.array([sigma**order / math.factorial(order) * count for order, count in pairs])

    @property
    def differences(self) -> np.ndarray:
        """§5.1's central differences and their products, `[size, n, n]`: n = 3 up to order 2, 5 up to order 4."""
        return self.stencils(CENTRAL_DIFFERENCES)

    def stencils(self, along: Sequence[np.ndarray]) -> np.ndarray:
        """along_y ⊗ along_x for each derivative, `[size, n, n]`, of 1-D stencils of order 0, 1, 2, … up to `order`."""
        radius = max(len(taps) // 2 for taps in along[: self.order + 1])
        padded = [np.pad(taps, radius - len(taps) // 2) for taps in along[: self.order + 1]]
        return np.stack([np.outer(padded[along_y], padded[along_x]) for along_y, along_x in self.derivatives])

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(frequency, order) of the parts that rotations keep apart: frequency k - 2j of order k, the lowest first.

        The order is fixed: weights in files depend on it.
        """
        return tuple(sorted((2 * m - rank, rank) for rank in self.ranks for m in range((rank + 1) // 2, rank + 1)))

    @property
    def polar_basis(self) -> Float[Tensor, "size size"]:
        """Coefficients of each polar component, a row each: of every block, the real and the imaginary part.

        With z = x + iy, the block of frequency 2m - k holds zᵐ z̄ᵏ⁻ᵐ; for frequency 0 that is real. Coefficients are
        components of symmetric tensors, and rows have length one as such: Σ multiplicity·C² = 1.

        >>> Jet(1, zero=True).polar_basis.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        rows, counts = [], np.array(self.multiplicities)
        for frequency, rank in self.blocks:
            m, here = (rank + frequency) // 2, np.equal(self.orders, rank)
            power = np.zeros(self.size, dtype=complex)
            power[here] = _product(*((1, 1j),) * m, *((1, -1j),) * (rank - m)) / counts[here]
            rows += [np.real(power), np.imag(power)][: 2 if frequency else 1]
        return torch.from_numpy(np.stack([row * math.sqrt(1 / (counts @ row**2)) for row in rows]) + 0.0)

    def turned(self, angle: float) -> np.ndarray:
        """The matrix `[size, size]` of `steer`: how coefficients turn from x to y, by `angle` radians.

        Each derivative is multiplied out in the turned frame, (c·x + s·y) and (c·y - s·x) for x and y.
        """
        c, s = _direction(angle)
        blocks = []
        for rank in self.ranks:
            counts = np.array([math.comb(rank, along_y) for along_y in range(rank + 1)])
            powers = [_product(*((c, s),) * (rank - along_y), *((-s, c),) * along_y) for along_y in range(rank + 1)]
            blocks.append(np.stack(powers, axis=1) * counts / counts[:, None])
        return np.asarray(block_diag(*blocks))

    def along(self, angle: float) -> np.ndarray:
        """The matrix `[orders, size]` of `directional_derivatives`: (c·x + s·y)ᵏ multiplied out."""
        c, s = _direction(angle)
        return np.asarray(block_diag(*(_product(*((c, s),) * rank) for rank in self.ranks)))


TWO_JET = Jet(2)
"""The paper's (eq 6)."""


@refusing
def steer(
    coefficients: Float[Tensor, "*batch {jet.size}"], angle: float, jet: Jet = TWO_JET
) -> Float[Tensor, "*batch {jet.size}"]:
    """The coefficients of the same combination of derivatives in a frame turned by `angle` (radians, from x to y).

    A layer with steered coefficients sees an image as the layer itself sees the image turned back by the angle. With
    Lφ = cos φ Lx + sin φ Ly (eq 7) and Lφφ = cos²φ Lxx + 2 cos φ sin φ Lxy + sin²φ Lyy (eq 8), in which Cx Lx becomes
    Cx Lφ and so on, coefficients of order k turn as a symmetric tensor with k indices: a vector, a matrix, …

    Raises `ScaleGroupError` unless the last axis holds the components of the jet.

    >>> steer(torch.tensor([1., 0., 1., 0., 0.]), math.pi / 2).round(decimals=6).abs().tolist()
    [0.0, 1.0, 0.0, 0.0, 1.0]
    """
    return _combined(jet, coefficients, check_instance("jet", jet, Jet, mend="pass Jet(2)").turned(angle))


@refusing
def directional_derivatives(
    derivatives: Float[Tensor, "*batch {jet.size}"], angle: float, jet: Jet = TWO_JET
) -> Float[Tensor, "*batch orders"]:
    """The derivative of each order along the direction φ = `angle` in radians: (Lφ, Lφφ) of eq 7 and 8, Lφφφ, …

    Args:
        derivatives: Lx, Ly, Lxx, Lxy, Lyy, … along the last axis, without any normalisation; L first if there is one.
        angle: from x to y.
        jet: which derivatives these are.

    Raises `ScaleGroupError` unless the last axis holds the components of the jet.

    >>> directional_derivatives(torch.tensor([1., 2., 3., 4., 5.]), 0.0).tolist()
    [1.0, 3.0]
    """
    return _combined(jet, derivatives, check_instance("jet", jet, Jet, mend="pass Jet(2)").along(angle))


def _direction(angle: float) -> tuple[float, float]:
    angle = check_finite("angle", angle)
    return math.cos(angle), math.sin(angle)


def _combined(jet: Jet, parts: Tensor, matrix: np.ndarray) -> Tensor:
    """A matrix times the components along the last axis; of many jets the same, to the bit, as of each one."""
    check_instance("jets", parts, Tensor, mend="pass a torch tensor")
    if parts.ndim == 0 or parts.shape[-1] != jet.size:
        raise ScaleGroupError(
            f"jets of shape {list(parts.shape)}",
            expected=f"{jet.size} components {', '.join(jet.components)} along the last axis",
            mend="move the axis of the components last, jets.movedim(2, -1), or say which jet= it is",
        )
    columns = torch.as_tensor(matrix.T.copy()).to(parts)
    first, *others = [part[..., None] * column for part, column in zip(parts.unbind(-1), columns, strict=True)]
    return sum(others, first)
