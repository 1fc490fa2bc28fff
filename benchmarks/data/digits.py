"""The small real digits that come with scikit-learn: no download."""

from __future__ import annotations

import torch

from benchmarks.data.place import Place
from benchmarks.data.recipe import size_range
from benchmarks.data.source import Drawn, Labelled
from scalegroup import ScaleGroup, ScaleWindow


def digits(_: Place | None = None) -> Drawn:
    """scikit-learn's 1 797 real handwritten digits (8×8), which come with the package: 1 297 to train, 500 to test.

    The split is a stratified random one and always the same; a writer's digits may be on both sides of it.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels, labels, test_size=500, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = map(torch.as_tensor, parts)
    train_images, test_images = (images.view(-1, 1, 8, 8) * (255 / 16) for images in (train_images, test_images))
    return Drawn(
        name="digits",
        train=Labelled(train_images, train_labels),
        test=Labelled(test_images, test_labels),
        unit=16,
        canvas=65,
        # the paper's (§6) for digits of 28 pixels, one channel finer: σ₀ from ½ to 4√2
        window=ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=8, first=-2),
        sizes=size_range(largest=4.0),
    )
