"""The benchmark of scenes: what is drawn is what is told, what is counted is what is there."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import data, detections, off_centre, scenes
from benchmarks import stamps as stamps_command
from benchmarks.__main__ import main
from benchmarks.baselines.pyramid_cnn import pyramid_cnn
from benchmarks.data import stamps
from benchmarks.data.scenes import BACKGROUNDS, BOX, draw_scene
from benchmarks.data.source import Labelled
from benchmarks.detections import Counts, count, mean_average_precision
from proofs_tests.examples import names_of
from scalegroup import ScaleGroup, ScaleWindow, detect
from scalegroup.models import PRESETS, find_trained, gaussian_derivative_net

DISCS = Labelled(
    ((torch.arange(28) - 13.5) ** 2 + (torch.arange(28)[:, None] - 13.5) ** 2 < 64)
    .byte()
    .mul(255)
    .expand(4, 1, -1, -1),
    torch.arange(4),
)


def scene(seed=0, rows=(0, 1, 2, 3), sizes=(1.0, 2.0), shape=(160, 200), **options):
    rng = np.random.default_rng(seed)
    return draw_scene(DISCS, rows, sizes, rng, shape=shape, **{"cluttered": False} | options)


def test_objects_are_where_their_boxes_are_and_nowhere_else():
    drawn = scene()
    outside = drawn.image[0].clone()
    for (x0, y0, x1, y1), size in zip(drawn.boxes.tolist(), drawn.sizes.tolist(), strict=True):
        assert x1 - x0 == y1 - y0 == pytest.approx(28 * size * BOX)
        assert drawn.image[0, round((y0 + y1) / 2), round((x0 + x1) / 2)] > 0.7
        outside[max(0, int(y0) - 3) : int(y1) + 4, max(0, int(x0) - 3) : int(x1) + 4] = 0
    assert len(drawn.labels) == 4
    assert outside.max() <= 0
    assert drawn.image.min() == pytest.approx(-0.763, abs=1e-3)


def test_boxes_do_not_meet_and_lie_within_where_that_is_asked():
    for seed in range(5):
        boxes = scene(seed, rows=[0] * 12, sizes=(1.0, 2.0, 3.0)).boxes
        over = torch.triu(detections.box_iou(boxes, boxes), diagonal=1)
        assert over.max() == 0
        assert boxes.min() >= -0.5
        assert boxes[:, 2].max() <= 200.5
    half_outside = torch.cat([scene(seed, rows=[0] * 6, inside=False).boxes for seed in range(5)])
    assert half_outside.min() < -2  # the control


def test_the_same_generator_draws_the_same_and_clutter_is_no_object():
    plain, again, cluttered = scene(3), scene(3), scene(3, cluttered=True)
    assert torch.equal(plain.image, again.image)
    assert torch.equal(plain.boxes, cluttered.boxes)
    assert (cluttered.image - plain.image).abs().mean() > 0.01


def found_of(drawn, keep=slice(None), labels=None):
    side = drawn.boxes[keep, 2] - drawn.boxes[keep, 0]
    return {
        "boxes": drawn.boxes[keep],
        "labels": drawn.labels[keep] if labels is None else labels,
        "scores": torch.full_like(side, 0.9),
        "sizes": side,
    }


def test_counts_and_precision_tell_right_wrong_and_missed():
    drawn, sizes = scene(), (1.0, 2.0)
    everything = count(found_of(drawn), drawn, 0.5, sizes, 20.0)
    assert everything.f1_all == 1
    assert mean_average_precision([found_of(drawn)], [drawn.targets]) == pytest.approx(1)
    fewer = count(found_of(drawn, slice(3)), drawn, 0.5, sizes, 20.0)
    assert (fewer.right.sum(), fewer.wrong.sum(), fewer.missed.sum()) == (3, 0, 1)
    misread = found_of(drawn, labels=(drawn.labels + 1) % 4)
    assert count(misread, drawn, 0.5, sizes, 20.0).f1 == [0, 0]
    assert mean_average_precision([misread], [drawn.targets]) < 0.1
    twice = {name: torch.cat([value, value]) for name, value in found_of(drawn).items()}
    assert count(twice, drawn, 0.5, sizes, 20.0).wrong.sum() == 4
    assert (Counts(sizes) + everything).f1 == everything.f1


def test_the_pyramid_sees_an_object_of_twice_the_size_one_level_on_as_it_sees_it_here():
    torch.manual_seed(0)
    net = pyramid_cnn((1.0, 2.0), (4, 4, 4), first_offset=0.0).eval()
    small = torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8), size=48, mode="bicubic")
    large = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    with torch.no_grad():
        one, two = net.dense_scores(small), net.dense_scores(large)
    inner = (..., slice(3, -3), slice(3, -3))
    spread = (one.maps[0] - one.maps[0].mean((2, 3), keepdim=True)).norm()
    assert (one.maps[0] - two.maps[1])[inner].norm() < 0.1 * spread
    assert (one.maps[0] - two.maps[0][..., :12, :12])[inner].norm() > 0.3 * spread  # the control
    assert (two.y[1].spacing, two.y[1].first) == (8.0, 1.0)


@pytest.fixture
def command(tmp_path, monkeypatch):
    few = data.digits().first(train=30, test=10)
    monkeypatch.setitem(data.SOURCES, "few", lambda _: few)
    monkeypatch.setitem(PRESETS, "larger", PRESETS["larger"].changed(widths=(3,)))
    monkeypatch.setattr(scenes, "SHAPE", (64, 96))
    monkeypatch.setattr(scenes, "WINDOW", ScaleWindow(ScaleGroup(2.0), 1.0, 2))
    options = ["--data", "few", "--train-images", "12", "--validation-images", "6", "--epochs", "1", "--pictures", "2"]

    def run_it(*more):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "scenes", *options, "--output", str(tmp_path / "out"), *more])
        return main()

    return run_it


def test_the_command_trains_at_one_size_and_tells_of_all(command, tmp_path, monkeypatch, capsys):
    assert command("--fewer-channels", "0") == 0
    out = tmp_path / "out"
    content = json.loads((out / "results.json").read_text())
    for background in BACKGROUNDS:
        assert set(content["f1"][background]) == set(scenes.NETWORKS)
        assert all(len(of) == len(scenes.SIZES) for of in content["f1"][background].values())
        with Image.open(out / f"{background}.png") as picture:
            assert picture.size == (96, 64)
    assert all(seconds > 0 for seconds in content["seconds_per_picture"].values())
    assert content["rows"]["scalegroup"]["setting"]["train_images"] == 12
    assert "| scalegroup |" in (out / "report.md").read_text()
    trained = find_trained(out / "scalegroup.safetensors")
    assert trained.architecture.extent == pytest.approx(data.digits().unit * BOX)
    before = capsys.readouterr().out.count("epoch 1/1")
    assert command("--fewer-channels", "0", "--resume") == 0
    assert (before, capsys.readouterr().out.count("epoch 1/1")) == (2, 0)  # two trainings for three networks; kept

    packed = ["pack", str(out), "--network", "scalegroup", "--name", "few-scenes", "--output", str(tmp_path / "packed")]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *packed])
    assert main() == 0
    card = (tmp_path / "packed" / "few-scenes.md").read_text()
    assert "detect(net, images" in card
    assert "| 2.828 |" in card
    net = gaussian_derivative_net(weights=tmp_path / "packed" / "few-scenes.safetensors")
    drawn = names_of("find_objects.py")
    picture, image = drawn["read_scene"](out / "plain.png")
    assert image.min() == pytest.approx(-0.763, abs=1e-3)
    (found,) = detect(net, image[None], threshold=0.0)
    assert drawn["drawn"](picture, found).shape == (3, 64, 96)

    monkeypatch.setattr(off_centre, "OFFSETS", (0, 8))
    monkeypatch.setattr(off_centre, "SHAPE", (64, 96))
    weights, read = str(out / "scalegroup.safetensors"), tmp_path / "read"
    arguments = ["off-centre", "--data", "few", "--weights", weights, "--scene-weights", weights, "--output", str(read)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    assert main() == 0
    accuracy = json.loads((read / "results.json").read_text())["accuracy"]
    assert [len(values) for values in accuracy.values()] == [2, 2]
    with Image.open(read / "off_centre.png") as picture:
        assert picture.size[0] > picture.size[1]

    large = ["large-picture", "--data", "few", "--weights", weights, "--shape", "64", "96", "--output", str(read)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *large])
    assert main() == 0
    content = json.loads((read / "results.json").read_text())
    assert content["shape"] == [64, 96]
    assert content["peak_bytes"] > 2**20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--networks", "yolo"], "network 'yolo'"),
        (["--pictures", "0"], "pictures"),
        (["--fewer-channels", "-1"], "fewer channels"),
        (["--seed", "-1"], "seed"),
        (["--data", "stir-emoji"], "stir-emoji"),
    ],
)
def test_what_cannot_be_run_is_refused(command, capsys, arguments, said):
    assert command(*arguments) == 2
    assert said in capsys.readouterr().err


def test_stamps_lie_where_their_boxes_are_and_are_found_by_the_command(tmp_path, monkeypatch, capsys):
    for number, colour in enumerate(("red", "blue")):
        picture = Image.new("RGBA", (60, 40))
        picture.paste(colour, (10, 10, 50, 30))
        picture.save(tmp_path / f"{number}.png")
    read = stamps.read_stamps([tmp_path / "0.png", tmp_path / "1.png"])
    options = {"shape": (96, 128), "cluttered": False}
    drawn = stamps.draw_stamps(read, [0, 1], [1.0, 2.0], np.random.default_rng(0), **options)
    bare = stamps.draw_stamps(read, [], [1.0], np.random.default_rng(0), **options)
    changed = (drawn.image - bare.image).abs().amax(0) > 0.05
    inside = torch.zeros_like(changed)
    for x0, y0, x1, y1 in drawn.boxes.int().tolist():
        inside[y0:y1, x0:x1] = True
    assert changed.any()
    assert not (changed & ~inside).any()
    for (x0, y0, x1, y1), label in zip(drawn.boxes.tolist(), drawn.labels.tolist(), strict=True):
        middle = drawn.image[:, int(y0 + y1) // 2, int(x0 + x1) // 2]
        assert middle.argmax() == (0, 2)[label]  # red, blue

    monkeypatch.setattr(stamps_command, "SHAPE", (64, 96))
    monkeypatch.setattr(stamps_command, "CROP", 64)
    monkeypatch.setattr(stamps_command, "WINDOW", ScaleWindow(ScaleGroup(2.0), 1.0, 2))
    monkeypatch.setattr(stamps_command, "COUNT", 6)
    arguments = [
        "stamps",
        "--stamps",
        str(tmp_path),
        "--names",
        "0.png",
        "1.png",
        "--widths",
        "3",
        "3",
        "--epochs",
        "1",
    ]
    arguments += ["--pictures", "2", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    assert main() == 0
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(content["f1"]) == {f"{size:.4f}" for size in scenes.SIZES}
    with Image.open(tmp_path / "out" / "stamps.png") as picture:
        assert picture.size[0] > picture.size[1]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments[:3], "--names", "2.png"])
    assert main() == 2
    assert "2.png" in capsys.readouterr().err
