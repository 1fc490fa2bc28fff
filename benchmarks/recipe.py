"""How a network is trained: everything that decides it, in one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.utils.data import RandomSampler

from benchmarks.augment import AUGMENTS
from scalegroup import ScaleGroupError
from scalegroup.errors import check_finite, check_integer, check_number, check_positive, check_probability


def cross_entropy(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """One decision among all classes."""
    return F.cross_entropy(scores, labels, label_smoothing=smoothing)


def binary_cross_entropy(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """One decision per class, §5's; the mean over images and classes. A label of -1 is none of them."""
    classes = scores.shape[1]
    right = labels[:, None] == torch.arange(classes, device=labels.device)
    targets = right.to(scores.dtype) * (1 - smoothing) + smoothing / classes
    return F.binary_cross_entropy_with_logits(scores, targets)


@dataclass(frozen=True)
class Loss:
    """A loss, and where networks that it trains begin.

    Args:
        of: `(scores, labels, smoothing)` to the mean loss.
        first_offset: as of an `Architecture`.
    """

    of: Callable[[Tensor, Tensor, float], Tensor]
    first_offset: float = 0.0


LOSSES = {
    # a shift of all scores changes nothing
    "cross-entropy": Loss(cross_entropy),
    # the log-odds of "nothing here" have to be about -5, and one number moves too slowly to get there
    "binary-cross-entropy": Loss(binary_cross_entropy, first_offset=-5.0),
}


@dataclass(frozen=True)
class Recipe:
    """§5: Adam, a cosine schedule from `highest_rate` to `lowest_rate`, batches of 50, binary cross-entropy.

    Four parts are not in the paper, and off by default. `label_smoothing`: as of `torch.nn.functional.cross_entropy`.
    `cut_share`: of so many of the images only a central square is left (`geometry.random_cut`), as of objects that are
    larger than the picture. It changes no size. `augment`: other changes of the images of each batch, in this order, by
    their names in `benchmarks.augment`. `weight_decay`: AdamW's, of weights with two axes and more, not of offsets and
    norms; with 0 it is Adam. Dropout is a part of the network.

    All chance is a function of the seed and the place in the training, so that an interrupted run can go on as if
    nothing had happened.

    Raises:
        ScaleGroupError: for values that cannot be used.
    """

    epochs: int
    batch: int = 50
    highest_rate: float = 0.01
    lowest_rate: float = 5e-5
    label_smoothing: float = 0.0
    loss: str = "cross-entropy"
    cut_share: float = 0.0
    augment: tuple[str, ...] = ()
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, at_least=1)
        check_integer("batch", self.batch, at_least=1)
        check_positive("highest rate", self.highest_rate)
        check_positive("lowest rate", self.lowest_rate)
        check_probability("label smoothing", self.label_smoothing)
        if not 0 <= check_number("cut share", self.cut_share) <= 1:
            raise ScaleGroupError(f"cut share {self.cut_share:g}", expected="in [0, 1]", mend="try 0.3")
        if check_finite("weight decay", self.weight_decay) < 0:
            raise ScaleGroupError(f"weight decay {self.weight_decay:g}", expected="0 or more", mend="try 0.05")
        if unknown := [name for name in self.augment if name not in AUGMENTS]:
            raise ScaleGroupError(
                f"augmentation {unknown[0]!r}", expected=f"of {sorted(AUGMENTS)}", mend="choose some of these"
            )
        if self.loss not in LOSSES:
            raise ScaleGroupError(
                f"loss {self.loss!r}", expected=f"one of {sorted(LOSSES)}", mend="choose one of these"
            )

    def optimiser(self, net: nn.Module) -> AdamW:
        """Of a network's parameters, at the highest rate."""
        weights = [value for value in net.parameters() if value.ndim >= 2]
        others = [value for value in net.parameters() if value.ndim < 2]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return AdamW(groups, lr=self.highest_rate)


def order_of_epoch(images: int, seed: int, epoch: int) -> list[int]:
    """In which order an epoch (the first is 0) sees the images.

    >>> order_of_epoch(5, seed=0, epoch=1) == order_of_epoch(5, seed=0, epoch=1) != order_of_epoch(5, seed=0, epoch=0)
    True
    """
    shuffled = RandomSampler(range(images), generator=torch.Generator().manual_seed(seed))
    for _ in range(epoch):
        list(shuffled)
    return list(shuffled)
