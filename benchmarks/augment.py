"""Augmentation by name: changes of training images by chance that leave sizes alone, but for the one that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.geometry import Augment, outside, random_cut, random_elastic, random_scaling
from scalegroup import Boundary, ScaleGroupError

_GREY = (0.2989, 0.587, 0.114)  # of red, green and blue in luminance, as of torchvision
_STRENGTH = 0.2  # of changes of colour: factors within 1 ± this
_BEND, _RIPPLE = 0.25, 0.08  # of `random_elastic`
_SHIFT = 8  # shifts go up to this part of an object


@dataclass(frozen=True)
class Scene:
    """What there is to know of the images that are trained on.

    Args:
        boundary: what they are outside.
        train: pixels across of the objects, smallest first; several for a mixture.
        test: the same of those that are tested on.
    """

    boundary: Boundary
    train: tuple[float, ...]
    test: tuple[float, ...]

    def one_size(self, name: str) -> float:
        """Pixels across of all objects trained on. Raises `ScaleGroupError` for a mixture."""
        if len(self.train) != 1:
            raise ScaleGroupError(f"{name} with a mixture of sizes", expected="one size", mend="leave one of them out")
        return self.train[0]

    def need(self, name: str, *, constant: bool) -> None:
        """Raise `ScaleGroupError` unless images are, or are not, on a constant background."""
        if self.boundary.is_constant != constant:
            kinds = {True: "objects on a known background", False: "pictures that fill their images"}
            raise ScaleGroupError(
                f"{name} of {kinds[not constant]}", expected=kinds[constant], mend=f"leave {name} out"
            )


def _flip(_: Scene) -> Augment:
    return random_flip


def _shift(scene: Scene) -> Augment:
    return random_shift(int(scene.train[0] / _SHIFT), scene.boundary)


def _colour(scene: Scene) -> Augment:
    scene.need("colour", constant=False)  # a background that changes is not the one that networks know
    return random_colour(_STRENGTH)


def _edge(scene: Scene) -> Augment:
    scene.need("edge", constant=False)  # what objects on a background lose there is --cut-share's
    return random_edge(scene.one_size("edge"), scene.boundary)


def _elastic(scene: Scene) -> Augment:
    return random_elastic(_BEND, _RIPPLE, scene.boundary)


def _scale(scene: Scene) -> Augment:
    extent = scene.one_size("scale")
    return random_scaling(min(scene.test) / extent, max(scene.test) / extent, scene.boundary)


AUGMENTS: dict[str, Callable[[Scene], Augment]] = {
    "flip": _flip,
    "shift": _shift,
    "colour": _colour,
    "edge": _edge,
    "elastic": _elastic,
    "scale": _scale,
}


def augmentation(names: Sequence[str], scene: Scene, *, cut_share: float = 0.0) -> Augment | None:
    """Those of `AUGMENTS` one after another, and at last `random_cut` of a share; None where nothing is changed.

    Raises:
        ScaleGroupError: if they do not fit the images.
    """
    augments = [AUGMENTS[name](scene) for name in names]
    if cut_share:
        scene.need("--cut-share", constant=True)
        augments.append(random_cut(cut_share, scene.one_size("--cut-share"), scene.boundary))
    return composed(augments) if augments else None


def composed(augments: Sequence[Augment]) -> Augment:
    """One after another, each with the chance that those before it have left."""

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        for one in augments:
            images = one(images, generator)
        return images

    return augment


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images with left and right exchanged."""
    flipped = torch.rand(len(images), generator=generator).to(images.device) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(3), images)


def random_shift(most: int, boundary: Boundary) -> Augment:
    """Each image moved by up to `most` pixels on each axis, by whole pixels; what comes in is as outside the border."""

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        moves = torch.randint(-most, most + 1, (2, len(images)), generator=generator)
        return shifted(images, moves[0], moves[1], boundary)

    return augment


def shifted(images: Tensor, down: Tensor, right: Tensor, boundary: Boundary) -> Tensor:
    """Each of `[batch, channel, y, x]` moved by so many pixels, both `[batch]`.

    >>> from scalegroup import Background
    >>> ramp = torch.arange(4.0).expand(1, 1, 1, 4)
    >>> shifted(ramp, torch.tensor([0]), torch.tensor([1]), Background(-1.0)).flatten().tolist()
    [-1.0, 0.0, 1.0, 2.0]
    """
    places = []
    for length, moves in zip(images.shape[2:], (down, right), strict=True):
        places.append(boundary.source(np.arange(length) - moves.cpu().numpy()[:, None], length))
    return _taken(images, places, boundary)


def random_edge(extent: float, boundary: Boundary) -> Augment:
    """Each image as if the canvas ended nearer to the object's edge: whatever is further out is as outside that border.

    So do canvases end of which objects of another size fill more, and nothing changes its size.

    Args:
        extent: pixels across of the object in the middle, of which nothing is lost.
        boundary: what images are outside.
    """

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        most = max(0, int((min(images.shape[2:]) - extent) / 2))
        return bordered(images, torch.randint(most + 1, (len(images),), generator=generator), boundary)

    return augment


def bordered(images: Tensor, margins: Tensor, boundary: Boundary) -> Tensor:
    """Each of `[batch, channel, y, x]` without so many pixels on each side, `[batch]`: there it is as outside the rest.

    >>> from scalegroup import Replicate
    >>> bordered(torch.arange(5.0).expand(1, 1, 5, 5), torch.tensor([1]), Replicate())[0, 0, 0].tolist()
    [1.0, 1.0, 2.0, 3.0, 3.0]
    """
    cut, places = margins.cpu().numpy(), []
    for length in images.shape[2:]:
        within = np.stack([boundary.source(np.arange(length) - margin, length - 2 * margin) for margin in cut])
        places.append(np.where(within < 0, within, within + cut[:, None]))
    return _taken(images, places, boundary)


def _taken(images: Tensor, places: Sequence[np.ndarray], boundary: Boundary) -> Tensor:
    """Of `[batch, channel, y, x]` the pixels at places on both axes, `[batch, y]` and `[batch, x]`; -1: outside."""
    around = outside(images, boundary)
    for dim, source in enumerate(places, start=2):
        place = torch.as_tensor(source, device=images.device)[:, None].unsqueeze(5 - dim)  # of the axis, in each image
        taken = images.gather(dim, place.clamp(min=0).expand_as(images))
        images = torch.where(place < 0, around, taken)
    return images


def random_colour(strength: float) -> Augment:
    """Brightness, contrast and saturation of each image times factors uniform within 1 ± `strength`, in this order.

    As of torchvision's `ColorJitter`, whose factors are of a whole batch: values are in [0, 1] before and after.
    """

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        factors = 1 + strength * (2 * torch.rand(3, len(images), generator=generator) - 1)
        return coloured(images, *factors.to(images))

    return augment


def coloured(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Images in [0, 1], grey or colour, each with factors of its own, `[batch]`; 1 changes nothing.

    >>> one = torch.ones(1)
    >>> coloured(torch.full((1, 3, 1, 1), 0.25), 2 * one, one, one).flatten().tolist()
    [0.5, 0.5, 0.5]
    """
    zero = torch.zeros_like(images[:, :1])
    images = _away_from(zero, images, brightness)
    images = _away_from(_luminance(images).mean((1, 2, 3), keepdim=True), images, contrast)
    return _away_from(_luminance(images), images, saturation)


def _luminance(images: Tensor) -> Tensor:
    """`[batch, 1, y, x]`."""
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)


def _away_from(origin: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """In [0, 1], each so many times as far from an origin."""
    return (origin + factors[:, None, None, None] * (images - origin)).clamp(0, 1)
