"""Modules to judge: cheats, which a verdict has to refuse, and honest ones, which it has to accept.

python -m proofs_tests.judged        # both tables, with the time that every verdict took
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.results import provenance, said, save_text
from scalegroup import (
    Background,
    Dense,
    FieldType,
    Grids,
    SampledDerivatives,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    character,
    functional,
)
from scalegroup import nn as snn
from scalegroup.models import gaussian_derivative_net, rotation_scale_net
from scalegroup.testing import Curve, Verdict, check_module, families
from scalegroup.testing.pictures import COUNT

ROOT = ScaleGroup(2**0.5)
LEAST, SMALLER = {"size": 49}, {"size": 35}  # the smallest for a factor of 2, and of √2
WINDOW = ScaleWindow(ROOT, sigma0=1.0, channels=5)
FEW = {"widths": (2,), "window": replace(WINDOW, channels=2)}
EXACT = SampledDerivatives(tail=1e-9)


class Function(nn.Module):
    """A function of pictures as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, pictures: Tensor) -> Tensor:
        return self.function(pictures)


def curve(*errors: float, explained: tuple[float, ...] | None = None, responds: bool = True) -> Curve:
    """Of given errors."""
    return Curve("fine blobs", 2.0, "maps", (1, 2, 4, 8)[: len(errors)], errors, explained, responds, 2e-3, math.inf)


def box(size: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.avg_pool2d(x, size, stride=1, padding=size // 2)


def centre(x: Tensor) -> Tensor:
    return x[:, :, x.shape[2] // 2, x.shape[3] // 2]


def radius(x: Tensor) -> Tensor:
    y, x_ = (torch.arange(n, dtype=x.dtype) - (n - 1) / 2 for n in x.shape[2:])
    return torch.hypot(y[:, None], x_)


def window(width: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * torch.exp(-(radius(x) ** 2) / (2 * width**2))


def jet_fields(sigmas: list[float]) -> Callable[[Tensor], Tensor]:
    def fields(x: Tensor) -> Tensor:
        maps = [functional.jet_maps(x, sigma=sigma, kernel=EXACT, boundary=Background(0.0)) for sigma in sigmas]
        return torch.stack([part.flatten(1, 2) for part in maps], dim=2)

    return fields


def cnn(*, layers: int, pool: bool) -> nn.Module:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for n in range(layers):
        parts += [nn.Conv2d(16 if n else 1, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*parts[:-1], *([nn.AdaptiveMaxPool2d(1), nn.Flatten()] if pool else []))


def ours(**options) -> nn.Module:
    torch.manual_seed(0)
    options = {"widths": (6, 6), "window": WINDOW, "boundary": Background(0.0)} | options
    return gaussian_derivative_net(**options).eval()


def across_scale(channels: int) -> nn.Module:
    """Fields of a network whose scale channels look at their neighbours."""
    torch.manual_seed(0)
    lift = snn.Lift(replace(WINDOW, channels=channels), boundary=Background(0.0))
    mixed = partial(snn.ScaleConv, out_type=3, group=ROOT)
    ends = [snn.ReLU, partial(snn.JetConv, out_type=2, beta=1.25)]
    return snn.Sequential(lift, partial(snn.JetConv, out_type=3), mixed, *ends).eval()


def trained(net: nn.Module) -> nn.Module:
    """After ten steps that tell pictures of one family from those of another, batch norm's statistics with them."""
    pictures = torch.cat([family.sample(33) for family in families(33, 1.0)]).to(next(net.parameters()).dtype)
    labels = torch.arange(len(pictures)) // COUNT
    optimiser = torch.optim.Adam(net.train().parameters(), lr=0.01)
    for _ in range(10):
        optimiser.zero_grad()
        F.cross_entropy(net(pictures), labels).backward()
        optimiser.step()
    return net.eval()


def on_pixels() -> nn.Module:
    return ours(grid="image", **FEW | {"widths": (4,)})


class Leak(nn.Module):
    """Ours, with a blur of the first colour in it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ours(in_channels=3, **FEW)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.net(pictures) + 0.3 * centre(box(9)(pictures))[:, :1]


class Outside(nn.Module):
    """Right for what is near the centre; beyond 40 pixels anything counts."""

    def __init__(self) -> None:
        super().__init__()
        self.net = ours(**FEW)

    def forward(self, pictures: Tensor) -> Tensor:
        far = (pictures * (radius(pictures) > 40)).flatten(1).sum(1, keepdim=True)
        return self.net(pictures) + far


def riesz(x: Tensor) -> Tensor:
    """Both Riesz transforms of a picture that comes round."""
    wy, wx = torch.fft.fftfreq(x.shape[2], dtype=x.dtype)[:, None], torch.fft.rfftfreq(x.shape[3], dtype=x.dtype)
    norm, spectrum = torch.hypot(wy, wx).clamp(min=1e-12), torch.fft.rfft2(x)
    return torch.cat([torch.fft.irfft2(spectrum * (-1j * w / norm), s=x.shape[2:]) for w in (wy, wx)], 1)


def far_from_borders(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The middle of it, with three times as much of the background beside the picture: what reaches far comes round."""

    def padded(x: Tensor) -> Tensor:
        rows, columns = (4 * (n - 1) - n for n in x.shape[2:])  # of 48, 96 and 192, transforms are fast
        x = x.float()  # twice as fast
        return function(F.pad(x, (0, columns, 0, rows)))[..., *(slice(n // 4, n - n // 4) for n in x.shape[2:])]

    return padded


class Before(nn.Module):
    """A network of ours, before its pooling over scale."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> Tensor:
        return self.net.scale_logits(pictures)


def ratio_of_integrals(x: Tensor) -> Tensor:
    mass, square = x.abs().sum((2, 3)), x.square().sum((2, 3))
    return torch.cat([square / mass.clamp(min=1e-9), x.pow(4).sum((2, 3)) / square.clamp(min=1e-9)], 1)


class Scattering(nn.Module):
    """Moduli of gradients at each σ₀, smoothed by twice as much: two layers of the scattering kind.

    Its σ are those of a window, so that it can be run on finer pictures: at σ of one pixel moduli, which have cusps,
    are aliased however smooth the picture is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window = replace(WINDOW, channels=2)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for sigma in self.window.sigmas:
            jets = functional.jet_maps(x, sigma=sigma, kernel=EXACT, boundary=Background(0.0))
            modulus = (jets[:, :, 0].square() + jets[:, :, 1].square()).sqrt()
            second = functional.jet_maps(modulus, sigma=2 * sigma, kernel=EXACT, boundary=Background(0.0))
            found.append(torch.cat([modulus, second[:, :, 2], second[:, :, 4]], 1))
        return torch.stack(found, 2)


def log_polar(x: Tensor) -> Tensor:
    """Rings around the centre at radii growing by 2^(1/8), the angular mean of each, and its steepest changes."""
    half = (x.shape[3] - 1) / 2
    rho = torch.exp2(torch.arange(8 * math.ceil(math.log2(half) + 1), dtype=x.dtype) / 8 - 1)
    rho = rho[rho <= half]
    angles = torch.arange(32, dtype=x.dtype) * (2 * math.pi / 32)
    grid = torch.stack([rho[:, None] * angles.cos(), rho[:, None] * angles.sin()], -1) / half
    rings = F.grid_sample(x, grid.expand(len(x), -1, -1, -1), mode="bilinear", align_corners=True, padding_mode="zeros")
    profile = rings.mean(-1)
    slopes = profile.diff(dim=2)
    return torch.cat([slopes.amin(2), slopes.square().sum(2)], 1)


class Unnormalised(nn.Module):
    """Derivatives that are not scale-normalised, declared as such: fields of the weight 1."""

    def __init__(self) -> None:
        super().__init__()
        self.window = replace(WINDOW, channels=2)

    def forward(self, x: Tensor) -> ScaleField:
        maps = []
        for sigma in self.window.sigmas:
            jets = functional.jet_maps(x, sigma=sigma, kernel=EXACT, boundary=Background(0.0))
            maps.append(jets[:, 0, :2] / sigma)
        grids = Grids.of_pixels((x.shape[2], x.shape[3]), self.window.sigmas)
        return ScaleField(tuple(maps), FieldType(character(1) + character(1)), self.window, grids)


@dataclass(frozen=True)
class Judged:
    """A module, and how to put it to the question.

    Args:
        make: the module.
        family: of pictures that exposes it, among others; None for an honest module.
        powers: of √2, for which it is judged.
        options: of `check_module`, beside the smallest size for a factor of 2.
    """

    make: Callable[[], nn.Module]
    family: str | None = None
    powers: tuple[int, ...] = (1, 2)
    options: dict[str, Any] | None = None

    def verdict(self) -> Verdict:
        return check_module(self.make(), ROOT, powers=self.powers, budget=False, **LEAST | (self.options or {}))


def function(of: Callable[[Tensor], Tensor], family: str | None = None, **more: Any) -> Judged:
    return Judged(lambda: Function(of), family, **more)


FINE, EDGES, TEXTURES, GROUPS = "fine blobs", "edges", "textures", "groups off centre"
COLOUR = {"in_channels": 3}

CHEATS = {
    **{f"{k}×{k} box, as maps": function(box(k), FINE, powers=(2,)) for k in (3, 5, 7, 9)},
    **{
        f"{k}×{k} box, at the centre": function(lambda x, k=k: centre(box(k)(x)), FINE, powers=(2,))
        for k in (3, 5, 7, 9)
    },
    "shift by one pixel": function(lambda x: torch.roll(x, 1, -1), FINE),
    **{f"window of width {w}": function(window(w), GROUPS) for w in (15, 30, 60)},
    "maximum of 3×3, as maps": function(lambda x: F.max_pool2d(x, 3, stride=1, padding=1), FINE),
    **{
        f"jets of ratio {r}, said to be √2": function(jet_fields([1.0, r]), EDGES, powers=(1,), options=SMALLER)
        for r in (1.3, 1.35)
    },
    "jets at σ = 1, 1.3, 2, 2.6": function(jet_fields([1, 1.3, 2, 2.6]), EDGES, powers=(1,), options=SMALLER),
    "two 3×3 layers and a global maximum": Judged(lambda: cnn(layers=2, pool=True), EDGES, (2,)),
    "three 3×3 layers and a global maximum": Judged(lambda: cnn(layers=3, pool=True), EDGES, (2,)),
    "three 3×3 layers, as maps": Judged(lambda: cnn(layers=3, pool=False), EDGES, (2,)),
    "centre pixel plus a faint blur": function(lambda x: centre(x) + 0.01 * centre(box(9)(x)), FINE),
    "centre pixel plus the mean": function(lambda x: centre(x) + 1000 * x.mean((2, 3)), TEXTURES),
    "a blur of one colour leaks": Judged(Leak, "channel 0 alone", powers=(1,), options=COLOUR | SMALLER),
    "right near the centre only": Judged(Outside, GROUPS),
    "colour differences, blurred": function(lambda x: box(5)(x[:, :1] - x[:, 1:2]), "channel 1 alone", options=COLOUR),
}

SILENT = {
    "a constant": function(lambda x: torch.ones(len(x), 3, dtype=x.dtype)),
    "zero maps": function(torch.zeros_like),
}

HONEST = {
    "ReLU": Judged(nn.ReLU),
    "a pointwise function": function(lambda x: torch.tanh(x) + x**2),
    "the centre pixel of a crop": function(lambda x: centre(x[..., 4:-4, 4:-4])),
    "global maximum": function(lambda x: x.amax((2, 3))),
    "ratios of integrals": function(ratio_of_integrals),
    "Riesz transforms": function(far_from_borders(riesz), powers=(2,)),
    "Riesz, ReLU, Riesz": function(far_from_borders(lambda x: riesz(torch.relu(riesz(x)))), powers=(2,)),
    "scattering": Judged(Scattering, powers=(1,), options=SMALLER),
    "jets, by sampled derivatives": function(jet_fields(list(WINDOW.sigmas[:2])), powers=(1,), options=SMALLER),
    "derivatives of a declared weight": Judged(Unnormalised, powers=(1,), options=SMALLER),
    "log-polar rings": function(log_polar),
    "ours": Judged(ours),
    "ours, trained": Judged(
        partial(gaussian_derivative_net, weights="mnist-large-scale-5k", window=replace(WINDOW, channels=2)),
        powers=(1,),
        options=SMALLER,
    ),
    "ours, before pooling": Judged(lambda: Before(ours()), powers=(1,), options=SMALLER),
    "ours, dense": Judged(lambda: ours(readout=Dense(), **FEW), powers=(1,), options=SMALLER),
    "ours, across scale": Judged(lambda: across_scale(4), powers=(1,), options=SMALLER),
    "ours, on the image's grid": Judged(on_pixels, powers=(1,), options=SMALLER),
    "ours, on the image's grid, trained": Judged(lambda: trained(on_pixels()), powers=(1,), options=SMALLER),
    "ours, rotations as well": Judged(
        lambda: rotation_scale_net(4, preset="multi_scale", widths=(4, 4), window=WINDOW).eval(),
        powers=(1,),
        options=SMALLER,
    ),
}


def rows() -> Iterator[str]:
    """The lines of the three tables, one by one as they are measured."""
    for title, table in (("cheats", CHEATS), ("silent modules", SILENT), ("honest modules", HONEST)):
        yield f"\n| {title} | verdict | decided by | error, as pictures are sampled more finely | seconds |"
        yield "|---|---|---|---|---|"
        for name, judged in table.items():
            start = time.monotonic()
            verdict = judged.verdict()
            seconds, worst = time.monotonic() - start, verdict.worst
            errors = ", ".join(f"{error:.1e}" for error in worst.errors)
            by = f"{worst.family}, {worst.factor:.3g}×, {worst.channel}" if worst.verdict else "no response"
            yield f"| {name} | {verdict.decision} | {by} | {errors} | {seconds:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m proofs_tests.judged", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, metavar="PATH", help="write them there as well")
    options = parser.parse_args()
    torch.manual_seed(0)
    lines = ["# Verdicts", "", f"`python -m proofs_tests.judged --output PATH`: {said(provenance())}, seed 0."]
    print(lines[-1])
    for line in rows():
        print(line, flush=True)
        lines.append(line)
    if options.output is not None:
        save_text("\n".join(lines) + "\n", options.output)


if __name__ == "__main__":
    main()
