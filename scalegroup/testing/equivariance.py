"""How far a module is from scale equivariance for given pictures: one measurement, without a verdict.

The module sees a continuous image f and the same image scaled, f(x/S) (eq 1), each sampled from its closed form on a
canvas of one size: nothing is interpolated. Its two outputs are compared where scaling sends one sample, and one scale
channel, onto another: on self-similar grids all samples that both have, on pixels those at multiples of S.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.algebra.group import GroupElement
from scalegroup.errors import ScaleGroupError, check_instance, check_integer, check_positive, refusing
from scalegroup.testing.closed_form import Blobs, ContinuousImage, seeded
from scalegroup.testing.outputs import (
    MAPS,
    OutputType,
    grids_of,
    matches,
    names_of,
    place_of,
    run_module,
    transformed,
)

_HALF_WIDTH = 10  # of the canvas that objects need, in units of their finest blobs: they reach 4 + 3·2 of these


@dataclass(frozen=True)
class EquivarianceReport:
    """What `equivariance_error` measured.

    Args:
        factor: S.
        output: what the module gives.
        channels: names of the scale channels compared (one name where the output has no scale axis).
        errors: per channel, the median over the images of ‖difference‖ / ‖output - output of the background‖.
        maximum: the largest difference anywhere, relative to the largest deviation from the background.
        channels_compared: the fraction of the scale channels that have a counterpart.
        pixels_compared: of their samples the fraction that have one.
        images: how many.
    """

    factor: float
    output: str
    channels: tuple[str, ...]
    errors: tuple[float, ...]
    maximum: float
    channels_compared: float
    pixels_compared: float
    images: int

    @property
    def error(self) -> float:
        """The error of the worst channel. NaN if any is."""
        return math.nan if any(map(math.isnan, self.errors)) else max(self.errors)

    def __str__(self) -> str:
        each = ", ".join(f"{name}: {error:.2e}" for name, error in zip(self.channels, self.errors, strict=True))
        return (
            f"scaling by {self.factor:.4g}: error {self.error:.2e} of the signal, largest difference "
            f"{self.maximum:.2e}, {self.output}, {self.channels_compared:.0%} of the channels and "
            f"{self.pixels_compared:.0%} of the pixels compared on {self.images} images"
            + (f" [{each}]" if len(self.channels) > 1 else "")
        )


@refusing
def equivariance_error(
    module: Callable[[Tensor], Any],
    element: GroupElement,
    images: ContinuousImage | None = None,
    *,
    size: int = 129,
    in_channels: int = 1,
    background: float = 0.0,
    output: OutputType | None = None,
) -> EquivarianceReport:
    """Measure how far `module` is from equivariance (for class scores: invariance) under a scaling.

    The module is run as it is: in its mode, dtype and device. In pixels the samples compared are all n with S·n an
    integer (the centre for every S).

    Args:
        module: from images `[batch, channel, y, x]` to class scores, scores per scale channel, maps, or fields
            (tensors or `ScaleField`).
        element: the scaling, S = γ^power; on a scale axis of a plain tensor it moves the channels by its power.
        images: with a closed form; default `object_images`.
        size: rows and columns of the canvas, the same for both images.
        in_channels: image channels, all showing the same.
        background: the value around the objects.
        output: what the axes of the output are; default: found from its shape.

    Raises:
        ScaleGroupError: if an argument cannot be used, or nothing can be compared.

    >>> from scalegroup import ScaleGroup
    >>> equivariance_error(torch.nn.ReLU(), ScaleGroup(2).element(1)).error < 1e-12
    True
    """
    factor = check_instance("element", element, GroupElement, mend="pass group.element(power)").scale_factor
    dtype, device = place_of(module)
    blank = torch.full((1, in_channels, size, size), background, device=device, dtype=dtype)
    empty, kind = run_module(module, blank, output)
    if images is None:
        images = object_images(size, factor, widest=1.0 if kind is MAPS else 2.0)
    check_instance("images", images, ContinuousImage, mend="pass a mixture of blobs, say: object_images(size, factor)")

    def run(scaling: float) -> list[Tensor]:
        samples = images.sample(size, size, factor=scaling).to(device, dtype) + background
        return run_module(module, samples.expand(-1, in_channels, -1, -1), output)[0]

    original, scaled = run(1.0), run(factor)
    original = transformed(original, kind, element)
    found, names, grids = matches(kind, kind, scaled, element), names_of(kind, len(scaled)), grids_of(scaled, kind)
    errors, maximum = [], 0.0
    for match in found:
        a, b = (maps.flatten(1) for maps in match.of(original, scaled))
        nothing = match.of(empty, empty)[1].flatten(1)
        errors.append(signal_normalised(a, b, nothing))
        maximum = max(maximum, _fraction((a - b).abs().max(), (b - nothing).abs().max()).item())
    whole = sum(math.prod(grids.grids[match.after].shape) for match in found)
    return EquivarianceReport(
        factor=factor,
        output=kind.name if isinstance(kind, OutputType) else "scale fields",
        channels=tuple(names[match.after] for match in found),
        errors=tuple(errors),
        maximum=maximum,
        channels_compared=len(found) / len(scaled),
        pixels_compared=sum(len(match.y) * len(match.x) for match in found) / whole,
        images=len(scaled[0]),
    )


def signal_normalised(
    original: Float[Tensor, "b n"], scaled: Float[Tensor, "b n"], blank: Float[Tensor, "1 n"]
) -> float:
    """The median over the images of ‖original - scaled‖ / ‖scaled - blank‖, blank being the background's output.

    Without the background subtracted, networks whose output is mostly constant would look equivariant.
    """
    errors = _fraction((original - scaled).norm(dim=1), (scaled - blank).norm(dim=1))
    return math.nan if errors.isnan().any() else median(errors.tolist())


def _fraction(difference: Tensor, signal: Tensor) -> Tensor:
    """The quotient, where 0/0 is 0: nothing differs."""
    return torch.where(difference == 0, 0.0, difference / signal)


@refusing
def object_images(size: int, factor: float = 1.0, *, widest: float = 2.0, count: int = 16, seed: int = 0) -> Blobs:
    """Compact objects of four Gaussian blobs of widths u … 2u pixels at the smaller of the two sizes.

    u is as large as the canvas allows, but no more than `widest`; maps are judged with u = 1, where networks differ:
    anything passes for equivariant on an image that is smooth enough. The images have no mass, so that no network
    passes by its response to their mean.

    Raises:
        ScaleGroupError: if the canvas is too small for the factor.
    """
    check_integer("size", size, at_least=1)
    spread = max(check_positive("factor", factor), 1 / factor)
    unit = min(widest, (size - 1) / 2 / (_HALF_WIDTH * spread))
    if unit < 1:
        needed = 2 * math.ceil(_HALF_WIDTH * spread) + 1
        raise ScaleGroupError(
            f"a canvas of {size} pixels for a factor of {factor:g}",
            expected="blobs of at least one pixel that fit the canvas at both sizes",
            mend=f"use size={needed} or more, or a factor nearer to 1",
        )
    unit *= max(1.0, 1 / factor)  # at factor 1
    generator = seeded(seed)
    blobs = Blobs.random(count, 4, widths=(unit, 2 * unit), extent=4 * unit, generator=generator)
    return blobs.without_mass()
