"""What switches a source of error off: finer images, and a canvas that holds all that is seen; nothing else does."""

import math
from dataclasses import dataclass, field

import pytest
import torch

from scalegroup import Reflect, ScaleGroup, ScaleWindow
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import Blobs, ErrorBudget, equivariance_error, object_images
from scalegroup.testing.budget import _Bench, moved_channels

G = ScaleGroup(2**0.5)
WINDOW = ScaleWindow(G, 1.0, 2)
TAIL = 1e-5  # of the signal: the layers' kernels are cut off, and look at a little less than is there


@dataclass
class Seen:
    """Images that note how they are sampled."""

    images: Blobs
    samplings: list = field(default_factory=list)

    def sample(self, rows, columns, *, factor):
        self.samplings.append((rows, columns, factor))
        return self.images.sample(rows, columns, factor=factor)


def bench(size=33):
    torch.manual_seed(0)
    net = gaussian_derivative_net(widths=(2,), window=WINDOW, boundary=Reflect()).double().eval()
    images = Seen(object_images(41, G.ratio, count=1))
    return _Bench(net, G.ratio, moved_channels(WINDOW, G.generator), images, size, 0.0), images.samplings


def test_images_are_sampled_as_finely_as_three_pixels_of_sigma_where_sampling_is_off():
    one, plain = bench()
    one.errors([])
    assert plain == [(33, 33, factor) for factor in (1.0, G.ratio)]
    one, finer = bench()
    one.errors(["sampling"])
    times = [3.0, 3.0 / G.ratio]
    assert [factor for _, _, factor in finer] == pytest.approx([t * f for t in times for f in (1.0, G.ratio)])
    assert [rows for rows, _, _ in finer] == [97, 97, 69, 69]  # 16 pixels on each side, and the centre


def test_a_larger_canvas_changes_nothing_where_the_image_boundary_is_off():
    def errors(size, *off):
        one, samplings = bench(size)
        return one.errors(off), min(rows for rows, _, _ in samplings)

    for off in ((), ("sampling",)):
        (held, rows), (larger, _) = errors(9, *off, "image boundary"), errors(149, *off, "image boundary")
        assert rows > 9
        assert held == pytest.approx(larger, abs=TAIL)
        small, large = errors(9, *off)[0], errors(149, *off)[0]  # the control
        assert abs(small[-1] - large[-1]) > 100 * TAIL


class Axes:
    """They take everything, and note the bars."""

    def __init__(self):
        self.bars = []

    def bar(self, layers, values, *, bottom, label):
        self.bars.append((tuple(layers), label, [(b, b + v) for b, v in zip(bottom, values, strict=True)]))

    def __getattr__(self, name):
        return lambda *_, **__: None


def test_parts_are_stacked_from_zero_up_and_those_that_are_negative_down():
    budget = ErrorBudget(2.0, ("one", "two"), ("a", "b", "c"), ((0.5, -0.25, 0.125), (-0.5, 0.25, -0.125)))
    axes = Axes()
    budget.draw(axes)
    assert axes.bars == [
        (("one", "two"), "a", [(0.0, 0.5), (0.0, -0.5)]),
        (("one", "two"), "b", [(0.0, -0.25), (0.0, 0.25)]),
        (("one", "two"), "c", [(0.5, 0.625), (-0.5, -0.625)]),
    ]
    assert budget.observed == (0.375, -0.375)


@pytest.mark.parametrize(
    ("sources", "suspect"), [(("rounding", "left over"), 1e-6), (("discretisation", "left over"), 0.025)]
)
def test_what_is_left_over_is_suspect_where_it_is_most_of_the_error_and_more_than_is_usual(sources, suspect):
    def warned(*parts):
        return "look for a mistake" in str(ErrorBudget(2.0, ("output",), sources, (parts,)))

    assert warned(0.0, 1.1 * suspect)
    assert not warned(0.0, 0.9 * suspect)
    assert warned(0.9 * suspect * 2, 1.1 * suspect * 2)
    assert not warned(1.1 * suspect * 2, 0.9 * suspect * 2)


@pytest.mark.parametrize(
    ("power", "pairs"), [(1, [(0, 1), (1, 2)]), (-1, [(1, 0), (2, 1)]), (2, [(0, 2)]), (-2, [(2, 0)]), (3, [])]
)
def test_channels_are_moved_by_the_power_as_far_as_there_are_any(power, pairs):
    assert moved_channels(ScaleWindow(G, 1.0, 3), G.element(power)) == pairs


def test_an_error_that_is_not_a_number_for_one_image_is_none():
    """A median would pass over it."""

    def one_of_many(number):
        def module(pictures):
            scores = pictures.amax((2, 3))
            scores[:1] = number if len(scores) > 1 else scores[:1]  # the background is a single picture
            return scores

        return equivariance_error(module, G.element(2), size=97).error

    assert math.isnan(one_of_many(math.nan))
    assert one_of_many(0.0) < 1  # the control
