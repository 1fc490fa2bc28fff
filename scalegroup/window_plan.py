"""Which scale channels a network needs, for somebody who knows the sizes of objects in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError, check_integer, check_positive, refusing
from scalegroup.fields.lifting import SAMPLES_PER_SIGMA, SelfSimilar
from scalegroup.fields.window import ScaleWindow
from scalegroup.models.gaussian_derivative import GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing.closed_form import Blobs
from scalegroup.testing.lifting_bound import lifting_bound

SHIFT_ERRORS = {0.5: 0.276, 0.5**0.5: 0.095, 1.0: 0.044, 2**0.5: 0.019, 2.0: 0.008}
"""g, and what moving the image by half a sample changes, as a fraction (`benchmarks/results/covariance`)."""

FINEST = 0.25
"""Pixels: the finest σ₀. Its lifting passes 78 % of the highest frequency that pixels hold, exp(-(.9·π/4)²/2): finer
channels have no finer detail to see."""

FINER, COARSER = 2.0, 2**0.5
"""How far the window goes beyond the σ₀ that the objects select: one octave finer, half an octave coarser."""


@dataclass(frozen=True)
class WindowPlan:
    """What `plan_window` answers; σ₀ in pixels. `print(plan)` shows it.

    Args:
        image_size: (rows, columns).
        window: the scale channels to use the network with.
        training_window: those of them that training needs.
        samples_per_sigma: g.
        valid: extents in pixels of the smallest and of the largest object that are predicted to be read.
        lifting_error: a bound on the error of a lifted sample in the finest channel, for a blob of height 1 and a σ of
            1 pixel (`scalegroup.testing.lifting_bound`).
        multiply_adds: for one image, forward, of the network with this window.
        parameters: of the network.
    """

    image_size: tuple[int, int]
    window: ScaleWindow
    training_window: ScaleWindow
    samples_per_sigma: float
    valid: tuple[float, float]
    lifting_error: float
    multiply_adds: int
    parameters: int

    def __str__(self) -> str:
        (rows, columns), (low, high) = self.image_size, self.valid
        shift = next((e for g, e in SHIFT_ERRORS.items() if math.isclose(g, self.samples_per_sigma)), None)
        moved = "" if shift is None else f", half a sample's shift changes {100 * shift:.2g} %"
        return "\n".join(
            [
                f"predicted to read objects of {low:.4g} to {high:.4g} pixels in images of {rows}×{columns}",
                f"window: {self.window!r}",
                f"in training: {self.training_window!r}",
                f"samples per σ₀: {self.samples_per_sigma:.4g}{moved}",
                f"lifting error: at most {self.lifting_error:.1e} for a blob of 1 pixel, "
                f"in the channel of σ₀ = {self.window.sigmas[0]:.4g}",
                f"cost: {self.multiply_adds / 1e6:.4g} million multiply-adds per image, of {self.parameters} weights",
            ]
        )


@refusing
def plan_window(
    image_size: int | tuple[int, int],
    object_sizes: tuple[float, float],
    trained_size: float | tuple[float, float],
    *,
    ratio: float = 2**0.5,
    object_per_sigma: float = 23.0,
    shift_error: float | None = None,
    network: Callable[..., GaussianDerivativeNet] = gaussian_derivative_net,
) -> WindowPlan:
    """Which scale channels read objects of these sizes, after training on objects of one size.

    A prediction from measurements on centred digits, not a theorem. It rests on:

    - Objects of extent e select σ₀ ≈ e/`object_per_sigma`. MNIST digits drawn in boxes of 14 to 112 pixels select
      e/27 to e/20 in the mean, in proportion to their size (`benchmarks/results/mnist`, `selected_scale`; the paper's
      Figure 10). Whole pictures of 32 pixels, CIFAR-10's, most often select e/32, at half and at twice that size, too
      (`benchmarks/results/cifar10`). Of your objects, `net.select_scale` measures it after training.
    - The maximum over scale needs channels on both sides of the selected one: one octave finer, half an octave coarser;
      in between none is further off than an octave.
      Measured with `mnist-large-scale-5k` on 300 digits: at 14 pixels (σ₀ ≈ .6) 98, 97, 91 and 67 % are read with
      channels from .35, .5, .71 and 1 pixel on; at 112 pixels (σ₀ ≈ 4.9) 98, 98 and 87 % with those up to 5.7, 4
      and 2.8.
    - No channel is finer than σ₀ = ¼ pixel: the lifting is band-limited, for pixels hold no more (`BandLimited`).
    - Objects that the image cuts are not promised: of digits of twice the image's size 90 to 93 % were read, of those
      within it 99 % (`benchmarks/results/mnist`, size 8).
    - Training needs the channels within an octave of what its objects select. All channels have the same weights, so
      that others can be added to the trained network: `net(images, window=plan.window)`. Measured once, for the example
      below, on 2 000 digits of 56 pixels in three epochs: of 300 others of 14, 28, 56 and 112 pixels 57, 95, 96 and
      96 % are read in the training window, 94, 96, 96 and 96 % in the whole one. That is so on a blank page, where
      other channels see nothing. In pictures they see something, and win by chance: train in the whole window there,
      with `scale_dropout=` as many channels as are finer than those of training (`examples/train_on_your_images.py`).
    - g is the library's default, or the least of ½, 1/√2, 1, √2 and 2 with the error of half a sample's shift that is
      asked for: 27.6, 9.5, 4.4, 1.9 and .8 % (`benchmarks/results/covariance`).

    Args:
        image_size: in pixels: (rows, columns), or one number for both.
        object_sizes: the smallest and the largest extent in pixels to be read, each at most the image's shorter side.
        trained_size: the extent in pixels in training, or (smallest, largest), within `object_sizes`.
        ratio: γ, between neighbouring channels, at most 2; σ₀ are its powers, in pixels.
        object_per_sigma: extent of an object over the σ₀ that it selects.
        shift_error: the largest error of half a sample's shift, as a fraction: .05 for 5 %.
        network: what makes the network whose cost is told, as `network(window=…, samples_per_sigma=…)`: a factory, or
            `functools.partial(gaussian_derivative_resnet, "medium")`.

    Raises:
        ScaleGroupError: if a number cannot be used, or the request cannot be met: objects smaller than the finest
            channel reads or larger than the image, training outside of them, a smaller shift error than was measured.

    >>> plan = plan_window(image_size=112, object_sizes=(14, 112), trained_size=56)
    >>> print(plan)
    predicted to read objects of 11.5 to 112 pixels in images of 112×112
    window: 11 scale channels with σ₀ from 0.25 to 8 by powers of 1.41421
    in training: 6 scale channels with σ₀ from 1 to 5.65685 by powers of 1.41421
    samples per σ₀: 0.7071, half a sample's shift changes 9.5 %
    lifting error: at most 5.2e-03 for a blob of 1 pixel, in the channel of σ₀ = 0.25
    cost: 139.4 million multiply-adds per image, of 20674 weights
    """
    if not callable(network):
        raise ScaleGroupError(
            f"network {network!r}", expected="what makes one", mend='pass partial(gaussian_derivative_net, "larger")'
        )
    size = _sides(image_size)
    group, per_sigma = _group(ratio), check_positive("object_per_sigma", object_per_sigma, more_than=1.0)
    smallest, largest = _ends("object_sizes", object_sizes)
    trained = _ends("trained_size", trained_size if isinstance(trained_size, (tuple, list)) else (trained_size,) * 2)
    if largest > min(size):
        raise ScaleGroupError(
            f"objects of {largest:g} pixels in images of {size[0]}×{size[1]}",
            expected=f"objects of at most {min(size)} pixels: the image cuts larger ones",
            mend=f"pass object_sizes=({min(smallest, min(size)):g}, {min(size)}), or larger images",
        )
    if not smallest <= trained[0] <= trained[1] <= largest:
        raise ScaleGroupError(
            f"trained_size {trained[0]:g}" + (f" to {trained[1]:g}" if trained[0] < trained[1] else ""),
            expected=f"objects of {smallest:g} to {largest:g} pixels, as object_sizes says",
            mend="widen object_sizes, or scale the training images",
        )
    finest_needed = smallest / per_sigma / FINER
    least = per_sigma * FINER * group.factor(_above(group, FINEST))
    if smallest < least * (1 - 1e-9):
        raise ScaleGroupError(
            f"objects of {smallest:g} pixels, which need scale channels down to σ₀ = {finest_needed:.3g} pixels",
            expected=f"objects of at least {least:.4g} pixels: pixels hold no more than σ₀ = {FINEST:g} sees",
            mend=f"pass images at least {least / smallest:.4g} times as large, of finer detail, or ask for less",
        )
    g = SAMPLES_PER_SIGMA if shift_error is None else _samples_per_sigma(shift_error)

    coarsest_needed = largest / per_sigma * COARSER
    window = _window(group, finest_needed, coarsest_needed)
    training_window = _window(group, trained[0] / per_sigma / 2, min(trained[1] / per_sigma * 2, coarsest_needed))
    with torch.random.fork_rng(devices=()):  # a network is made, which draws its weights
        net = network(window=window, samples_per_sigma=g)
    blob = Blobs(torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1, 1, 2))
    return WindowPlan(
        image_size=size,
        window=window,
        training_window=training_window,
        samples_per_sigma=g,
        valid=(per_sigma * FINER * window.sigmas[0], min(per_sigma / COARSER * window.sigmas[-1], *size)),
        lifting_error=lifting_bound(blob, window.sigmas[0], SelfSimilar(g)),
        multiply_adds=net.plan(size).multiply_adds,
        parameters=net.parameter_count,
    )


def _group(ratio: float) -> ScaleGroup:
    group = ScaleGroup(ratio)
    if group.ratio > FINER:
        raise ScaleGroupError(
            f"ratio {group.ratio:g}",
            expected="at most 2: objects between two channels would be an octave off both",
            mend="pass 2 ** 0.5",
        )
    return group


def _window(group: ScaleGroup, low: float, high: float) -> ScaleWindow:
    """The channels from the first at or below σ₀ = `low` to the first at or above `high`, in pixels."""
    first, last = -_above(group, 1 / low), _above(group, high)
    return ScaleWindow(group, sigma0=1.0, channels=last - first + 1, first=first)


def _above(group: ScaleGroup, factor: float) -> int:
    """The least i with γ^i ≥ factor, to rounding."""
    return math.ceil(round(math.log(factor) / math.log(group.ratio), 9))


def _sides(image_size: Any) -> tuple[int, int]:
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2:
        raise ScaleGroupError(
            f"image_size {image_size!r}", expected="(rows, columns), or one number", mend="pass two numbers"
        )
    rows, columns = (check_integer("image_size", side, at_least=1) for side in sides)
    return rows, columns


def _ends(name: str, pair: Any) -> tuple[float, float]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ScaleGroupError(f"{name} {pair!r}", expected="(smallest, largest) in pixels", mend="pass two numbers")
    smallest, largest = (check_positive(name, extent) for extent in pair)
    if smallest > largest:
        raise ScaleGroupError(
            f"{name} ({smallest:g}, {largest:g})",
            expected="the smallest first",
            mend=f"pass ({largest:g}, {smallest:g})",
        )
    return smallest, largest


def _samples_per_sigma(shift_error: Any) -> float:
    """The least g that has it."""
    error, best = check_positive("shift_error", shift_error), min(SHIFT_ERRORS.values())
    if not best <= error < 1:
        raise ScaleGroupError(
            f"shift_error {error:g}",
            expected=f"a fraction from {best:g} (which g = {max(SHIFT_ERRORS):g} has) to 1",
            mend="pass 0.05 for 5 %",
        )
    return min(g for g, reached in SHIFT_ERRORS.items() if reached <= error)
