"""STIR: objects whole and anywhere, thirds that share no digit, published files read as they are."""

import json
import sys

import numpy as np
import pytest
import torch

from benchmarks import data
from benchmarks import stir as stir_command
from benchmarks.__main__ import main
from benchmarks.data import stir
from benchmarks.geometry import random_window
from proofs_tests.test_data import refused, write_mnist
from scalegroup import Background

FACE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 496 512"><circle cx="248" cy="256" r="248"/></svg>'


@pytest.fixture
def emoji(tmp_path):
    pytest.importorskip("cairosvg", exc_type=(ImportError, OSError))
    folder = tmp_path / "svgs" / "regular"
    folder.mkdir(parents=True)
    for name in stir._ICONS:
        (folder / f"{name}.svg").write_text(FACE)
    return data.load("stir-emoji", data.Place(tmp_path))


@pytest.fixture
def mnist(tmp_path):
    return data.load("stir-mnist", data.Place(write_mnist(tmp_path, train=1100, test=600)))


@pytest.fixture
def published(tmp_path):
    values = np.arange(3 * 48 * 36, dtype=np.int64).reshape(3, 48, 36, 1)
    sizes = np.broadcast_to(np.arange(64, 16, -1)[None, :, None, None], values.shape)
    images = np.zeros((*values.shape, 64, 64), dtype=np.uint8)
    images[..., 0, 0], images[..., 0, 1] = values % 256, values // 256
    labels = np.broadcast_to(np.arange(36)[None, None, :, None], values.shape)
    np.savez(tmp_path / "emoji.npz", imgs=images, lbls=labels, scls=sizes)
    return data.load("stir-emoji", data.Place(tmp_path))


def extents(images):
    """Rows and columns that are not black, and where the first ones are."""
    found = []
    for image in images[:, 0] > 0.1:
        rows, columns = (torch.nonzero(image.any(axis))[:, 0] for axis in (1, 0))
        found.append((int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1, int(rows[0]), int(columns[0])))
    return found


def test_faces_have_the_size_and_lie_anywhere_within_the_picture(emoji):
    for size in (17, 40, 64):
        drawn = emoji.draw("test", size)
        assert drawn.images.shape == (36, 1, 64, 64)
        assert drawn.labels.tolist() == list(range(36))
        assert drawn.images.max() == 1
        heights, widths, top, left = zip(*extents(drawn.images), strict=True)
        assert all(abs(height - size * 496 / 512) <= 2 for height in (*heights, *widths))
        assert len(set(top)) > 5 or size == 64
        assert top != left or size == 64
    assert not torch.equal(emoji.draw("test", 40).images, emoji.draw("train", 40).images)
    assert torch.equal(emoji.draw("test", 40).images, emoji.draw("test", 40).images)


def test_digits_of_the_thirds_are_others_and_the_same_at_every_size(mnist):
    assert len(mnist.draw("train", 17).labels) == 500
    corners = stir.random_corners(500, 64, 0)
    assert corners.max() == 0
    thirds = {
        "train": mnist.draw("train", 64),
        "validation": mnist.validating(500).draw("test", 64),
        "test": mnist.draw("test", 64),
    }
    seen = [{image.numpy().tobytes() for image in third.images} for third in thirds.values()]
    assert all(len(some) == 500 for some in seen)
    assert not (seen[0] & seen[1] | seen[1] & seen[2] | seen[0] & seen[2])
    for third in thirds.values():
        assert third.labels.bincount().tolist() == [50] * 10
        assert (third.images.amin(), third.images.amax()) == (0, 1)
    assert torch.equal(mnist.draw("train", 20).labels, thirds["train"].labels)


def test_a_few_are_of_all_classes(mnist):
    few = mnist.first(train=20, test=1000)
    assert few.draw("train", 17).labels.bincount().tolist() == [2] * 10
    assert len(few.draw("test", 17).labels) == 500


def test_published_files_are_read_as_they_are(published):
    for part, third in (("train", 0), ("test", 2)):
        drawn = published.draw(part, 20)
        values = drawn.images[:, 0, 0, :2].mul(255).round() @ torch.tensor([1.0, 256.0])
        assert values.tolist() == [(third * 48 + 64 - 20) * 36 + label for label in range(36)]
        assert drawn.labels.tolist() == list(range(36))
    assert published.validating(5).draw("test", 64).images[0, 0, 0, :2].mul(255).round().tolist() == [48 * 36 % 256, 6]
    assert len(published.first(train=7).draw("train", 17).labels) == 7


def test_what_is_missing_or_something_else_is_refused(tmp_path, published):
    refused(lambda: published.draw("test", 16), "size 16", "pixels")
    refused(lambda: published.draw("test", 17.5), "size 17.5")
    np.savez(tmp_path / "emoji.npz", imgs=np.zeros((3, 48, 36, 1, 64, 64), dtype=np.uint8))
    refused(lambda: published.draw("test", 17), "emoji.npz", "scls")
    (tmp_path / "emoji.npz").unlink()
    refused(lambda: data.load("stir-emoji", data.Place(tmp_path)), "without emoji.npz", "tired.svg")
    refused(lambda: data.load("stir-mnist", data.Place()), "without a folder")
    few = data.load("stir-mnist", data.Place(write_mnist(tmp_path / "few")))
    refused(lambda: few.draw("train", 17), "digits of a class")


@pytest.fixture
def command(monkeypatch, tmp_path):
    root = write_mnist(tmp_path, train=1100, test=600)
    few = ["--mnist", str(root), "--train-images", "2", "--test-images", "2", "--widths", "2", "--epochs", "1", "1"]

    def run_it(*more):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "stir", *few, "--output", str(tmp_path / "out"), *more])
        return main()

    return run_it


def test_the_command_trains_at_some_sizes_and_reads_the_others(command, monkeypatch, tmp_path):
    monkeypatch.setattr(stir_command, "DIRECTIONS", {"up": (range(17, 19), range(33, 35)), "down": ([64], [17])})
    seen = []
    train = stir_command.train
    monkeypatch.setattr(
        stir_command,
        "train",
        lambda name, net, *of, **also: seen.append(net.architecture) or train(name, net, *of, **also),
    )
    assert (
        command(
            "--seeds", "0", "1", "--fewer-channels", "0", "1", "2", "0", "--channels", "4", "--dropped-channels", "1"
        )
        == 0
    )
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(row["direction"], row["seed"], row["train_images"]) for row in content["rows"]] == [
        ("up", 0, 4),
        ("up", 1, 4),
        ("down", 0, 2),
        ("down", 1, 2),
    ]
    assert set(content["rows"][0]["accuracy"]) == {"33", "34"}
    assert set(content["accuracy"]) == {"mnist"}
    up = [np.mean(list(row["accuracy"].values())) for row in content["rows"][:2]]
    assert content["accuracy"]["mnist"]["up"] == pytest.approx(np.mean(up))
    assert [(net.window.first, net.window.channels) for net in seen] == [(-2, 3)] * 2 + [(0, 2)] * 2
    assert {net.scale_dropout for net in seen} == {content["network"]["mnist"]["scale_dropout"]} == {1}
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| pixel pool | 56.1 | 53.7 | 89.3 | 82.9 |" in report
    ours = f"| ours | – | – | {100 * np.mean(up):.1f} ± {100 * np.std(up, ddof=1):.1f} | "
    assert ours in report


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--directions", "left"], "direction 'left'"),
        (["--seeds", "-1"], "seed"),
        (["--augment", "scale"], "scale with a mixture"),
        (["--augment", "none"], "augmentation 'none'"),
        (["--dropped-channels", "-1"], "dropped channels"),
        (["--fewer-channels", "1", "2", "3"], "3 fewer"),
    ],
)
def test_bad_options_are_refused_before_any_computing(command, monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(stir_command, "train", lambda *_, **__: pytest.fail("it began to compute"))
    assert command(*arguments) == 2
    assert said in capsys.readouterr().err


def test_windows_about_objects_lose_nothing_of_them_and_fall_anywhere():
    images = torch.zeros(40, 1, 24, 24)
    for row, image in enumerate(images):
        image[0, row % 19 : row % 19 + 5, 18:23] = torch.rand(5, 5, generator=torch.Generator().manual_seed(row)) + 0.1
    cut = random_window(9, Background(0.0))(images, torch.Generator().manual_seed(1))
    assert cut.shape == (40, 1, 9, 9)
    torch.testing.assert_close(cut.sum((1, 2, 3)), images.sum((1, 2, 3)))
    firsts = (cut.sum((1, 2)) > 0).float().argmax(1)
    assert set(firsts.tolist()) == {3, 4}  # the right border is near: 18 from the corner 14 or 15
    smaller = random_window(4, Background(0.0))(images, torch.Generator().manual_seed(1))  # the control
    assert (smaller.sum((1, 2, 3)) < images.sum((1, 2, 3))).all()
