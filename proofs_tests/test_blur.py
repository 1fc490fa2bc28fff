"""The blur of float32 maps: its gradient is its adjoint, and takes nothing that was blurred."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from scalegroup.jets import blur as blur_file
from scalegroup.jets.blur import blur

TAPS = torch.tensor([0.5, 0.25, 0.125], dtype=torch.float64)  # no symmetry hides a reversal
EACH = TAPS[:, None].expand(2, 1, 3, 1), TAPS.expand(2, 1, 1, 3)  # along y and x, of both features


def maps(dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.randn(2, 2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return random.to(dtype).requires_grad_()


def kept(images: Tensor) -> int:
    """The numbers that are kept for the backward pass."""
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        blur(images, *(taps.to(images) for taps in EACH))
    return sum(sizes)


def test_it_is_the_convolution_along_both_axes():
    images = maps().detach()
    expected = [
        (images[..., y : y + 3, x : x + 3] * TAPS[:, None] * TAPS).sum((-2, -1)) for y in range(3) for x in range(2)
    ]
    torch.testing.assert_close(blur(images, *EACH).flatten(2), torch.stack(expected, -1), rtol=0, atol=1e-14)
    assert torch.equal(blur(images, *EACH), blur(maps(), *EACH))


def test_gradients_are_those_of_finite_differences():
    assert gradcheck(blur, (maps(), *EACH))
    assert gradgradcheck(blur, (maps(), *EACH))


def test_taps_the_wrong_way_round_give_another_gradient(monkeypatch):
    """The control."""
    monkeypatch.setattr(Tensor, "flip", lambda self, *_: self)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(blur, (maps(), *EACH))


def test_it_keeps_the_taps_alone(monkeypatch):
    assert kept(maps()) == 2 * EACH[0].numel()
    monkeypatch.setattr(blur_file, "is_transformed", lambda _: True)
    assert kept(maps()) > maps().numel()  # the control: as convolutions do


def test_gradients_stay_in_float32_where_a_backward_pass_is_autocast():
    images = maps(torch.float32)
    blurred = blur(images, *(taps.float() for taps in EACH))
    (expected,) = torch.autograd.grad(blurred.square().sum(), images, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(blurred.square().sum(), images)
    assert torch.equal(found, expected)
