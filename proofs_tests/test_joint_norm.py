"""Batch norm over parts of a batch, on several processes or by hand, is batch norm over the batch."""

import pytest
import torch

from scalegroup import ScaleGroup, ScaleWindow, functional, nn

WINDOW = ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=3)
IMAGES = torch.randn(7, 2, 15, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
PARTS = (IMAGES[:4], IMAGES[4:])


def fresh():
    return nn.BatchNorm(functional.lift(IMAGES, WINDOW).type, half_width=2.0).double()


def moments(images):
    """(mean, variance) as a layer takes them."""
    layer, seen = fresh(), []
    layer.join = lambda mean, variance: seen.append((mean, variance)) or (mean, variance)
    layer(functional.lift(images, WINDOW))
    return seen[0]


def joined(*_):
    """What all-reducing the moments of both parts gives."""
    shares = [len(part) / len(IMAGES) for part in PARTS]
    means, variances = zip(*map(moments, PARTS), strict=True)
    mean = sum(share * of for share, of in zip(shares, means, strict=True))
    within = sum(share * of for share, of in zip(shares, variances, strict=True))
    between = sum(share * (of - mean).square() for share, of in zip(shares, means, strict=True))
    return mean, within + between


def normalised(images, join):
    layer = fresh()
    layer.join = join
    return layer(functional.lift(images, WINDOW)).maps, layer.state_dict()  # scale channel by scale channel


@pytest.mark.parametrize("join", [joined, None], ids=["joined", "control"])
def test_parts_with_joined_moments_are_normalised_as_the_whole(join):
    whole, expected = normalised(IMAGES, None)
    for part, rows in zip(PARTS, zip(*(maps.split([4, 3]) for maps in whole), strict=True), strict=True):
        values, statistics = normalised(part, join)
        close = all(torch.allclose(*pair, rtol=0, atol=1e-12) for pair in zip(values, rows, strict=True))
        same = all(torch.allclose(statistics[key], expected[key], rtol=0, atol=1e-12) for key in expected)
        assert close == same == (join is not None)
