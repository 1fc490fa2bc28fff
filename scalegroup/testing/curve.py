"""What an error curve says: whether an error falls, and what it tends to, as pictures are sampled more finely."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

_FALLS = 0.7  # an error ∝ resolution^-p falls from this p on, and stays below half of it
_REST = 0.5  # of the last error may be its limit where it falls

EQUIVARIANT = "equivariant"
"""The error is within its bound, or falls as the pictures are sampled more finely."""

NOT_EQUIVARIANT = "not equivariant"
"""It is beyond its bound, or tends to something else than nothing."""

NOT_DECIDED = "not decided"
"""The pictures do not tell; `Verdict.reason` says what would."""


@dataclass(frozen=True)
class Curve:
    """The error for one family of pictures under one scaling, of the worst feature in the worst scale channel.

    Args:
        family: of the pictures.
        factor: S.
        channel: name of the scale channel, and the feature.
        resolutions: pixels per pixel of the coarsest pictures.
        errors: root mean squares, as fractions of what the response changes by when pictures are stretched (those of
            all families that show all channels); where it does not change by that, of the response.
        explained: what sampling explains of them at most, by a derived bound; None where there is none.
        responds: whether the output depends on the pictures at all.
        small: less of it is nothing, where no bound is derived.
        visible: by how much a scaling, or a σ₀, would have to be wrong for an error of the size of the last one.
    """

    family: str
    factor: float
    channel: str
    resolutions: tuple[int, ...]
    errors: tuple[float, ...]
    explained: tuple[float, ...] | None
    responds: bool
    small: float
    visible: float

    @property
    def slope(self) -> float:
        """The p of error ∝ resolution^-p, over the last two steps; infinite where the last error is nothing."""
        before, last = self.errors[-3:][0], self.errors[-1]
        if last <= self.small:
            return math.inf
        steps = math.log(self.resolutions[-1] / self.resolutions[-3:][0])
        return math.log(before / last) / steps if before else -math.inf

    @property
    def limit(self) -> float:
        """What the error tends to: of three errors at resolutions a constant ratio apart, the limit of the sequence
        whose falls shrink by a constant factor (Aitken); the last error where they do not shrink. Uneven falls mislead
        it: of four errors a constant and an error of order two are fitted as well, and the smaller limit counts.
        """
        last = self.errors[-1]
        if self.explained is not None:
            return last
        if last <= self.small:
            return 0.0
        if not all(map(math.isfinite, self.errors)):
            return math.inf
        first, second = self.errors[-3:-1]
        falls = first - second, second - last
        if falls[1] <= 0:
            return last
        shrinks = falls[1] / falls[0] if falls[0] > falls[1] else 0.5
        found = max(0.0, last - falls[1] * shrinks / (1 - shrinks))
        if len(self.errors) < 4:
            return found
        errors = np.maximum(self.errors, self.small)
        parts = np.stack([np.ones(len(errors)), np.array(self.resolutions) ** -2.0], axis=1)
        (constant, _), _ = nnls(parts / errors[:, None], np.ones(len(errors)))  # of each error the same fraction
        return min(found, float(constant))

    @property
    def verdict(self) -> str | None:
        """Of this curve alone; None where the module does not respond to these pictures."""
        if not self.responds:
            return None
        if not math.isfinite(sum(self.errors)):
            return NOT_DECIDED
        if self.explained is not None:
            within = all(error <= bound for error, bound in zip(self.errors, self.explained, strict=True))
            return EQUIVARIANT if within else NOT_EQUIVARIANT
        small = self.limit <= _REST * self.errors[-1]
        if self.slope >= _FALLS:
            return EQUIVARIANT if small else NOT_DECIDED
        return NOT_DECIDED if small and self.slope >= _FALLS / 2 else NOT_EQUIVARIANT

    @property
    def badness(self) -> tuple[float, ...]:
        """To find the worst of several curves."""
        rank = {None: 0, EQUIVARIANT: 1, NOT_DECIDED: 2, NOT_EQUIVARIANT: 3}[self.verdict]
        return (rank, self.limit, self.errors[-1])

    def __str__(self) -> str:
        errors = ", ".join(f"{error:.1e}" for error in self.errors)
        if self.explained is not None:
            how = "of which sampling explains " + ", ".join(f"{bound:.1e}" for bound in self.explained)
        elif math.isinf(self.slope):
            how = f"less than {self.small:.2g} is nothing"
        else:
            how = f"slope {self.slope:.1f}, tends to {self.limit:.1e}"
        seen = f", as if a σ were {100 * self.visible:.2g}% off" if math.isfinite(self.visible) else ""
        said = self.verdict or "no response"
        return f"{self.family}, scaling by {self.factor:.4g}, {self.channel}: error {errors} ({how}){seen}: {said}"
