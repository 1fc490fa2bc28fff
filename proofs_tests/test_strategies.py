"""The strategies for everybody: they reach what they say, and what they find shrinks to something short."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from proofs_tests.comparison import RATIOS
from scalegroup import ScaleGroup
from scalegroup.testing import Blobs, Polynomials, Sinusoids
from scalegroup.testing.strategies import (
    band_limited_images,
    elements,
    fields,
    fields_and_elements,
    group_and_elements,
    groups,
    ratios,
    representations,
    windows,
)

G = ScaleGroup(2**0.5)
SETTINGS = settings(max_examples=1000, derandomize=True, database=None, report_multiple_bugs=False)  # one is enough


def simplest(strategy: st.SearchStrategy, condition: Callable[[Any], bool] = lambda _: True) -> Any:
    return find(strategy, condition, settings=SETTINGS)


def test_simplest_of_everything_is_small() -> None:
    assert simplest(groups()) == G
    assert simplest(elements(G)) == G.identity
    window = simplest(windows(G))
    assert (window.channels, window.first) == (1, 0)
    assert simplest(representations()).weights == (0,)
    field = simplest(fields())
    assert tuple(field.tensor.shape) == (1, 1, 1, 1, 1)
    assert (field.window.group, field.type.fibre.weights) == (G, (0,))


@pytest.mark.parametrize("bound", [1, 3])
def test_counterexample_shrinks_to_the_smallest_there_is(bound: int) -> None:
    group, g, h = simplest(group_and_elements(2), lambda drawn: (drawn[1] * drawn[2]).power > bound)
    assert group == G
    assert (g * h).power == bound + 1
    field, g = simplest(fields_and_elements(), lambda drawn: drawn[0].window.channels > bound and drawn[1].power)
    assert (field.window.channels, abs(g.power)) == (bound + 1, 1)
    assert tuple(field.tensor.shape[-2:]) == (1, 1)


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_every_named_ratio_is_drawn(ratio: float) -> None:
    assert simplest(ratios(), lambda drawn: drawn == ratio) == ratio


def test_other_ratios_are_drawn_within_their_range() -> None:
    assert simplest(ratios(), lambda drawn: drawn not in RATIOS.values())
    with pytest.raises(NoSuchExample):  # the control
        simplest(ratios(), lambda drawn: not 1.01 < drawn < 4)


@given(band_limited_images(max_frequency=1.0, min_width=2.0))
def test_images_are_as_smooth_as_was_asked(image: object) -> None:
    if isinstance(image, Sinusoids):
        assert image.frequencies.abs().max() <= 1.0
    elif isinstance(image, Blobs):
        assert image.widths.min() >= 2.0
    else:
        assert isinstance(image, Polynomials)
    assert torch.isfinite(image.sample(5, 5)).all()


@pytest.mark.parametrize("kind", [Sinusoids, Blobs, Polynomials])
def test_every_kind_of_image_is_drawn(kind: type) -> None:
    assert isinstance(simplest(band_limited_images(), lambda image: isinstance(image, kind)), kind)
    rough = band_limited_images(max_frequency=math.pi)
    assert simplest(rough, lambda image: isinstance(image, Sinusoids) and image.frequencies.abs().max() > math.pi / 2)
