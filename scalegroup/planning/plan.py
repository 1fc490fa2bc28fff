"""The plan: which samples every layer computes in every scale channel, and what that takes.

It works backwards from the read-out, through what each layer needs, to the region of the image's world that is lifted:
on self-similar grids the same for all channels. Where that world is constant it goes forwards again, to what is near
enough to the image to differ from it (`Layer.live`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scalegroup.fields.grid import Grids
from scalegroup.fields.window import ScaleWindow


@dataclass(frozen=True)
class Step:
    """One layer of a plan.

    Args:
        name: of the layer, with that of the layer it is within in front.
        detail: what else it says of itself.
        grids: the samples that it computes.
        features: of each sample.
        multiply_adds: for one image, per scale channel.
    """

    name: str
    detail: str
    grids: Grids
    features: int
    multiply_adds: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of its maps of one image, in float32."""
        return 4 * self.features * sum(math.prod(grid.shape) for grid in self.grids.grids)


@dataclass(frozen=True)
class Plan:
    """What is computed for images of `size` (rows, columns). `print(plan)` shows it as a table.

    >>> from scalegroup.models import gaussian_derivative_net
    >>> print(str(gaussian_derivative_net("single_scale").plan((28, 28))).splitlines()[0])
    plan for 28×28 images, 1 scale channel with σ₀ = 0.9 by powers of 1.41421
    """

    size: tuple[int, int]
    window: ScaleWindow
    steps: tuple[Step, ...]

    @property
    def multiply_adds(self) -> int:
        """For one image, forward."""
        return sum(sum(step.multiply_adds) for step in self.steps)

    @property
    def bytes(self) -> int:
        """Of all maps of one image, in float32."""
        return sum(step.bytes for step in self.steps)

    def __str__(self) -> str:
        rows, columns = self.size
        lines = [
            f"plan for {rows}×{columns} images, {self.window!r}",
            f"{self.multiply_adds / 1e6:.4g} million multiply-adds and {self.bytes / 2**20:.4g} MiB of maps for each, "
            "forward",
            f"{'channels':>8} | samples/σ₀ |   samples | features | million |      KiB | layer",
        ]
        for step in self.steps:
            grids = step.grids.grids
            shapes = ends(f"{grid.shape[0]}×{grid.shape[1]}" for grid in grids)
            densities = ends(f"{grid.samples_per_sigma:.4g}" for grid in grids)
            lines.append(
                f"{len(grids):8d} | {densities:>10} | {shapes:>9} | {step.features:8d} | "
                f"{sum(step.multiply_adds) / 1e6:7.2f} | {step.bytes / 2**10:8.1f} | {step.name} {step.detail}".rstrip()
            )
        return "\n".join(lines)


def ends(texts: Iterable[str]) -> str:
    """The one text of all channels, or those of the finest and the coarsest."""
    different = list(dict.fromkeys(texts))
    return different[0] if len(different) == 1 else f"{different[0]}…{different[-1]}"
