"""Hypothesis strategies for groups, elements, windows, representations, fields and band-limited images.

They shrink towards γ = √2, powers near 0, small tensors and seed 0. Hypothesis is needed: `pip install
'scalegroup[testing]'`.

>>> from hypothesis import given
>>> @given(group_and_elements(2))
... def test_scalings_commute(drawn):
...     group, g, h = drawn
...     assert g * h == h * g
>>> test_scalings_commute()
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from scalegroup import FieldType, GroupElement, Representation, ScaleField, ScaleGroup, ScaleWindow
from scalegroup.testing.closed_form import Blobs, ContinuousImage, Polynomials, Sinusoids

POWERS = st.integers(-12, 12)


def ratios() -> st.SearchStrategy[float]:
    """√2, ∛2, 2, or any float in (1.01, 4)."""
    return st.sampled_from([2**0.5, 2 ** (1 / 3), 2.0]) | st.floats(1.01, 4, exclude_min=True, exclude_max=True)


def groups() -> st.SearchStrategy[ScaleGroup]:
    """Scaling groups of those ratios."""
    return ratios().map(ScaleGroup)


def elements(group: ScaleGroup, powers: st.SearchStrategy[int] = POWERS) -> st.SearchStrategy[GroupElement]:
    """Elements of one group."""
    return powers.map(group.element)


@st.composite
def group_and_elements(draw: st.DrawFn, count: int, powers: st.SearchStrategy[int] = POWERS) -> tuple[Any, ...]:
    """(G, g₁, …, g_count)."""
    group = draw(groups())
    return group, *(draw(elements(group, powers)) for _ in range(count))


@st.composite
def windows(draw: st.DrawFn, group: ScaleGroup, *, sigma0: float | None = None, max_channels: int = 4) -> ScaleWindow:
    """Windows of one group, all anchored at `sigma0` where that is given."""
    anchor = draw(st.floats(0.5, 4)) if sigma0 is None else sigma0
    return ScaleWindow(group, anchor, draw(st.integers(1, max_channels)), draw(st.integers(-3, 3)))


@st.composite
def representations(draw: st.DrawFn, *, max_dimension: int = 3) -> Representation:
    """Direct sums of characters of weights between -3 and 3."""
    weights = st.lists(st.integers(-3, 3), min_size=1, max_size=max_dimension)
    return Representation(tuple(draw(weights)))


@st.composite
def tensors(draw: st.DrawFn, shape: Sequence[int]) -> Tensor:
    """Normally distributed float64 tensors of a shape."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@st.composite
def fields(draw: st.DrawFn, group: ScaleGroup | None = None, *, sigma0: float | None = None) -> ScaleField:
    """Small float64 fields of random fibre weights and window, every scale channel on pixels."""
    group = draw(groups()) if group is None else group
    window = draw(windows(group, sigma0=sigma0))
    fibre = draw(representations())
    sizes = st.integers(1, 5)
    shape = (draw(st.integers(1, 2)), fibre.dimension, window.channels, draw(sizes), draw(sizes))
    return ScaleField.of(draw(tensors(shape)), FieldType(fibre), window)


@st.composite
def fields_and_elements(draw: st.DrawFn, count: int = 1, *, sigma0: float | None = None) -> tuple[Any, ...]:
    """(F, g₁, …, g_count) of one group."""
    field = draw(fields(sigma0=sigma0))
    return field, *(draw(elements(field.window.group)) for _ in range(count))


@st.composite
def band_limited_images(
    draw: st.DrawFn, *, max_frequency: float = math.pi / 2, min_width: float = 1.0, batch: int = 2
) -> ContinuousImage:
    """Images with a closed form: sinusoids up to `max_frequency`, blobs from `min_width` pixels, polynomials."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    kind = draw(st.sampled_from(["sinusoids", "blobs", "polynomials"]))
    if kind == "sinusoids":
        return Sinusoids.random(batch, draw(st.integers(1, 4)), max_frequency, generator)
    if kind == "blobs":
        widths = (min_width, 2 * min_width)
        return Blobs.random(batch, draw(st.integers(1, 4)), widths=widths, extent=4 * min_width, generator=generator)
    return Polynomials.random(batch, generator)
