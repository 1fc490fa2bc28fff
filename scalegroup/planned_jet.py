"""The 2-jet and its learnt combination as a plan runs them: prepared for one σ and the samples of two grids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from scalegroup import jet
from scalegroup.mixing import Stencils, mix
from scalegroup.smoothing import Smoothing, is_autocast, without_autocast

ORDERS = [(0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]  # of differentiation along y and x, for each component of the jet


class PlannedJet(ABC):
    """The scale-normalised 2-jet and its learnt combination, between two grids."""

    @abstractmethod
    def prepare(self, coefficients: Tensor) -> Tensor:
        """The weights that all scale channels of the same σ share, from `[out, in, 5]`."""

    @abstractmethod
    def __call__(self, maps: Tensor, coefficients: Tensor, prepared: Tensor) -> Tensor:
        """`[batch, in, y, x]` to `[batch, out, y', x']`, without an offset."""


@dataclass(frozen=True, eq=False)
class PlannedStencils(PlannedJet):
    """One smoothing, then stencils."""

    smooth: Smoothing
    stencils: Stencils

    def prepare(self, coefficients: Tensor) -> Tensor:
        """See `PlannedJet`."""
        return self.stencils.fuse(coefficients)

    def __call__(self, maps: Tensor, coefficients: Tensor, prepared: Tensor) -> Tensor:
        """See `PlannedJet`."""
        smoothed = self.smooth(maps)
        if not is_autocast(maps):
            smoothed = smoothed.to(coefficients.dtype)
        return mix(smoothed, coefficients, prepared, self.stencils)


@dataclass(frozen=True, eq=False)
class PlannedOrders(PlannedJet):
    """Matrices of each order of differentiation, along y and along x, and the factors of eq 6."""

    along_y: tuple[Tensor, ...]
    along_x: tuple[Tensor, ...]
    factors: Tensor

    def prepare(self, coefficients: Tensor) -> Tensor:
        """See `PlannedJet`."""
        return (coefficients * self.factors).transpose(1, 2).flatten(1)

    def __call__(self, maps: Tensor, coefficients: Tensor, prepared: Tensor) -> Tensor:
        """See `PlannedJet`."""
        batch, channels, height, width = maps.shape
        rows, columns = len(self.along_y[0]), len(self.along_x[0])
        with without_autocast(maps):  # half precision is too coarse to be differentiated
            pixels = maps.permute(0, 2, 3, 1).reshape(batch, height, width * channels).to(self.factors.dtype)
            vertical = [(matrix @ pixels).view(batch * rows, width, channels) for matrix in self.along_y]
            five = [self.along_x[m] @ vertical[n] for n, m in ORDERS]
            stacked = torch.stack(five, dim=2).view(batch, rows, columns, jet.SIZE * channels)
        return (stacked @ self.prepare(coefficients).T).permute(0, 3, 1, 2)
