"""Is it scale equivariant? Networks of this library and others, put through one check.

The same from the command line, for any function that makes a module:

    python -m scalegroup check check_your_module:ours
"""

from dataclasses import dataclass

import torch

from scalegroup import Background, ScaleGroup, ScaleWindow
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import check_module

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, sigma0=1.0, channels=5, first=-1)  # σ₀ from 1/√2 to 2√2


def ours(window: ScaleWindow = WINDOW) -> torch.nn.Module:
    """A small network of this library."""
    torch.manual_seed(0)
    return gaussian_derivative_net(widths=(6, 6), window=window, boundary=Background(0.0))


def wrapped() -> torch.nn.Module:
    """The same, inside a plain module."""
    return torch.nn.Sequential(ours())


@dataclass(frozen=True, repr=False)
class OneChannelOff(ScaleWindow):
    """A window with a bug: the σ₀ of its fourth channel is half as large again."""

    @property
    def sigmas(self) -> tuple[float, ...]:
        right = zip(self.labels, super().sigmas, strict=True)
        return tuple(1.5 * sigma if label == 2 else sigma for label, sigma in right)


def broken() -> torch.nn.Module:
    """Ours with one channel's σ₀ multiplied by 1.5."""
    return ours(OneChannelOff(G, sigma0=1.0, channels=5, first=-1))


def relu() -> torch.nn.Module:
    """Pointwise, so exactly equivariant."""
    return torch.nn.ReLU()


def cnn() -> torch.nn.Module:
    """An ordinary network: convolutions, global pooling, a linear layer."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


def bare_cnn() -> torch.nn.Module:
    """3×3 convolutions, as a map from images to maps."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, padding=1)
    )


def dead() -> torch.nn.Module:
    """A network whose ReLU lets nothing through: of it, nothing can be said."""
    return torch.nn.Sequential(torch.nn.Threshold(1e9, 0.0), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


class Rotations(torch.nn.Module):
    """A network of escnn, equivariant to rotations by 90°, with global pooling and a linear layer."""

    def __init__(self) -> None:
        from escnn import gspaces  # pyright: ignore[reportMissingImports]
        from escnn import nn as enn  # pyright: ignore[reportMissingImports]

        super().__init__()
        space = gspaces.rot2dOnR2(N=4)
        image, regular = enn.FieldType(space, [space.trivial_repr]), enn.FieldType(space, 8 * [space.regular_repr])
        self.lift = lambda images: enn.GeometricTensor(images, image)
        self.body = enn.SequentialModule(
            enn.R2Conv(image, regular, kernel_size=5, padding=2), enn.ReLU(regular), enn.GroupPooling(regular)
        )
        self.head = torch.nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.lift(images)).tensor.mean((2, 3)))


def escnn() -> torch.nn.Module:
    """A network of escnn: equivariant to rotations, not to scaling."""
    torch.manual_seed(0)
    return Rotations()


if __name__ == "__main__":
    for factory in (ours, wrapped, relu, broken, cnn, bare_cnn, dead, escnn):
        print(f"{factory.__name__}: {factory.__doc__}")
        try:
            module = factory()
        except ImportError as error:
            print(f"skipped ({error}): pip install 'scalegroup[escnn]' (needs a Fortran compiler)", end="\n\n")
            continue
        explain = factory is not wrapped  # its errors come from where those of ours do
        print(check_module(module, G, powers=[2], size=49, budget=explain), end="\n\n")
