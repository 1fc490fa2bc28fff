"""What is in a scene, where, and how large: the maxima over place and scale of a network's scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup.errors import ScaleGroupError, check_images, check_integer, check_number, check_positive, refusing
from scalegroup.fields.score_volume import ScoreVolume
from scalegroup.fields.window import ScaleWindow

_LARGEST_EXTENT = 1e6  # σ₀: boxes of numbers that are none


class ReadsScenes(Protocol):
    """What `detect` takes: a `GaussianDerivativeNet`, an `nn.Sequential` from images, or anything with this method."""

    @property
    def dense_scores(self) -> Callable[..., ScoreVolume]:
        """From images, and options of its own: the log-odds of every class, everywhere."""
        ...


@dataclass(frozen=True, eq=False)
class Peaks:
    """Maxima over place and scale, `[n]` each.

    Args:
        image, label: which image of the batch, which class.
        score: in [0, 1].
        y, x: in pixels from the image's upper left corner.
        sigma: σ₀ in pixels.
    """

    image: Tensor
    label: Tensor
    score: Tensor
    y: Tensor
    x: Tensor
    sigma: Tensor

    def of(self, chosen: Tensor) -> Peaks:
        """Some of them, in an order."""
        return Peaks(*(getattr(self, part.name)[chosen] for part in fields(self)))


@refusing
def detect(
    net: ReadsScenes,
    images: Tensor | Sequence[Tensor],
    *,
    threshold: float = 0.5,
    overlap: float = 0.5,
    most: int = 1000,
    extent: float | None = None,
    window: ScaleWindow | None = None,
    **options: Any,
) -> list[dict[str, Tensor]]:
    """The objects in every image, by descending score, as torchvision's detectors tell them.

    A network that answers with the log-odds of every class at every place and scale (`nn.SceneLoss` trains it so) has a
    maximum at each object: the place, the size and the class in one (Lindeberg 1998, feature detection with automatic
    scale selection). Between samples and between scale channels a parabola through the neighbours tells where it is.

    Args:
        net: with `dense_scores`; in evaluation mode.
        images: `[batch, channel, y, x]`, or a list of `[channel, y, x]` of any sizes.
        threshold: the least score that is told, in [0, 1].
        overlap: of two boxes that overlap more (intersection over union), the one of the lower score is dropped.
        most: so many of the highest maxima of an image are looked at.
        extent: side of the square box around an object, in units of the σ₀ at which it has its maximum; default: what
            the network was trained for, `net.architecture.extent`.
        window: other scale channels, with the same weights.
        **options: of `net.dense_scores`, such as `tile=`.

    Returns:
        For each image `"boxes"` `[n, 4]` (x0, y0, x1, y1 in pixels, cut at the image's border), `"labels"` `[n]`,
        `"scores"` `[n]` in [0, 1], `"sizes"` `[n]` (side of the box before it was cut, in pixels) and `"sigmas"` `[n]`.

    Raises:
        ScaleGroupError: if a number is out of its range, the images cannot be used, the network knows of no extent, or
            torchvision is missing.

    >>> from scalegroup import Background
    >>> from scalegroup.models import gaussian_derivative_net
    >>> net = gaussian_derivative_net("single_scale", widths=(4,), boundary=Background(0.0), first_offset=-5.0).eval()
    >>> found = detect(net, torch.zeros(1, 1, 64, 48), extent=20.0)
    >>> found[0]["boxes"].shape
    torch.Size([0, 4])
    """
    if not 0 <= check_number("threshold", threshold) <= 1:
        raise ScaleGroupError(f"threshold {threshold:g}", expected="a score in [0, 1]", mend="try 0.5")
    if not 0 <= check_number("overlap", overlap) <= 1:
        raise ScaleGroupError(f"overlap {overlap:g}", expected="a fraction in [0, 1]", mend="try 0.5")
    if not callable(getattr(net, "dense_scores", None)):
        raise ScaleGroupError(
            f"{type(net).__name__} without dense_scores",
            expected="a network of this library from images, or anything that gives a ScoreVolume",
            mend="build it as an nn.Sequential, or give it such a method",
        )
    if getattr(net, "training", False):
        raise ScaleGroupError("a network in training mode", expected="one in evaluation", mend="call net.eval()")
    if extent is None:
        extent = getattr(getattr(net, "architecture", None), "extent", None)
        if extent is None:
            raise ScaleGroupError(
                "a network of which no extent is known: it was not trained on scenes",
                expected="one that has learnt what is no object, and how large objects are",
                mend="train it with nn.SceneLoss and extent=, or pass extent= (its scores must be log-odds)",
            )
    if check_positive("extent", extent) > _LARGEST_EXTENT:
        raise ScaleGroupError(
            f"extent {extent:g}", expected="some dozen σ₀", mend="pass the side of boxes over their σ₀"
        )
    ops = _torchvision()
    check_integer("most", most, at_least=1)
    if isinstance(images, Tensor):
        batches = [check_images(images)]
    else:
        batches = [check_images(image[None] if isinstance(image, Tensor) else image) for image in images]
    if window is not None:
        options["window"] = window
    found = []
    for batch in batches:
        with torch.no_grad():
            volume = net.dense_scores(batch, **options)
        tops = peaks(volume, threshold)
        tops = tops.of(tops.score.argsort(descending=True, stable=True))
        each = [tops.of((tops.image == n).nonzero()[:most, 0]) for n in range(len(batch))]
        found += [_told(some, volume.size, extent, overlap, ops) for some in each]
    return found


def peaks(volume: ScoreVolume, threshold: float) -> Peaks:
    """The maxima of every class over place and scale whose probability is at least `threshold`.

    A sample is one where no neighbour in its scale channel is larger, nor the same place in the two channels beside it.
    The ends of the window have one of these only.

    >>> maps = torch.full((1, 2, 3, 5), -9.0)
    >>> maps[0, 1, 1, 2:4] = torch.tensor([2.0, 2.0])
    >>> from scalegroup.fields.score_volume import Places
    >>> found = peaks(ScoreVolume((maps,), (Places(0.5, 1.0, 3),), (Places(0.5, 1.0, 5),), (1.0,), (3, 5)), 0.5)
    >>> found.label.tolist(), found.y.tolist(), found.x.tolist()
    ([1, 1], [1.5, 1.5], [3.0, 3.0])
    """
    least = math.log(threshold / (1 - threshold)) if 0 < threshold < 1 else math.copysign(math.inf, threshold - 0.5)
    found = [_of_channel(volume, n, least) for n in range(len(volume.maps))]
    return Peaks(*(torch.cat(parts) for parts in zip(*(vars(each).values() for each in found), strict=True)))


def _of_channel(volume: ScoreVolume, n: int, least: float) -> Peaks:
    maps, axes = volume.maps[n], (volume.y[n], volume.x[n])
    # a class at a time: the pooling keeps where each of its maxima was, twice as much as they are
    tops = torch.cat([(one >= least) & (one == F.max_pool2d(one, 3, 1, padding=1)) for one in maps.split(1, 1)], dim=1)
    image, label, *at = tops.nonzero(as_tuple=True)
    score, (y, x) = maps[tops], (places.like(maps)[index] for places, index in zip(axes, at, strict=True))

    beside = [m for m in (n - 1, n + 1) if 0 <= m < len(volume.maps)]
    across = [volume.at(m, image, label, y, x) for m in beside]
    highest = torch.stack([score, *across]).amax(0) == score
    moves = [_vertex(across[0], across[1], score) if len(across) == 2 else (torch.zeros_like(score),) * 2]
    for axis, places in enumerate(axes):
        sides = []
        for offset in (-1, 1):
            there = [index + offset * (axis == which) for which, index in enumerate(at)]
            rows, columns = (index.clamp(0, of.length - 1) for index, of in zip(there, axes, strict=True))
            sides.append(maps[image, label, rows, columns])
        inside = (at[axis] > 0) & (at[axis] < places.length - 1)
        moves.append(tuple(inside * value for value in _vertex(sides[0], sides[1], score)))
    (octave, down, right), gains = zip(*moves, strict=True)

    sigma = torch.full_like(score, volume.sigmas[n])
    for m in beside:
        steps = octave.clamp(max=0).neg() if m < n else octave.clamp(min=0)
        sigma = sigma * (volume.sigmas[m] / volume.sigmas[n]) ** steps
    rows, columns = (places.spacing for places in axes)
    probability = torch.sigmoid(score + sum(gains))
    return Peaks(image, label, probability, y + rows * down, x + columns * right, sigma).of(highest)


def _vertex(before: Tensor, behind: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Where a parabola through three values, one step apart, is highest, from -½ to ½; and how much higher it is."""
    bend = (before - 2 * middle + behind).clamp(max=-torch.finfo(middle.dtype).tiny)
    step = ((before - behind) / (2 * bend)).clamp(-0.5, 0.5)
    return step, (behind - before) / 2 * step + bend / 2 * step**2


def _torchvision() -> Any:
    """Its `ops`, for boxes; it is needed for nothing else here."""
    try:
        from torchvision import ops
    except ImportError as error:
        raise ScaleGroupError(
            f"no torchvision ({error})", expected="it, for non-maximum suppression", mend="pip install torchvision"
        ) from None
    return ops


def _told(tops: Peaks, size: tuple[int, int], extent: float, overlap: float, ops: Any) -> dict[str, Tensor]:
    """Of one image."""
    half = extent * tops.sigma / 2
    boxes = torch.stack([tops.x - half, tops.y - half, tops.x + half, tops.y + half], dim=1)
    kept = ops.nms(boxes.float(), tops.score.float(), overlap)
    tops, boxes = tops.of(kept), ops.clip_boxes_to_image(boxes[kept], size)
    found = {"boxes": boxes, "labels": tops.label, "scores": tops.score}
    return found | {"sizes": extent * tops.sigma, "sigmas": tops.sigma}
