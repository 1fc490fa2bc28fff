"""Boundaries are values: what is remembered for one holds for every other one that is equal."""

import numpy as np
import pytest

from scalegroup import Background, Reflect, Replicate, Zero

KINDS = [Zero, Replicate, Reflect, lambda: Background(0.5), lambda: Background((0.5, 1.0))]
AROUND = np.arange(-7, 12)


@pytest.mark.parametrize("make", KINDS)
def test_boundaries_are_equal_to_those_of_their_kind_and_settings_only(make):
    assert make() == make()
    assert hash(make()) == hash(make())
    assert [make() == other() for other in KINDS] == [make is other for other in KINDS]
    assert (make().source(AROUND, 5) == make().source(AROUND, 5)).all()


def test_around_an_image_lie_nothing_its_edge_or_its_mirror_image():
    assert Zero().source(AROUND, 5).tolist() == [-1] * 7 + [0, 1, 2, 3, 4] + [-1] * 7
    assert Replicate().source(AROUND, 5).tolist() == [0] * 7 + [0, 1, 2, 3, 4] + [4] * 7
    folded = [1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]
    assert Reflect().source(AROUND, 5).tolist() == folded
    assert Reflect().source(AROUND, 1).tolist() == [0] * 19
