"""MNIST-scale, by the protocol of Sosnovik and others (SESN): digits made smaller at random, on 28×28 pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.data.place import Place
from benchmarks.data.plain import Plain
from benchmarks.data.source import Labelled
from benchmarks.data.torchvision_sets import torchvision_set
from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow

_TRAIN, _VALIDATION, _TEST = 10_000, 2_000, 50_000
_SMALLEST = 0.3  # the factor is drawn from here to 1
SPLITS = range(1, 7)
RECIPE = (
    "62 000 of all MNIST digits that are there, shuffled: 12 000 to train on and to choose by, 50 000 to test on; each "
    "bicubic, antialiased, to round(28·f) pixels, f uniform in [0.3, 1], centred on black, divided by 255"
)


def mnist_scale(split: int) -> Callable[[Place], Plain]:
    """What makes a split; `--validation-images 2000` leaves the 10 000 to train on that the protocol has."""

    def make(place: Place) -> Plain:
        mnist = torchvision_set("mnist")(place)
        both, wanted = Labelled.together(mnist.train, mnist.test), _TRAIN + _VALIDATION + _TEST
        if len(both.labels) < wanted:
            raise ScaleGroupError(f"{len(both.labels)} digits", expected=f"{wanted}", mend="pass all of MNIST")
        generator = torch.Generator().manual_seed(split)
        chosen = torch.randperm(len(both.labels), generator=generator)[:wanted]
        factors = _SMALLEST + (1 - _SMALLEST) * torch.rand(wanted, generator=generator)
        smaller, labels = shrunk(both.images[chosen], factors), both.labels[chosen]
        parts: dict[str, Any] = {
            "train": Labelled(smaller[:-_TEST], labels[:-_TEST]),
            "test": Labelled(smaller[-_TEST:], labels[-_TEST:]),
        }
        # of digits of 28 pixels and smaller ones
        window = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=6, first=-4)
        return Plain(name=f"mnist-scale-{split}", unit=28, canvas=28, window=window, recipe=RECIPE, **parts)

    return make


def shrunk(images: Tensor, factors: Tensor) -> Tensor:
    """Each `[channel, y, x]` by a factor of its own, centred on black, as many pixels as before."""
    length = images.shape[-1]
    pixels = (length * factors).round().long()
    result = torch.zeros_like(images)
    for size in pixels.unique().tolist():
        rows = torch.nonzero(pixels == size)[:, 0]
        small = F.interpolate(images[rows].float(), size=(size, size), mode="bicubic", antialias=True)
        start = (length - size) // 2
        result[rows, :, start : start + size, start : start + size] = small.clamp(0, 255).round().to(images.dtype)
    return result
