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

_KNOTS = 4  # of a field as large as an object
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
    return affine(images, _turns(angles) / factors[:, None, None], boundary=boundary)


def affine(
    images: Tensor, back: Tensor, *, boundary: Boundary, centres: Tensor | None = None, ripple: Tensor | None = None
) -> Tensor:
    """Each image under a linear map about a point that stays, bilinearly, on the same canvas.

    Args:
        images: `[batch, channel, y, x]`.
        back: `[batch, 2, 2]`, the map's inverse: from places (x, y) in the result to places in the image.
        boundary: what the images are outside; a mirror is at the edge of the border pixels.
        centres: `[batch, 2]`, what stays, (x, y) in pixels from the canvas' centre; default: that.
        ripple: `[batch, y, x, 2]`, how much further from there each place's value comes, (x, y) in pixels.

    >>> from scalegroup import Zero
    >>> image = torch.arange(9.).view(1, 1, 3, 3)
    >>> mirrored = affine(image, torch.tensor([[[-1.0, 0.0], [0.0, 1.0]]]), boundary=Zero())
    >>> torch.equal(mirrored, image.flip(3))
    True
    """
    back = back.to(images)
    stays = back.new_zeros(len(back), 2) if centres is None else centres.to(back)
    half = back.new_tensor(images.shape[:-3:-1]) / 2  # affine_grid's unit, for x and y
    moved = stays - (back @ stays[:, :, None])[:, :, 0]
    theta = torch.cat([back * (half / half[:, None]), (moved / half)[:, :, None]], dim=2)
    places = F.affine_grid(theta, list(images.shape), align_corners=False)
    places = places if ripple is None else places + ripple / half
    mode, around = _PADDING.get(type(boundary), "zeros"), outside(images, boundary)
    return F.grid_sample(images - around, places, padding_mode=mode, align_corners=False) + around


def _turns(angles: Tensor) -> Tensor:
    """`[batch, 2, 2]`."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)


def _axes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Of the pixels' centres x and y, from the middle."""
    x, y = (torch.arange(n, device=images.device) - (n - 1) / 2 for n in images.shape[:-3:-1])
    return x, y


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


def random_elastic(strength: float, ripple: float, boundary: Boundary) -> Augment:
    """Augmentation: each object bent about its own centre, its area, and so its size, staying as it is on average.

    Stretched, sheared and turned, each by up to `strength` (logarithm, slope, radians), without a change of area; and
    moved place by place (Simard and others, ICDAR 2003) by a smooth field that is as large as the object: four by four
    normal numbers of the standard deviation `ripple`, in units of the object's radius, in between a bicubic spline.
    """

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        count = len(images)
        angles, shears, stretches = strength * (2 * torch.rand(3, count, generator=generator) - 1)
        rows = [[stretches.exp(), shears], [torch.zeros_like(shears), (-stretches).exp()]]
        back = _turns(angles) @ torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
        centres, radii = extents(images, boundary)
        knots = ripple * torch.randn(count, 2, _KNOTS, _KNOTS, generator=generator).to(images)
        x, y = (
            _spline((axis - centre[:, None]) / (2 * radii[:, None]))
            for axis, centre in zip(_axes(images), centres.unbind(1), strict=True)
        )
        field = y[:, None] @ knots @ x[:, None].mT * radii[:, None, None, None]
        return affine(images, back, boundary=boundary, centres=centres, ripple=field.movedim(1, -1))

    return augment


def _spline(places: Tensor) -> Tensor:
    """`[batch, place, knot]`: what each knot weighs in a cubic spline along one axis, its outer knots at -1 and 1."""
    knots = torch.eye(_KNOTS).to(places)[:, None].expand(len(places), -1, -1, -1)
    grid = torch.stack([places, torch.zeros_like(places)], dim=-1)[:, None]
    weights = F.grid_sample(knots, grid, mode="bicubic", padding_mode="border", align_corners=True)
    return weights[:, :, 0].mT


def extents(images: Tensor, boundary: Boundary) -> tuple[Tensor, Tensor]:
    """`[batch, 2]` and `[batch]`: centre and radius of what differs from a constant world, weighed by how much.

    The centre is (x, y) from the middle, the radius the root of the mean square distance from there, both in pixels.
    Where nothing differs, or there is no constant world: the middle, and a quarter of the image's width.

    >>> from scalegroup import Zero
    >>> image = torch.zeros(1, 1, 5, 5)
    >>> image[..., 4, 0::2] = 1.0
    >>> extents(image, Zero())
    (tensor([[0., 2.]]), tensor([1.6330]))
    """
    x, y = _axes(images)
    weight = (images - outside(images, boundary)).abs().sum(1) * boundary.is_constant
    mass = weight.sum((1, 2))
    there, mass = mass > 0, torch.where(mass > 0, mass, 1)
    centre = torch.stack([(weight.sum(1) * x).sum(1), (weight.sum(2) * y).sum(1)], dim=1) / mass[:, None]
    square = (x - centre[:, :1])[:, None, :] ** 2 + (y - centre[:, 1:])[:, :, None] ** 2
    spread = ((weight * square).sum((1, 2)) / mass).sqrt()
    return centre, torch.where(there & (spread > 0), spread, images.shape[-1] / 4)


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
