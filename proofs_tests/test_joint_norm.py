"""Batch norm over parts of a batch, on several processes or by hand, is batch norm over the batch."""

from functools import partial

import pytest
import torch
from torch.optim.swa_utils import update_bn

from scalegroup import ScaleGroup, ScaleGroupError, ScaleWindow, functional, nn
from scalegroup.models import gaussian_derivative_net

WINDOW = ScaleWindow(ScaleGroup(2), sigma0=1.0, channels=3)
IMAGES = torch.randn(7, 2, 15, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
PARTS = (IMAGES[:4], IMAGES[4:])


def fresh():
    return nn.BatchNorm(functional.lift(IMAGES, WINDOW).type, half_width=2.0).double()


def moments(images):
    """(mean, variance) as a layer takes them."""
    layer, seen = fresh(), []
    layer.join_moments = lambda mean, variance, _: seen.append((mean, variance)) or (mean, variance)
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
    layer.join_moments = join
    return layer(functional.lift(images, WINDOW)).maps, layer.state_dict()  # scale channel by scale channel


@pytest.mark.parametrize("join", [joined, None], ids=["joined", "control"])
def test_parts_with_joined_moments_are_normalised_as_the_whole(join):
    whole, expected = normalised(IMAGES, None)
    for part, rows in zip(PARTS, zip(*(maps.split([4, 3]) for maps in whole), strict=True), strict=True):
        values, statistics = normalised(part, join)
        close = all(torch.allclose(*pair, rtol=0, atol=1e-12) for pair in zip(values, rows, strict=True))
        same = all(torch.allclose(statistics[key], expected[key], rtol=0, atol=1e-12) for key in expected)
        assert close == same == (join is not None)


def test_torchs_conversion_to_joint_statistics_is_refused_with_the_mend():
    net = nn.Sequential(fresh(), nn.ReLU)
    with pytest.raises(ScaleGroupError, match="joint_batch_norm"):
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    with nn.joint_batch_norm(net):  # the control: alone there is nothing to join
        assert net[0].join_moments is None


def test_torchs_update_of_batch_norm_gives_all_batches_the_same_weight():
    net, batches = gaussian_derivative_net(widths=(3,), window=WINDOW, in_channels=2).double(), list(PARTS)
    before = {name: value.clone() for name, value in net.named_buffers()}
    net(batches[0])  # what it has seen before is forgotten
    update_bn(batches, net)
    norm = net[2]
    assert (norm.momentum, norm.training) == (0.1, True)
    found, each = norm.running_mean.clone(), []
    for batch in batches:
        norm.reset_running_stats()
        assert torch.equal(norm.running_mean, before["layers.2.running_mean"])
        net(batch)
        each.append(norm.running_mean / norm.momentum)
    torch.testing.assert_close(found, sum(each) / len(each))
    assert not torch.allclose(found, each[1])  # the control


@pytest.mark.parametrize("value", [1e25, 3e38])
def test_a_batch_of_no_finite_moments_leaves_the_running_statistics(value):
    images = torch.rand(2, 2, 15, 15, generator=torch.Generator().manual_seed(0))
    layer = nn.BatchNorm(functional.lift(images, WINDOW).type)
    layer(functional.lift(images, WINDOW))
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer(functional.lift(value * images, WINDOW))
    assert all(torch.equal(buffer, before[name]) for name, buffer in layer.named_buffers())
    layer(functional.lift(2 * images, WINDOW))  # the control
    assert not torch.equal(layer.running_mean, before["running_mean"])


def test_a_network_trains_after_a_first_pass_in_inference_mode():
    """As Lightning validates before it fits; other sizes are the control."""
    images = IMAGES.float()[:, :1]
    net = gaussian_derivative_net(widths=(3,), window=ScaleWindow(ScaleGroup(2), sigma0=1.234, channels=3))
    with torch.inference_mode():
        net.eval()(images)
    for some in (images, images[..., 1:]):
        net.train()(some).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # torch's own forward mode
def test_second_derivatives_of_a_network_are_those_of_differences():
    torch.manual_seed(0)
    net = gaussian_derivative_net(widths=(3,), window=WINDOW, activation=torch.square).double().eval()
    image, step = IMAGES[:1, :1, :9, :9].clone(), torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    step[0, 0, 4, 4] = 1e-2

    def score(image):
        return net(image)[0, 0]

    differences = (score(image + step) - 2 * score(image) + score(image - step)).item() / 1e-4
    for hessian in (torch.func.hessian(score), partial(torch.autograd.functional.hessian, score)):
        assert hessian(image)[0, 0, 4, 4, 0, 0, 4, 4].item() == pytest.approx(differences, rel=1e-2)
    assert abs(differences) > 1e-7  # the control: it is not zero
