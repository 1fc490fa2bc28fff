"""Pure functions: lifting, the Gaussian 2-jet convolution, scale selection.

The modules of `scalegroup.nn` are thin layers over these.
"""

from __future__ import annotations

import math

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from scalegroup import jet
from scalegroup.boundary import Background, Boundary, Reflect
from scalegroup.errors import ScaleGroupError, check_images, check_instance, check_like, check_positive
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType
from scalegroup.grid import Grid
from scalegroup.kernels import DiscreteGaussian, JetFilters, Kernel
from scalegroup.window import ScaleWindow

_KERNEL = DiscreteGaussian(tail=1e-6)
_BOUNDARY = Reflect()


def lift(
    images: Tensor, window: ScaleWindow, *, background: float | Tensor | None = None, spacing: int = 0
) -> ScaleField:
    """Images as a field on group × plane: every scale channel sees the same image (eq 9).

    Args:
        images: `[batch, channel, y, x]`, floating and finite.
        window: the scale channels.
        background: the value of the world outside the image, one number or one per image channel; None: unknown.
        spacing: the pixels have spacing γ^spacing.

    Raises:
        ScaleGroupError: if the images are not such a tensor, or the background does not fit them.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> lift(torch.zeros(2, 1, 9, 9), ScaleWindow(ScaleGroup(2), 1.0, 3)).tensor.shape
    torch.Size([2, 1, 3, 9, 9])
    """
    check_images(images)
    check_instance("window", window, ScaleWindow, mend="make one: ScaleWindow(group, sigma0=1.0, channels=8)")
    constant = None
    if background is not None:
        constant = Background(background).constant(images)[:, None].expand(-1, window.channels)
    return ScaleField(
        images[:, :, None].expand(-1, -1, window.channels, -1, -1),
        FieldType.scalars(window.group, images.shape[1]),
        window,
        spacing=spacing,
        background=constant,
    )


def jet_maps(
    images: Tensor, *, sigma: float, kernel: Kernel = _KERNEL, boundary: Boundary = _BOUNDARY
) -> Float[Tensor, "b i 5 y x"]:
    """The scale-normalised 2-jet (Lξ, Lη, Lξξ, Lξη, Lηη) = (σLx, σLy, σ²Lxx, σ²Lxy, σ²Lyy) of eq 6 and 12, γ = 1.

    Args:
        images: `[batch, channel, y, x]`.
        sigma: standard deviation of the Gaussian, in pixels.
        kernel: the discretisation.
        boundary: what the images are outside their border.

    Raises:
        ScaleGroupError: if the images or σ cannot be used.

    >>> ramp = torch.arange(33.).expand(1, 1, 33, 33)
    >>> jet_maps(ramp, sigma=2.0)[0, 0, :, 16, 16].round(decimals=4).abs().tolist()
    [2.0, 0.0, 0.0, 0.0, 0.0]
    """
    check_images(images)
    _check_strategies(kernel, boundary)
    filters = kernel.filters(sigma)
    grid = Grid.whole(*images.shape[-2:])
    rest, outside, constant = boundary.split(images)
    maps = filters.maps(outside.extend(rest, grid, grid, filters.radius))
    if constant is not None:
        maps = maps + einsum(constant, _constant_response(filters, images), "i, j -> i j")[..., None, None]
    return maps * images.new_tensor([sigma, sigma, sigma**2, sigma**2, sigma**2])[:, None, None]


def jet_conv(
    images: Tensor,
    coefficients: Tensor,
    offset: Tensor,
    *,
    sigma: float,
    kernel: Kernel = _KERNEL,
    boundary: Boundary = _BOUNDARY,
) -> Float[Tensor, "b o y x"]:
    """The Gaussian 2-jet layer on one scale channel (eq 6, 9 and 11), of the size of the input.

    J = C₀ + Σ_i [ σ(Cx Lx + Cy Ly) + σ²/2 (Cxx Lxx + 2 Cxy Lxy + Cyy Lyy) ] with L = g(σ) ∗ images_i.

    Args:
        images: `[batch, in, y, x]`.
        coefficients: `[out, in, 5]` in the order Cx, Cy, Cxx, Cxy, Cyy; the ½ and the 2 of eq 6 are applied inside.
        offset: `[out]`, C₀.
        sigma: standard deviation of the Gaussian, in pixels.
        kernel: the discretisation.
        boundary: what the images are outside their border.

    Raises:
        ScaleGroupError: if the arguments do not fit together or σ cannot be used.

    >>> jet_conv(torch.randn(2, 3, 16, 16), torch.randn(4, 3, 5), torch.zeros(4), sigma=1.0).shape
    torch.Size([2, 4, 16, 16])
    """
    check_images(images)
    _check_strategies(kernel, boundary)
    for name, tensor in (("coefficients", coefficients), ("offset", offset)):
        check_instance(name, tensor, Tensor, mend="pass a torch tensor")
        check_like(name, tensor, images)
    expected = [coefficients.shape[0] if coefficients.ndim == 3 else "out", images.shape[1], jet.SIZE]
    if list(coefficients.shape) != expected or 0 in coefficients.shape:
        raise ScaleGroupError(
            f"coefficients of shape {list(coefficients.shape)}",
            expected=f"[out, in, 5] with out ≥ 1 and in = {images.shape[1]}, as the images have",
            mend="order the last axis Cx, Cy, Cxx, Cxy, Cyy",
        )
    if list(offset.shape) != expected[:1]:
        raise ScaleGroupError(
            f"an offset of shape {list(offset.shape)}", expected=f"[{expected[0]}]", mend="one C₀ per output"
        )
    sigma = check_positive("sigma", sigma)
    grid = Grid.whole(*images.shape[-2:])
    result, _ = jet_conv_region(
        images,
        coefficients,
        offset,
        sigma=sigma,
        filters=kernel.filters(sigma),
        boundary=boundary,
        held=grid,
        wanted=grid,
    )
    return result


def jet_conv_region(
    images: Float[Tensor, "b i _y _x"],
    coefficients: Float[Tensor, "o i 5"],
    offset: Float[Tensor, " o"],
    *,
    sigma: float,
    filters: JetFilters,
    boundary: Boundary,
    held: Grid,
    wanted: Grid,
) -> tuple[Float[Tensor, "b o y x"], Float[Tensor, " o"] | None]:
    """`jet_conv` for a part of the image: from the samples `held` to those `wanted`, extending only beyond the image.

    Returns the result, and the layer's response to the constant world outside, where the boundary is a `Background`.

    Raises:
        ScaleGroupError: if the held samples do not reach as far as the filters.
    """
    needed = wanted.dilated(filters.radius)
    if needed.union(held) != held:
        raise ScaleGroupError(
            f"a region of {held.shape} samples",
            expected=f"at least {needed.shape}: {wanted.shape} wanted and the filters reach {filters.radius} further",
            mend="let the plan of nn.Sequential choose the regions, or keep the whole image",
        )
    weights = coefficients * coefficients.new_tensor(jet.normalisation(sigma))
    rest, outside, constant = boundary.split(images)
    extended = outside.extend(rest, held, wanted, filters.radius)
    if constant is None:
        return filters.combine(extended, weights, offset), None
    response = offset + einsum(weights, _constant_response(filters, images), constant, "o i j, j, i -> o")
    return filters.combine(extended, weights, response), response


def _check_strategies(kernel: Kernel, boundary: Boundary) -> None:
    check_instance("kernel", kernel, Kernel, mend="pass one of the kernels of scalegroup, such as DiscreteGaussian()")
    check_instance("boundary", boundary, Boundary, mend="pass one of the boundaries of scalegroup, such as Reflect()")


def _constant_response(filters: JetFilters, like: Tensor) -> Tensor:
    return torch.as_tensor(filters.constant_response, dtype=like.dtype, device=like.device)


def select_scale(
    scores: Float[Tensor, "b classes scale *space"], window: ScaleWindow, *, classes: Tensor | None = None
) -> Float[Tensor, "b *space"]:
    """σ₀ of the scale channel in which a class scores highest (§6.1), in the unit of the window.

    Args:
        scores: `[batch, classes, scale, …]`; NaN (an undefined scale channel) never wins.
        window: the scale channels.
        classes: `[batch, …]`, the class to ask about; by default the one with the highest score of all.

    Raises:
        ScaleGroupError: if the scores have another number of scale channels than the window, or the classes do not fit.

    >>> from scalegroup import ScaleGroup, ScaleWindow
    >>> select_scale(torch.tensor([[[0., 3., 1.], [2., 0., 0.]]]), ScaleWindow(ScaleGroup(2), 1.0, 3))
    tensor([2.])
    """
    check_instance("scores", scores, Tensor, mend="pass net.scale_logits(images)")
    check_instance("window", window, ScaleWindow, mend="pass net.lift.window")
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
    expected = [len(scores), *scores.shape[3:]]
    if list(classes.shape) != expected or classes.dtype not in (torch.int32, torch.int64):
        raise ScaleGroupError(
            f"classes of shape {list(classes.shape)} and dtype {classes.dtype}",
            expected=f"integers of shape {expected}",
            mend="pass logits.argmax(dim=1)",
        )
    winner = scores.argmax(dim=2).gather(1, classes[:, None].long()).squeeze(1)
    return scores.new_tensor(window.sigmas)[winner]
