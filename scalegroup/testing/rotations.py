"""How far a module is from rotation invariance: the other group that jets know."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.errors import check_instance, check_number, refusing
from scalegroup.testing.closed_form import Blobs
from scalegroup.testing.equivariance import object_images, signal_normalised
from scalegroup.testing.outputs import SCORES, place_of, run_module


@refusing
def rotation_error(
    module: Callable[[Tensor], Tensor],
    angle: float,
    images: Blobs | None = None,
    *,
    size: int = 129,
    in_channels: int = 1,
    background: float = 0.0,
) -> float:
    """How far the class scores of `module` are from invariance under a rotation, relative to the signal.

    Both images are sampled from their closed form, so that no interpolation enters for any angle.

    Args:
        module: from images `[batch, channel, y, x]` to class scores `[batch, class]`.
        angle: in radians.
        images: default `object_images(size)`.
        size: rows and columns of the canvas.
        in_channels: image channels, all showing the same.
        background: the value around the objects.

    Raises:
        ScaleGroupError: if an argument cannot be used, or the output is another.

    >>> rotation_error(torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten()), torch.pi / 2) < 1e-12
    True
    """
    angle = check_number("angle", angle)
    images = object_images(size) if images is None else images
    check_instance("images", images, Blobs, mend="pass a mixture of blobs: object_images(size)")
    dtype, device = place_of(module)

    def run(samples: Tensor) -> Float[Tensor, "b n"]:
        placed = (samples.to(device, dtype) + background).expand(-1, in_channels, -1, -1)
        (scores,), _ = run_module(module, placed, SCORES)
        return scores.flatten(1)

    blank = torch.zeros(1, 1, size, size)
    original, turned = (run(of.sample(size, size)) for of in (images, images.rotated(angle)))
    return signal_normalised(original, turned, run(blank))
