"""Scale invariance of whole networks (eq 21-23): over the overlap of two windows, and what a finite one costs."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks import data
from proofs_tests.comparison import RATIOS, ROUNDING
from scalegroup import (
    Attention,
    Background,
    LogSumExp,
    Max,
    Mean,
    Pooling,
    ScaleField,
    ScaleGroup,
    ScaleWindow,
    SelfSimilar,
    TopK,
    nn,
)
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing import Blobs

G = ScaleGroup(2**0.5)
POOLINGS = [Max(), Mean(), LogSumExp(0.5), TopK(2), Attention()]
every_pooling = pytest.mark.parametrize("pooling", POOLINGS, ids=repr)


def build(window: ScaleWindow, *, background: float = 0.0) -> GaussianDerivativeNet:
    """An untrained net with strides, in float64 and evaluation mode."""
    net = gaussian_derivative_net(widths=(6, 8), window=window, boundary=Background(background), min_grid_sigma=0.5)
    assert any(getattr(layer, "stride", 1) == 2 for layer in net)
    return net.double().eval()


def before_pooling(net: GaussianDerivativeNet, images: Tensor, window: ScaleWindow | None = None) -> ScaleField:
    with torch.no_grad():
        return net.field(images, window=window, pooled=False)


def pooled(field: ScaleField, pooling: Pooling = Max()) -> Tensor:  # noqa: B008
    """`[batch, classes]`."""
    pool = nn.ScalePool(field.type, pooling)
    for weight in pool.parameters():  # which begin at zero, where they are hidden
        torch.nn.init.ones_(weight)
    with torch.no_grad():
        return pool(field).tensor.flatten(1)


# -- the overlap of two windows ---------------------------------------------------------------------------------------


def two_views(power: int, *, training: bool = False) -> tuple[ScaleField, ScaleField, ScaleWindow]:
    """What one net on one fixed window makes of an image and of the image scaled by γ^power, and what both see.

    The scaled image is the same samples on pixels γ^power as far apart (the action on fields lifted from it).
    """
    window, g = ScaleWindow(G, 1.0, 5), G.element(power)
    net, images = build(window).train(training), torch.randn(3, 1, 65, 65, dtype=torch.float64)
    seen = window.transform(g.inverse())
    first, second = before_pooling(net, images), before_pooling(net, images, seen).transform(g)
    assert second.window == window
    overlap = window.overlap(seen)
    assert overlap is not None
    return first, second, overlap


@pytest.mark.parametrize("power", [-2, -1, 1, 3])
def test_networks_pooled_over_the_overlap_of_two_windows_are_invariant_to_rounding(power: int) -> None:
    """Not to the bit: all channels of a window are computed together, and the two windows are others."""
    ours, theirs, overlap = two_views(power)
    ours_seen, theirs_seen = ours.restrict(overlap), theirs.restrict(overlap.transform(G.element(power)))
    assert ours_seen.window.channels == theirs_seen.window.channels == 5 - abs(power)
    for pooling in POOLINGS:
        expected = pooled(ours_seen, pooling)
        size = expected.abs().max()
        assert (pooled(theirs_seen, pooling) - expected).abs().max() <= ROUNDING[torch.float64] * size
        # the controls: the whole fixed window, where channels come and go; the same channels, not moved along
        assert (pooled(ours, pooling) - pooled(theirs, pooling)).abs().max() > 0.1 * size
        assert (expected - pooled(theirs.restrict(overlap), pooling)).abs().max() > 0.1 * size


def test_statistics_of_a_training_batch_see_the_channels_that_come_and_go() -> None:
    """In training mode batch norm joins the channels, so a fixed window costs exactness before any pooling."""
    ours, theirs, overlap = two_views(1, training=True)
    gap = pooled(ours.restrict(overlap)) - pooled(theirs.restrict(overlap.transform(G.generator)))
    assert gap.abs().max() > 1e-3


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_selected_scale_of_the_scaled_object_is_exactly_the_scaled_one_inside_the_window(ratio: float) -> None:
    """select_scale(S·f) = S·select_scale(f) with S = γ, as numbers; the predicted class stays. One fixed window.

    Inside: f has not selected the coarsest channel, whose match is lost, nor S·f the finest, which has come in; and no
    other score is as near as what the lifting may lose, 1e-9 of them (test_theorem.py).
    """
    group = ScaleGroup(ratio)
    window = ScaleWindow(group, 2.0, 5)
    net = build(window)
    objects = Blobs.random(40, 3, widths=(1.5, 7.0), extent=6.0, generator=torch.Generator().manual_seed(1))

    def seen(factor: float) -> tuple[Tensor, Tensor, Tensor]:
        size = 2 * math.ceil(40 * factor) + 1
        images = objects.sample(size, size, factor=factor)
        with torch.no_grad():
            scores, selected = net.predict(images)
            best = net.scale_logits(images).flatten(1).topk(2).values
        return scores.argmax(1), selected, (best[:, 0] - best[:, 1]) > 1e-8 * best[:, 0].abs()

    classes, before, clear = seen(1.0)
    classes_after, after, clear_after = seen(ratio)
    inside = clear & clear_after & (before != window.sigmas[-1]) & (after != window.sigmas[0])
    assert inside.sum() >= 10
    assert len(before[inside].unique()) >= 2
    further = dict(zip(window.sigmas, window.sigmas[1:], strict=False))  # σ₀ → γ·σ₀, rounded once
    assert after[inside].tolist() == [further[sigma] for sigma in before[inside].tolist()]
    assert torch.equal(classes[inside], classes_after[inside])
    # the controls: outside something is lost or comes in; the scale that was selected does not stay
    assert inside.all() or (after[~inside] / before[~inside] - ratio).abs().max() > 0.1
    assert not (before[inside] == after[inside]).any()


# -- the boundary of a finite window ----------------------------------------------------------------------------------

# Objects of blobs 2 to 4 pixels wide, and a core window of σ₀ = 2 and 2√2, where an untrained net without offsets
# responds most: scale-normalised derivatives vanish at scales far below and far above those of a compact object.
CORE = range(2, 4)  # labels
WHOLE = ScaleWindow(G, 1.0, 8, first=-1)
FACTORS = {"doubled": 2, "halved": -2}  # powers of √2
NARROWEST = 2.0  # blob


@pytest.fixture(scope="module")
def responses() -> dict[int, ScaleField]:
    """Per power, what the net sees in all channels of 16 objects scaled by it, each sampled from its closed form."""
    torch.manual_seed(0)
    net = build(WHOLE)
    objects = Blobs.random(16, 4, widths=(NARROWEST, 4.0), extent=6.0, generator=torch.Generator().manual_seed(1))
    return {p: before_pooling(net, objects.sample(97, 97, factor=G.factor(p))) for p in (0, *FACTORS.values())}


def gap(one: Tensor, other: Tensor) -> float:
    """‖difference of the scores‖ / ‖scores‖, median over the objects; the net gives 0 on the background 0."""
    return ((one - other).norm(dim=1) / other.norm(dim=1)).median().item()


def boundary_effect(responses: dict[int, ScaleField], power: int, below: int, above: int, pooling: Pooling) -> float:
    """The gap between objects and scaled objects, through one window: the core and so many margin channels."""
    window = WHOLE.select(CORE.start - below - WHOLE.first, CORE.stop + above - WHOLE.first)
    one, other = (pooled(responses[p].restrict(window), pooling) for p in (0, power))
    return gap(one, other)


every_factor = pytest.mark.parametrize("power", FACTORS.values(), ids=FACTORS)


def assert_shrinks(effects: list[float]) -> None:
    assert effects == sorted(effects, reverse=True)
    assert effects[-1] < effects[0] / 3


@every_factor
@every_pooling
def test_boundary_effect_of_a_window_shrinks_with_every_margin_channel(
    responses: dict[int, ScaleField], power: int, pooling: Pooling
) -> None:
    """The remedy of §4.4, around what footnote 10 calls the effective scales. With `Max` and 0 to 3 channels on both
    sides: .85 .48 .21 .05 of the signal for doubled objects, 1.1 .53 .34 .14 for halved ones; through matching windows,
    where the lifting's aliasing is all that is left, 7e-11 and 2e-5.
    """
    effects = [boundary_effect(responses, power, m, m, pooling) for m in range(4)]
    assert_shrinks(effects)
    g = G.element(power)
    overlap = WHOLE.overlap(WHOLE.transform(g.inverse()))
    assert overlap is not None
    ours, theirs = responses[0].restrict(overlap), responses[power].restrict(overlap.transform(g))
    narrowest = min(NARROWEST, NARROWEST * g.scale_factor)
    smoothed = SelfSimilar(1.0).smoothed * WHOLE.sigmas[0]
    aliasing = math.exp(-(narrowest**2 + smoothed**2) * math.pi**2 / 2)  # of an amplitude, at the highest frequency
    assert gap(pooled(ours, pooling), pooled(theirs, pooling)) < aliasing < effects[-1] / 100


@every_factor
@every_pooling
def test_margins_on_the_side_that_objects_move_away_from_do_not_help(
    responses: dict[int, ScaleField], power: int, pooling: Pooling
) -> None:
    """The control: finer channels are of no use to a growing object, coarser ones of none to a shrinking one."""
    away = [boundary_effect(responses, power, *((m, 0) if power > 0 else (0, m)), pooling) for m in range(4)]
    assert min(away) > away[0] / 2
    with pytest.raises(AssertionError):
        assert_shrinks(away)


# -- real digits ------------------------------------------------------------------------------------------------------

SIZES = {1.0: 0, 2**0.5: 1, 2.0: 2}  # and the power of √2
TRAINED = ScaleWindow(G, 1.0, 4, first=-1)
TESTED = ScaleWindow(G, 1.0, 8, first=-2)  # one more channel below, three above: the largest digits are twice as large
SINGLE = ScaleWindow(G, 1.0, 1)


@pytest.fixture(scope="module")
def digits() -> dict[float, Tensor]:
    """120 test digits, drawn at every size by the recipe of the benchmarks: pictures have no closed form."""
    few = data.digits().first(test=120)
    return {size: few.draw("test", size).images for size in SIZES}


@pytest.fixture(scope="module")
def trained() -> GaussianDerivativeNet:
    """A small net, trained for seconds on 400 digits of size 1 only: some 80 % right, all that is needed here."""
    torch.manual_seed(0)
    net = gaussian_derivative_net(widths=(8, 12, 16), window=TRAINED, boundary=Background(data.BACKGROUND))
    drawn = data.digits().first(train=400).draw("train", 1.0)
    images, labels = drawn.images[:, :, 16:49, 16:49], drawn.labels
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.02, total_steps=30)
    for batch in (batch for _ in range(3) for batch in torch.randperm(400).split(40)):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
        optimiser.step()
        schedule.step()
    return net.eval()


Predict = Callable[[Tensor], tuple[Tensor, Tensor]]


def through(net: GaussianDerivativeNet, window: ScaleWindow) -> Predict:
    """(scores, labels of the selected channels) of images through a window."""

    def predict(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            scores, selected = net.predict(images, window=window)
        return scores, (2 * selected.log2()).round().long()

    return predict


def agreement(predict: Predict, digits: dict[float, Tensor], size: float) -> tuple[float, float]:
    """Of the digits drawn at another size: how many are called the same, how many select σ₀ · factor to one channel."""
    (scores, selected), (other_scores, other) = predict(digits[1.0]), predict(digits[size])
    same_class = scores.argmax(1) == other_scores.argmax(1)
    follows = (other - selected - SIZES[size]).abs() <= 1
    return same_class.double().mean().item(), follows.double().mean().item()


@pytest.mark.parametrize("size", [2**0.5, 2.0], ids=["√2", "2"])
def test_prediction_for_digits_drawn_at_a_size_never_seen_stays_and_its_scale_follows(
    trained: GaussianDerivativeNet, digits: dict[float, Tensor], size: float
) -> None:
    """Measured at √2 and 2: 90 and 95 % are called the same, 95 and 98 % select σ₀·√2 and σ₀·2 to within one channel;
    through one channel 53 and 33 % are. With other seeds at least 74 and 84 %, 94 and 97 %; at most 64 and 51 %.
    """
    same_class, follows = agreement(through(trained, TESTED), digits, size)
    assert same_class > 0.75
    assert follows > 0.85
    alone, still = agreement(through(trained, SINGLE), digits, size)  # the control: one scale channel of the same net
    assert alone < same_class
    assert size < 2 or (alone < 0.6 and still == 0)
