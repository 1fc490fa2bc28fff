"""How far a module is from scale equivariance: measured here (`equivariance_error`), judged below (`assert_...`).

The module sees a continuous image f and the same image scaled, f(x/S) (eq 1), each sampled from its closed form on a
canvas of one size: nothing is interpolated. Its two outputs are compared where scaling sends one sample, and one scale
channel, onto another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scalegroup.errors import ScaleGroupError, check_instance, check_integer, check_positive
from scalegroup.field import ScaleField
from scalegroup.group import GroupElement
from scalegroup.testing.closed_form import Blobs, ContinuousImage

TOLERANCE = 0.3
"""A convention, not a bound: what `assert_equivariant` and the command allow deep networks, for which none exists."""

_HALF_WIDTH = 10  # of the canvas that objects need, in units of their finest blobs: they reach 4 + 3·2 of these


@dataclass(frozen=True)
class OutputType:
    """What the axes of a module's output are; `b c scale y x` in full, axes that it lacks left out."""

    name: str
    axes: str

    def unfold(self, output: Tensor) -> Float[Tensor, "b c scale y x"]:
        """The output with all five axes, those that it lacks of length one."""
        if output.ndim != len(self.axes.split()):
            raise ScaleGroupError(
                f"an output of shape {list(output.shape)}",
                expected=f"{self.name}: axes [{self.axes}]",
                mend="give the output type that the module has, or leave it to be found from the shape",
            )
        all_axes = ("b", "c", "scale", "y", "x")
        full = " ".join(axis if axis in self.axes.split() else "1" for axis in all_axes)
        return rearrange(output, f"{self.axes} -> {full}")


SCORES = OutputType("class scores", "b c")
SCALE_SCORES = OutputType("class scores of every scale channel", "b c scale")
MAPS = OutputType("maps", "b c y x")
FIELDS = OutputType("fields over scale and plane", "b c scale y x")
OUTPUT_TYPES = {"scores": SCORES, "scale_scores": SCALE_SCORES, "maps": MAPS, "fields": FIELDS}


@dataclass(frozen=True)
class EquivarianceReport:
    """What `equivariance_error` measured.

    Args:
        factor: S.
        output: what the module gives.
        channels: names of the scale channels compared (one name where the output has no scale axis).
        errors: per channel, the median over the images of ‖difference‖ / ‖output - output of the background‖.
        maximum: the largest difference anywhere, relative to the largest deviation from the background.
        channels_compared, pixels_compared: fractions of the output that have a counterpart.
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
        """The error of the worst channel: what is judged. NaN if any is."""
        return math.nan if any(map(math.isnan, self.errors)) else max(self.errors)

    def __str__(self) -> str:
        pairs = zip(self.channels, self.errors, strict=True)
        each = ", ".join(f"{name}: {error:.2e}" for name, error in pairs) if len(self.channels) > 1 else ""
        return (
            f"scaling by {self.factor:.4g}: error {self.error:.2e} of the signal, largest difference "
            f"{self.maximum:.2e}, {self.output}, {self.channels_compared:.0%} of the channels and "
            f"{self.pixels_compared:.0%} of the pixels compared on {self.images} images"
            + (f" [{each}]" if each else "")
        )


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

    The module is run as it is: in its mode, dtype and device. Outputs are compared at the samples that scaling about
    the centre sends to samples (all n with S·n an integer; the centre for every S), and in the scale channels that it
    sends to channels of the output.

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

    def run(scaling: float) -> Float[Tensor, "b c scale y x"]:
        samples = images.sample(size, size, factor=scaling).to(device, dtype) + background
        return run_module(module, samples.expand(-1, in_channels, -1, -1), output)[0]

    original, scaled = run(1.0), run(factor)
    shift, names = _scale_shift(kind, element, scaled.shape[2])
    pairs = [(n, n + shift) for n in range(original.shape[2]) if 0 <= n + shift < scaled.shape[2]]
    y, x = (_shared_samples(n, factor) for n in scaled.shape[-2:])
    if not pairs or not y or not x:
        raise ScaleGroupError(
            f"outputs of shape {list(scaled.shape[1:])} (feature, scale, y, x) under scaling by {factor:g}",
            expected="a sample and a scale channel that scaling sends to another",
            mend="use a smaller factor, more scale channels, or an image size that gives maps of odd size",
        )
    errors, maximum = [], 0.0
    for before, after in pairs:
        a = _pick(original[:, :, before], y, x, 0)
        b, nothing = (_pick(out[:, :, after], y, x, 1) for out in (scaled, empty))
        errors.append(signal_normalised(a, b, nothing))
        maximum = max(maximum, _fraction((a - b).abs().max(), (b - nothing).abs().max()).item())
    return EquivarianceReport(
        factor=factor,
        output=kind.name if isinstance(kind, OutputType) else "scale fields",
        channels=tuple(names[after] for _, after in pairs),
        errors=tuple(errors),
        maximum=maximum,
        channels_compared=len(pairs) / scaled.shape[2],
        pixels_compared=len(y) * len(x) / (scaled.shape[-2] * scaled.shape[-1]),
        images=len(scaled),
    )


def assert_equivariant(
    module: Callable[[Tensor], Any], element: GroupElement, *, tolerance: float = TOLERANCE, **options: Any
) -> None:
    """Raise `AssertionError` with the report if `equivariance_error` exceeds `tolerance` in any channel.

    Args:
        module: as for `equivariance_error`.
        element: the same.
        **options: the same.
        tolerance: of the signal. The default is a convention: deep networks with ReLU have no derived bound.

    >>> from scalegroup import ScaleGroup
    >>> assert_equivariant(torch.nn.ReLU(), ScaleGroup(2).element(1))
    """
    report = equivariance_error(module, element, **options)
    if not report.error <= tolerance:
        raise AssertionError(f"not scale equivariant (tolerance {tolerance:g}): {report}")


def assert_invariant(
    module: Callable[[Tensor], Any], element: GroupElement, *, tolerance: float = TOLERANCE, **options: Any
) -> None:
    """`assert_equivariant` for a module that gives class scores: equal scores for the image and the scaled image.

    Raises:
        ScaleGroupError: if the output has scale or image axes.
    """
    assert_equivariant(module, element, tolerance=tolerance, output=SCORES, **options)


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
    generator = torch.Generator().manual_seed(seed)
    blobs = Blobs.random(count, 4, widths=(unit, 2 * unit), extent=4 * unit, generator=generator)
    return blobs.without_mass()


def place_of(module: Callable[[Tensor], Any]) -> tuple[torch.dtype, torch.device]:
    """Where the module computes, by its parameters."""
    owner = getattr(module, "__self__", module)  # of a bound method such as net.scale_logits
    first = next(owner.parameters(), None) if isinstance(owner, nn.Module) else None
    return (torch.float64, torch.device("cpu")) if first is None else (first.dtype, first.device)


def run_module(
    module: Callable[[Tensor], Any], images: Tensor, output: OutputType | None
) -> tuple[Float[Tensor, "b c scale y x"], ScaleField | OutputType]:
    """The output in float64 with five axes, and what it is."""
    with torch.no_grad():
        result = module(images)
    if isinstance(result, ScaleField):
        return result.values.double(), result
    kind = output or next((kind for kind in OUTPUT_TYPES.values() if result.ndim == len(kind.axes.split())), None)
    if kind is None:
        raise ScaleGroupError(
            f"an output of shape {list(result.shape)}",
            expected="two axes (class scores) to five (fields)",
            mend="wrap the module so that it gives one of these",
        )
    return kind.unfold(result).double(), kind


def _scale_shift(kind: ScaleField | OutputType, element: GroupElement, channels: int) -> tuple[int, list[str]]:
    """By how many channels the scaling moves the scale axis, and the channels' names."""
    if isinstance(kind, ScaleField):
        if not kind.type.over_scale:
            return 0, ["pooled over scale"]
        names = [f"σ₀ {sigma:.3g}" for sigma in kind.window.sigmas]
        return element.as_element_of(kind.window.group).power, names
    if "scale" not in kind.axes.split():
        return 0, [kind.name]
    return element.power, [f"channel {n}" for n in range(channels)]


def _shared_samples(size: int, factor: float) -> list[tuple[int, int]]:
    """(index before, index after) of the samples of a centred axis that scaling sends to samples."""
    centre = (size - 1) / 2
    targets = [(n, centre + factor * (n - centre)) for n in range(size)]
    return [(n, round(t)) for n, t in targets if abs(t - round(t)) < 1e-9 and 0 <= round(t) < size]


def _pick(maps: Float[Tensor, "b c y x"], y: list, x: list, side: int) -> Float[Tensor, "b n"]:
    """The shared samples of one side, flat."""
    rows, columns = ([pair[side] for pair in pairs] for pairs in (y, x))
    return maps[:, :, rows][:, :, :, columns].flatten(1)
