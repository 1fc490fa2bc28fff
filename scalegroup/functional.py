"""Pure functions: lifting, the Gaussian jet convolution, scale selection.

The modules of `scalegroup.nn` are thin layers over these.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scalegroup.constants import cast, constant_tensor
from scalegroup.errors import (
    ScaleGroupError,
    check_images,
    check_instance,
    check_integer,
    check_like,
    check_positive,
    refusing,
)
from scalegroup.fields.boundary import Boundary, Reflect
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.fields.grid import Grids
from scalegroup.fields.lifting import SAMPLES_PER_SIGMA, ImageGrid, Sampling, SelfSimilar
from scalegroup.fields.window import ScaleWindow
from scalegroup.jets.jet import TWO_JET, Jet
from scalegroup.jets.kernel import Kernel
from scalegroup.jets.kernels import DiscreteGaussian

_KERNEL = DiscreteGaussian(tail=1e-6)
_BOUNDARY = Reflect()
_SAMPLING = SelfSimilar(SAMPLES_PER_SIGMA)


@refusing
def lift(
    images: Tensor,
    window: ScaleWindow,
    *,
    boundary: Boundary = _BOUNDARY,
    sampling: Sampling = _SAMPLING,
    wanted: Grids | None = None,
) -> ScaleField:
    """Images as a field on group × plane (eq 9): every scale channel samples the image on a grid of its own.

    Args:
        images: `[batch, channel, y, x]`, floating and finite; gradients reach them.
        window: the scale channels, σ₀ in pixels.
        boundary: what the images are outside their border.
        sampling: `SelfSimilar(g)`, or `ImageGrid()` for the image's own pixels.
        wanted: the samples of each channel, inside the image or not; default: as far as the image reaches.

    Raises `ScaleGroupError` if the images are not such a tensor, or an argument does not fit them.

    >>> from scalegroup import ScaleGroup, ScaleWindow, SelfSimilar
    >>> field = lift(torch.zeros(2, 1, 9, 9), ScaleWindow(ScaleGroup(2), 1.0, 3), sampling=SelfSimilar(1.0))
    >>> [field.channel(n).shape for n in range(3)]
    [torch.Size([2, 1, 9, 9]), torch.Size([2, 1, 5, 5]), torch.Size([2, 1, 3, 3])]
    """
    check_images(images)
    check_instance("window", window, ScaleWindow, mend="make one: ScaleWindow(group, sigma0=1.0, channels=8)")
    check_instance("boundary", boundary, Boundary, mend="pass one of scalegroup, such as Background(0.0)")
    check_instance("sampling", sampling, Sampling, mend="pass SelfSimilar(0.7)")
    canvas = sampling.canvas((images.shape[2], images.shape[3]), window.sigmas)
    grids = canvas if wanted is None else wanted
    check_instance("wanted", grids, Grids, mend="change sampling.canvas(size, window.sigmas)")
    if (grids.size, grids.sigmas) != (canvas.size, canvas.sigmas):
        raise ScaleGroupError(
            f"samples wanted of {grids.size} pixels in channels of σ₀ = {grids.sigmas}",
            expected=f"of the images, {canvas.size}, in the channels of {window!r}",
            mend="leave `wanted` out, or change sampling.canvas(size, window.sigmas)",
        )
    maps = tuple(sampling.sample(images, grids, boundary))
    return ScaleField(maps, FieldType.scalars(images.shape[1], smoothed=sampling.smoothed), window, grids)


@refusing
def jet_maps(
    images: Tensor,
    *,
    sigma: float,
    kernel: Kernel = _KERNEL,
    boundary: Boundary = _BOUNDARY,
    jet: Jet = TWO_JET,
) -> Float[Tensor, "b i {jet.size} y x"]:
    """The scale-normalised jet: (Lξ, Lη, Lξξ, Lξη, Lηη) = (σLx, σLy, σ²Lxx, σ²Lxy, σ²Lyy) of eq 6 and 12, γ = 1.

    Args:
        images: `[batch, channel, y, x]`.
        sigma: standard deviation of the Gaussian, in pixels.
        kernel: the discretisation.
        boundary: what the images are outside their border.
        jet: which derivatives, in this order.

    Raises `ScaleGroupError` if the images, σ or the jet cannot be used.

    >>> ramp = torch.arange(33.).expand(1, 1, 33, 33)
    >>> jet_maps(ramp, sigma=2.0)[0, 0, :, 16, 16].round(decimals=4).abs().tolist()
    [2.0, 0.0, 0.0, 0.0, 0.0]
    """
    sigma = check_positive("sigma", sigma)
    extended = _extended(images, sigma, kernel, boundary, jet)
    return kernel.maps(extended, sigma, jet) * images.new_tensor([sigma**n for n in jet.orders])[:, None, None]


@refusing
def jet_conv(
    images: Tensor,
    coefficients: Tensor,
    offset: Tensor,
    *,
    sigma: float,
    kernel: Kernel = _KERNEL,
    boundary: Boundary = _BOUNDARY,
    jet: Jet = TWO_JET,
    groups: int = 1,
) -> Float[Tensor, "b o y x"]:
    """The Gaussian jet layer on one scale channel (eq 6, 9 and 11), of the size of the input.

    J = C₀ + Σ_i [ σ(Cx Lx + Cy Ly) + σ²/2 (Cxx Lxx + 2 Cxy Lxy + Cyy Lyy) ] with L = g(σ) ∗ images_i;
    of another jet the terms of that, each with its `Jet.normalisation`.

    Args:
        images: `[batch, in, y, x]`.
        coefficients: `[out, in / groups, jet.size]`, Cx, Cy, Cxx, Cxy, Cyy; the ½ and the 2 of eq 6 are applied inside.
        offset: `[out]`, C₀.
        sigma: standard deviation of the Gaussian, in pixels.
        kernel: the discretisation.
        boundary: what the images are outside their border.
        jet: which derivatives the coefficients are of.
        groups: of channels that see each other, as in `conv2d`; as many as there are channels: each for itself.

    Raises `ScaleGroupError` if the arguments do not fit together or σ cannot be used.

    >>> jet_conv(torch.randn(2, 3, 16, 16), torch.randn(4, 3, 5), torch.zeros(4), sigma=1.0).shape
    torch.Size([2, 4, 16, 16])
    """
    channels = check_images(images).shape[1]
    check_instance("jet", jet, Jet, mend="pass Jet(2)")
    groups = check_integer("groups", groups, at_least=1)
    for name, tensor in (("coefficients", coefficients), ("offset", offset)):
        check_instance(name, tensor, Tensor, mend="pass a torch tensor")
        check_like(name, tensor, images)
    expected = [coefficients.shape[0] if coefficients.ndim == 3 else "out", channels / groups, jet.size]
    if list(coefficients.shape) != expected or 0 in coefficients.shape or len(coefficients) % groups:
        raise ScaleGroupError(
            f"coefficients of shape {list(coefficients.shape)}",
            expected=f"[out, in / {groups}, {jet.size}] with in = {channels}, as the images have, and {groups} in out",
            mend=f"order the last axis {', '.join(f'C{name}' for name in jet.components)}",
        )
    if list(offset.shape) != expected[:1]:
        raise ScaleGroupError(
            f"an offset of shape {list(offset.shape)}", expected=f"[{expected[0]}]", mend="one C₀ per output"
        )
    sigma = check_positive("sigma", sigma)
    extended = _extended(images, sigma, kernel, boundary, jet)
    return kernel.combine(extended, coefficients, offset, sigma=sigma, jet=jet)


def _extended(images: Tensor, sigma: float, kernel: Kernel, boundary: Boundary, jet: Jet) -> Tensor:
    """The images with as many more pixels on every side as the kernel reaches."""
    check_images(images)
    check_instance("kernel", kernel, Kernel, mend="pass one of scalegroup, such as DiscreteGaussian()")
    check_instance("boundary", boundary, Boundary, mend="pass one of scalegroup, such as Reflect()")
    reach = kernel.reach(sigma, 0.0, check_instance("jet", jet, Jet, mend="pass Jet(2)"))
    pixels = Grids.of_pixels((images.shape[2], images.shape[3]), (1.0,))
    (extended,) = ImageGrid().sample(images, pixels.map(lambda grid: grid.dilated(reach)), boundary)
    return extended


@refusing
def select_scale(
    scores: Float[Tensor, "b classes scale *space"], window: ScaleWindow, *, classes: Tensor | None = None
) -> Float[Tensor, "b *space"]:
    """σ₀ of the scale channel in which a class scores highest (§6.1), in the unit of the window.

    Args:
        scores: `[batch, classes, scale, …]`; NaN (an undefined scale channel) never wins.
        window: the scale channels.
        classes: `[batch, …]`, the class to ask about; by default the one with the highest score of all.

    Raises `ScaleGroupError` if the scores have another number of scale channels than the window, or the classes do not
    fit.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> select_scale(torch.tensor([[[0., 3., 1.], [2., 0., 0.]]]), ScaleWindow(ScaleGroup(2), 1.0, 3))
    tensor([2.])
    """
    check_instance("scores", scores, Tensor, mend="pass net.scale_logits(images)")
    check_instance("window", window, ScaleWindow, mend="pass net.window")
    if scores.ndim < 3 or scores.shape[2] != window.channels or not scores.is_floating_point():
        raise ScaleGroupError(
            f"scores of shape {list(scores.shape)} and dtype {scores.dtype}",
            expected=f"floats [batch, classes, {window.channels}], one for each channel of {window!r}",
            mend="pass net.scale_logits(images)",
        )
    scores = scores.masked_fill(scores.isnan(), -math.inf)
    if classes is None:
        classes = scores.amax(dim=2).argmax(dim=1)
    check_instance("classes", classes, Tensor, mend="pass logits.argmax(dim=1)")
    expected = [scores.shape[0], *scores.shape[3:]]
    if list(classes.shape) != expected or classes.dtype not in (torch.int32, torch.int64):
        raise ScaleGroupError(
            f"classes of shape {list(classes.shape)} and dtype {classes.dtype}",
            expected=f"integers of shape {expected}",
            mend="pass logits.argmax(dim=1)",
        )
    winner = scores.argmax(dim=2).gather(1, cast(classes.unsqueeze(1), torch.int64)).squeeze(1)
    return cast(_sigmas(window.sigmas, like=scores), scores.dtype)[winner]


@constant_tensor
def _sigmas(sigmas: tuple[float, ...]) -> np.ndarray:
    return np.array(sigmas)
