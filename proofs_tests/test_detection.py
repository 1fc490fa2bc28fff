"""Scenes: scores everywhere, whole or in tiles; maxima over place and scale move and grow with the objects."""

from dataclasses import replace
from functools import partial
from itertools import permutations

import pytest
import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from proofs_tests.comparison import RATIOS, ROUNDING
from proofs_tests.networks import after_a_batch, and_nothing
from scalegroup import (
    SAMPLES_PER_SIGMA,
    Background,
    Reflect,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    ScoreVolume,
    detect,
    nn,
)
from scalegroup.detection import peaks
from scalegroup.fields.grid import Grids
from scalegroup.fields.score_volume import Places
from scalegroup.models import gaussian_derivative_net
from scalegroup.planning.tiles import tiles
from scalegroup.testing.closed_form import Blobs

G = ScaleGroup(2**0.5)
EXACT = ROUNDING[torch.float64]
LIFTING = 1e-7  # what it may lose at σ₀ = 2, through a few layers
STEP = 1e-3  # of the step between samples or scale channels: flat tops multiply that


def network(window: ScaleWindow, boundary=Background(0.0), *, seed: int = 0, **parts) -> nn.Sequential:  # noqa: B008
    """Random, in float64, as after training."""
    torch.manual_seed(seed)
    parts = {"widths": (4, 6), "num_classes": 3, "min_grid_sigma": 1.1} | parts
    net = gaussian_derivative_net(window=window, boundary=boundary, **parts).double()
    return after_a_batch(
        net, and_nothing(Blobs.random(4, 3, widths=(2.0, 4.0), extent=12, generator=seeded(1)).sample(41, 41))
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_same_scores(one: ScoreVolume, other: ScoreVolume, within: float) -> None:
    assert (one.y, one.x, one.sigmas) == (other.y, other.x, other.sigmas)
    for a, b in zip(one.maps, other.maps, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=within * float(b.abs().max()))


# -- scores everywhere -------------------------------------------------------------------------------------------------

WINDOW = ScaleWindow(G, 1.0, 3)


def test_the_centre_of_the_scores_is_what_the_network_reads_there() -> None:
    net, images = network(WINDOW), torch.rand(2, 1, 33, 47, dtype=torch.float64)
    with torch.no_grad():
        volume, read = net.dense_scores(images), net.scale_logits(images)
    for n, maps in enumerate(volume.maps):
        row, column = (places.length // 2 for places in (volume.y[n], volume.x[n]))
        assert (volume.y[n].like(maps)[row], volume.x[n].like(maps)[column]) == (16.5, 23.5)
        torch.testing.assert_close(maps[:, :, row, column], read[..., n], rtol=EXACT, atol=EXACT)
        assert not torch.allclose(maps[:, :, row, column + 1], read[..., n])  # the control


@pytest.mark.parametrize("tile", [13, 40])
@pytest.mark.parametrize("boundary", [Background(0.3), Reflect()], ids=repr)
@pytest.mark.parametrize("parts", [{}, {"neighbours": 1, "residual": True}, {"min_grid_sigma": 0.55}], ids=repr)
def test_tiles_change_nothing(parts: dict, boundary, tile: int) -> None:
    net, images = network(WINDOW, boundary, **parts), torch.rand(1, 1, 38, 51, dtype=torch.float64)
    with torch.no_grad():
        whole = net.dense_scores(images)
        assert_same_scores(net.dense_scores(images, tile=tile), whole, EXACT)
        cut = net.dense_scores(images[..., :24, :24])  # the control: a piece of the image is not a tile
    inner = [maps[..., : cut.maps[n].shape[2], : cut.maps[n].shape[3]] for n, maps in enumerate(whole.maps)]
    assert (inner[0] - cut.maps[0]).abs().max() > 1e-3


def test_a_tile_takes_what_it_reaches_and_nothing_else() -> None:
    net = network(WINDOW)
    lift, *layers = net[: next(n for n, layer in enumerate(net) if layer.projects)]
    behind, canvas = nn.Sequential(*layers), lift.canvas(Grids.of_pixels((400, 300), WINDOW.sigmas))

    def margins() -> set[int]:
        corner, *_ = tiles(behind.canvas(canvas), 20)
        each = zip(behind.needs(corner, canvas).grids, corner.grids, strict=True)
        return {long - short for needed, part in each for long, short in zip(needed.shape, part.shape, strict=True)}

    (margin,) = margins()
    assert margin < 40
    net.train()  # the control: batch norm takes its statistics around the image's centre
    assert max(margins()) > 100


def test_a_picture_smaller_than_any_filter_has_scores() -> None:
    assert [maps.shape for maps in network(WINDOW).dense_scores(torch.zeros(1, 1, 1, 2).double()).maps] == [
        (1, 3, 1, 1)
    ] * 3


def test_any_chain_has_scores_and_gradients_reach_its_weights() -> None:
    net = nn.Sequential(nn.Lift(WINDOW), partial(nn.JetConv, out_type=4), nn.ReLU, partial(nn.JetConv, out_type=2))
    volume = net.dense_scores(torch.rand(1, 1, 20, 20), tile=9)
    sum(maps.square().sum() for maps in volume.maps).backward()
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in net.parameters())


def test_a_network_that_sees_the_middle_only_is_refused() -> None:
    with pytest.raises(ScaleGroupError, match="field_of_view=None"):
        network(WINDOW, field_of_view=6.0).dense_scores(torch.rand(1, 1, 20, 20).double())


# -- maxima ------------------------------------------------------------------------------------------------------------


def bowl(y: float, x: float, octave: float) -> ScoreVolume:
    """A paraboloid with its top (of 2) at a place and at log₂ σ₀, on the same samples in every channel."""
    places, sigmas = Places(0.5, 1.0, 12), tuple(2 ** (n / 2) for n in range(5))
    at = places.like(torch.zeros(1, dtype=torch.float64))
    plane = 2 - 0.2 * ((at[:, None] - y) ** 2 + (at - x) ** 2)
    maps = [(plane - 0.6 * (n / 2 - octave) ** 2)[None, None] for n in range(5)]
    return ScoreVolume(tuple(maps), (places,) * 5, (places,) * 5, sigmas, (12, 12))


@pytest.mark.parametrize(("y", "x", "octave"), [(5.5, 5.5, 1.0), (5.7, 4.2, 0.8), (3.9, 8.1, 1.24)])
def test_the_top_of_a_paraboloid_is_found_between_samples_and_channels(y: float, x: float, octave: float) -> None:
    top = peaks(bowl(y, x, octave), 0.5)
    found = [float(value[0]) for value in (top.y, top.x, top.sigma.log2(), top.score.logit())]
    # across scale the parabola is through values at the sample, which lies beside the top in the plane alike
    assert found == pytest.approx([y, x, octave, 2.0], abs=1e-9)
    assert len(top.score) == 1


def test_no_threshold_but_the_highest_hides_a_top_above_it() -> None:
    for threshold, count in ((0.0, 1), (0.85, 1), (0.9, 0), (1.0, 0)):  # sigmoid(2) is .88
        assert len(peaks(bowl(5.5, 5.5, 1.0), threshold).score) == count


def test_of_boxes_over_each_other_the_best_is_told() -> None:
    class Two:
        def dense_scores(self, images: Tensor) -> ScoreVolume:
            one, other = bowl(5.5, 4.5, 1.0), bowl(5.5, 8.5, 1.0)
            maps = [torch.cat([a, b - 0.5], 1) for a, b in zip(one.maps, other.maps, strict=True)]
            return replace(one, maps=tuple(maps))

    (both,), (best,) = (
        detect(Two(), torch.zeros(1, 1, 12, 12).double(), extent=3.0, overlap=overlap) for overlap in (0.5, 0.1)
    )
    assert (both["labels"].tolist(), best["labels"].tolist()) == ([0, 1], [0])
    assert both["scores"][0] > both["scores"][1] > 0.5


# -- laws --------------------------------------------------------------------------------------------------------------

SCENE = Blobs.random(2, 6, widths=(3.0, 5.0), extent=24, generator=seeded(5))
SIZE = 131  # nothing comes near the border
COARSE = ScaleWindow(G, 2.0, 4)


def scene_network(window: ScaleWindow, **parts) -> nn.Sequential:
    """What a random network says means nothing: a tenth of its scores is taken for objects."""
    net = network(window, **parts)
    with torch.no_grad():
        scores = torch.cat([maps.flatten(2) for maps in net.dense_scores(SCENE.sample(SIZE, SIZE)).maps], 2)
        net[-3].offset -= torch.quantile(scores, 0.9, dim=2).mean(0)
    return net


def inside(boxes: Tensor, size: int) -> Tensor:
    return ((boxes > 0) & (boxes < size)).all(1)


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_detections_of_the_scaled_scene_are_the_scaled_detections(ratio: float) -> None:
    group = ScaleGroup(ratio)
    window = ScaleWindow(group, 2.0, 4)
    net, larger = scene_network(window), round(ratio * (SIZE - 1)) + 1
    factor = (larger - 1) / (SIZE - 1)  # of whole pixels; the window's ratio is as near as that
    scaled_window = ScaleWindow(group, 2.0 * factor, 4)
    found = detect(net, SCENE.sample(SIZE, SIZE), extent=4.0)
    scaled = detect(net, SCENE.sample(larger, larger, factor=factor), extent=4.0, window=scaled_window)
    assert sum(len(each["scores"]) for each in found) >= 4
    for before, after in zip(found, scaled, strict=True):
        assert torch.equal(before["labels"], after["labels"])
        torch.testing.assert_close(after["scores"], before["scores"], rtol=0, atol=LIFTING)
        steps = torch.log(after["sigmas"] / (factor * before["sigmas"])) / torch.tensor(ratio).log()
        assert steps.abs().max() <= STEP
        seen = [inside(each["boxes"], size) for each, size in ((before, SIZE), (after, larger))]
        middle = [each["boxes"] - size / 2 for each, size in ((before, SIZE), (after, larger))]
        both = seen[0] & seen[1]
        torch.testing.assert_close(
            middle[1][both], factor * middle[0][both], rtol=0, atol=STEP * 2.0 / SAMPLES_PER_SIGMA
        )
        # the control: they did grow
        assert (middle[1][both] - middle[0][both]).abs().max() > 1


@pytest.mark.parametrize(("down", "right"), [(8, 0), (-8, 16)])
def test_detections_of_the_shifted_scene_are_the_shifted_detections(down: int, right: int) -> None:
    """σ₀ = 2, 4 and 8 with one sample per σ₀: pixels that are whole samples of every channel."""
    net = scene_network(ScaleWindow(ScaleGroup(2), 2.0, 3), samples_per_sigma=1.0)
    moved = replace(SCENE, centres=SCENE.centres + torch.tensor([right, down], dtype=torch.float64))
    found, shifted = (detect(net, scene.sample(SIZE, SIZE), extent=4.0) for scene in (SCENE, moved))
    by = torch.tensor([right, down, right, down], dtype=torch.float64)
    for before, after in zip(found, shifted, strict=True):
        kept, wanted = (
            each["boxes"][inside(each["boxes"] + off, SIZE) & inside(each["boxes"], SIZE)]
            for each, off in ((before, by), (after, -by))
        )
        assert len(kept) >= 2
        torch.testing.assert_close(wanted, kept + by, rtol=0, atol=1e-6)
        assert not torch.allclose(wanted, kept, atol=1.0)  # the control: they did move


def test_a_scene_of_nothing_has_no_detections() -> None:
    net = gaussian_derivative_net(window=WINDOW, boundary=Background(0.25), first_offset=-5.0).eval()
    nothing = torch.full((1, 1, 40, 40), 0.25)
    assert [len(detect(net, nothing, extent=4.0, threshold=least)[0]["scores"]) for least in (0.5, 0.01)] == [0, 0]
    (found,) = detect(net, nothing, extent=4.0, threshold=0.001)  # the control: that is what it starts with
    assert len(found["scores"]) > 0


def test_batches_lists_and_torchvision_take_and_give_the_same() -> None:
    net, scenes = scene_network(COARSE), SCENE.sample(SIZE, SIZE)
    at_once, one_by_one = detect(net, scenes, extent=4.0), detect(net, list(scenes), extent=4.0)
    for a, b in zip(at_once, one_by_one, strict=True):
        assert a.keys() == b.keys() == {"boxes", "labels", "scores", "sizes", "sigmas"}
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        assert (a["scores"].diff() <= 0).all()
    picture = (scenes[0].float().clamp(0, 1) * 255).byte().expand(3, -1, -1)
    drawn = draw_bounding_boxes(picture, at_once[0]["boxes"], labels=[str(n) for n in at_once[0]["labels"].tolist()])
    assert drawn.shape == picture.shape


# -- the loss ----------------------------------------------------------------------------------------------------------

BOXES = torch.tensor([[2.0, 4.0, 10.0, 12.0], [20.0, 6.0, 36.0, 22.0], [4.0, 20.0, 8.0, 24.0]])
LABELS = torch.tensor([1, 0, 1])


def volume_of(*, factor: float = 1.0, seed: int = 0) -> ScoreVolume:
    """Random log-odds at the places of a 28×40 image scaled by `factor`."""
    generator, maps, y, x = seeded(seed), [], [], []
    for n in range(4):
        step = 2 ** (n / 2)
        rows, columns = (int(length // step) for length in (28, 40))
        y.append(Places(factor * step / 2, factor * step, rows))
        x.append(Places(factor * step / 2, factor * step, columns))
        maps.append(torch.randn(2, 2, rows, columns, generator=generator, dtype=torch.float64))
    sigmas = tuple(factor * 2 ** (n / 2) for n in range(4))
    return ScoreVolume(tuple(maps), tuple(y), tuple(x), sigmas, (round(28 * factor), round(40 * factor)))


def scenes(factor: float = 1.0, order=(0, 1, 2)) -> list[dict[str, Tensor]]:
    order = list(order)
    full = {"boxes": factor * BOXES[order], "labels": LABELS[order]}
    return [full, {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.long)}]


def test_the_target_is_a_bump_over_place_and_scale() -> None:
    loss, volume = nn.SceneLoss(4.0, spread=1.5, octaves=0.5), volume_of()
    for n, sigma in enumerate(volume.sigmas):
        found = loss.targets(volume, n, scenes())
        for label, row, column in ((1, 4, 3), (0, 7, 12), (1, 0, 0)):
            if row >= volume.y[n].length or column >= volume.x[n].length:
                continue
            y, x = (places.first + at * places.spacing for places, at in ((volume.y[n], row), (volume.x[n], column)))
            slow = 0.0
            for (x0, y0, x1, y1), of in zip(BOXES.tolist(), LABELS.tolist(), strict=True):
                own = (x1 - x0) / 4
                far = ((y - (y0 + y1) / 2) ** 2 + (x - (x0 + x1) / 2) ** 2) / (1.5 * own) ** 2
                far += (torch.tensor(sigma / own).log2().item() / 0.5) ** 2
                slow = max(slow, float(torch.tensor(-far / 2).exp())) if of == label else slow
            assert float(found[0, label, row, column]) == pytest.approx(slow, rel=1e-5, abs=1e-9)
        assert found[1].abs().max() == 0


def test_the_loss_of_the_scaled_scene_is_the_loss() -> None:
    loss = nn.SceneLoss(4.0)
    one, scaled = loss(volume_of(), scenes()), loss(volume_of(factor=1.7), scenes(1.7))
    torch.testing.assert_close(one, scaled, rtol=1e-6, atol=0)
    assert not torch.allclose(one, loss(volume_of(factor=1.7), scenes(1.6)))  # the control


def test_the_order_of_objects_does_not_matter() -> None:
    values = [nn.SceneLoss(4.0)(volume_of(), scenes(order=order)) for order in permutations(range(3))]
    assert len({float(value) for value in values}) == 1


def test_what_is_as_it_should_be_is_not_pulled() -> None:
    """At the targets the loss has no gradient; beside them it has (the control)."""
    loss, volume = nn.SceneLoss(4.0), volume_of()
    right = [loss.targets(volume, n, scenes()).clamp(1e-6, 1 - 1e-6).logit() for n in range(4)]
    for offset, least, most in ((0.0, 0.0, 1e-9), (1.0, 1e-3, 9e9)):
        maps = tuple((maps + offset).requires_grad_() for maps in right)
        loss(replace(volume, maps=maps), scenes()).backward()
        assert least <= max(float(of.grad.abs().max()) for of in maps) <= most  # type: ignore[union-attr]


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": -0.1}, "threshold -0.1"),
        ({"threshold": 1.5}, "threshold 1.5"),
        ({"threshold": "much"}, "threshold"),
        ({"overlap": 2}, "overlap 2"),
        ({"extent": None}, "SceneLoss"),
        ({"extent": 0.0}, "extent"),
        ({"tile": 0}, "tile"),
        ({"most": 0}, "most"),
    ],
    ids=str,
)
def test_what_detect_cannot_use_is_refused(options: dict, said: str) -> None:
    with pytest.raises(ScaleGroupError, match=said):
        detect(network(WINDOW), torch.zeros(1, 1, 20, 20).double(), **{"extent": 4.0} | options)


def test_images_and_networks_that_cannot_be_used_are_refused() -> None:
    for images in (torch.zeros(20, 20), [torch.zeros(20, 20)], ["cat.png"], torch.full((1, 1, 9, 9), torch.nan)):
        with pytest.raises(ScaleGroupError):
            detect(network(WINDOW), images, extent=4.0)
    with pytest.raises(ScaleGroupError, match="training mode"):
        detect(network(WINDOW).train(), torch.zeros(1, 1, 20, 20).double(), extent=4.0)
    with pytest.raises(ScaleGroupError, match="dense_scores"):
        detect(torch.nn.Identity(), torch.zeros(1, 1, 9, 9), extent=4.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "0 scenes"),
        ([{"boxes": BOXES[:, :3], "labels": LABELS}] * 2, "boxes"),
        ([{"boxes": BOXES, "labels": LABELS[:2]}] * 2, "labels"),
        ([{"boxes": BOXES, "labels": LABELS + 1}] * 2, "labels up to 2"),
        ([{"boxes": BOXES, "labels": LABELS.float()}] * 2, "float32"),
        ([{"boxes": BOXES[:, [2, 3, 0, 1]], "labels": LABELS}] * 2, "boxes .*x0 < x1"),
        ([{"boxes": BOXES[:, [0, 1, 0, 3]], "labels": LABELS}] * 2, "boxes .*x0 < x1"),
        ([{"boxes": BOXES * torch.nan, "labels": LABELS}] * 2, "boxes .*x0 < x1"),
    ],
)
def test_scenes_that_do_not_fit_are_refused(wrong: list, said: str) -> None:
    with pytest.raises(ScaleGroupError, match=said):
        nn.SceneLoss(4.0)(volume_of(), wrong)


def test_a_volume_whose_parts_do_not_fit_is_refused() -> None:
    volume = volume_of()
    for parts in ({"sigmas": (1.0,)}, {"maps": volume.maps[::-1]}):
        with pytest.raises(ScaleGroupError, match="maps of shapes"):
            replace(volume, **parts)
    read = nn.Sequential(nn.Lift(WINDOW), partial(nn.JetConv, out_type=2), nn.ReadOut).field(torch.zeros(1, 1, 9, 9))
    with pytest.raises(ScaleGroupError, match="read-out"):
        ScoreVolume.of(read)
