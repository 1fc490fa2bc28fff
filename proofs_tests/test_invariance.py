"""Scale invariance of whole networks (eq 21-23): exact over the overlap of two windows, and what a finite one costs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks import data
from proofs_tests.comparison import same_bits
from scalegroup import Background, LogSumExp, Max, Mean, Pooling, ScaleField, ScaleGroup, ScaleWindow, TopK, nn
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.testing import Blobs

G = ScaleGroup(2**0.5)
POOLINGS = [Max(), Mean(), LogSumExp(0.5), TopK(2)]
every_pooling = pytest.mark.parametrize("pooling", POOLINGS, ids=repr)


def build(window: ScaleWindow, *, background: float = 0.0) -> GaussianDerivativeNet:
    """An untrained net with strides, in float64 and evaluation mode."""
    net = gaussian_derivative_net(widths=(6, 8), window=window, boundary=Background(background), min_grid_sigma=1.0)
    return net.double().eval()


def before_pooling(net: GaussianDerivativeNet, images: Tensor) -> ScaleField:
    with torch.no_grad():
        return net.field(images, pooled=False)


def pooled(field: ScaleField, pooling: Pooling = Max()) -> Tensor:  # noqa: B008
    """`[batch, classes]`."""
    return nn.ScalePool(field.type, pooling)(field).tensor.flatten(1)


# -- the overlap of two windows ---------------------------------------------------------------------------------------


def two_views(power: int, *, training: bool = False) -> tuple[ScaleField, ScaleField, ScaleWindow]:
    """What one net on one fixed window makes of an image and of the image scaled by γ^power, and what both see.

    The scaled image is the same samples on pixels γ^power as far apart (the action on fields lifted from it).
    """
    window = ScaleWindow(G, 1.0, 5)
    net, images = build(window).train(training), torch.randn(3, 1, 65, 65, dtype=torch.float64)
    first = before_pooling(net, images)
    net.lift.spacing = power
    overlap = window.overlap(window.transform(G.element(-power)))
    assert overlap is not None
    return first, before_pooling(net, images), overlap


@pytest.mark.parametrize("power", [-2, -1, 1, 3])
def test_networks_pooled_over_the_overlap_of_two_windows_are_exactly_invariant(power: int) -> None:
    ours, theirs, overlap = two_views(power)
    ours_seen, theirs_seen = ours.restrict(overlap), theirs.restrict(overlap.transform(G.element(power)))
    assert ours_seen.defined == theirs_seen.defined == (True,) * (5 - abs(power))
    for pooling in POOLINGS:
        assert same_bits(pooled(ours_seen, pooling), pooled(theirs_seen, pooling))
        # the controls: the whole fixed window, where channels come and go; the same channels, not moved along
        assert (pooled(ours, pooling) - pooled(theirs, pooling)).abs().max() > 1e-3
        assert (pooled(ours_seen, pooling) - pooled(theirs.restrict(overlap), pooling)).abs().max() > 1e-3


def test_statistics_of_a_training_batch_see_the_channels_that_come_and_go() -> None:
    """In training mode batch norm joins the channels, so a fixed window costs exactness before any pooling."""
    ours, theirs, overlap = two_views(1, training=True)
    gap = pooled(ours.restrict(overlap)) - pooled(theirs.restrict(overlap.transform(G.generator)))
    assert gap.abs().max() > 1e-3


# -- the boundary of a finite window ----------------------------------------------------------------------------------

# Objects of blobs 2 to 4 pixels wide, and a core window of σ₀ = 2 and 2√2, where an untrained net without offsets
# responds most: scale-normalised derivatives vanish at scales far below and far above those of a compact object.
CORE = range(2, 4)  # labels
WHOLE = ScaleWindow(G, 1.0, 8, first=-1)
FACTORS = {"doubled": 2, "halved": -2}  # powers of √2


@pytest.fixture(scope="module")
def responses() -> dict[int, ScaleField]:
    """Per power, what the net sees in all channels of 16 objects scaled by it, each sampled from its closed form."""
    torch.manual_seed(0)
    net = build(WHOLE)
    objects = Blobs.random(16, 4, widths=(2.0, 4.0), extent=6.0, generator=torch.Generator().manual_seed(1))
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
    sides: .77 .40 .16 .06 of the signal for doubled objects, .96 .49 .23 .17 for halved ones; through matching windows,
    where discretisation is all that is left, .02 and .08.
    """
    effects = [boundary_effect(responses, power, m, m, pooling) for m in range(4)]
    assert_shrinks(effects)
    g = G.element(power)
    overlap = WHOLE.overlap(WHOLE.transform(g.inverse()))
    assert overlap is not None
    ours, theirs = responses[0].restrict(overlap), responses[power].restrict(overlap.transform(g))
    assert gap(pooled(ours, pooling), pooled(theirs, pooling)) < effects[-1]


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
    net = gaussian_derivative_net(
        widths=(8, 12, 16), window=TRAINED, boundary=Background(data.BACKGROUND), min_grid_sigma=1.0
    )
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


def through(net: GaussianDerivativeNet, window: ScaleWindow, spacing: int = 0) -> Predict:
    """(scores, labels of the selected channels) of images through a window, on pixels √2^spacing apart."""

    def predict(images: Tensor) -> tuple[Tensor, Tensor]:
        net.lift.window, net.lift.spacing = window, spacing
        with torch.no_grad():
            scores, selected = net.predict(images)
        return scores, (2 * selected.log2()).round().long()

    return predict


@pytest.mark.parametrize("power", [-1, 1, 2])
def test_prediction_for_relabelled_digits_is_identical_through_the_window_that_moves_along(
    trained: GaussianDerivativeNet, digits: dict[float, Tensor], power: int
) -> None:
    scores, selected = through(trained, TESTED)(digits[1.0])
    moved_scores, moved = through(trained, TESTED.transform(G.element(power)), spacing=power)(digits[1.0])
    assert same_bits(moved_scores, scores)
    assert torch.equal(moved, selected + power)
    assert len(selected.unique()) > 2
    assert not same_bits(through(trained, TESTED, spacing=power)(digits[1.0])[0], scores)  # the control: it stays


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
    """Measured at √2 and 2: 90 and 95 % are called the same, 93 and 96 % select σ₀·√2 and σ₀·2 to within one channel;
    through one channel 58 and 30 % are. With other seeds at least 79 and 89 %, 93 and 95 %; at most 69 and 47 %.
    """
    same_class, follows = agreement(through(trained, TESTED), digits, size)
    assert same_class > 0.75
    assert follows > 0.85
    alone, still = agreement(through(trained, SINGLE), digits, size)  # the control: one scale channel of the same net
    assert alone < same_class
    assert size < 2 or (alone < 0.6 and still == 0)
