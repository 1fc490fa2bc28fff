"""The jet layer against its slow reference, its linearity, its gradients and its devices."""

import numpy as np
import pytest
import torch
from torch import Tensor

from proofs_tests import slow_reference as slow
from scalegroup import (
    Background,
    Boundary,
    Dense,
    DiscreteGaussian,
    FieldType,
    ImageGrid,
    IntegratedGaussian,
    Iso,
    Jet,
    NormalisedSampledGaussian,
    Reflect,
    Replicate,
    SampledDerivatives,
    SampledGaussian,
    ScaleGroup,
    ScaleWindow,
    SelfSimilar,
    Zero,
    functional,
    nn,
)
from scalegroup.models import gaussian_derivative_net

KERNELS = {
    "discrete": DiscreteGaussian(),
    "sampled": SampledGaussian(),
    "normalised": NormalisedSampledGaussian(),
    "integrated": IntegratedGaussian(),
    "derivatives": SampledDerivatives(),
    "iso": Iso(),
}
BACKGROUND = (0.7, -1.3)
BOUNDARIES = {
    "background": Background(torch.tensor(BACKGROUND, dtype=torch.float64)),
    "reflect": Reflect(),
    "replicate": Replicate(),
    "zero": Zero(),
}
SIGMAS = (0.5, 0.71, 0.8, 1.0, 1.41, 2.0, 2.83, 4.0, 5.66, 8.0)
JETS = [Jet(0, zero=True), Jet(1), Jet(2, zero=True), Jet(3), Jet(3, zero=True), Jet(4)]
TOLERANCE = 1e-12  # float64, relative to max(1, max |reference|); observed ≤ 3e-14
ROUNDING32 = 1e-6  # float32, times max(1, σ²) (the blur is differentiated twice); observed ≤ 0.32 of it
G = ScaleGroup(2**0.5)


def sigmas_of(name: str) -> list[float]:
    return [sigma for sigma in SIGMAS if sigma >= KERNELS[name].smallest_sigma]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blur_radius(name: str, sigma: float) -> int:
    return KERNELS[name].reach(sigma) - slow.STENCIL_RADIUS[name]


def reference(images: Tensor, weights: Tensor, offset: Tensor, sigma: float, name: str, boundary: str) -> np.ndarray:
    arrays = (tensor.numpy() for tensor in (images, weights, offset))
    return slow.jet_conv(*arrays, sigma, name, blur_radius(name, sigma), boundary, BACKGROUND[: images.shape[1]])


def relative_error(result: Tensor, expected: np.ndarray) -> float:
    assert result.shape == expected.shape
    return float(abs(result.numpy() - expected).max() / max(1.0, abs(expected).max()))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
def test_layer_equals_the_slow_reference(name: str, boundary: str) -> None:
    images, weights, offset = random(2, 2, 6, 9), random(3, 2, 5, seed=1), random(3, seed=2)
    for sigma in sigmas_of(name):
        expected = reference(images, weights, offset, sigma, name, boundary)
        result = functional.jet_conv(
            images, weights, offset, sigma=sigma, kernel=KERNELS[name], boundary=BOUNDARIES[boundary]
        )
        assert relative_error(result, expected) <= TOLERANCE, sigma


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 4), (40, 37)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_layer_equals_the_slow_reference_on_any_size_of_image(size: tuple[int, int], boundary: str) -> None:
    images, weights, offset = random(1, 2, *size), random(2, 2, 5, seed=1), random(2, seed=2)
    for name, sigma in (("discrete", 0.71), ("discrete", 8.0), ("derivatives", 4.0), ("iso", 2.0)):
        expected = reference(images, weights, offset, sigma, name, boundary)
        result = functional.jet_conv(
            images, weights, offset, sigma=sigma, kernel=KERNELS[name], boundary=BOUNDARIES[boundary]
        )
        assert relative_error(result, expected) <= TOLERANCE, (name, sigma)


def of_any_jet(name: str, jet: Jet, groups: int, sigma: float) -> tuple[Tensor, np.ndarray]:
    """The layer and its reference: four features to four."""
    images, offset = random(1, 4, 6, 7), random(4, seed=2)
    weights = random(4, 4 // groups, jet.size, seed=1)
    options = {"sigma": sigma, "kernel": KERNELS[name], "jet": jet, "groups": groups}
    radius = KERNELS[name].taps(sigma, 0.0, jet).shape[-1] // 2
    arrays = (tensor.numpy() for tensor in (images, weights, offset))
    expected = slow.jet_conv(*arrays, sigma, name, radius, "reflect", derivatives=jet.derivatives)
    return functional.jet_conv(images, weights, offset, **options), expected


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("name", "jet"), [(name, jet) for name in KERNELS for jet in JETS if jet.order < len(KERNELS[name].differences)]
)
def test_layer_of_any_jet_and_groups_equals_the_slow_reference(name: str, jet: Jet, groups: int) -> None:
    for sigma in (0.8, 2.0):
        result, expected = of_any_jet(name, jet, groups, sigma)
        assert relative_error(result, expected) <= TOLERANCE, sigma
    assert relative_error(result, np.roll(expected, 1, axis=1)) > 1e-2  # the control: groups in another order
    wrong, _ = of_any_jet(name, jet, groups, 1.01 * sigma)  # and σ off by 1 %
    assert jet.order == 0 or relative_error(wrong, expected) > 1e-4


@pytest.mark.parametrize("name", KERNELS)
def test_reference_tells_wrong_layers_apart(name: str) -> None:
    """Controls: no factor 2 before Cxy, σ wrong by 1 %, coefficients in another order, another boundary."""
    images, weights, offset = random(1, 2, 9, 9), random(2, 2, 5, seed=1), random(2, seed=2)
    expected = reference(images, weights, offset, 1.41, name, "reflect")

    def error(weights: Tensor = weights, sigma: float = 1.41, boundary: str = "reflect") -> float:
        return relative_error(
            functional.jet_conv(
                images, weights, offset, sigma=sigma, kernel=KERNELS[name], boundary=BOUNDARIES[boundary]
            ),
            expected,
        )

    assert error() <= TOLERANCE
    assert error(weights * torch.tensor([1, 1, 1, 0.5, 1])) > 1e-2
    assert error(sigma=1.41 * 1.01) > 1e-3
    for order in ([1, 0, 2, 3, 4], [0, 1, 3, 2, 4], [0, 1, 2, 4, 3], [0, 1, 4, 3, 2]):
        assert error(weights[..., order]) > 1e-2
    for boundary in ("background", "replicate", "zero"):
        assert error(boundary=boundary) > 1e-2


@pytest.mark.parametrize("name", KERNELS)
def test_float32_rounding_grows_with_the_variance_at_most(name: str) -> None:
    """Per output, rms(error) ≤ 1e-6·max(1, σ²)·max|x|·‖C‖₁: a bound that is relative to rms(output), times rms(output).

    ‖C‖₁ (sum of |coefficients| of the output) carries the bound from one jet component to a combination of them, by
    the triangle inequality. Images with mean 10 are the hard case: σ²δxx takes differences of values that large.
    """
    weights, offset = random(3, 2, 5, seed=1).float(), random(3, seed=2).float()
    for sigma in sigmas_of(name):
        bound = ROUNDING32 * max(1.0, sigma**2)
        for mean in (0.0, 10.0):
            images = (random(2, 2, 20, 25) + mean).float()
            largest = images.abs().max()
            exact = functional.jet_maps(images.double(), sigma=sigma, kernel=KERNELS[name])
            error = functional.jet_maps(images, sigma=sigma, kernel=KERNELS[name]) - exact
            assert (error.square().mean((0, 1, 3, 4)).sqrt() <= bound * largest).all(), (sigma, mean)
            exact = functional.jet_conv(
                images.double(), weights.double(), offset.double(), sigma=sigma, kernel=KERNELS[name]
            )
            error = functional.jet_conv(images, weights, offset, sigma=sigma, kernel=KERNELS[name]) - exact
            norms = weights.abs().sum((1, 2))
            assert (error.square().mean((0, 2, 3)).sqrt() <= bound * largest * norms).all(), (sigma, mean)


def test_float32_rounding_does_grow_with_the_variance() -> None:
    """Control: the same bound without its factor σ² fails at σ = 8."""
    images = (random(2, 2, 20, 25) + 10).float()
    error = functional.jet_maps(images, sigma=8.0) - functional.jet_maps(images.double(), sigma=8.0)
    assert error.square().mean((0, 1, 3, 4)).sqrt().max() > 10 * ROUNDING32 * images.abs().max()


def test_coefficients_are_in_the_order_of_their_derivatives() -> None:
    """On x²/2 + 3xy + y² + 5x + 7y about the centre, σ = 2: exact values, the factors ½ and 2 of eq 6 included."""
    y, x = torch.meshgrid(*[torch.arange(-30.0, 31.0, dtype=torch.float64)] * 2, indexing="ij")
    image = (x**2 / 2 + 3 * x * y + y**2 + 5 * x + 7 * y)[None, None]
    result = functional.jet_conv(
        image, torch.eye(5, dtype=torch.float64)[:, None], torch.full((5,), 100.0, dtype=torch.float64), sigma=2.0
    )
    expected = torch.tensor([2 * 5, 2 * 7, 2 * 1, 2 * 2 * 3, 2 * 2], dtype=torch.float64) + 100
    assert torch.allclose(result[0, :, 30, 30], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
def test_layer_is_the_combination_of_its_maps(name: str, boundary: str) -> None:
    images, weights, offset = random(2, 2, 8, 7), random(3, 2, 5, seed=1), random(3, seed=2)
    options = {"sigma": 1.41, "kernel": KERNELS[name], "boundary": BOUNDARIES[boundary]}
    factors = torch.tensor([1, 1, 0.5, 1, 0.5], dtype=torch.float64)
    combined = torch.einsum("oij,bijyx->boyx", weights * factors, functional.jet_maps(images, **options))
    result = functional.jet_conv(images, weights, offset, **options)
    assert (result - combined - offset[:, None, None]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_layer_is_linear(boundary: str) -> None:
    first, second, weights = random(1, 2, 8, 7), random(1, 2, 8, 7, seed=1), random(3, 2, 5, seed=2)
    zero = torch.zeros(3, dtype=torch.float64)

    def layer(images: Tensor, factor: float) -> Tensor:
        background = Background(tuple(factor * value for value in BACKGROUND))
        outside = background if boundary == "background" else BOUNDARIES[boundary]
        return functional.jet_conv(images, weights, zero, sigma=2.0, boundary=outside)

    mixed = layer(2 * first - 3 * second, 2 - 3)
    assert (mixed - 2 * layer(first, 1) + 3 * layer(second, 1)).abs().max() <= TOLERANCE
    assert (layer(first, 1) - functional.jet_conv(first, weights, zero + 1, sigma=2.0)).abs().max() > 0.1  # control


def random_layer(name: str, *, smoothed: float = 0.0) -> nn.JetConv:
    layer = nn.JetConv(FieldType.scalars(2, smoothed=smoothed), 3, beta=1.25, kernel=KERNELS[name]).double()
    with torch.no_grad():
        layer.offset.copy_(random(3))
    return layer


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
def test_module_equals_function_in_every_channel(name: str, boundary: str) -> None:
    """On the image's grid, lifted as far as the layer reaches in each channel."""
    window, images, layer = ScaleWindow(G, sigma0=1.0, channels=3), random(2, 2, 9, 12), random_layer(name)
    options = {"sampling": ImageGrid(), "boundary": BOUNDARIES[boundary]}
    canvas = functional.lift(images, window, **options).grids
    field = layer(functional.lift(images, window, **options, wanted=layer.needs(canvas, canvas)))
    assert field.grids == canvas
    for channel, sigma0 in enumerate(window.sigmas):
        options = {"sigma": 1.25 * sigma0, "kernel": KERNELS[name], "boundary": BOUNDARIES[boundary]}
        expected = functional.jet_conv(images, layer.coefficients, layer.offset, **options)
        assert torch.equal(field.channel(channel), expected)
        options["sigma"] *= 1.01  # the control
        assert not torch.equal(field.channel(channel), functional.jet_conv(images, *layer.parameters(), **options))


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "iso"])  # too little is left for it at g = 1
def test_module_does_the_rest_of_the_smoothing_on_samples_of_the_channels_own_grid(name: str) -> None:
    window, sampling = ScaleWindow(G, sigma0=1.0, channels=3), SelfSimilar(1.0)
    layer, images = random_layer(name, smoothed=sampling.smoothed), random(2, 2, 63, 55)
    lifted = functional.lift(images, window, sampling=sampling)
    field = layer(lifted)
    for n in range(3):
        arguments = lifted.channel(n), layer.coefficients, layer.offset
        expected = KERNELS[name].combine(*arguments, sigma=1.25, smoothed=sampling.smoothed)
        assert torch.equal(field.channel(n), expected)
        assert field.grids.grids[n] == lifted.grids.grids[n].dilated(-KERNELS[name].reach(1.25, sampling.smoothed))
        unaware = KERNELS[name].combine(*arguments, sigma=1.25)  # the control
        assert unaware.shape != expected.shape or (unaware - expected).abs().max() > 0.01


# -- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", KERNELS)
def test_gradients_are_those_of_finite_differences(name: str, boundary: str) -> None:
    inputs = [part.requires_grad_() for part in (random(1, 2, 2, 3), random(2, 2, 5, seed=1), random(2, seed=2))]

    def layer(*inputs: Tensor) -> Tensor:
        return functional.jet_conv(*inputs, sigma=1.0, kernel=KERNELS[name], boundary=BOUNDARIES[boundary])

    assert torch.autograd.gradcheck(layer, inputs)
    if name in ("discrete", "derivatives", "iso"):  # of the others the same operations on other taps
        assert torch.autograd.gradgradcheck(layer, inputs)


@pytest.mark.parametrize("name", ["discrete", "derivatives"])
@pytest.mark.parametrize("jet", [Jet(3), Jet(1, zero=True)], ids=repr)
def test_gradients_of_grouped_jets_are_those_of_finite_differences(name: str, jet: Jet) -> None:
    parts = random(1, 2, 2, 3), random(4, 1, jet.size, seed=1), random(4, seed=2)

    def layer(*inputs: Tensor) -> Tensor:
        return functional.jet_conv(*inputs, sigma=1.0, kernel=KERNELS[name], jet=jet, groups=2)

    assert torch.autograd.gradcheck(layer, [part.requires_grad_() for part in parts])


def test_layer_counts_what_it_has_and_the_papers_as_the_paper_does() -> None:
    def count(jet: Jet, groups: int) -> tuple[int, int]:
        layer = nn.JetConv(FieldType.scalars(4), 6, jet=jet, groups=groups)
        return layer.paper_parameter_count, sum(parameter.numel() for parameter in layer.parameters())

    assert count(Jet(2), 1) == (6 * 4 * 6, 5 * 4 * 6 + 6)
    assert count(Jet(3), 1) == (9 * 4 * 6 + 6,) * 2
    assert count(Jet(2), 2) == (5 * 2 * 6 + 6,) * 2


def test_finite_differences_tell_a_wrong_gradient() -> None:
    """Control: a gradient that forgets the images must fail the check."""
    weights, offset = random(2, 2, 5, seed=1), random(2, seed=2)

    def forgetful(images: Tensor) -> Tensor:
        return functional.jet_conv(images.detach() + 0 * images, weights, offset, sigma=1.0)

    with pytest.raises(RuntimeError, match="Jacobian"):
        torch.autograd.gradcheck(forgetful, [random(1, 2, 3, 4).requires_grad_()])


@pytest.mark.parametrize("sampling", [ImageGrid(), SelfSimilar(1.0)], ids=repr)
def test_gradients_through_batch_norm_in_training(sampling: ImageGrid | SelfSimilar) -> None:
    window = ScaleWindow(G, sigma0=1.0, channels=2)
    norm = nn.BatchNorm(FieldType.scalars(2, smoothed=sampling.smoothed), half_width=1.0).double()

    def normalised(images: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        field = functional.lift(images, window, sampling=sampling)
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (field,)).maps

    inputs = [part.requires_grad_() for part in (random(2, 2, 4, 5), random(2, seed=1), random(2, seed=2))]
    assert torch.autograd.gradcheck(normalised, inputs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("grid", ["image", "self-similar"])
def test_gradients_through_a_whole_network(training: bool, grid: str) -> None:
    """Inputs and every parameter; a smooth activation, because finite differences fail at the kink of ReLU."""
    net = gaussian_derivative_net(
        widths=(2,),
        num_classes=2,
        window=ScaleWindow(G, sigma0=0.9, channels=2),
        activation=torch.nn.functional.softplus,
        boundary=Background(0.3),
        grid=grid,
    ).double()
    net.train(training)
    names = [name for name, _ in net.named_parameters()]

    def run(images: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (images,))

    parameters = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]
    assert torch.autograd.gradcheck(run, [random(2, 1, 3, 4).requires_grad_(), *parameters])


# -- devices and dtypes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", ["image", "self-similar"])
@pytest.mark.parametrize("boundary", [Reflect(), Background(0.5), Replicate(), Zero()], ids=repr)
def test_whole_network_runs_on_the_meta_device(boundary: Boundary, grid: str) -> None:
    """A tensor left on the CPU would meet one on meta and raise. As deep as it takes for a stride, on smooth grids."""
    window, images = ScaleWindow(G, sigma0=1.0, channels=3), torch.empty(2, 1, 33, 32, device="meta")
    parts = {"widths": (4, 4, 4), "window": window, "boundary": boundary, "grid": grid}
    net = gaussian_derivative_net("single_scale", **parts).to("meta")
    dense = gaussian_derivative_net("single_scale", readout=Dense(), **(parts | {"min_grid_sigma": None})).to("meta")
    for training in (True, False):
        net.train(training)
        assert (scores := net(images)).is_meta
        assert scores.shape == (2, 10)
        assert net.scale_logits(images).shape == (2, 10, 3)
        assert net.select_scale(images).shape == (2,)
        assert dense.train(training)(images).shape == (2, 10, 33, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_network_keeps_the_dtype(dtype: torch.dtype) -> None:
    net = gaussian_derivative_net(window=ScaleWindow(G, sigma0=1.0, channels=2), boundary=Background(0.5)).to(dtype)
    images = random(1, 1, 17, 17).to(dtype)
    assert net(images).dtype == net.select_scale(images).dtype == dtype
