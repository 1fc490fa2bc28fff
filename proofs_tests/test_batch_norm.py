"""Batch norm is its definition: joint moments over all scale channels, in the same square of σ₀ in each of them.

Most slips in it (a smaller square, a part of the variance left out) are the same in all scale channels, so that no law
of covariance sees them. A slow reference does: sample by sample, in numbers of Python.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.comparison import RATIOS, ROUNDING
from proofs_tests.networks import jet_network
from scalegroup import Axis, FieldType, Grid, Grids, RotationGroup, ScaleField, ScaleGroup, ScaleWindow, nn
from scalegroup.fields.channels import folded
from scalegroup.testing.closed_form import Blobs

TOLERANCE = ROUNDING[torch.float64]
C3 = RotationGroup(3)
SCALARS = FieldType.scalars(4)
ROTATING = FieldType.rotating(C3.regular + C3.trivial)
WINDOW = ScaleWindow(ScaleGroup(2), 1.0, 3)


def random_field(type_: FieldType = SCALARS, density: float = 1.0, half_widths: Sequence[int] = (12, 12, 12)) -> Any:
    """Two images; every channel, feature and place has another mean, and the last feature a variance of about 1e-6.

    Channels of the same half-width, in samples, share a grid and are held folded.
    """
    generator = torch.Generator().manual_seed(0)
    grids = tuple(Grid(Axis.within(n), Axis.within(n + 1), density) for n in half_widths)
    of = Grids((9, 9), WINDOW.sigmas, grids)
    maps = []
    for n, grid in enumerate(grids):
        x = torch.from_numpy(abs(grid.x.positions)) / grid.x.length  # wider domains have other moments
        values = torch.randn(2, 4, *grid.shape, generator=generator, dtype=torch.float64) + 4 * x + n
        values = values + torch.arange(4.0)[:, None, None]
        maps.append(values * torch.tensor([1.0, 2.0, 0.5, 1e-3 if type_ is SCALARS else 1.0])[:, None, None])
    return ScaleField(folded(maps, of), type_, WINDOW, of)


def expected_moments(
    field: ScaleField,
    half_width: float,
    *,
    orbits: Sequence[int] = (0, 1, 2, 3),
    between_channels: bool = True,
    within_channels: bool = True,
    between_features: bool = True,
    by_samples: bool = False,
) -> tuple[list[float], list[float]]:
    """(means, variances) of each orbit: of its features and all channels, each of which weighs the same.

    What can be left out is for the controls.
    """
    means, variances = [], []
    for orbit in sorted(set(orbits)):
        parts: list[list[float]] = []
        for feature in (n for n, of in enumerate(orbits) if of == orbit):
            for channel, grid in enumerate(field.grids.grids):
                limit = half_width * grid.samples_per_sigma + 1e-9
                y, x = (torch.from_numpy(abs(axis.positions)) <= limit for axis in (grid.y, grid.x))
                parts.append(field.channel(channel)[:, feature][:, y[:, None] & x].flatten().tolist())
        weights = [len(part) if by_samples else 1 for part in parts]
        means_of = [math.fsum(part) / len(part) for part in parts]
        mean = math.fsum(w * m for w, m in zip(weights, means_of, strict=True)) / sum(weights)
        centres = [mean] * len(parts)
        if not between_channels:
            centres = means_of
        if not between_features:
            per = len(field.grids.grids)
            features = [means_of[n : n + per] for n in range(0, len(parts), per)]
            centres = [sum(of) / per for of in features for _ in range(per)]
        squares = [sum((v - c) ** 2 for v in part) / len(part) for part, c in zip(parts, centres, strict=True)]
        if not within_channels:
            squares = [(m - mean) ** 2 for m in means_of]
        means.append(mean)
        variances.append(math.fsum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights))
    return means, variances


def moments(layer: nn.BatchNorm, field: ScaleField) -> tuple[Tensor, Tensor]:
    """As the layer keeps them after one batch that counts whole."""
    layer.momentum = 1.0
    layer.double().train()(field)
    return layer.running_mean.clone(), layer.running_variance.clone()


def gap(ours: tuple[Tensor, Tensor], theirs: tuple[list[float], list[float]]) -> float:
    """The largest difference of a moment, relative to it where it is larger than one."""
    expected = torch.tensor(theirs, dtype=torch.float64)
    return ((torch.stack(ours) - expected).abs() / expected.abs().clamp(min=1)).max().item()


FIELDS: dict[str, Callable[[FieldType], ScaleField]] = {
    "one grid": random_field,
    "coarse samples": partial(random_field, density=0.5, half_widths=(8, 8, 8)),
    "a grid for each channel": partial(random_field, density=1.3, half_widths=(9, 8, 7)),
    "two share one": partial(random_field, half_widths=(6, 6, 3)),
}


@pytest.mark.parametrize("half_width", [2.0, 5.0, math.inf])
@pytest.mark.parametrize("type_", [SCALARS, ROTATING], ids=["scalars", "rotating"])
@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_moments_are_those_of_all_channels_and_orbits_in_the_square_of_sigma0(
    make: Callable, type_: FieldType, half_width: float
) -> None:
    field, orbits = make(type_), (0, 0, 0, 1) if type_ is ROTATING else (0, 1, 2, 3)
    seen = field.grids.canvas() if half_width == math.inf else field.grids  # of the image of 9×9 pixels, all of it
    ours = moments(nn.BatchNorm(type_, half_width=half_width), field)
    reference = partial(expected_moments, field.crop(seen.map(Grid.intersection, field.grids)), orbits=orbits)
    assert gap(ours, reference(half_width)) <= TOLERANCE
    # the controls: another square; each part of the variance missing
    narrower = half_width / 2 if half_width < math.inf else 1 / field.grids.grids[0].samples_per_sigma
    wrong = [reference(narrower), reference(half_width, between_channels=False)]
    wrong += [reference(half_width, within_channels=False)]
    wrong += [reference(half_width, between_features=False)] if type_ is ROTATING else []
    assert min(gap(ours, other) for other in wrong) > 1e-2


def test_channels_weigh_the_same_however_many_samples_they_hold() -> None:
    field = random_field(half_widths=(6, 6, 3))
    ours = moments(nn.BatchNorm(SCALARS, half_width=5.0), field)
    assert gap(ours, expected_moments(field, 5.0)) <= TOLERANCE
    assert gap(ours, expected_moments(field, 5.0, by_samples=True)) > 1e-2  # the control


def test_ten_sigma0_are_looked_at_by_default() -> None:
    field = random_field(density=0.5, half_widths=(8, 8, 8))  # up to 16σ₀
    ours = moments(nn.BatchNorm(SCALARS), field)
    assert gap(ours, expected_moments(field, 10.0)) <= TOLERANCE
    for other in (5.0, 8.0, 12.0, 16.0):  # the controls
        assert gap(ours, expected_moments(field, other)) > 1e-3


# -- what is done with them -------------------------------------------------------------------------------------------


def normalised(maps: Tensor, mean: Tensor, variance: Tensor, layer: nn.BatchNorm) -> Tensor:
    """Its definition, feature by feature."""
    scale, shift, mean, variance = (v[:, None, None] for v in (layer.weight, layer.bias, mean, variance))
    return (maps - mean) / torch.sqrt(variance + layer.eps) * scale + shift


@pytest.mark.parametrize("training", [True, False], ids=["the batch's", "the running ones"])
def test_maps_are_normalised_by_the_moments_in_use(training: bool) -> None:
    """The last feature varies by as little as eps allows to see; without eps it would be blown up."""
    torch.manual_seed(0)
    field, layer = random_field(), nn.BatchNorm(SCALARS, half_width=5.0).double()
    with torch.no_grad():
        for value in (layer.weight, layer.bias, layer.running_mean, layer.running_variance):
            value.add_(torch.rand_like(value))
    running = layer.running_mean.clone(), layer.running_variance.clone()
    batch = [torch.tensor(values, dtype=torch.float64) for values in expected_moments(field, 5.0)]
    used, other = (batch, running) if training else (running, batch)
    result = layer.train(training)(field)
    for n in range(3):
        maps = field.channel(n)
        assert (result.channel(n) - normalised(maps, *used, layer)).abs().max() <= 10 * TOLERANCE  # values to ten
        assert (result.channel(n) - normalised(maps, *other, layer)).abs().max() > 0.1  # the control
    layer.eps = 1e-9  # the other control
    assert not training or (layer(field).channel(0) - result.channel(0))[:, 3].abs().max() > 0.1


@pytest.mark.parametrize("training", [True, False])
def test_torch_is_called_as_cuda_takes_it(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA refuses what CPUs take: a batch norm with eps = 0."""
    of_torch, taken = F.batch_norm, []

    def as_on_cuda(*arguments: Any, eps: float, **more: Any) -> Tensor:
        if eps <= 0:
            raise RuntimeError(f"batch_norm eps must be positive, but got {eps}")
        taken.append(eps)
        return of_torch(*arguments, eps=eps, **more)

    monkeypatch.setattr(F, "batch_norm", as_on_cuda)
    nn.BatchNorm(SCALARS).double().train(training)(random_field())
    assert taken
    with pytest.raises(RuntimeError):  # the control
        F.batch_norm(torch.zeros(1, 1, 2, 2), torch.zeros(1), torch.ones(1), eps=0.0)


def test_running_moments_are_weighted_means_of_those_of_the_batches() -> None:
    """Both of them, and only in training."""
    layer = nn.BatchNorm(SCALARS, half_width=5.0, momentum=0.25).double()
    field, weight = random_field(), layer.momentum
    batches = [replace(field, maps=tuple(maps * factor + factor for maps in field.maps)) for factor in (1.0, 2.0, 3.0)]
    mean, variance = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    for batch in batches:
        layer.train()(batch)
        m, v = (torch.tensor(values, dtype=torch.float64) for values in expected_moments(batch, 5.0))
        before = mean, variance
        mean, variance = (1 - weight) * mean + weight * m, (1 - weight) * variance + weight * v
        layer.eval()(batches[0])
        assert gap((layer.running_mean, layer.running_variance), (mean.tolist(), variance.tolist())) <= TOLERANCE
        for kept, stale in zip((layer.running_mean, layer.running_variance), before, strict=True):  # the control
            assert (kept - stale).abs().max() > 0.1


def test_of_one_channel_and_the_whole_image_it_is_that_of_torch() -> None:
    """With the same eps and momentum by default; but for n/(n - 1), which torch has in the running variance."""
    torch.manual_seed(0)
    images = 1e-2 * torch.randn(3, 4, 7, 9, dtype=torch.float64) + 1
    field = ScaleField.of(images[:, :, None], SCALARS, ScaleWindow(ScaleGroup(2), 1.0, 1))
    ours, theirs = nn.BatchNorm(SCALARS, half_width=math.inf).double(), torch.nn.BatchNorm2d(4).double()
    torch.testing.assert_close(ours(field).channel(0), theirs(images), rtol=0, atol=1e3 * TOLERANCE)  # of 1 ± 0.01
    unbiased = torch.var_mean(images, (0, 2, 3))[0]
    biased = torch.var_mean(images, (0, 2, 3), correction=0)[0]
    assert theirs.running_mean is not None
    assert theirs.running_var is not None
    torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=0, atol=TOLERANCE)
    corrected = theirs.running_var + theirs.momentum * (biased - unbiased)
    torch.testing.assert_close(ours.running_variance, corrected, rtol=0, atol=TOLERANCE)
    assert (ours.running_variance - theirs.running_var).abs().max() > 1e3 * TOLERANCE  # the control
    without = F.batch_norm(images, None, None, training=True, eps=1e-9)
    assert (without - theirs(images)).abs().max() > 0.01  # the control of eps: it is seen at this variance


# -- covariance of the statistics -------------------------------------------------------------------------------------

LIFTING = 1e-9  # of the signal, as in test_theorem.py: moments err by no more; a deviation here is half of it or more
BLOBS = Blobs.random(4, 4, widths=(1.5, 2.0), extent=8, generator=torch.Generator().manual_seed(4))
NORM: dict[str, dict[str, Any]] = {
    "paper": {"depth": 3},
    "coarser late layers": {"depth": 3, "strides": (2,), "r": 1.5},
}


class OfPixels(nn.BatchNorm):
    """The control: its square is as many pixels wide in all scale channels."""

    def __init__(self, type: FieldType) -> None:
        super().__init__(type, momentum=1.0)

    def domain(self, canvas: Grids) -> Grids:
        grids = zip(canvas.grids, canvas.spacings, strict=True)
        return replace(canvas, grids=tuple(grid.around(8 / spacing) for grid, spacing in grids))


def statistics(images: Tensor, window: ScaleWindow, **network: Any) -> tuple[Tensor, Tensor]:
    """All running (means, deviations), layer after layer, after one batch."""
    net = jet_network(window, **network).train()
    with torch.no_grad():
        net(images)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm)]
    means, variances = (
        torch.cat([getattr(layer, f"running_{name}") for layer in norms]) for name in ("mean", "variance")
    )
    return means, variances.sqrt()


def apart(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> float:
    """The largest difference of a statistic, in deviations of its feature."""
    return max(((a - b).abs() / ours[1]).max().item() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("network", NORM.values(), ids=NORM)
def test_statistics_of_the_scaled_images_are_those_of_the_images(network: dict, ratio: float) -> None:
    """In the window moved along: channel by channel the same maps, so the same joint moments."""
    window = ScaleWindow(ScaleGroup(ratio), 2.0, 2)
    moved = window.transform(window.group.generator)
    size = 2 * math.ceil(22 * ratio) + 1
    scaled = BLOBS.sample(size, size, factor=ratio)
    ours = statistics(BLOBS.sample(45, 45), window, **network)
    assert apart(ours, statistics(scaled, moved, **network)) <= 2 * LIFTING
    assert apart(ours, statistics(scaled, window, **network)) > 1e-2  # the control: the window that stayed


@pytest.mark.parametrize(
    ("norm", "same"), [(partial(nn.BatchNorm, momentum=1.0), True), (OfPixels, False)], ids=["σ₀", "pixels"]
)
def test_the_square_is_as_many_sigma0_wide_for_that_and_not_as_many_pixels(norm: Callable, same: bool) -> None:
    behind, window = (norm, nn.ReLU, partial(nn.JetConv, out_type=2), norm), ScaleWindow(ScaleGroup(2), 2.0, 1)
    moved = window.transform(window.group.generator)
    ours = statistics(BLOBS.sample(45, 45), window, depth=1, behind=behind)
    theirs = statistics(BLOBS.sample(89, 89, factor=2.0), moved, depth=1, behind=behind)
    error = apart(ours, theirs)
    assert error <= 2 * LIFTING if same else error > 1e-2


@pytest.mark.parametrize(("half_width", "same"), [(10.0, True), (math.inf, False)])
def test_statistics_do_not_depend_on_how_much_background_an_image_has(half_width: float, same: bool) -> None:
    """The square is of σ₀ and not of the image; the whole image is the control."""
    norm = partial(nn.BatchNorm, half_width=half_width, momentum=1.0)
    behind, images = (norm, nn.ReLU, partial(nn.JetConv, out_type=2), norm), BLOBS.sample(45, 45)
    tight = statistics(images, WINDOW, depth=1, behind=behind)
    error = apart(tight, statistics(F.pad(images, [10] * 4), WINDOW, depth=1, behind=behind))
    assert error <= TOLERANCE if same else error > 1e-2
