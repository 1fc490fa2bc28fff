"""How exactly networks commute with scaling, and what samples per σ₀ cost: the table behind `samples_per_sigma=`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks import allocator, machine, results, steps, timing
from benchmarks.reports import covariance as report
from scalegroup import Axis, Background, LiftingKernel, SampledLifting, ScaleGroup, ScaleWindow, nn
from scalegroup.fields.resample import resample
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import Blobs, equivariance_error

DESCRIPTION = "equivariance error of deep ReLU networks over σ₀, translation error and time, for samples per σ₀"

_RATIOS = {"√2": 2**0.5, "2": 2.0, "∛2": 2 ** (1 / 3)}
_SIGMAS = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)  # of the finer channel, in pixels
_WIDTHS = (8, 8, 8, 8, 8, 4)
_SIZE = 129  # of the images, in pixels
_NARROWEST = 1.1  # of the blobs, in pixels: standard deviations
_IMAGES = 4


@dataclass(frozen=True)
class Sampled:
    """How the networks of one row sample their images."""

    name: str
    grid: str = "self-similar"
    samples_per_sigma: float | None = None
    kernel: LiftingKernel | None = None

    def lift(self, window: ScaleWindow) -> nn.Lift:
        """The first layer of such a network."""
        return nn.Lift(
            window,
            boundary=Background(0.0),
            samples_per_sigma=self.samples_per_sigma,
            grid=self.grid,
            kernel=self.kernel,
        )


_ROWS = (
    *(Sampled(f"g = {g:.3g}", samples_per_sigma=g) for g in (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)),
    Sampled("g = 0.707, sampled Gaussian", samples_per_sigma=2**-0.5, kernel=SampledLifting()),
    Sampled("the image's grid", grid="image"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    machine.add_arguments(parser, device=False)
    parser.add_argument("--quick", action="store_true", help="one ratio, two σ₀, one row of each kind")
    parser.add_argument("--output", type=Path, default=Path("results/covariance"), help="folder (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Measure, tell, draw, write."""
    folder = results.make_folder(options.output)
    machine.use(options)
    allocator.keep_memory()
    console = Console()
    chosen = _ROWS[1::5] if options.quick else _ROWS
    sigmas = _SIGMAS[2::2] if options.quick else _SIGMAS
    ratios = dict(list(_RATIOS.items())[: 1 if options.quick else None])
    rows = []
    for sampled in chosen:
        console.print(f"[dim]{sampled.name}[/]")
        rows.append(measure(sampled, sigmas, ratios) | {"inference_ms": time_of(sampled, quick=options.quick)})
    content = {
        "benchmark": "covariance",
        "quick": options.quick,
        "sigmas": list(sigmas),
        "ratios": ratios,
        "widths": list(_WIDTHS),
        "size": _SIZE,
        "narrowest_blob": _NARROWEST,
        "rows": rows,
        "ends_of_the_window": ends(sigmas[-1]),
        **timing.provenance(),
    }
    results.save_json(content, folder / "results.json")
    written = report.write(content, folder)
    console.print(report.table(content), markup=False)
    console.print("wrote " + ", ".join(str(path) for path in (folder / "results.json", *written)))


def measure(sampled: Sampled, sigmas: Sequence[float], ratios: dict[str, float]) -> dict[str, Any]:
    """The errors of one row: of scaling for every ratio and σ₀, in both precisions, and of half a sample's shift."""
    errors = {
        name: {
            dtype: [scaling_error(sampled.lift, ratio, sigma0, getattr(torch, dtype)) for sigma0 in sigmas]
            for dtype in ("float64", "float32")
        }
        for name, ratio in ratios.items()
    }
    shift = None if sampled.grid == "image" else translation_error(sampled.lift)
    return {"name": sampled.name, "errors": errors, "half_sample_shift": shift}


def scaling_error(
    lift: Callable[[ScaleWindow], nn.Lift], ratio: float, sigma0: float, dtype: torch.dtype = torch.float64
) -> float:
    """Of the maps of two scale channels, the image seen by the finer, the image scaled by γ by the coarser one.

    ‖difference‖ over ‖response less that to the background‖, the median over images, all samples that both have.
    """
    window = ScaleWindow(ScaleGroup(ratio), sigma0, 2)
    images = blobs(_NARROWEST, 14.0)
    net = network(lift(window), images.sample(_SIZE, _SIZE)).to(dtype)
    return equivariance_error(net, window.group.generator, images, size=_SIZE).error


def translation_error(lift: Callable[[ScaleWindow], nn.Lift], sigma0: float = 2.0) -> float:
    """Of the maps of an image moved by half a sample along both axes, brought back by interpolation."""
    window = ScaleWindow(ScaleGroup(2.0), sigma0, 1)
    images = blobs(_NARROWEST * sigma0, 7.0 * sigma0)
    samples = images.sample(_SIZE, _SIZE)
    net = network(lift(window), samples)
    with torch.no_grad():
        first, nothing = net.field(samples), net.field(torch.zeros(1, 1, _SIZE, _SIZE).double())
        (grid,) = first.grids.grids
        moved = replace(images, centres=images.centres + first.grids.spacings[0] / 2)
        second = net.field(moved.sample(_SIZE, _SIZE))
    inner = grid.dilated(-8)
    half = inner.on_axes(lambda axis: Axis(axis.first + 0.5, axis.length))
    a, blank = (grid.crop(field.channel(0), inner) for field in (first, nothing))
    b = resample(second.channel(0), grid, half, 1.0)
    return ((a - b).norm() / (a - blank).norm()).item()


def ends(sigma0: float) -> dict[str, Any]:
    """Of a network that convolves over scale, by channel: at the ends of the window neighbours are missing."""
    window = ScaleWindow(ScaleGroup(2**0.5), sigma0, 6)
    images = blobs(1.5, 7.0)
    lift = nn.Lift(window, boundary=Background(0.0), samples_per_sigma=1.0)
    torch.manual_seed(0)
    net = nn.Sequential(
        lift,
        partial(nn.JetConv, out_type=8),
        nn.ReLU,
        partial(nn.ScaleConv, out_type=8, group=window.group),
        nn.ReLU,
        partial(nn.JetConv, out_type=4, beta=1.25),
    ).double()
    report = equivariance_error(net, window.group.generator, images, size=_SIZE)
    return {"channels": list(report.channels), "errors": list(report.errors), "neighbours": net.across_scale}


def network(lift: nn.Lift, images: Tensor) -> nn.Sequential:
    """Six layers with ReLU and batch norm, whose statistics are those of the images; float64, random weights."""
    torch.manual_seed(0)
    layers: list[Any] = [lift]
    for depth, width in enumerate(_WIDTHS):
        if depth:
            layers += [partial(nn.BatchNorm, momentum=1.0), nn.ReLU]
        layers.append(partial(nn.JetConv, out_type=width, beta=1.25**depth))
    net = nn.Sequential(*layers).double()
    with torch.no_grad():
        net.train()(images)
    return net.eval()


def blobs(narrowest: float, extent: float) -> Blobs:
    """Twelve an image, up to 2.3 times as wide as the narrowest."""
    generator = torch.Generator().manual_seed(1)
    return Blobs.random(_IMAGES, 12, widths=(narrowest, 2.3 * narrowest), extent=extent, generator=generator)


def time_of(sampled: Sampled, *, quick: bool) -> float:
    """Inference with the `larger` network at 112×112, in milliseconds per image of a batch of 8; median."""
    batch = 1 if sampled.grid == "image" or quick else 8
    parts = {"grid": sampled.grid, "samples_per_sigma": sampled.samples_per_sigma, "lifting": sampled.kernel}
    net = gaussian_derivative_net("larger", boundary=Background(0.0), **parts).eval()
    step = steps.inference(net, steps.call, torch.randn(batch, 1, 112, 112))
    found = steps.measure(step, threads=torch.get_num_threads(), seconds=0.5 if quick else 5.0)
    return timing.per_image(found, batch)["median_ms"]
