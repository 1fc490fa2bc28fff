"""What is checked on CUDA is computed in float32, and torch is left as it was."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from scalegroup import ScaleGroup
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
