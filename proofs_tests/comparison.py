"""The ratios every law is shown for, the table of tolerances, and comparison to the bit."""

import torch
from torch import Tensor

from scalegroup import ScaleField

RATIOS = {"√2": 2**0.5, "∛2": 2 ** (1 / 3), "2": 2.0}

# What rounding may do to a handful of operations on numbers near 1. The one table of these tests; anything wider is
# derived beside the test that needs it.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree to the bit: NaN equals NaN, and 0 differs from -0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    integer = {torch.float32: torch.int32, torch.float64: torch.int64}[a.dtype]
    return torch.equal(a.contiguous().view(integer), b.contiguous().view(integer))


def assert_same_field(a: ScaleField, b: ScaleField) -> None:
    """Every part of two fields is the same, to the bit."""
    assert (a.type, a.window, a.power, a.grids) == (b.type, b.window, b.power, b.grids)
    assert len(a.maps) == len(b.maps)
    assert all(map(same_bits, a.maps, b.maps))
