"""Networks are ordinary PyTorch: hooks, double backward, torch.func, copies, threads, graphs, autocast, checkpoints."""

import copy
import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from proofs_tests.comparison import ROUNDING, same_bits
from scalegroup import (
    Attention,
    Background,
    Dense,
    DiscreteGaussian,
    FieldType,
    Iso,
    Kernel,
    Reflect,
    SampledDerivatives,
    ScaleGroup,
    ScaleWindow,
    constants,
    nn,
)

GROUP = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(GROUP, 0.9, 3)
SHORT = DiscreteGaussian(tail=1e-2)
jet = partial(nn.JetConv, kernel=SHORT)
chain = nn.Sequential


def residual(type_: FieldType) -> nn.Layer:
    return nn.Residual(chain(jet(type_, 3), nn.BatchNorm, nn.ReLU, partial(jet, out_type=type_.size)))


def across(type_: FieldType) -> nn.Layer:
    return nn.ScaleConv(type_, 2, GROUP)


def heads(type_: FieldType) -> nn.Layer:
    return nn.Heads(
        what=chain(jet(type_, 3), nn.ReadOut, nn.ScalePool),
        where=chain(jet(type_, 2, beta=1.5), partial(nn.ReadOut, readout=Dense())),
    )


def block(type_: FieldType) -> nn.Layer:
    return nn.Residual(chain(jet(type_, 2), nn.BatchNorm, nn.ReLU))


def ends(type_: FieldType) -> nn.Layer:
    return nn.Heads(what=chain(nn.ReadOut(type_), nn.ScalePool), where=nn.Mix(type_, 3))


READ = (nn.ReadOut, nn.ScalePool)
gate, attention = partial(nn.SqueezeExcite, kernel=SHORT), partial(nn.ScalePool, pooling=Attention())
first, last = partial(jet, out_type=2), partial(jet, out_type=3, beta=1.25)
LAYERS: dict[str, tuple[Any, ...]] = {
    "shallow": (first, nn.BatchNorm, nn.ReLU, *READ),
    "plain": (first, nn.BatchNorm, nn.ReLU, last, *READ),
    "strides": (partial(jet, out_type=2, stride=2), nn.BatchNorm, nn.ReLU, partial(jet, out_type=3, beta=2), *READ),
    "residual": (first, residual, nn.ReLU, last, *READ),
    "across scale": (first, nn.ReLU, across, nn.ReLU, last, *READ),
    "heads": (first, nn.BatchNorm, nn.ReLU, heads),
    "everything": (first, block, across, ends),
    "gates": (first, partial(nn.GroupNorm, groups=1), nn.ReLU, gate, last, nn.ReadOut, attention),
    "separate": (partial(jet, out_type=2, kernel=SampledDerivatives(tail=1e-2)), nn.ReLU, last, *READ),
    "affine": (partial(nn.AffineJetConv, out_type=2, orientations=2, tail=1e-2), nn.ReLU, last, *READ),
    "iso": (partial(jet, out_type=2, beta=1.5, kernel=Iso(tail=1e-2)), nn.ReLU, last, *READ),
}
every_network = pytest.mark.parametrize("name", LAYERS)


def network(
    name: str, dtype: torch.dtype = torch.float64, *, window: ScaleWindow = WINDOW, **options: Any
) -> nn.Sequential:
    torch.manual_seed(0)
    lift = nn.Lift(window, boundary=Background(0.3), samples_per_sigma=1.0)
    net = chain(lift, *LAYERS[name], **options).double()
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    return net.to(dtype)


def lift_and_jet() -> nn.Sequential:
    """What is compiled soonest."""
    lift = nn.Lift(WINDOW.select(0, 1), samples_per_sigma=1.0)
    return chain(lift, jet(lift.out_type, 2)).double()


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tensors(result: Any) -> list[Tensor]:
    """Of class scores, of a field, or of several of them."""
    if isinstance(result, dict):
        return [tensor for part in result.values() for tensor in tensors(part)]
    return [result] if isinstance(result, Tensor) else list(result.maps)


def total(result: Any) -> Tensor:
    parts = [(t * torch.linspace(-1, 1, t[0].numel(), dtype=t.dtype).view_as(t[0])).sum() for t in tensors(result)]
    return torch.stack(parts).sum()


def same(ours: Any, theirs: Any) -> bool:
    pairs = list(zip(tensors(ours), tensors(theirs), strict=True))
    return all(same_bits(a.detach(), b.detach()) for a, b in pairs)


def gap(ours: Any, theirs: Any) -> float:
    pairs = [(a.detach().double(), b.detach().double()) for a, b in zip(tensors(ours), tensors(theirs), strict=True)]
    return torch.stack([(a - b).norm() / b.norm() for a, b in pairs]).max().item()


# -- hooks and derivatives --------------------------------------------------------------------------------------------


@every_network
def test_hooks_fire_once_on_every_layer_of_a_planned_run(name: str) -> None:
    """A hook may also change what a layer gives, and that is what the next one gets."""
    net, seen = network(name).eval(), []
    images = random(2, 1, 9, 9)
    for path, module in net.named_modules():
        if isinstance(module, nn.Layer):
            module.register_forward_hook(lambda *_, path=path: seen.append(path))
    plain = net(images)
    assert sorted(seen) == sorted(path for path, module in net.named_modules() if isinstance(module, nn.Layer))
    net[1].register_forward_hook(lambda _, __, field: field.on_runs(lambda run: run.maps + 1))
    assert not same(net(images), plain)


@pytest.mark.parametrize("name", ["plain", "residual", "separate", "strides", "across scale"])
def test_second_derivatives_are_those_of_finite_differences(name: str) -> None:
    """By images and parameters, of smooth networks: the backward pass is differentiable itself."""
    net = network(name).eval()
    for layer in net.modules():
        if isinstance(layer, nn.Pointwise) and layer.function is torch.relu:
            layer.function = torch.tanh
    layer = next(part for part in net.modules() if isinstance(part, nn.JetConv))

    def scores(images: Tensor, coefficients: Tensor) -> Tensor:
        path = next(key for key, p in net.named_parameters() if p is layer.coefficients)
        return torch.func.functional_call(net, {path: coefficients}, images)

    leaves = random(1, 1, 3, 3).requires_grad_(), layer.coefficients.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(scores, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(scores, leaves, fast_mode=True)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # of torch's own forward mode
@every_network
def test_torch_func_gives_the_derivatives_of_autograd(name: str) -> None:
    """grad, vmap over images, jvp (forward mode) and vmap of grad, through functional_call."""
    net = network(name).eval()
    parameters = {key: p.detach() for key, p in net.named_parameters()}
    images = random(3, 1, 7, 7)

    def loss(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        return total(torch.func.functional_call(net, parameters, images))

    gradients = torch.func.grad(loss)(parameters, images)
    expected = torch.autograd.grad(total(net(images)), list(net.parameters()))
    for ours, theirs in zip(gradients.values(), expected, strict=True):
        assert (ours - theirs).abs().max() <= 1e-10 * max(1.0, float(theirs.abs().max()))

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, images[:, None])
    for ours, theirs in zip(each.values(), expected, strict=True):
        assert (ours.sum(0) - theirs).abs().max() <= 1e-10 * max(1.0, float(theirs.abs().max()))

    direction = {key: random(*p.shape, seed=2) for key, p in parameters.items()}
    _, slope = torch.func.jvp(lambda p: loss(p, images), (parameters,), (direction,))
    along = sum((g * d).sum() for g, d in zip(expected, direction.values(), strict=True))
    assert (slope - along).abs() <= 1e-10 * max(1.0, float(along.abs()))


# -- copies and threads -----------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copied", "pickled"])
def test_copies_are_the_same_network_and_share_nothing(name: str, how: Callable) -> None:
    net, images = network(name).eval(), random(2, 1, 9, 9)
    before = net(images)
    other = how(net)
    assert same(other(images), before)
    assert repr(other) == repr(net)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert same(net(images), before)
    assert not same(other(images), before)


def test_eight_threads_at_once_give_the_same() -> None:
    """Of one network, each with its own size of images and its own window: what is remembered is shared."""
    net = network("plain").eval()
    todo = [(random(2, 1, size, 9), WINDOW.select(n % 2, 3)) for n, size in enumerate((5, 7, 9, 11, 5, 8, 6, 12))]

    def run(task: tuple[Tensor, ScaleWindow]) -> Tensor:
        with torch.no_grad():
            return net(task[0], window=task[1])

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, todo * 3))
    assert all(same_bits(result, run(task)) for result, task in zip(results, todo * 3, strict=True))


@pytest.mark.parametrize("normed", [torch.nn.utils.spectral_norm, torch.nn.utils.parametrizations.spectral_norm])
def test_spectral_norm_of_coefficients_bounds_them(normed: Callable) -> None:
    """PyTorch's old one, by hooks, and its new one, by parametrisation; of a weight that is not there it is refused."""
    net, images = network("shallow").train(), random(2, 1, 9, 9)
    jets, norm = net[1], lambda: torch.linalg.matrix_norm(jets.coefficients.flatten(1), 2)
    assert abs(norm() - 1) > 1e-2  # control
    normed(jets, "coefficients", n_power_iterations=100)
    total(net(images)).backward()
    assert abs(norm() - 1) <= ROUNDING[torch.float64]
    assert all(parameter.grad is not None for parameter in jets.parameters())
    with pytest.raises((KeyError, ValueError), match="weight"):
        normed(network("shallow")[1])


# -- graphs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shallow", "everything"])
def test_compiled_network_is_one_graph_and_the_same(name: str) -> None:
    """In training, compiled before anything of it was ever run; one graph for all batches of a shape."""
    window = ScaleWindow(GROUP, 0.93 if name == "shallow" else 0.94, 2)  # no other test has made its constants
    nets = [network(name, window=window).train() for _ in range(2)]
    torch.compiler.reset()
    compiled = torch.compile(nets[0], fullgraph=True, backend="eager")
    compiled(random(2, 1, 9, 9))
    nets[0].load_state_dict(nets[1].state_dict())
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(2):
            images = random(2, 1, 9, 9, seed=seed)
            assert gap(compiled(images), nets[1](images)) <= ROUNDING[torch.float64]


def test_a_compiled_network_notices_what_is_set_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another σ₀, another number, another strategy; and that what it was made of is remembered no longer."""
    net, images = lift_and_jet(), random(2, 1, 5, 6)
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    lift, jets = net

    def forget() -> None:
        monkeypatch.setattr(constants, "_MOST", 6)
        for size in range(7, 16):
            net(random(1, 1, size, size))

    changes: list[Callable[[], Any]] = [
        partial(setattr, lift, "window", ScaleWindow(GROUP, 1.07, 1)),
        partial(setattr, jets, "beta", 1.3),
        partial(setattr, lift, "boundary", Reflect()),
    ]
    for change in [lambda: None, forget, *changes]:
        change()
        assert gap(compiled(images), net(images)) <= ROUNDING[torch.float64]
    with torch._dynamo.config.patch(error_on_recompile=True):
        compiled(images)
        jets.beta = 1.4
        with pytest.raises(torch._dynamo.exc.RecompileError):  # control: the old graph is another network's
            compiled(images)


def test_images_of_any_number_of_sizes_can_be_compiled_and_dynamic_ones() -> None:
    net = lift_and_jet()
    sizes = [(5, 6), (6, 5), (7, 6)]

    def run(**how: Any) -> None:
        torch.compiler.reset()
        compiled = torch.compile(net, fullgraph=True, backend="eager", **how)
        for size in sizes:
            images = random(2, 1, *size)
            assert gap(compiled(images), net(images)) <= ROUNDING[torch.float64]

    run(dynamic=True)
    with torch._dynamo.config.patch(recompile_limit=2):
        run(recompile_limit=3)
        with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):  # control: PyTorch's own limit, which is 8
            run()


@pytest.mark.parametrize("name", ["plain", "residual", "across scale"])
def test_exported_networks_come_back_the_same(name: str, tmp_path) -> None:
    net, images = network(name, window=WINDOW.select(0, 2)).eval(), random(2, 1, 9, 9)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (images,)), path)
    restored = torch.export.load(path).module()
    for other in (images, random(2, 1, 9, 9, seed=3)):
        assert (restored(other) - net(other)).abs().max() <= ROUNDING[torch.float64]


@every_network
def test_on_the_meta_device_shapes_are_worked_out_and_nothing_else(name: str) -> None:
    net, images = network(name).eval(), random(2, 1, 9, 9)
    expected = [tensor.shape for tensor in tensors(net(images))]
    result = tensors(net.to("meta")(images.to("meta")))
    assert [tensor.shape for tensor in result] == expected
    assert all(tensor.is_meta for tensor in result)


# -- precision, memory formats and memory -----------------------------------------------------------------------------


@every_network
def test_float32_differs_by_rounding(name: str) -> None:
    images = random(2, 1, 9, 9)
    exact, single = network(name).eval()(images), network(name, torch.float32).eval()(images.float())
    assert gap(single, exact) <= ROUNDING[torch.float32]
    assert gap(network(name).eval()(images.flip(-1)), exact) > 1e-3  # the control: another image


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_network
def test_autocast_smooths_in_float32(name: str, dtype: torch.dtype) -> None:
    """What is smoothed is differentiated next, which half precision is too coarse for; the rest may be half."""
    net, images = network(name, torch.float32).eval(), random(2, 1, 9, 9, dtype=torch.float32)
    exact = net(images)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        half = net(images)
    layers = sum(isinstance(layer, nn.JetConv | nn.ScaleConv) for layer in net.modules())
    assert 0 < gap(half, exact) <= 4 * layers * torch.finfo(dtype).eps
    with torch.autocast("cpu", dtype=dtype):
        sum(tensor.float().square().sum() for tensor in tensors(net.train()(images))).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("kernel", [SHORT, SampledDerivatives(tail=1e-2)], ids=["blur and stencil", "separate"])
def test_smoothing_ignores_autocast(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bits of float32; the control: in half precision it would be seen."""
    smooth = (lambda m: kernel._blur(m, 1.3, 0.0)) if kernel is SHORT else (lambda m: kernel._derivatives(m, 1.3, 0.0))
    maps = random(1, 2, 12, 12, dtype=torch.float32)
    offset, coefficients = torch.zeros(2), random(2, 2, 5, dtype=torch.float32)
    seen = []
    name = "_blur" if kernel is SHORT else "_derivatives"
    inner = getattr(type(kernel), name)
    monkeypatch.setattr(type(kernel), name, lambda *a: seen.append(result := inner(*a)) or result)
    with torch.autocast("cpu", torch.bfloat16):
        kernel.combine(maps, coefficients, offset, sigma=1.3)
    assert torch.equal(seen[0], smooth(maps))
    assert (seen[0] - seen[0].bfloat16()).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["plain", "residual", "across scale", "gates", "heads"])
def test_checkpointing_changes_no_bit(name: str) -> None:
    """Of scores, gradients and running statistics, which count every batch once."""
    outcomes = []
    for checkpointing in (False, True):
        net = network(name, checkpointing=checkpointing).train()
        result = net(random(3, 1, 9, 9))
        total(result).backward()
        outcomes.append([*tensors(result), *(p.grad for p in net.parameters()), *net.buffers()])
    assert same({"": dict(enumerate(outcomes[0]))}, {"": dict(enumerate(outcomes[1]))})


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
                self.storages[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        return result

    @property
    def bytes(self) -> int:
        gc.collect()
        return sum(size for storage, size in self.storages.values() if not storage.expired())


def test_checkpointing_keeps_half_for_the_backward_pass() -> None:
    """Of a network deep enough."""
    layers = [part for _ in range(6) for part in (partial(jet, out_type=16), nn.BatchNorm, nn.ReLU)]
    images, kept = random(4, 1, 33, 33, dtype=torch.float32), []
    for checkpointing in (False, True):
        net = chain(nn.Lift(WINDOW), *layers, *READ, checkpointing=checkpointing).train()
        net(images)  # what is made once
        with Living() as living:
            scores = net(images)
            assert scores.requires_grad
            kept.append(living.bytes)
    assert kept[1] <= kept[0] / 2


def test_nothing_grows_with_the_number_of_steps() -> None:
    net = network("plain", torch.float32).train()
    images, windows = random(2, 1, 9, 9, dtype=torch.float32), [WINDOW.select(n, 3) for n in range(3)]

    def step(number: int) -> None:
        net.zero_grad()
        net(images, window=windows[number % 3]).square().sum().backward()

    for number in range(3):
        step(number)
    with Living() as living:
        sizes = []
        for _ in range(3):
            for number in range(3):
                step(number)
            sizes.append(living.bytes)
        assert sizes[1] == sizes[2]


def test_what_is_remembered_of_image_sizes_is_bounded() -> None:
    """A tensor that follows from settings is made once, kept while it is among the last few hundred, and then gone."""
    asked = []

    @constants.constant_tensor
    def numbers_up_to(length: int) -> np.ndarray:
        asked.append(length)
        return np.arange(length)

    def kept() -> int:
        return sum(name.startswith("numbers_up_to") for name in vars(constants._MADE))

    like, most = torch.zeros(1), constants._MOST
    for length in range(2 * most):
        assert numbers_up_to(length, like=like).sum() == length * (length - 1) / 2
    assert kept() == most
    numbers_up_to(2 * most - 1, like=like)
    assert len(asked) == 2 * most  # remembered ...
    assert numbers_up_to(3, like=like).tolist() == [0, 1, 2]
    assert len(asked) == 2 * most + 1  # ... and forgotten
    assert kept() == most


def test_channels_last_images_give_the_same() -> None:
    net = chain(nn.Lift(WINDOW, 3), *LAYERS["plain"]).eval()
    images = random(2, 3, 10, 9, dtype=torch.float32)
    with torch.no_grad():
        assert F.mse_loss(net(images.contiguous(memory_format=torch.channels_last)), net(images)) <= 1e-12
