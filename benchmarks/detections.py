"""How good detections are: F1 by size, and mean average precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou

from benchmarks.data.scenes import Scene

IOU = 0.5
"""Intersection over union from which on a box is the object's."""


@dataclass(frozen=True)
class Counts:
    """Of each size: objects that were found, found where there is none, and missed.

    Args:
        sizes: of objects.
        right, wrong, missed: of each size; what was found where there is none counts for the size nearest to its own.
    """

    sizes: tuple[float, ...]
    right: Tensor = field(default=None)  # type: ignore[assignment]
    wrong: Tensor = field(default=None)  # type: ignore[assignment]
    missed: Tensor = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("right", "wrong", "missed"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, torch.zeros(len(self.sizes)))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.sizes, self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> list[float]:
        """Of each size."""
        return (2 * self.right / (2 * self.right + self.wrong + self.missed).clamp(min=1)).tolist()

    @property
    def f1_all(self) -> float:
        """Of all sizes together."""
        right, wrong, missed = (float(part.sum()) for part in (self.right, self.wrong, self.missed))
        return 2 * right / max(1.0, 2 * right + wrong + missed)


def count(found: dict[str, Tensor], scene: Scene, threshold: float, sizes: Sequence[float], extent: float) -> Counts:
    """Of one image: the highest score first, each object is found once, by a box of its class over it.

    >>> boxes, one = torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.ones(1)
    >>> scene = Scene(torch.zeros(1, 64, 64), boxes, torch.tensor([3]), one)
    >>> found = {"boxes": boxes, "labels": torch.tensor([3]), "scores": 0.9 * one, "sizes": 20 * one}
    >>> count(found, scene, 0.5, [1.0], 20.0).f1, count(found, scene, 0.95, [1.0], 20.0).f1
    ([1.0], [0.0])
    """
    right, wrong, missed = (torch.zeros(len(sizes)) for _ in range(3))
    kept = found["scores"] >= threshold
    labels, widths = (found[name][kept].tolist() for name in ("labels", "sizes"))
    over = box_iou(found["boxes"][kept], scene.boxes.to(found["boxes"])) >= IOU
    free = set(range(len(scene.labels)))
    for number, (label, width) in enumerate(zip(labels, widths, strict=True)):
        hits = [n for n in free if over[number, n] and int(scene.labels[n]) == label]
        if hits:
            free.remove(hits[0])
            right[_nearest(float(scene.sizes[hits[0]]), sizes)] += 1
        else:
            wrong[_nearest(width / extent, sizes)] += 1
    for n in free:
        missed[_nearest(float(scene.sizes[n]), sizes)] += 1
    return Counts(tuple(sizes), right, wrong, missed)


def _nearest(size: float, sizes: Sequence[float]) -> int:
    return min(range(len(sizes)), key=lambda n: abs(math.log(size / sizes[n])))


def mean_average_precision(found: list[dict[str, Tensor]], true: list[dict[str, Tensor]]) -> float:
    """At an intersection over union of one half, the mean over classes."""
    metric: Any = MeanAveragePrecision(iou_thresholds=[IOU])
    metric.warn_on_many_detections = False
    metric.update(found, true)
    return float(metric.compute()["map"])
