"""What is checked on CUDA is computed in float32, and torch is left as it was."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from scalegroup import ScaleGroup
from scalegroup.models import gaussian_derivative_net, gaussian_derivative_resnet
from scalegroup.testing import checks, equivariance_error
from scalegroup.testing.precision import full_precision

NEWER = SimpleNamespace(
    cuda=SimpleNamespace(matmul=SimpleNamespace(fp32_precision="none")),
    cudnn=SimpleNamespace(conv=SimpleNamespace(fp32_precision="tf32")),
)
OLDER = SimpleNamespace(
    cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)), cudnn=SimpleNamespace(allow_tf32=True)
)


def rounds_to_tf32():
    """What torch would do on CUDA, in matrix products or in convolutions."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        return "tf32" in (matmul.fp32_precision, cudnn.conv.fp32_precision)
    return matmul.allow_tf32 or cudnn.allow_tf32


@pytest.mark.parametrize("backends", [NEWER, OLDER], ids=["by operation", "for all operations"])
def test_nothing_is_rounded_within_it_and_all_is_as_it_was_behind_it(backends, monkeypatch):
    monkeypatch.setattr(torch, "backends", backends)
    assert rounds_to_tf32()  # the control
    with suppress(KeyError), full_precision():
        assert not rounds_to_tf32()
        raise KeyError
    assert rounds_to_tf32()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    ("make", "name", "shape"),
    [
        (gaussian_derivative_net, "mnist-large-scale", (8, 1, 112, 112)),
        (gaussian_derivative_resnet, "cifar10", (8, 3, 64, 64)),
    ],
)
@torch.no_grad()
def test_trained_networks_give_the_same_scores_on_cuda(make, name, shape):
    """To 1e-12 of their norm in float64, to 1e-5 in float32; the control: TF32 of an Ampere or later is beyond 1e-4."""
    torch.manual_seed(0)
    net, images = make(weights=name).eval(), torch.rand(shape)
    expected = net.double()(images.double())

    def error(dtype):
        scores = net.to("cuda", dtype)(images.to("cuda", dtype)).double().cpu()
        return (scores - expected).norm() / expected.norm()

    with full_precision():
        assert error(torch.float64) <= 1e-12
        assert error(torch.float32) <= 1e-5
    assert torch.cuda.get_device_capability()[0] < 8 or error(torch.float32) > 1e-4


def test_modules_are_run_within_it_by_all_checks():
    seen = []

    class Watched(torch.nn.Conv2d):
        def forward(self, images):
            seen.append(rounds_to_tf32())
            return super().forward(images)

    module = Watched(1, 1, 3, padding=1).double()
    assert rounds_to_tf32()  # the control: torch's default
    equivariance_error(module, ScaleGroup(2).element(1))
    checks(size=33)["images_do_not_mix"](module)
    assert seen
    assert not any(seen)
    assert rounds_to_tf32()
