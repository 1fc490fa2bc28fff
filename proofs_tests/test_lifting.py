"""The lifting against its slow reference and its closed forms: all that scaling sees of sampling happens there."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from proofs_tests import slow_reference as slow
from proofs_tests.comparison import RATIOS, ROUNDING, assert_same_field, same_bits
from scalegroup import (
    Axis,
    Background,
    BandLimited,
    Boundary,
    CentrePixel,
    Grid,
    Grids,
    ImageGrid,
    LiftingKernel,
    Reflect,
    Replicate,
    SampledLifting,
    Sampling,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    SelfSimilar,
    Zero,
    functional,
    nn,
)
from scalegroup.testing.closed_form import Blobs

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, 0.5, 7)  # σ₀ from ½ to 4
KERNELS: dict[str, LiftingKernel] = {"band-limited": BandLimited(), "sampled": SampledLifting()}
VALUES = (0.7, -1.3)
BOUNDARIES: dict[str, Boundary] = {
    "background": Background(VALUES),
    "reflect": Reflect(),
    "replicate": Replicate(),
    "zero": Zero(),
}
SAMPLINGS: dict[str, Sampling] = {name: SelfSimilar(1.0, kernel=kernel) for name, kernel in KERNELS.items()}
SHAPES = [(9, 9), (8, 8), (9, 12), (1, 1), (1, 6), (2, 3), (21, 4)]
TAPER = 256  # pixels over which the library lets the tails of band-limited rows run out, beyond the image

every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def waves(*shape: int, least: float = math.pi / 3) -> Tensor:
    """Random images whose mirrored worlds have no frequency within `least` of π."""

    def modes(size: int) -> Tensor:
        highest = math.floor((1 - least / math.pi) * (size - 1) + 1e-9)
        phases = torch.arange(size, dtype=torch.float64) * math.pi / max(1, size - 1)
        return torch.cos(torch.arange(highest + 1)[:, None] * phases)

    along_y, along_x = modes(shape[-2]), modes(shape[-1])
    waves = torch.einsum("bckl, ky, lx -> bcyx", random(*shape[:2], len(along_y), len(along_x)), along_y, along_x)
    return waves / waves.abs().max()


def lifted(images: Tensor, kernel: str, boundary: Boundary, *, beyond: int = 0, g: float = 1.0) -> ScaleField:
    """All of the images and `beyond` samples more on each side."""
    sampling = SelfSimilar(g, kernel=KERNELS[kernel])
    canvas = sampling.canvas((images.shape[2], images.shape[3]), WINDOW.sigmas)
    wanted = canvas.map(lambda grid: grid.dilated(beyond))
    return functional.lift(images, WINDOW, boundary=boundary, sampling=sampling, wanted=wanted)


def smoothing(field: ScaleField) -> list[float]:
    """σ of what the lifting does in each channel, in pixels."""
    return [field.type.smoothed * sigma for sigma in field.window.sigmas]


def tail_error(sigma: float, least: float = math.pi / 3) -> float:
    """What the taper of band-limited rows may change in an endless world without frequencies within `least` of π.

    The taper w is 1, then falls as a cos² over T pixels, so |ŵ(u)| ≤ V/|u|³, V = 4π²/T² the variation of w''. A tapered
    row is a Gaussian, on which it acts below rounding, less the frequencies beyond π, G(π) = exp(-π²σ²/2) high at most.
    What leaks from beyond an edge at a distance d is G(π)/(2π)·∫_d^∞ V/u³ du = G(π)·π/(T²d²). By sampling there are two
    such edges at all odd multiples of π: Σ 2/d² = 1/(2 sin²(d/2)). On either axis.
    """
    return 2 * math.exp(-((math.pi * sigma) ** 2) / 2) * math.pi / TAPER**2 / (2 * math.sin(least / 2) ** 2)


# -- against the slow reference ---------------------------------------------------------------------------------------


def reference(field: ScaleField, channel: int, images: Tensor, kernel: str, boundary: str) -> Tensor:
    grid, spacing = field.grids.grids[channel], field.grids.spacings[channel]
    positions = grid.y.positions * spacing, grid.x.positions * spacing
    sigma = smoothing(field)[channel]
    return torch.from_numpy(slow.lift(images.numpy(), *positions, sigma, kernel, boundary, VALUES))


@every_kernel
@every_boundary
@every_shape
def test_lifting_equals_the_slow_reference(kernel: str, boundary: str, shape: tuple[int, int]) -> None:
    images = (waves if boundary == "reflect" else random)(2, 2, *shape)
    field = lifted(images, kernel, BOUNDARIES[boundary], beyond=2)
    endless = kernel == "band-limited" and boundary in ("reflect", "replicate")
    for n, sigma in enumerate(smoothing(field)):
        allowed = ROUNDING[torch.float64] + (tail_error(sigma) * images.abs().max() if endless else 0)
        assert (field.channel(n) - reference(field, n, images, kernel, boundary)).abs().max() <= allowed, sigma


@every_kernel
@every_boundary
def test_reference_tells_wrong_liftings_apart(kernel: str, boundary: str) -> None:
    """Controls: another boundary, another kernel, σ wrong by 1 %, half a sample aside."""
    images = waves(1, 2, 9, 8)
    field = lifted(images, kernel, BOUNDARIES[boundary], beyond=2)
    expected = [reference(field, n, images, kernel, boundary) for n in range(WINDOW.channels)]

    def error(other: ScaleField) -> float:
        return max((other.channel(n) - values).abs().max().item() for n, values in enumerate(expected))

    assert error(field) < 1e-3
    for name, other in BOUNDARIES.items():
        assert name == boundary or error(lifted(images, kernel, other, beyond=2)) > 0.03
    (other,) = set(KERNELS) - {kernel}
    assert error(lifted(images, other, BOUNDARIES[boundary], beyond=2)) > 0.03
    options = {"boundary": BOUNDARIES[boundary], "wanted": field.grids}
    wider = SelfSimilar(1.0, smoothed=1.01 * field.type.smoothed, kernel=KERNELS[kernel])
    assert error(functional.lift(images, WINDOW, sampling=wider, **options)) > 2e-3
    options["wanted"] = field.grids.map(lambda grid: replace(grid, x=replace(grid.x, first=grid.x.first + 0.5)))
    sampling = SelfSimilar(1.0, kernel=KERNELS[kernel])
    assert error(functional.lift(images, WINDOW, sampling=sampling, **options)) > 0.03


# -- closed forms -----------------------------------------------------------------------------------------------------


def blob(width: float, factor: float = 1.0) -> Blobs:
    """One of amplitude 1 off the centre, scaled."""
    numbers = torch.tensor([1.0, width * factor, 1.3 * factor, -0.6 * factor], dtype=torch.float64)
    return Blobs(numbers[None, :1], numbers[None, 1:2], numbers[None, None, 2:])


def smoothed_blob(field: ScaleField, channel: int, width: float) -> Tensor:
    """That blob smoothed by the channel's Gaussian, again a Gaussian, at the channel's samples."""
    variance = width**2 + smoothing(field)[channel] ** 2
    grid, spacing = field.grids.grids[channel], field.grids.spacings[channel]
    x, y = (torch.from_numpy(axis.positions * spacing) for axis in (grid.x, grid.y))
    return width**2 / variance * blob(math.sqrt(variance)).at(x, y)[:, None]


def blob_error(kernel: str, sigma: float, width: float) -> float:
    """Of a lifted blob of amplitude 1, by Poisson summation; in two axes.

    The sampled Gaussian: Σ g(n - p) f(n) differs from (g ∗ f)(p) by the products of g's spectrum and f's copies at
    2πm, each w/√(w² + σ²)·exp(-2π²m²·w²σ²/(w² + σ²)); and the mass that a row is divided by from 1 by 2 exp(-2π²σ²).
    The band-limited one: what f has beyond π, erfc(πw/√2) of its height, is missed, and found again within π.
    """
    if kernel == "band-limited":
        return 4 * math.erfc(math.pi * width / math.sqrt(2))
    joint = width**2 * sigma**2 / (width**2 + sigma**2)
    copies = 2 * width / math.hypot(width, sigma) * math.exp(-2 * math.pi**2 * joint)
    return 2 * 1.1 * (copies + 2 * math.exp(-2 * math.pi**2 * sigma**2))  # a tenth for |m| > 1 and products of errors


@every_kernel
@pytest.mark.parametrize("width", [1.0, 1.5, 2.0, 3.0])
def test_lifted_blob_is_a_blob_of_more_variance(kernel: str, width: float) -> None:
    size = 2 * math.ceil(9 * width) + 6, 2 * math.ceil(9 * width) + 5
    field = lifted(blob(width).sample(*size), kernel, Background(0.0), beyond=3, g=0.7)
    for n, sigma in enumerate(smoothing(field)):
        error = (field.channel(n) - smoothed_blob(field, n, width)).abs().max()
        allowed = min(1.0, blob_error(kernel, sigma, width))
        assert error <= allowed + ROUNDING[torch.float64], sigma
        if allowed < 1e-3:  # the control: the image as it is, no blob of more variance
            assert (field.channel(n) - smoothed_blob(field, n, 1.01 * width)).abs().max() > 2 * allowed


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_scaled_image_has_the_samples_of_the_image_one_channel_further(ratio: float) -> None:
    """The law that all others rest on, at blobs of 1.7 pixels and more: 4e-7, the two errors of `blob_error`."""
    window, grid, width = ScaleWindow(ScaleGroup(ratio), 0.5, 4), Grid(Axis.within(9), Axis.within(8), 0.7), 1.7

    def samples(factor: float, size: int) -> ScaleField:
        images = blob(width, factor).sample(size, size + 1)
        wanted = Grids((size, size + 1), window.sigmas, (grid,) * 4)
        options = {"boundary": Background(0.0), "sampling": SelfSimilar(0.7), "wanted": wanted}
        return functional.lift(images, window, **options)

    image, scaled = samples(1.0, 42), samples(ratio, 81)
    allowed = 2 * blob_error("band-limited", 0.0, width)
    for n in range(3):
        assert (image.channel(n) - scaled.channel(n + 1)).abs().max() <= allowed
        assert (image.channel(n) - scaled.channel(n)).abs().max() > 1e5 * allowed  # the control


@pytest.mark.parametrize("shape", [(9, 16), (40, 25)], ids=str)
def test_waves_below_pi_are_damped_exactly_and_nothing_else(shape: tuple[int, int]) -> None:
    """cos ωy · cos νx, mirrored at the borders: it is multiplied by exp(-σ²(ω² + ν²)/2) at all real places."""
    for k, m in ((0, 1), (1, 2), (3, 4), (6, 11)):
        frequencies = [order * math.pi / (size - 1) for order, size in zip((k, m), shape, strict=True)]

        def wave(axis: int, positions: Tensor, frequencies: list[float] = frequencies) -> Tensor:
            return torch.cos(frequencies[axis] * (positions + (shape[axis] - 1) / 2))

        y, x = (wave(axis, torch.arange(size).double() - (size - 1) / 2) for axis, size in enumerate(shape))
        image = (y[:, None] * x)[None, None]
        images = {kernel: lifted(image, kernel, Reflect(), beyond=3) for kernel in KERNELS}
        for n, sigma in enumerate(smoothing(images["sampled"])):
            grids = images["sampled"].grids
            grid, spacing = grids.grids[n], grids.spacings[n]
            y, x = (wave(a, torch.from_numpy(axis.positions * spacing)) for a, axis in enumerate((grid.y, grid.x)))
            damping = math.exp(-(sigma**2) * sum(f**2 for f in frequencies) / 2)
            error = {kernel: (images[kernel].channel(n) - damping * y[:, None] * x).abs().max() for kernel in KERNELS}
            allowed = tail_error(sigma, math.pi - max(frequencies)) + ROUNDING[torch.float64]
            assert error["band-limited"] <= allowed
            if (k, n) == (6, 0):  # the control: at σ₀ = ½ the sampled Gaussian is another
                assert error["sampled"] > 100 * allowed


@every_kernel
@every_shape
def test_constants_stay_constant(kernel: str, shape: tuple[int, int]) -> None:
    """In a world that goes on as the image does; the control is one of zeros."""
    images = torch.tensor(VALUES, dtype=torch.float64)[:, None, None].expand(3, 2, *shape)
    for boundary in BOUNDARIES.values():
        field = lifted(images, kernel, boundary, beyond=3)
        changes = [(field.channel(n) - images[..., :1, :1]).abs().max() for n in range(WINDOW.channels)]
        if isinstance(boundary, Zero) and not isinstance(boundary, Background):
            assert min(changes) > 0.1
        elif isinstance(boundary, Background):
            assert max(changes) == 0
        else:
            tails = [tail_error(sigma, math.pi) if kernel == "band-limited" else 0 for sigma in smoothing(field)]
            allowed = (1.3 * tail + ROUNDING[torch.float64] for tail in tails)
            assert all(change <= most for change, most in zip(changes, allowed, strict=True))


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.7])
def test_tails_run_out_smoothly(sigma: float) -> None:
    """Rows that are cut with a bounded second derivative miss a mass of T⁻³ at most; a plain cosine has a kink."""
    axis, size = Axis.within(12 / sigma), 24
    masses = SelfSimilar(1.0).matrix(axis, sigma, sigma, size, Replicate()).sum(1)
    assert abs(masses - 1).max() <= TAPER**-3
    positions, whole = axis.positions * sigma + (size - 1) / 2, size + 9 * sigma
    offsets = np.arange(-400, 424) - positions[:, None]
    rows = BandLimited().rows(offsets, 0.9 * sigma)
    kinked = rows * np.cos(math.pi / 2 * np.clip((abs(offsets) - whole) / TAPER, 0, 1))
    assert abs(kinked.sum(1) - 1).max() > 3 * TAPER**-3  # the control


def test_background_belongs_to_its_channel() -> None:
    images = random(2, 2, 9, 8)
    field = lifted(images, "band-limited", Background(VALUES), beyond=20)
    coarsest = field.channel(WINDOW.channels - 1)
    corner = coarsest[..., 0, 0]
    assert (corner - torch.tensor(VALUES, dtype=torch.float64)).abs().max() <= ROUNDING[torch.float64]
    for c, value in enumerate(VALUES):
        alone = lifted(images[:, c : c + 1], "band-limited", Background(value), beyond=20)
        torch.testing.assert_close(
            alone.channel(0), field.channel(0)[:, c : c + 1], rtol=0, atol=ROUNDING[torch.float64]
        )
    assert (corner - corner.flip(1)).abs().min() > 1  # the control: they are two


# -- the centre -------------------------------------------------------------------------------------------------------


@every_shape
@pytest.mark.parametrize("g", [0.5, 2**-0.5, 1.0, 2.0])
def test_grids_are_centred_and_reach_as_far_as_the_image(shape: tuple[int, int], g: float) -> None:
    grids = SelfSimilar(g).canvas(shape, WINDOW.sigmas)
    for grid, spacing, sigma in zip(grids.grids, grids.spacings, WINDOW.sigmas, strict=True):
        assert (spacing, grid.samples_per_sigma) == (sigma / g, g)
        for axis, size in ((grid.y, shape[0]), (grid.x, shape[1])):
            assert axis.first == -(axis.length // 2)
            assert axis.length % 2 == 1
            assert axis.positions[-1] * spacing <= (size - 1) / 2 + 1e-9 < (axis.positions[-1] + 1) * spacing + 2e-9


@pytest.mark.parametrize("shape", [(24, 24), (24, 25), (25, 25)], ids=str)
def test_centre_of_the_image_is_a_sample_whatever_its_size(shape: tuple[int, int]) -> None:
    width = 2.0
    centred = replace(blob(width), centres=torch.zeros(1, 1, 2, dtype=torch.float64))

    def centre(images: Tensor, sampling: Sampling = SelfSimilar(0.7)) -> Tensor:  # noqa: B008
        field = functional.lift(images, WINDOW, boundary=Background(0.0), sampling=sampling)
        return nn.ReadOut(field.type, CentrePixel())(field).tensor[:, 0, :, 0, 0]

    sigmas = torch.tensor([SelfSimilar(0.7).smoothed * sigma for sigma in WINDOW.sigmas], dtype=torch.float64)
    expected = width**2 / (width**2 + sigmas**2)
    assert (centre(centred.sample(*shape)) - expected).abs().max() <= blob_error("band-limited", 0.0, width)
    images = random(2, 1, *shape)
    for mirrored in (images.flip(2), images.flip(3), images.flip(2, 3)):
        torch.testing.assert_close(centre(mirrored), centre(images), rtol=0, atol=ROUNDING[torch.float64])
    assert (centre(images.roll(1, 3)) - centre(images)).abs().min() > 1e-4  # the control
    if 0 in (shape[0] % 2, shape[1] % 2):  # on pixels there is no centre: the mean of several is lower
        assert (centre(centred.sample(*shape), ImageGrid()) - 1).abs().min() > 0.02


# -- what is held, in which dtype -------------------------------------------------------------------------------------


@every_boundary
@every_kernel
@pytest.mark.parametrize("beyond", [0, 3, 20])
def test_samples_beyond_the_image_are_those_of_the_boundary_world(kernel: str, boundary: str, beyond: int) -> None:
    """However many are asked for: the same weights, to the bit (of a sum, where rows are normalised), and values."""
    images = random(2, 2, 9, 8)
    inner = lifted(images, kernel, BOUNDARIES[boundary], beyond=beyond)
    outer = lifted(images, kernel, BOUNDARIES[boundary], beyond=beyond + 7)
    cropped = outer.crop(inner.grids)
    assert cropped.grids == inner.grids
    weights = SAMPLINGS[kernel].matrix
    for n, (grid, wider) in enumerate(zip(inner.grids.grids, outer.grids.grids, strict=True)):
        world = inner.grids.spacings[n], WINDOW.sigmas[n], 8, BOUNDARIES[boundary]
        few, many = weights(grid.x, *world), weights(wider.x, *world)
        assert abs(few - many[7:-7]).max() <= (0 if kernel == "band-limited" else 1e-15)
    for a, b in zip(inner.maps, cropped.maps, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=ROUNDING[torch.float64])
    shifted = outer.crop(inner.grids.map(lambda grid: replace(grid, x=replace(grid.x, first=grid.x.first + 1))))
    assert (shifted.maps[0] - inner.maps[0]).abs().max() > 0.01  # the control


@pytest.mark.parametrize("name", SAMPLINGS)
def test_channels_that_share_a_grid_are_one_tensor(name: str) -> None:
    images = random(3, 2, 21, 20)
    shared, own = Grid(Axis.within(2), Axis.within(3), 1.0), Grid(Axis.within(4), Axis.within(3), 1.0)
    wanted = Grids((21, 20), WINDOW.sigmas, (shared,) * 4 + (own,) * 2 + (shared,))
    field = functional.lift(images, WINDOW, sampling=SAMPLINGS[name], wanted=wanted)
    assert [maps.shape for maps in field.maps] == [(12, 2, 5, 7), (6, 2, 9, 7), (3, 2, 5, 7)]
    assert [(run.start, run.stop) for run in field.runs] == [(0, 4), (4, 6), (6, 7)]
    for n in range(WINDOW.channels):
        one = functional.lift(images, WINDOW.select(n, n + 1), sampling=SAMPLINGS[name], wanted=wanted.select(n, n + 1))
        torch.testing.assert_close(field.channel(n), one.channel(0), rtol=0, atol=ROUNDING[torch.float64])
    for n, m in pairwise(range(4)):  # the control
        assert not torch.allclose(field.channel(n), field.channel(m))


@every_boundary
@pytest.mark.parametrize("shape", [(5, 7), (4, 6), (1, 1)], ids=str)
def test_image_grid_gives_the_pixels_themselves(boundary: str, shape: tuple[int, int]) -> None:
    images = random(2, 2, *shape)
    options = {"boundary": BOUNDARIES[boundary], "sampling": ImageGrid()}
    field = functional.lift(images, WINDOW, **options)
    assert field.type.smoothed == 0
    beyond = functional.lift(images, WINDOW, **options, wanted=field.grids.map(lambda grid: grid.dilated(9)))
    for n in range(WINDOW.channels):
        if boundary == "background":  # it is taken off and put back: to the bit of that
            value = torch.tensor(VALUES, dtype=torch.float64)[:, None, None]
            assert same_bits(field.channel(n), (images - value) + value)
        else:
            assert same_bits(field.channel(n) + 0.0, images + 0.0)
        for b, c in ((0, 0), (1, 1)):
            expected = slow.extended(images[b, c].numpy(), 9, boundary, VALUES[c])
            torch.testing.assert_close(
                beyond.channel(n)[b, c], torch.from_numpy(expected), rtol=0, atol=ROUNDING[torch.float64]
            )


@pytest.mark.parametrize("sampling", [SelfSimilar(0.7), ImageGrid()], ids=["self-similar", "image"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_give_float32_maps(dtype: torch.dtype, sampling: Sampling) -> None:
    """A Gaussian that is differentiated next has no use for eight bits; autocast does not change that."""
    images = random(2, 2, 9, 8).to(dtype)
    options = {"boundary": Background(VALUES), "sampling": sampling}
    field = functional.lift(images, WINDOW, **options)
    assert field.maps[0].dtype == torch.float32
    values = torch.tensor(VALUES).to(dtype).float()  # the world around them is of their precision
    exact = functional.lift(images.float(), WINDOW, **options | {"boundary": Background(values)})
    assert_same_field(field, exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same_field(functional.lift(images, WINDOW, **options), field)


@every_kernel
@every_boundary
def test_float32_differs_from_float64_by_rounding(kernel: str, boundary: str) -> None:
    images = random(2, 2, 33, 32)
    exact = lifted(images, kernel, BOUNDARIES[boundary], beyond=3)
    rounded = lifted(images.float(), kernel, BOUNDARIES[boundary], beyond=3)
    errors = [(a - b).abs().max().item() for a, b in zip(exact.maps, rounded.maps, strict=True)]
    assert 0 < max(errors) <= ROUNDING[torch.float32]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own, in forward mode
@pytest.mark.parametrize("sampling", [SelfSimilar(1.0), ImageGrid()], ids=["self-similar", "image"])
@every_boundary
def test_gradients_reach_the_images(boundary: str, sampling: Sampling) -> None:
    window = ScaleWindow(G, 0.7, 3)

    def lift(images: Tensor) -> tuple[Tensor, ...]:
        canvas = sampling.canvas((2, 3), window.sigmas).map(lambda grid: grid.dilated(1))
        return functional.lift(images, window, boundary=BOUNDARIES[boundary], sampling=sampling, wanted=canvas).maps

    images = random(1, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lift, images)
    assert torch.autograd.gradcheck(lift, images, check_forward_ad=True, check_backward_ad=False)
    with pytest.raises(RuntimeError, match="Jacobian"):  # the control: a gradient that forgets half of the way
        torch.autograd.gradcheck(lambda images: lift(images / 2 + (images / 2).detach()), images)


@every_boundary
def test_lifting_is_vectorised_by_torch_func(boundary: str) -> None:
    images = random(5, 2, 9, 8)

    def one(image: Tensor) -> tuple[Tensor, ...]:
        return functional.lift(image[None], WINDOW, boundary=BOUNDARIES[boundary]).maps

    whole = functional.lift(images, WINDOW, boundary=BOUNDARIES[boundary])
    for n, maps in enumerate(torch.func.vmap(one)(images)):
        torch.testing.assert_close(maps[:, 0], whole.channel(n), rtol=0, atol=ROUNDING[torch.float64])
    assert not torch.allclose(whole.channel(0)[0], whole.channel(0)[1])  # the control


@every_kernel
def test_layer_equals_function(kernel: str) -> None:
    images, other = random(2, 2, 9, 8), ScaleWindow(ScaleGroup(3), 0.9, 2)
    layer = nn.Lift(WINDOW, 2, boundary=Replicate(), samples_per_sigma=0.9, kernel=KERNELS[kernel])
    options = {"boundary": Replicate(), "sampling": SelfSimilar(0.9, kernel=KERNELS[kernel])}
    assert_same_field(layer(images), functional.lift(images, WINDOW, **options))
    assert_same_field(layer(images, window=other), functional.lift(images, other, **options))
    assert layer(images).type == layer.out_type
    pixels = nn.Lift(WINDOW, 2, boundary=Replicate(), grid="image")(images)
    assert_same_field(pixels, functional.lift(images, WINDOW, boundary=Replicate(), sampling=ImageGrid()))


def test_by_default_a_sample_is_root_two_sigma_wide() -> None:
    """The README's table says why: it costs least of those that move by half a sample at a tenth of the signal."""
    window = ScaleWindow(G, 1.0, 3)
    for field in (functional.lift(torch.rand(1, 1, 9, 9), window), nn.Lift(window)(torch.rand(1, 1, 9, 9))):
        spacings = [sigma * math.sqrt(2) for sigma in window.sigmas]
        assert field.grids.spacings == pytest.approx(spacings, rel=1e-15)
    assert nn.Lift(window).out_type.smoothed == 0.9
