"""Hypothesis strategies for groups, elements, windows, representations and fields, and comparison to the bit.

Everything shrinks towards γ = √2, powers near 0, small tensors and seed 0.
"""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from scalegroup import FieldType, GroupElement, Representation, ScaleField, ScaleGroup, ScaleWindow

RATIOS = {"√2": 2**0.5, "∛2": 2 ** (1 / 3), "2": 2.0}

# What rounding may do to a handful of operations on numbers near 1. The one table of these tests; anything wider is
# derived beside the test that needs it.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}

POWERS = st.integers(-12, 12)


def ratios() -> st.SearchStrategy[float]:
    """√2, ∛2, 2, or any float in (1.01, 4)."""
    return st.sampled_from(list(RATIOS.values())) | st.floats(1.01, 4, exclude_min=True, exclude_max=True)


def groups() -> st.SearchStrategy[ScaleGroup]:
    """Scaling groups of those ratios."""
    return ratios().map(ScaleGroup)


def elements(group: ScaleGroup, powers: st.SearchStrategy[int] = POWERS) -> st.SearchStrategy[GroupElement]:
    """Elements of one group."""
    return powers.map(group.element)


@st.composite
def group_and_elements(draw: st.DrawFn, count: int, powers: st.SearchStrategy[int] = POWERS) -> tuple:
    """(G, g₁, …, g_count)."""
    group = draw(groups())
    return group, *(draw(elements(group, powers)) for _ in range(count))


@st.composite
def windows(draw: st.DrawFn, group: ScaleGroup, *, sigma0: float | None = None, max_channels: int = 4) -> ScaleWindow:
    """Windows of one group, all anchored at `sigma0` where that is given."""
    anchor = draw(st.floats(0.5, 4)) if sigma0 is None else sigma0
    return ScaleWindow(group, anchor, draw(st.integers(1, max_channels)), draw(st.integers(-3, 3)))


@st.composite
def representations(draw: st.DrawFn, group: ScaleGroup, *, max_dimension: int = 3) -> Representation:
    """Direct sums of characters of weights between -3 and 3."""
    weights = st.lists(st.integers(-3, 3), min_size=1, max_size=max_dimension)
    return Representation(group, tuple(draw(weights)))


@st.composite
def tensors(draw: st.DrawFn, shape: Sequence[int]) -> Tensor:
    """Normally distributed float64 tensors of a shape."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@st.composite
def fields(draw: st.DrawFn, group: ScaleGroup | None = None, *, sigma0: float | None = None) -> ScaleField:
    """Small float64 fields with random fibre weights, window and spacing, with a background or without."""
    group = draw(groups()) if group is None else group
    window = draw(windows(group, sigma0=sigma0))
    fibre = draw(representations(group))
    sizes = st.integers(1, 5)
    shape = (draw(st.integers(1, 2)), fibre.dimension, window.channels, draw(sizes), draw(sizes))
    background = draw(tensors(shape[1:3])) if draw(st.booleans()) else None
    return ScaleField(
        draw(tensors(shape)), FieldType(fibre), window, spacing=draw(st.integers(-3, 3)), background=background
    )


@st.composite
def fields_and_elements(draw: st.DrawFn, count: int = 1, *, sigma0: float | None = None) -> tuple:
    """(F, g₁, …, g_count) of one group."""
    field = draw(fields(sigma0=sigma0))
    return field, *(draw(elements(field.type.group)) for _ in range(count))


def same_bits(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors agree to the bit: NaN equals NaN, and 0 differs from -0."""
    if a is None or b is None:
        return a is b
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    integer = {torch.float32: torch.int32, torch.float64: torch.int64}[a.dtype]
    return torch.equal(a.contiguous().view(integer), b.contiguous().view(integer))


def assert_same_field(a: ScaleField, b: ScaleField) -> None:
    """Every part of two fields is the same, to the bit."""
    assert a.type == b.type
    assert a.window == b.window
    assert (a.spacing, a.exponents, a.defined, a.grid) == (b.spacing, b.exponents, b.defined, b.grid)
    assert same_bits(a.background, b.background)
    assert same_bits(a.tensor, b.tensor)
