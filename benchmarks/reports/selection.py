"""How the selected scale follows the size of the object: in theory in proportion (§6.1), slope 1 in log-log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from statistics import linear_regression, mean

from benchmarks.reports.runs import Family, Run, over_seeds

_CUT_OFF = 0.05
_FEWEST = 3


@dataclass(frozen=True)
class Fit:
    """log₂ σ₀ = slope·log₂ size + intercept.

    Args:
        slope: mean over seeds.
        spread: its standard deviation over seeds, None for one seed.
        intercept: mean over seeds.
        smallest, largest: the sizes it was fitted to.
    """

    slope: float
    spread: float | None
    intercept: float
    smallest: float
    largest: float

    def sigma(self, size: float) -> float:
        """σ₀ by the fit, in pixels."""
        return 2 ** (self.slope * log2(size) + self.intercept)


def mean_log_sigma(run: Run, size: float) -> float:
    """The mean of log₂ σ₀ over the test images of a size."""
    return mean_log(run.sigmas, run.selected[size])


def mean_log(sigmas: Sequence[float], counts: Sequence[int]) -> float:
    """The mean of log₂ σ₀, where so many images selected each.

    >>> mean_log([0.5, 1.0, 2.0], [1, 1, 1])
    0.0
    """
    return sum(count * log2(sigma) for count, sigma in zip(counts, sigmas, strict=True)) / sum(counts)


def fit(family: Family) -> Fit | None:
    """A least-squares line through the mean of log₂ σ₀ at each size; None where there are too few sizes.

    Sizes at which more than 5 % of the images select the finest or the coarsest channel are left out: there the
    window ends, and what would be selected beyond it is not seen.
    """
    if len(family.first.sigmas) < _FEWEST:
        return None
    sizes = [size for size in family.sizes if max(family.shares(size)[0], family.shares(size)[-1]) <= _CUT_OFF]
    if len(sizes) < _FEWEST:
        return None
    logs = [log2(size) for size in sizes]
    lines = [linear_regression(logs, [mean_log_sigma(run, size) for size in sizes]) for run in family.runs]
    slope, spread = over_seeds([line.slope for line in lines])
    return Fit(slope, spread, mean(line.intercept for line in lines), sizes[0], sizes[-1])
