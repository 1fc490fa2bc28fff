"""A bound on what scaling changes of a network's output: the lifting's error times a measured Lipschitz constant."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup import nn
from scalegroup.algebra.group import GroupElement
from scalegroup.errors import ScaleGroupError, check_instance, check_integer, refusing
from scalegroup.fields.boundary import Background
from scalegroup.fields.field import ScaleField
from scalegroup.fields.lifting import SelfSimilar
from scalegroup.fields.window import ScaleWindow
from scalegroup.testing.closed_form import Separable
from scalegroup.testing.curves import Explained
from scalegroup.testing.lifting_bound import lifting_bound
from scalegroup.testing.networks import (
    background_of,
    before_pooling,
    central,
    chain_of,
    needed_in_the_centre,
    networks_in,
)
from scalegroup.testing.outputs import owner_of
from scalegroup.testing.pictures import Family, families


@dataclass(frozen=True)
class Certificate:
    """What `certificate` found.

    Args:
        factor: S.
        lifting: how far a lifted sample of the image and that of the scaled one may be apart: a derived bound.
        lipschitz: by how much the output changes at most where all lifted samples change by one: measured, as the
            largest ℓ1 norm of a gradient at both images and between them. ReLU networks are linear in pieces, and a
            piece that was not met may be steeper.
    """

    factor: float
    lifting: float
    lipschitz: float

    @property
    def bound(self) -> float:
        """On the change of any score, in the unit of the scores."""
        return self.lifting * self.lipschitz

    def __str__(self) -> str:
        return (
            f"scaling by {self.factor:.4g} changes no score by more than {self.bound:.2e}: lifted samples by "
            f"{self.lifting:.2e}, a derived bound, times a Lipschitz constant of {self.lipschitz:.3g}, measured here"
        )


@refusing
def certificate(net: nn.Sequential, image: Separable, element: GroupElement, *, size: int = 129) -> Certificate:
    """An upper bound on the change of a network's scores under a scaling of this image, the scale window with it.

    Two scale channels of a network on self-similar grids compute one function of their lifted samples. So its output
    for f, and that for f(x/S) with the window moved by S, differ by at most the Lipschitz constant of this function
    times the lifting's error for the two (`lifting_bound`, which see for what it is derived from).

    Args:
        net: with an `nn.Lift` on self-similar grids first.
        image: one or more, in closed form, that fade out within the canvas.
        element: the scaling.
        size: rows and columns of the canvas, in pixels.

    Raises:
        ScaleGroupError: if an argument cannot be used, or the network is on the image's own grid.

    >>> from scalegroup import ScaleGroup
    >>> from scalegroup.models import gaussian_derivative_net
    >>> from scalegroup.testing import object_images
    >>> net = gaussian_derivative_net("multi_scale", widths=(4, 4)).eval()
    >>> certificate(net, object_images(65, 2.0, count=1), ScaleGroup(2 ** 0.5).element(1), size=65).bound < 1.0
    True
    """
    factor = check_instance("element", element, GroupElement, mend="pass group.element(power)").scale_factor
    check_instance("image", image, Separable, mend="pass Blobs, Bars or Textures")
    check_integer("size", size, at_least=1)
    sampling_of(net)
    windows = net.window, net.window.transform(element)
    fields = [
        lifted(net, image.sample(size, size, factor=f), window)
        for f, window in zip((1.0, factor), windows, strict=True)
    ]
    if fields[0].maps[0].shape != fields[1].maps[0].shape:
        raise ScaleGroupError(
            "a network whose output depends on where the image ends",
            expected="one that looks at as many samples of the scaled image",
            mend="read out with CentrePixel()",
        )
    between = [
        tuple(a.lerp(b, part) for a, b in zip(*(field.maps for field in fields), strict=True))
        for part in (0.0, 0.5, 1.0)
    ]
    steepest = max(lipschitz(net, replace(fields[0], maps=maps)) for maps in between)
    return Certificate(factor, lifting_gap(net, image, net.window.sigmas[0], factor), steepest)


def lifting_gap(net: nn.Sequential, image: Separable, sigma0: float, factor: float, *, finer: float = 1.0) -> float:
    """At most so far apart are lifted samples of an image and of the scaled one, in channels of σ₀ and S·σ₀ pixels.

    With `finer`, of the image sampled that much more finely, σ₀ with it.
    """
    sampling = sampling_of(net)
    return sum(lifting_bound(image, finer * s * sigma0, sampling, factor=finer * s) for s in (1.0, factor))


def sampling_of(net: nn.Sequential) -> SelfSimilar:
    """That of the network's lifting. Raises `ScaleGroupError` if it is not self-similar: no bound is known then."""
    mend = "use self-similar grids, which are the default"
    return check_instance("sampling", getattr(chain_of(net)[0], "sampling", None), SelfSimilar, mend=mend)


def lipschitz(net: nn.Sequential, lifted: ScaleField) -> float:
    """By how much an output changes at most where all lifted samples change by one: the largest ℓ1 norm of a gradient.

    Of outputs over the plane, which are all alike, those in the centre.

    Args:
        net: in evaluation.
        lifted: what its `nn.Lift` gives, at least what it `needs`.
    """
    rest = nn.Sequential(*chain_of(net)[1:])
    field = replace(lifted, maps=tuple(maps.detach().requires_grad_() for maps in lifted.maps))
    outputs = rest.run(field, rest.canvas(field.grids.canvas()).map(central))
    apart = outputs.type.over_scale and not rest.across_scale  # else a channel's output depends on others
    batch, largest = len(lifted.channel(0)), 0.0
    for feature in range(outputs.type.size):
        total = torch.cat([maps[:, feature].mean((-2, -1)).flatten() for maps in outputs.maps]).sum()
        gradients = torch.autograd.grad(total, field.maps, retain_graph=True)
        sums = torch.cat([part.abs().sum((1, 2, 3)).view(-1, batch) for part in gradients])  # [channel, batch]
        largest = max(largest, (sums if apart else sums.sum(0)).max().item())
    return largest


def lifted(net: nn.Sequential, images: Float[Tensor, "b c y x"], window: ScaleWindow) -> ScaleField:
    """Images on the network's background as its `nn.Lift` gives them: as much as the output in the centre needs."""
    lift = chain_of(net)[0]
    images = images.expand(-1, net.in_type.channels, -1, -1)
    images = images + Background(background_of(net)).constant(images)[:, None, None]
    needed = needed_in_the_centre(net, (images.shape[2], images.shape[3]), window.sigmas)
    like = next(iter(net.parameters()), images)
    return lift.run(images.to(like.device, like.dtype), needed, window=window)


def explained_by_sampling(module: Callable[[Tensor], Any], *, size: int, in_channels: int) -> Explained | None:
    """What the lifting's error explains of the errors of a network on self-similar grids; None for other modules.

    And what the canvas does not show of pictures that fade out: in float64 that is more than rounding.

    Args:
        module: a network, or its part before pooling over scale, `partial(net.field, pooled=False)`.
        size: of the coarsest pictures.
        in_channels: image channels.

    Raises `ScaleGroupError` if the network has other ones.
    """
    net = owner_of(module)
    if net not in networks_in(net):
        return None
    if in_channels != net.in_type.channels:
        mend = f"pass in_channels={net.in_type.channels}"
        raise ScaleGroupError(f"{in_channels} image channels", expected=f"{net.in_type.channels}", mend=mend)
    body = before_pooling(net)
    sampling = getattr(chain_of(net)[0], "sampling", None)
    if not isinstance(sampling, SelfSimilar) or any(layer.across_scale for layer in body):
        return None
    if module is not net:
        net = nn.Sequential(*body)
    pictures = families(size, 1.0, in_channels)[0].sample(size)[:2]
    steepest = lipschitz(net, lifted(net, pictures, net.window))

    def explained(family: Family, element: GroupElement, resolution: float, channel: int) -> float:
        sigma0, factor = net.window.sigmas[channel], element.scale_factor
        images = [image for image in family.images if image is not None]
        gap = max(lifting_gap(net, image, sigma0, factor, finer=resolution) for image in images)
        hidden = sum(
            not_shown(family, size, s) * _weight(sampling, resolution * s * sigma0, size) ** 2 for s in (1.0, factor)
        )
        return steepest * (gap + hidden)

    return explained


@lru_cache(maxsize=64)  # it is asked of every scale channel
def not_shown(family: Family, size: int, factor: float) -> float:
    """The largest value of the pictures, scaled by `factor`, at the border of a canvas of `size` pixels and beyond."""
    beyond = family.sample(3 * size, factor=factor).abs()
    beyond[..., size + 1 : 2 * size - 1, size + 1 : 2 * size - 1] = 0
    return beyond.max().item()


def _weight(sampling: SelfSimilar, sigma0: float, pixels: int) -> float:
    """By how much a lifted sample changes at most, along one axis, where so many pixels change by one."""
    offsets = np.arange(-pixels, pixels + 1) - np.linspace(0, 0.5, 5)[:, None]
    return float(abs(sampling.kernel.rows(offsets, sampling.smoothed * sigma0)).sum(1).max())
