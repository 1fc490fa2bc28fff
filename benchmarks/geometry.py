"""Images scaled and turned about their centre by interpolation: for augmentation, and for test images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from scalegroup import Boundary, Reflect, Replicate

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""A change of a batch of images by chance, all of it from the generator."""

_PADDING = {Reflect: "reflection", Replicate: "border"}  # of grid_sample; zeros for what is constant


def warp(images: Tensor, *, factors: Tensor, angles: Tensor, boundary: Boundary) -> Tensor:
    """Each image scaled by a factor and turned by an angle about the centre, bilinearly, on the same canvas.

    Args:
        images: `[batch, channel, y, x]`.
        factors: `[batch]`; larger objects for more than 1.
        angles: `[batch]`, in radians, counter-clockwise as images are shown.
        boundary: what the images are outside; a mirror is at the edge of the border pixels.

    >>> from scalegroup import Zero
    >>> one, quarter = torch.ones(1), torch.full((1,), torch.pi / 2)
    >>> image = torch.arange(9.).view(1, 1, 3, 3)
    >>> turned = warp(image, factors=one, angles=quarter, boundary=Zero())
    >>> torch.allclose(turned, image.rot90(1, (2, 3)), atol=1e-5)
    True
    """
    cos, sin = torch.cos(angles) / factors, torch.sin(angles) / factors
    height, width = images.shape[-2:]
    # from places in the result to places in the image: turned back, in units of half the canvas
    rows = [
        torch.stack([cos, -sin * height / width, torch.zeros_like(cos)], dim=1),
        torch.stack([sin * width / height, cos, torch.zeros_like(cos)], dim=1),
    ]
    places = F.affine_grid(torch.stack(rows, dim=1).to(images), list(images.shape), align_corners=False)
    mode, around = _PADDING.get(type(boundary), "zeros"), outside(images, boundary)
    return F.grid_sample(images - around, places, padding_mode=mode, align_corners=False) + around


def outside(images: Tensor, boundary: Boundary) -> Tensor:
    """The constant world around images `[batch, channel, y, x]`, which fits them; 0 where there is none."""
    constant = boundary.constant(images)
    return images.new_zeros(1, 1, 1) if constant is None else constant[:, None, None]


def random_scaling(smallest: float, largest: float, boundary: Boundary) -> Augment:
    """Augmentation: objects scaled by factors uniform in their logarithm between the two."""

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(len(images), generator=generator)
        factors = torch.exp(math.log(smallest) + math.log(largest / smallest) * uniform).to(images.device)
        return warp(images, factors=factors, angles=torch.zeros_like(factors), boundary=boundary)

    return augment


def random_cut(share: float, unit: float, boundary: Boundary) -> Augment:
    """Augmentation: of a share of the images all beyond a central square is lost, as of an object too large.

    Sizes do not change. The square is 0.45 to 0.75 times as wide as the object's picture, `unit` pixels: of MNIST's 28
    pixels the digit has 20, and half of them are left at size 8 on a canvas of four pictures.
    """

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        chosen, uniform = torch.rand(2, len(images), generator=generator)
        half = torch.where(chosen < share, unit * (0.45 + 0.3 * uniform) / 2, math.inf).to(images.device)
        inside = [
            (torch.arange(n, device=images.device) - (n - 1) / 2).abs() <= half[:, None] for n in images.shape[-2:]
        ]
        kept = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return torch.where(kept, images, outside(images, boundary))

    return augment


def random_window(pixels: int, boundary: Boundary) -> Augment:
    """Augmentation: a square of so many pixels about the object of each image, at a random place beside it.

    Around a constant world nothing is lost: a network that looks anywhere reads the same in a smaller canvas, for less.

    >>> from scalegroup import Background
    >>> image = torch.zeros(1, 1, 8, 8)
    >>> image[..., 6, 1] = 1.0
    >>> random_window(3, Background(0.0))(image, torch.Generator().manual_seed(0)).sum()
    tensor(1.)
    """

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        seen = (images != outside(images, boundary)).any(1)
        corners = []
        for dim, length in ((2, images.shape[2]), (1, images.shape[3])):
            there = seen.any(dim).float().cpu()
            first, last = there.argmax(1), length - 1 - there.flip(1).argmax(1)
            least, most = (last - pixels + 1).clamp(min=0), first.clamp(max=length - pixels)
            least, most = torch.minimum(least, most), torch.maximum(least, most)
            corners.append(least + (torch.rand(len(images), generator=generator) * (most - least + 1)).long())
        cut = [
            image[:, y : y + pixels, x : x + pixels]
            for image, y, x in zip(images, corners[0].tolist(), corners[1].tolist(), strict=True)
        ]
        return torch.stack(cut)

    return augment
