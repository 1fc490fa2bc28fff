"""The loss of networks that find objects: what is where, and how large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scalegroup.errors import Refusing, ScaleGroupError, check_positive
from scalegroup.fields.score_volume import ScoreVolume


class SceneLoss(Refusing, nn.Module):
    """Teaches log-odds of every class a maximum over place and scale at each object, and that all else is nothing.

    An object with a box of side d pixels is to have its maximum at σ₀ = d/`extent`. Around it the target falls as a
    Gaussian of the distance in units of that σ₀ (`spread`) and of log₂ σ₀ (`octaves`): it is the same function of the
    scaled object, so objects of *one* size teach what all sizes need. The loss is binary cross-entropy to it, times the
    square of the error, since nearly everywhere there is nothing (the quality focal loss, Li and others, NeurIPS 2020,
    eq 4): the sum over places, channels and classes, by the number of objects.

    Args:
        extent: side of the box around an object, in units of the σ₀ at which it is to have its maximum.
        spread: σ of the target over the plane, in units of that σ₀.
        octaves: σ of the target over log₂ σ₀.

    Raises `ScaleGroupError` if one is not positive.

    >>> from scalegroup.fields.score_volume import Places
    >>> maps = torch.zeros(1, 3, 4, 4, requires_grad=True)
    >>> volume = ScoreVolume((maps,), (Places(0.5, 1.0, 4),), (Places(0.5, 1.0, 4),), (1.0,), (4, 4))
    >>> scene = {"boxes": torch.tensor([[0.0, 0.0, 4.0, 4.0]]), "labels": torch.tensor([2])}
    >>> SceneLoss(extent=4.0)(volume, [scene]).item() > 0
    True
    """

    def __init__(self, extent: float, *, spread: float = 1.5, octaves: float = 0.35) -> None:
        super().__init__()
        self.extent = check_positive("extent", extent)
        self.spread = check_positive("spread", spread)
        self.octaves = check_positive("octaves", octaves)

    def forward(self, volume: ScoreVolume, scenes: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """The loss of `net.dense_scores(images)`, a number.

        Args:
            volume: log-odds.
            scenes: of each image `"boxes"` `[n, 4]` (x0, y0, x1, y1 in pixels) and `"labels"` `[n]`, as torchvision
                has them; n may be 0.

        Raises `ScaleGroupError` if there are other than as many scenes as images, labels beyond the classes, or boxes
        of no area.
        """
        batch, classes = volume.maps[0].shape[:2]
        if len(scenes) != batch:
            raise ScaleGroupError(f"{len(scenes)} scenes", expected=f"one for each of {batch} images", mend="pass all")
        objects = 0
        for scene in scenes:
            boxes, labels = scene["boxes"], scene["labels"]
            whole = not labels.is_floating_point() or not len(labels)
            if boxes.ndim != 2 or boxes.shape[1:] != (4,) or labels.shape != boxes.shape[:1] or not whole:
                raise ScaleGroupError(
                    f"boxes {list(boxes.shape)} with labels {list(labels.shape)} of {labels.dtype}",
                    expected="[n, 4] and [n] of whole numbers",
                    mend="pass torch.empty(0, 4) where there are none",
                )
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
                raise ScaleGroupError(
                    f"labels up to {int(labels.max())}", expected=f"0 to {classes - 1}", mend="count classes from 0"
                )
            if not bool((boxes.isfinite().all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)).all()):
                raise ScaleGroupError(
                    f"boxes {boxes.tolist()}",
                    expected="x0 < x1 and y0 < y1, in pixels",
                    mend="leave out boxes of no area, and pass corners, not a corner and a size",
                )
            objects += len(labels)
        total = volume.maps[0].new_zeros(())
        for n, maps in enumerate(volume.maps):
            targets = self.targets(volume, n, scenes)
            entropy = F.binary_cross_entropy_with_logits(maps, targets, reduction="none")
            total = total + ((targets - maps.sigmoid()) ** 2 * entropy).sum()
        return total / max(1, objects)

    def targets(self, volume: ScoreVolume, channel: int, scenes: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """What the probabilities of a scale channel are to be, `[batch, class, y, x]`."""
        maps = volume.maps[channel]
        y, x = volume.y[channel].like(maps), volume.x[channel].like(maps)
        result = torch.zeros_like(maps)
        for image, scene in enumerate(scenes):
            for (x0, y0, x1, y1), label in zip(scene["boxes"].tolist(), scene["labels"].tolist(), strict=True):
                sigma = max(x1 - x0, y1 - y0) / self.extent
                octave = torch.log2(maps.new_tensor(volume.sigmas[channel] / sigma)) / self.octaves
                along_y, along_x = (
                    (at - (a + b) / 2) / (self.spread * sigma) for at, a, b in ((y, y0, y1), (x, x0, x1))
                )
                bump = torch.exp(-(along_y[:, None] ** 2 + along_x**2 + octave**2) / 2)
                result[image, label] = torch.maximum(result[image, label], bump)
        return result

    def extra_repr(self) -> str:
        return f"extent={self.extent:g}, spread={self.spread:g}, octaves={self.octaves:g}"
