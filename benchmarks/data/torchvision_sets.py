"""Data sets of torchvision, or in its manner: small square pictures, grey or colour, on black."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.data.place import Place
from benchmarks.data.plain import Plain
from benchmarks.data.source import Drawn, Labelled
from scalegroup import ScaleGroupError

KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "cifar10": "CIFAR10"}


def torchvision_set(name: str) -> Callable[[Place], Drawn]:
    """What makes the source of a name in `KINDS`: its pictures drawn large."""
    return lambda place: from_datasets(f"large-scale-{name}", *both_parts(name, place), place=place)


def plain_set(name: str) -> Callable[[Place], Plain]:
    """What makes the source of the pictures of a name in `KINDS` as they are."""

    def make(place: Place) -> Plain:
        drawn = from_datasets(f"plain-{name}", *both_parts(name, place))
        same = {key: getattr(drawn, key) for key in ("name", "train", "test", "unit", "channels", "classes")}
        return Plain(canvas=drawn.unit, **same)

    return make


def both_parts(name: str, place: Place) -> tuple[Any, Any]:
    """(training part, test part) as torchvision has them. Raises `ScaleGroupError` where it has not."""
    from torchvision import datasets

    kind = getattr(datasets, KINDS[name])
    root = place.need_root(name, f"torchvision's {KINDS[name]}")
    try:
        return kind(root, train=True, download=place.download), kind(root, train=False, download=place.download)
    except (RuntimeError, OSError, ValueError, EOFError, KeyError, AssertionError) as error:
        # torchvision asserts where files are damaged; where they are missing it proposes an option that is not ours
        why = "could not be fetched" if place.download else "not found, or not complete"
        raise ScaleGroupError(
            f"data root {root} for {KINDS[name]} ({why}: {str(error).strip() or type(error).__name__})",
            expected="the files as torchvision keeps them",
            mend="put them there by hand" if place.download else "pass the folder that has them, or --download",
        ) from None


def from_datasets(name: str, train: Any, test: Any, *, place: Place | None = None) -> Drawn:
    """A source from any pair of data sets with torchvision's `.data` and `.targets`; the canvas is four pictures wide.

    Raises:
        ScaleGroupError: if the pictures are not small squares of 0 to 255, grey or colour.
    """
    parts = [as_labelled(name, part) for part in (train, test)]
    channels, unit = parts[0].images.shape[1:3]
    return Drawn(
        name=name,
        train=parts[0],
        test=parts[1],
        unit=unit,
        canvas=4 * unit,
        channels=channels,
        classes=int(parts[0].labels.max()) + 1,
        cache=place.cache if place else None,
    )


def as_labelled(name: str, part: Any) -> Labelled:
    """Pictures `[n, channel, y, x]` of 0 to 255, square, and labels. Raises `ScaleGroupError` for others."""
    return Labelled(_pictures(name, part.data), torch.as_tensor(part.targets))


def _pictures(name: str, data: Any) -> Tensor:
    """As `[n, channel, y, x]`; torchvision keeps grey ones without and colour ones with a last axis."""
    pictures = torch.as_tensor(data)
    if pictures.ndim == 4 and pictures.shape[-1] in (1, 3):
        pictures = pictures.movedim(-1, 1)
    elif pictures.ndim == 3:
        pictures = pictures[:, None]
    if pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3] or pictures.dtype != torch.uint8:
        raise ScaleGroupError(
            f"{name} with pictures of shape {list(pictures.shape)}, {pictures.dtype}",
            expected="[n, y, x] or [n, y, x, channel], square, uint8",
            mend="resize and pad them before",
        )
    return pictures
