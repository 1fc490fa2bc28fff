"""Boundaries are values: what is remembered for one holds for every other one that is equal."""

import pytest

from scalegroup import Background, Reflect, Zero
from scalegroup.fields.boundary import Replicate

KINDS = [Zero, Replicate, Reflect, lambda: Background(0.5), lambda: Background((0.5, 1.0))]


@pytest.mark.parametrize("make", KINDS)
def test_boundaries_are_equal_to_those_of_their_kind_and_settings_only(make):
    assert make() == make()
    assert hash(make()) == hash(make())
    assert [make() == other() for other in KINDS] == [make is other for other in KINDS]
    assert len({make(), make()}) == 1
