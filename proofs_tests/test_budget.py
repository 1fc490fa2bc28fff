"""What switches a source of error off: finer images, and a canvas that holds all that is seen; nothing else does."""

from dataclasses import dataclass, field

import pytest
import torch

from scalegroup import Reflect, ScaleGroup, ScaleWindow
from scalegroup.models import gaussian_derivative_net
from scalegroup.testing import Blobs, object_images
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
    assert plain == [(33, 33, factor) for factor in (1.0, G.ratio)] * 2
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
