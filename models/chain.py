"""The layers of a network, from its description."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

from scalegroup import nn
from scalegroup.algebra.rotation import RotationGroup
from scalegroup.models.architecture import Architecture

_IN_BLOCK = 2
"""Jet layers of a residual block."""


@dataclass(frozen=True)
class Chain:
    """What an `nn.Sequential` is made of: `layers`.

    Args:
        of: what the network is.
    """

    of: Architecture

    def layers(self) -> list[Any]:
        """Jets, each but the last with batch norm and the activation behind it; then the projections.

        Dropout and views are one with the layer in front of them and move no number: weights fit with them and without.
        """
        of = self.of
        lift = nn.Lift(
            of.window,
            of.in_channels,
            boundary=of.boundary,
            grid=of.grid,
            samples_per_sigma=of.samples_per_sigma,
            kernel=of.lifting,
        )
        steps = self._steps()
        normalise = [] if of.mean is None else [partial(nn.Normalise, mean=of.mean, std=of.std)]
        first = _one(lift, partial(nn.ScaleDropout, finest=of.scale_dropout)) if of.scale_dropout else lift
        chain: list[Any] = [first, *normalise]
        if self._view:
            chain[-1] = _one(chain[-1], *self._view)
        for depth, width in enumerate(of.widths):
            chain += self._hidden(self._features(width), steps, first=depth == 0)
        if of.neighbours:
            across = partial(nn.ScaleConv, group=of.window.group, neighbours=of.neighbours)
            chain += [partial(across, out_type=of.widths[-1]), nn.BatchNorm, self._theta]
        if of.dropout:
            chain[-1] = _one(chain[-1], partial(nn.Dropout, p=of.dropout))
        (beta, stride), last = next(steps), self._features(of.num_classes, mixed=False)
        return [
            *chain,
            partial(self._jets, beta=beta, stride=stride, first_offset=of.first_offset, **last),
            partial(nn.ReadOut, readout=of.readout),
            partial(nn.ScalePool, pooling=of.pooling),
        ]

    def _hidden(self, features: dict[str, Any], steps: Iterator[tuple[float, int]], *, first: bool) -> list[Any]:
        """The layers of one width."""
        jets = self._separable_jets if self.of.separable and not first else self._jets
        if first or not self.of.residual:
            beta, stride = next(steps)
            return [partial(jets, beta=beta, stride=stride, **features), nn.BatchNorm, self._theta]
        betas, strides = zip(*islice(steps, _IN_BLOCK), strict=True)
        (out,) = features.values()
        block = partial(nn.ResidualBlock, out=out, betas=betas, strides=strides)
        return [partial(block, jets=jets, activation=self._theta)]

    def _steps(self) -> Iterator[tuple[float, int]]:
        """β and stride of each jet layer (eq 13): 2 where σ behind it stays `min_grid_sigma` on every second sample."""
        of, hidden = self.of, len(self.of.widths)
        depth = 1 + hidden + (_IN_BLOCK - 1) * max(0, hidden - 1) * of.residual
        betas, g = [of.r**k for k in range(depth)], of.samples_per_sigma
        for beta, following in pairwise(betas):
            coarser = (
                g is not None and of.min_grid_sigma is not None and following * g / 2 >= of.min_grid_sigma * (1 - 1e-9)
            )
            yield beta, 2 if coarser else 1
            g = g / 2 if coarser else g
        yield betas[-1], 1

    @property
    def _theta(self) -> Callable[[Any], nn.Layer]:
        """The activation, and what is seen of it."""
        activation = partial(nn.Pointwise, function=self.of.activation)
        return _one(activation, *self._view) if self._view else activation

    @property
    def _view(self) -> list[Callable[..., nn.Layer]]:
        half_width = self.of.field_of_view
        return [] if half_width is None else [partial(nn.FieldOfView, half_width=half_width)]

    @property
    def _jets(self) -> Callable[..., nn.Layer]:
        layer = nn.JetConv if self.of.rotations is None else nn.SteerableJetConv
        return partial(layer, kernel=self.of.kernel, jet=self.of.jet)

    @property
    def _separable_jets(self) -> Callable[..., nn.Layer]:
        return partial(nn.SeparableJetConv, kernel=self.of.kernel, jet=self.of.jet)

    def _features(self, size: int, *, mixed: bool = True) -> dict[str, Any]:
        """What a jet layer is to give: as many scalars, or regular fields (not `mixed`: what no rotation changes)."""
        if self.of.rotations is None:
            return {"out_type": size}
        group = RotationGroup(self.of.rotations)
        return {"rotation": size // group.order * group.regular if mixed else size * group.trivial}


def _one(first: Any, behind: Callable[..., nn.Layer]) -> Any:
    """A layer, or what makes one, with another behind it: as one."""
    return nn.Sequential(first, behind) if isinstance(first, nn.Layer) else lambda of: nn.Sequential(first(of), behind)
