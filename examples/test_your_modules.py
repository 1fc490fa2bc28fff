"""Modules of torch, of escnn and of this library, and layers, under pytest, each through every check:

    pytest examples/test_your_modules.py

What fails says why: the family of pictures, the factor, and the error as they are sampled more finely.
"""

from functools import partial
from pathlib import Path

import pytest
import torch

from scalegroup import Background, ScaleGroup, ScaleWindow, nn
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import checks, parametrize_with_checks

WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=4)

OURS = gaussian_derivative_net(widths=(4, 4), window=WINDOW, boundary=Background(0.0))
POINTWISE = torch.nn.Sequential(torch.nn.Conv2d(1, 4, kernel_size=1), torch.nn.ReLU())


@parametrize_with_checks([OURS, POINTWISE, partial(nn.JetConv, out_type=3), nn.ReLU], powers=(1, 2))
def test_scale_equivariant_modules_and_layers(module, check) -> None:
    check(module)


def test_a_blur_of_fixed_width_is_not_scale_equivariant() -> None:
    blur = torch.nn.AvgPool2d(5, stride=1, padding=2)
    with pytest.raises(AssertionError, match=r"textures, scaling by 2, maps: error"):
        checks(powers=(2,))["equivariant_under_2"](blur)


@pytest.mark.filterwarnings("ignore")  # escnn's own
def test_rotation_equivariant_modules_of_escnn_are_not_scale_equivariant(monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # the example beside this one
    pytest.importorskip("escnn", exc_type=ImportError)
    from check_your_module import Rotations

    for name, check in checks(powers=(2,)).items():
        if name.startswith("equivariant"):
            with pytest.raises(AssertionError, match="not equivariant"):
                check(Rotations())
        else:
            check(Rotations())
