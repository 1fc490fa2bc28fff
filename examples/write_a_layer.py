"""A layer of your own, in twenty lines, and what it inherits: `python examples/write_a_layer.py`.

It is planned, nested, copied, exported and checked like those of the library, which know nothing of it.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup import Background, FieldType, ScaleGroup, ScaleWindow, nn
from scalegroup.testing import check_layer


class LocalContrast(nn.PerChannel):
    """x / (1 + the mean of |x| over a square of half-width `half_width`·σ₀): a divisive normalisation."""

    def __init__(self, type: FieldType, half_width: float = 2.0) -> None:
        super().__init__(type, type.unsmoothed)
        self.half_width = half_width

    def reach(self, samples_per_sigma: float) -> int:
        return round(self.half_width * samples_per_sigma)

    def maps(self, maps: Tensor, samples_per_sigma: float) -> Tensor:
        reach = self.reach(samples_per_sigma)
        mean = F.avg_pool2d(maps.abs(), 2 * reach + 1, stride=1)
        height, width = maps.shape[-2:]
        return maps[..., reach : height - reach, reach : width - reach] / (1 + mean)


def main() -> None:
    check_layer(LocalContrast)
    print("LocalContrast keeps every law that a layer has to keep")
    window = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=4)
    net = nn.Sequential(
        nn.Lift(window, boundary=Background(0.0)),
        partial(nn.JetConv, out_type=8),
        LocalContrast,
        lambda kind: nn.Residual(nn.Sequential(LocalContrast(kind), partial(nn.JetConv, out_type=8, beta=1.25))),
        partial(nn.JetConv, out_type=10, beta=1.5),
        nn.ReadOut,
        nn.ScalePool,
    )
    print(net.plan((65, 65)))
    print("scores:", list(net(torch.rand(2, 1, 65, 65)).shape))


if __name__ == "__main__":
    main()
