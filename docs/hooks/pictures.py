"""The drawings of the pages, made by the library itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from links import ROOT
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.data.recipe import large_scale
from scalegroup import Background, ScaleField, ScaleGroup, ScaleWindow, functional, plan_window
from scalegroup.models import gaussian_derivative_net

_CANVAS = 64  # pixels
_BLACK = Background(-0.7629237856466038)
_WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=6)
_CHANNELS = ["#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#D55E00", "#8C3B00", "#000000"]
_JET = ("σLx", "σLy", "σ²Lxx", "σ²Lxy", "σ²Lyy")


def grids() -> Figure:
    """Where three scale channels sample an image, and how wide the Gaussian of each is."""
    image = _digit(40)
    field = _lifted(image, ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=3))
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    for place, sigma, grid, spacing, colour in zip(
        figure.subplots(1, 3), field.window.sigmas, field.grids.grids, field.grids.spacings, _CHANNELS, strict=False
    ):
        _show(place, image[0, 0], _CANVAS)
        x, y = np.meshgrid(grid.x.positions * spacing, grid.y.positions * spacing)
        place.plot(x.ravel(), y.ravel(), ".", color=colour, markersize=3)
        turn = np.linspace(0, 2 * np.pi, 100)
        place.plot(sigma * np.cos(turn), sigma * np.sin(turn), color="yellow", linewidth=2)
        place.set_title(f"σ₀ = {sigma:g} pixels: {grid.x.length} × {grid.y.length} samples")
        place.set(xlim=(-32, 32), ylim=(32, -32))
    return figure


def lifted() -> Figure:
    """A digit and the same one twice as large: what one channel has of it, another has of the larger one."""
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    axes = figure.subplots(2, _WINDOW.channels + 1)
    for row, pixels, first in ((axes[0], 20, 0), (axes[1], 40, 2)):
        image = _digit(pixels)
        _show(row[0], image[0, 0], _CANVAS)
        row[0].set_ylabel(f"{pixels} pixels")
        field = _lifted(image, _WINDOW)
        for n, place in enumerate(row[1:]):
            spacing, samples = field.grids.spacings[n], field.channel(n)[0, 0]
            _show(place, samples, len(samples) * spacing)
            half = 1.5 * pixels / 2
            place.set(xlim=(-half, half), ylim=(half, -half))
            if first <= n < first + 4:
                for spine in place.spines.values():
                    spine.set(color=_CHANNELS[n - first], linewidth=4)
    for place, sigma in zip(axes[0, 1:], _WINDOW.sigmas, strict=True):
        place.set_title(f"σ₀ = {sigma:.3g}", fontsize="medium")
    axes[0, 0].set_title("the image", fontsize="medium")
    figure.supxlabel("frames of one colour: the same samples, two channels on")
    return figure


def jets() -> Figure:
    """The five derivatives of a 2-jet, seen by a point of light, in two channels."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    point = torch.zeros(1, 1, 65, 65)
    point[..., 32, 32] = 1
    for row, sigma in zip(figure.subplots(2, 5), (3.0, 6.0), strict=True):
        maps = functional.jet_maps(point, sigma=sigma)[0, 0]
        for place, of, name in zip(row, maps, _JET, strict=True):
            limit = of.abs().max().item()
            place.imshow(of.numpy(), "RdBu_r", vmin=-limit, vmax=limit)
            place.set(xticks=[], yticks=[], title=name)
        row[0].set_ylabel(f"σ = {sigma:g}")
    return figure


def window() -> Figure:
    """The channels that a plan asks for, beside the σ₀ that objects select."""
    plan = plan_window(image_size=112, object_sizes=(14, 112), trained_size=56)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    sizes = np.array([14.0, 112.0])
    for sigma in plan.window.sigmas:
        trained = sigma in plan.training_window.sigmas
        axes.axhline(sigma, color=_CHANNELS[0], linewidth=2.5 if trained else 1, linestyle="-" if trained else "--")
    axes.plot(sizes, sizes / 23, "k", linewidth=2, label="σ₀ that an object selects, about")
    axes.fill_between(sizes, sizes / 46, sizes / 23 * 2**0.5, color="0.5", alpha=0.25, label="what it needs around it")
    axes.plot(56, 56 / 23, "o", color=_CHANNELS[5], markersize=9, label="trained size")
    for style, label in (("-", "channel, also in training"), ("--", "channel, added afterwards")):
        axes.plot([], [], style, color=_CHANNELS[0], label=label)
    axes.set(xscale="log", yscale="log", xlabel="size of the object in pixels", ylabel="σ₀ in pixels")
    axes.set_xticks([14, 28, 56, 112], ["14", "28", "56", "112"])
    axes.set_yticks(plan.window.sigmas, [f"{sigma:.3g}" for sigma in plan.window.sigmas])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return figure


def inside(name: str) -> Figure:
    """One of the figures of examples/look_inside.py, of a digit of 40 pixels and the network of the package."""
    module, look = _look()
    return getattr(module, name)(look)


@cache
def _look() -> Any:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        look_inside = import_module("look_inside")
    finally:
        sys.path.remove(str(ROOT / "examples"))
    net = gaussian_derivative_net(weights="mnist-large-scale-5k")
    return look_inside, look_inside.Look(net, _digit(60, canvas=97), range(10))


PICTURES: dict[str, Callable[[], Figure]] = {
    "grids": grids,
    "lifted": lifted,
    "jets": jets,
    "window": window,
    **{name: partial(inside, name) for name in ("filters", "channels", "scales", "evidence")},
}
"""By the name of the file that a page shows: pictures/NAME.png."""


def _digit(pixels: int, canvas: int = _CANVAS) -> Tensor:
    """A handwritten 3 of scikit-learn's, `[1, 1, y, x]`, so many pixels across."""
    from sklearn.datasets import load_digits

    digits, _ = load_digits(return_X_y=True)
    drawn = torch.from_numpy(digits[13].reshape(1, 1, 8, 8) * (255 / 16)).float()
    return large_scale(drawn, pixels, canvas, smoothing=7 / 8 * pixels / 28)


def _lifted(image: Tensor, window: ScaleWindow) -> ScaleField:
    return functional.lift(image, window, boundary=_BLACK)


def _show(place: Any, values: Tensor, width: float) -> None:
    """In grey, so many pixels wide about the centre."""
    half = width / 2
    place.imshow(values.numpy(), cmap="gray", vmin=-0.77, vmax=0.77, extent=(-half, half, half, -half))
    place.set(xticks=[], yticks=[])
