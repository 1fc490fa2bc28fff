"""The networks of the paper, composed by hand: `python examples/compose.py`."""

from functools import partial

import torch

from scalegroup import Background, ScaleGroup, ScaleWindow, nn


def compose(widths: tuple[int, ...], window: ScaleWindow, background: float) -> nn.Sequential:
    """2-jet layers with σ growing by 1.25, batch norm and ReLU between them; centre pixel, maximum over scale."""
    layers: list = [nn.Lift(window, boundary=Background(background))]
    for depth, width in enumerate(widths):
        if depth:
            layers += [nn.BatchNorm, nn.ReLU]
        stride = 2 if depth == 1 else 1  # behind the second layer every second sample is enough
        layers.append(partial(nn.JetConv, out_type=width, beta=1.25**depth, stride=stride))
    return nn.Sequential(*layers, nn.ReadOut, nn.ScalePool)


if __name__ == "__main__":
    window = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=8, first=-1)  # σ₀ from 1/√2 to 8
    net = compose((12, 16, 24, 32, 64, 10), window, background=0.0)
    print(net, net(torch.rand(2, 1, 65, 65)).shape, sep="\n")
