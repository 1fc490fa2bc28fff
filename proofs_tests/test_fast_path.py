"""The parts of the planned path, each against the plain operation it stands for, and what is promised of the whole."""

import gc
import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from scalegroup import (
    Background,
    Boundary,
    DiscreteGaussian,
    Iso,
    Kernel,
    Reflect,
    Replicate,
    SampledDerivatives,
    ScaleGroup,
    ScaleWindow,
    Zero,
    functional,
    jet,
    nn,
)
from scalegroup.boundary import Extension
from scalegroup.grid import Grid
from scalegroup.mixing import Stencils, mix
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.nn.affine_relu import affine_relu
from scalegroup.resample import halve, halved_size
from scalegroup.smoothing import Banded, Depthwise, Smoothing, smoothing, smoothing_matrices

G = ScaleGroup(2**0.5)
ROUNDING = 1e-12  # float64, a few operations on numbers near 1
EXTENSIONS: dict[str, Extension] = {"zero": Zero(), "reflect": Reflect(), "replicate": Replicate()}
every_extension = pytest.mark.parametrize("extension", EXTENSIONS.values(), ids=EXTENSIONS)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


# -- smoothing --------------------------------------------------------------------------------------------------------

TAPS = DiscreteGaussian(tail=1e-3).filters(1.3).blur  # type: ignore[attr-defined]
REGIONS = {"whole": 40.0, "inside": 3.0, "partly outside": 12.0}  # half-widths on 31×34 samples


def plain_smoothing(maps: Tensor, wanted: Grid, extension: Extension) -> Tensor:
    """Extend, then convolve."""
    reach = len(TAPS) // 2 + 1
    taps = torch.as_tensor(TAPS, dtype=maps.dtype)
    extended = extension.extend(maps, Grid.whole(*maps.shape[-2:]), wanted, reach)
    smoothed = F.conv2d(extended.flatten(0, 1)[:, None], torch.outer(taps, taps)[None, None])
    return smoothed[:, 0].unflatten(0, maps.shape[:2])


@every_extension
@pytest.mark.parametrize("half_width", REGIONS.values(), ids=REGIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_matrices_and_depthwise_convolutions_smooth_alike(
    extension: Extension, half_width: float, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And have the same gradient. Depthwise runs in float32."""
    whole = Grid.whole(31, 34)
    wanted = whole.around(half_width)
    methods: list[Smoothing] = []
    for cost in (0.0, math.inf):
        monkeypatch.setattr("scalegroup.smoothing._DEPTHWISE_COST", {torch.float32: cost})
        methods.append(smoothing(TAPS, whole, wanted, 1, extension, torch.empty(0)))
    assert [type(method) for method in methods] == [Depthwise, Banded]
    exact = Banded(*smoothing_matrices(TAPS, whole, wanted, 1, extension, torch.empty(0, dtype=torch.float64)))
    maps, weights = random(2, channels, 31, 34), random(1, seed=1)
    expected = plain_smoothing(maps, wanted, extension)
    assert (exact(maps) - expected).abs().max() <= ROUNDING
    weights = random(*expected.shape, seed=1)
    leaf = maps.clone().requires_grad_()
    (slope,) = torch.autograd.grad((exact(leaf) * weights).sum(), leaf)
    for method in methods:
        leaf = maps.float().requires_grad_()
        result = method(leaf)
        (gradient,) = torch.autograd.grad((result * weights.float()).sum(), leaf)
        assert (result - expected).abs().max() <= 1e-5
        assert (gradient - slope).abs().max() <= 1e-5
    others = [other for other in EXTENSIONS.values() if other != extension]  # control: another boundary shows
    gaps = [(expected - plain_smoothing(maps, wanted, other)).abs().max() for other in others]
    assert (max(gaps) > 1e-3) == (half_width != REGIONS["inside"])


@every_extension
@pytest.mark.parametrize("size", [(41, 41), (40, 44)], ids=str)
def test_reduction_and_blur_are_one_matrix(extension: Extension, size: tuple[int, int]) -> None:
    """To halve and then to smooth on the coarser grid is the product; to smooth first is not."""
    fine = Grid.whole(*size)
    coarse = Grid.whole(halved_size(size[0]), halved_size(size[1]), stride=2)
    maps = random(2, 3, *size)
    like = torch.empty(0, dtype=torch.float64)
    both = Banded(*smoothing_matrices(TAPS, fine, coarse, 1, extension, like))(maps)
    assert (both - plain_smoothing(halve(maps, extension), coarse, extension)).abs().max() <= ROUNDING
    same = Banded(*smoothing_matrices(TAPS, fine, fine, 0, extension, like))(maps)
    assert (halve(same, extension) - both[:, :, 1:-1, 1:-1]).abs().max() > 1e-2


# -- mixing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stencils", [jet.central_differences(), jet.isotropic_differences()], ids=["3×3", "5×5"])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 3), (5, 2), (2, 40), (5, 40)])
def test_mixing_is_the_fused_convolution_and_so_is_its_gradient(stencils, inputs: int, outputs: int) -> None:
    """By derivative maps or by convolution, whichever pays."""
    prepared = Stencils.of(stencils, 1.7, torch.empty(0, dtype=torch.float64))
    leaves = [part.requires_grad_() for part in (random(3, inputs, 9, 10), random(outputs, inputs, 5, seed=1))]
    smoothed, coefficients = leaves
    result = mix(smoothed, coefficients, prepared.fuse(coefficients).detach(), prepared)
    expected = F.conv2d(smoothed, prepared.fuse(coefficients))
    assert (result - expected).abs().max() <= 10 * ROUNDING
    weights = random(*expected.shape, seed=2)
    ours, theirs = (torch.autograd.grad((out * weights).sum(), leaves) for out in (result, expected))
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()
    without_two = coefficients.detach() * torch.tensor([1, 1, 1, 0.5, 1])  # control
    assert (F.conv2d(smoothed, prepared.fuse(without_two)) - expected).abs().max() > 1e-2


def test_both_ways_to_the_gradient_of_the_coefficients_are_taken() -> None:
    prepared = Stencils.of(jet.central_differences(), 1.0, torch.empty(0))
    assert {prepared.maps_pay(8, outputs) for outputs in (8, 64)} == {False, True}


# -- norm and activation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("less_constant", [True, False])
def test_affine_relu_is_its_formula_and_so_is_its_gradient(less_constant: bool) -> None:
    leaves = [p.requires_grad_() for p in (random(2, 4, 5, 6), random(4, seed=1), random(4, seed=2))]

    def formula(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        moved = torch.relu(maps * scale[:, None, None] + shift[:, None, None])
        return moved - torch.relu(shift)[:, None, None] if less_constant else moved

    ours = partial(affine_relu, less_constant=less_constant)
    assert (ours(*leaves) - formula(*leaves)).abs().max() <= ROUNDING
    weights = random(2, 4, 5, 6, seed=3)
    pairs = zip(*(torch.autograd.grad((f(*leaves) * weights).sum(), leaves) for f in (ours, formula)), strict=True)
    assert all((a - b).abs().max() <= ROUNDING * 100 for a, b in pairs)
    other = affine_relu(*leaves, less_constant=not less_constant)  # control
    assert (other - formula(*leaves)).abs().max() > 1e-2


# -- the whole --------------------------------------------------------------------------------------------------------


def small_net(**options: object) -> GaussianDerivativeNet:
    torch.manual_seed(0)
    window = ScaleWindow(G, 1.0, 4)
    arguments = {"widths": (6, 24, 7), "window": window, "boundary": Background(0.3), "min_grid_sigma": None} | options
    net = gaussian_derivative_net(**arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    return net


def outcome(net: GaussianDerivativeNet, images: Tensor) -> list[Tensor]:
    """Logits, gradients and running statistics of one training step."""
    net.zero_grad()
    scores = net.train()(images)
    (scores * torch.linspace(-1, 1, scores.numel(), dtype=scores.dtype).view_as(scores)).sum().backward()
    return [scores.detach(), *(p.grad for p in net.parameters()), *net.buffers()]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "kernel", [DiscreteGaussian(tail=1e-3), Iso(tail=1e-3), SampledDerivatives(tail=1e-3)], ids=repr
)
@pytest.mark.parametrize("boundary", [None, Background(0.3)], ids=repr)
def test_float32_differs_from_the_plain_path_by_rounding(kernel: Kernel, boundary: Boundary | None) -> None:
    """1e-6·max(1, σ²)·max|x|/rms(out), per channel, σ being the largest of any layer on its grid."""
    net = small_net(kernel=kernel, boundary=boundary).eval()
    images = random(2, 1, 81, 81, dtype=torch.float32)
    planned, plain = (
        field.detach() for field in (net.scale_logits(images), net.dense(images, pooled=False).tensor[..., 0, 0])
    )
    exact = small_net(kernel=kernel, boundary=boundary).double().eval().scale_logits(images.double()).detach()
    for channel, sigma0 in enumerate(net.lift.window.sigmas):
        bound = 1e-6 * max(1, (1.25**3 * sigma0) ** 2) * images.abs().max() / exact[..., channel].square().mean().sqrt()
        signal = exact[..., channel].abs().max()
        for result in (planned, plain):
            assert (result - exact)[..., channel].abs().max() <= bound * signal
    assert (planned.roll(1, 2) - exact).abs().max() > 1e-2  # control: a wrong channel


@pytest.mark.parametrize("min_grid_sigma", [None, 1.0])
@pytest.mark.parametrize("boundary", [None, Background(0.3)], ids=repr)
def test_checkpointing_changes_nothing_but_memory(boundary: Boundary | None, min_grid_sigma: float | None) -> None:
    images = random(23, 1, 41, 41)
    nets = [
        small_net(checkpointing=flag, boundary=boundary, min_grid_sigma=min_grid_sigma).double()
        for flag in (False, True)
    ]
    for plain, thrifty in zip(*(outcome(net, images) for net in nets), strict=True):
        assert (plain - thrifty).abs().max() <= 1e-11 * max(1.0, float(plain.abs().max()))


class Living(TorchDispatchMode):
    """Counts the bytes of all storages made under it that still exist."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage.data_ptr()] = (
                    torch.multiprocessing.reductions.StorageWeakRef(storage),
                    storage.nbytes(),
                )
        return result

    @property
    def bytes(self) -> int:
        gc.collect()
        return sum(size for storage, size in self.storages.values() if not storage.expired())


def kept(net: GaussianDerivativeNet, images: Tensor) -> int:
    """Bytes that a forward pass in training leaves for the backward pass."""
    net.train()(images)  # what is prepared once
    with Living() as living:
        scores = net(images)
        assert scores.requires_grad
        return living.bytes


def test_checkpointing_keeps_half_for_the_backward_pass() -> None:
    images = random(12, 1, 65, 65, dtype=torch.float32)
    options = {"widths": (16, 24, 32, 48, 64), "min_grid_sigma": 1.0}
    assert kept(small_net(checkpointing=True, **options), images) <= kept(small_net(**options), images) / 2


def test_nothing_grows_with_the_number_of_steps() -> None:
    net, images = small_net(min_grid_sigma=1.0), random(2, 1, 41, 41, dtype=torch.float32)
    windows = [net.lift.window.select(n, 4) for n in range(3)]

    def step(number: int) -> None:
        net.lift.window = windows[number % 3]
        outcome(net, images)

    for number in range(3):
        step(number)
    prepared = len(net._plans), len(net._programs)
    assert prepared == (3, 3)
    with Living() as living:
        sizes = []
        for number in range(9):
            step(number)
            sizes.append(living.bytes)
        assert sizes[6:] == sizes[3:6]
    assert (len(net._plans), len(net._programs)) == prepared


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("boundary", [None, Background(0.3)], ids=repr)
def test_compiled_network_is_one_graph_and_the_same(boundary: Boundary | None, training: bool) -> None:
    """Without a C++ compiler; one graph for all batches of a shape; another window, or margin, is noticed."""
    net = small_net(boundary=boundary, min_grid_sigma=1.0).train(training)
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    batches = [random(2, 1, 41, 41, seed=seed, dtype=torch.float32) for seed in range(3)]
    compiled(batches[0])
    with torch._dynamo.config.patch(error_on_recompile=True):
        for batch in batches:
            state = {name: value.clone() for name, value in net.state_dict().items()}
            result = compiled(batch)
            net.load_state_dict(state)
            assert (result - net(batch)).abs().max() <= 1e-5
    for name, value in (("window", net.lift.window.select(1, 4)), ("margin", 3 if boundary else 0)):
        setattr(net.lift, name, value)
        state = {name: value.clone() for name, value in net.state_dict().items()}
        result = compiled(batches[0])
        net.load_state_dict(state)
        assert (result - net(batches[0])).abs().max() <= 1e-5


@pytest.mark.parametrize("pooled", [True, False], ids=["scores", "scale field"])
def test_compiled_network_takes_other_sizes_and_batches(pooled: bool) -> None:
    """Torch makes what changes symbolic; a plan is for one size, and compiled anew for another."""
    net = small_net(widths=(3,), window=ScaleWindow(G, 1.0, 2))
    layers = list(net.layers) if pooled else list(net.layers)[:-2]  # a field over the plane, whose size is its input's
    net = nn.Sequential(*layers, min_grid_sigma=1.0).eval()
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    results = []
    for batch, height, width in ((2, 41, 41), (3, 33, 40), (1, 41, 41)):
        images = random(batch, 1, height, width, dtype=torch.float32)
        got, expected = compiled(images), net(images)
        if not pooled:
            got, expected = got.tensor, expected.tensor
        assert got.shape == expected.shape
        assert (got - expected).abs().max() <= 1e-5
        results.append(expected)
    assert results[0].shape != results[1].shape  # the control: they were different


def test_channels_last_images_give_the_same() -> None:
    net = small_net(in_channels=3, min_grid_sigma=1.0).eval()
    images = random(2, 3, 40, 40, dtype=torch.float32)
    assert (net(images) - net(images.contiguous(memory_format=torch.channels_last))).abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel", [DiscreteGaussian(tail=1e-3), SampledDerivatives(tail=1e-3)], ids=repr)
def test_autocast_smooths_in_float32(kernel: Kernel, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is smoothed is differentiated next, which half precision is too coarse for; the rest may be half."""
    seen, multiplied = [], Banded.__call__
    monkeypatch.setattr(Banded, "__call__", lambda self, maps: seen.append(result := multiplied(self, maps)) or result)
    net, images = small_net(kernel=kernel).eval(), random(2, 1, 61, 61, dtype=torch.float32)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        half = net(images)
    assert all(maps.dtype == torch.float32 for maps in seen)
    exact = net(images).detach()
    assert (half - exact).norm() / exact.norm() <= 4 * torch.finfo(dtype).eps * 3  # four layers, each mixed in half
    with torch.autocast("cpu", dtype=dtype):
        net.train()(images).float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_the_gradient_of_a_blur_is_smoothed_in_float32_where_backward_is_called_within_autocast() -> None:
    """In half precision it is too coarse, and on some processors takes minutes."""
    blur = Depthwise(torch.tensor([0.25, 0.5, 0.25]), lambda maps: maps, (0, 0))

    def gradient(maps: Tensor, *, autocast: bool) -> Tensor:
        maps = maps.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            blur(maps).square().sum().backward()
        assert maps.grad is not None
        return maps.grad

    maps = random(1, 2, 12, 12, dtype=torch.float32)
    exact = gradient(maps, autocast=False)
    assert torch.equal(gradient(maps, autocast=True), exact)
    assert (exact - exact.bfloat16()).abs().max() > 1e-4  # the control: half precision would be seen


def test_scale_channels_of_one_grid_sigma_share_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """σ₀ = 1, 2 and 4 on strides 1, 2 and 4 are the same filters: their weights are fused once."""
    fused = []
    fuse = Stencils.fuse
    monkeypatch.setattr(Stencils, "fuse", lambda self, c: fused.append(1) or fuse(self, c))
    for window, distinct in ((ScaleWindow(ScaleGroup(2), 1.0, 3), 1), (ScaleWindow(ScaleGroup(3), 1.0, 3), 3)):
        net = nn.Sequential(nn.Lift(window), partial(nn.JetConv, out_type=2), nn.ReadOut, min_grid_sigma=1.0)
        fused.clear()
        net(torch.rand(1, 1, 97, 97))
        assert len(fused) == distinct


def test_planned_first_layer_is_the_function() -> None:
    """nn.JetConv as planned equals functional.jet_conv, of which the tests of the layers are."""
    net = nn.Sequential(
        nn.Lift(ScaleWindow(G, 1.5, 1), 2, background=0.4), partial(nn.JetConv, out_type=3), nn.ReadOut
    ).double()
    layer = net.layers[1]
    images = random(2, 2, 33, 33)
    expected = functional.jet_conv(
        images, layer.coefficients, layer.offset, sigma=1.5, kernel=layer.kernel, boundary=Background(0.4)
    )
    assert (net(images).tensor[:, :, 0, 0, 0] - expected[:, :, 16, 16]).abs().max() <= ROUNDING
