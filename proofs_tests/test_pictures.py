"""The families of pictures that a verdict is reached on: what they show, and what they do not give away."""

import math
from dataclasses import replace

import pytest
import torch

from proofs_tests.comparison import ROUNDING
from scalegroup import ScaleGroupError
from scalegroup.testing import Family, families
from scalegroup.testing.pictures import least_size

SYMMETRIC = [family for family in families(65, 2.0, channels=3) if family.symmetric]


@pytest.mark.parametrize("factor", [0.5, 2**0.5, 2.0])
def test_details_of_pictures_are_of_one_unit_and_groups_stay_clear_of_the_edge(factor):
    """One unit is a pixel at the smaller of the two sizes."""
    size, unit = 97, max(1.0, 1 / factor)
    fine, edges, textures, groups = families(size, factor)
    assert {family.middle for family in (fine, edges, textures, groups)} == {1.5 * unit}
    assert {family.peak for family in (fine, edges, textures, groups)} == {unit}
    assert [family.symmetric for family in (fine, edges, textures, groups)] == [True, True, True, False]
    (blobs,), (bars,), (waves,), (away,) = (family.images for family in (fine, edges, textures, groups))
    assert unit <= blobs.widths.min() < blobs.widths.max() <= 2 * unit
    assert (blobs.centres[:, 0] == 0).all()
    assert torch.equal(blobs.centres[:, 1:3], -blobs.centres[:, 3:])
    assert (blobs.amplitudes[:, 0] == 1).all()
    assert blobs.amplitudes[:, 1:].min() > 0
    assert blobs.amplitudes[:, 1:].max() <= 0.2 * 1.5
    assert unit <= away.widths.min() < away.widths.max() <= 1.5 * unit
    distance = (size - 1) / 2 / max(factor, 1.0) - 8 * unit
    assert (away.centres.norm(dim=-1) - distance).abs().max() <= 2**0.5 * unit
    assert all((image.at(torch.zeros(1).double(), torch.zeros(1).double()) > 0).all() for image in (bars, waves))


@pytest.mark.parametrize("family", SYMMETRIC, ids=lambda family: family.name)
def test_values_alone_do_not_tell_a_picture_from_the_stretched_or_the_scaled_one(family):
    """So what a pointwise function makes of them is no part of the response."""
    plain, scaled = family.sample(65), family.sample(65, factor=2.0)
    stretched = family.sample(65, stretched=True)
    assert (scaled[..., ::2, ::2] - plain[..., 16:49, 16:49]).abs().max() < ROUNDING[torch.float64]
    reach = int(family.middle)
    along_x, along_y = family.halves
    for offset in range(-reach, reach + 1):
        assert torch.equal(stretched[along_x, ..., 32 + 2 * offset], plain[along_x, ..., 32 + offset])
        assert torch.equal(stretched[along_y, ..., 32 + 2 * offset, :], plain[along_y, ..., 32 + offset, :])
    peaks = [pictures.amax((-2, -1)) for pictures in (plain, scaled, stretched)]
    shown = [image is not None for image in family.images]
    assert all(torch.equal(peak[:, shown], plain[..., 32, 32][:, shown]) for peak in peaks)
    assert not torch.allclose(stretched, plain, atol=0.05)  # the control


def test_pictures_fade_out_within_the_least_canvas():
    for family in families(49, 2.0):
        edges = family.sample(49, factor=2.0)[..., 0, :].abs().amax(-1) / family.sample(49).abs().amax((-2, -1))
        assert edges.max() < 1e-4


def test_the_least_size_holds_twelve_units_on_both_sides_of_the_centre():
    for factor in (0.5, 1.0, 1.4, 2.0, 3.0):
        size = least_size(factor)
        assert size == 2 * math.ceil(12 * max(factor, 1 / factor)) + 1
        assert families(size, factor)
        with pytest.raises(ScaleGroupError, match=f"size={size} or more"):
            families(size - 1, factor)


def test_channels_differ_and_each_is_shown_alone():
    shown = families(65, 2.0, channels=3)
    assert [family.name for family in shown[4:]] == [f"channel {n} alone" for n in range(3)]
    for number, family in enumerate(shown[4:]):
        pictures = family.sample(65)
        assert [bool(pictures[:, n].any()) for n in range(3)] == [n == number for n in range(3)]
    first, second, _ = shown[0].sample(65).unbind(1)
    assert not torch.allclose(first, second, atol=0.05)


def test_groups_lie_far_from_the_centre_in_all_quadrants_off_the_axes_and_the_diagonals():
    """On these they would be as symmetric as the other families are."""
    groups = next(family for family in families(65, 2.0) if not family.symmetric)
    for factor in (1.0, 2.0):
        pictures = groups.sample(65, factor=factor).abs()
        near = pictures[..., 30:35, 30:35].amax((-2, -1))
        assert (near < 0.05 * pictures.amax((-2, -1))).all()
    x, y = families(97, 2.0)[3].images[0].centres.mean(1).unbind(-1)
    assert {(a > 0, b > 0) for a, b in zip(x.tolist(), y.tolist(), strict=True)} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    from_axis = torch.atan2(y, x).remainder(math.pi / 4)
    assert (torch.minimum(from_axis, math.pi / 4 - from_axis) > 0.15).all()


def test_a_peak_between_pixels_loses_what_is_allowed_for():
    """exp(-d²/2w²) at ½ pixel on both axes."""
    family = Family("", (), 1.0, 1.5, symmetric=False)
    assert family.peaks_lost(2.0) == pytest.approx(1 - math.exp(-(0.5**2 + 0.5**2) / (2 * 3.0**2)))
    assert replace(family, symmetric=True).peaks_lost(2.0) == 0
