"""Natural pictures at any size: exact where their cosines can be told, mirrored, and as they are at size 1."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import data, generalisation, losses, networks
from benchmarks.__main__ import main
from benchmarks.contact_sheet import contact_sheet
from benchmarks.data import rescaled
from benchmarks.data.rescaled import axis, from_pictures
from proofs_tests.test_data import pictures, refused, write_mnist
from scalegroup import Reflect
from scalegroup.models import PRESETS, gaussian_derivative_net

ROUNDING = 1e-10  # matrices are rounded to 1e-12, and have some dozen entries that count
SIZES = [0.5, 2**-0.75, 0.77, 1.0, 2**0.25, 2.0]


@pytest.fixture
def source():
    """Of pictures of 16 pixels in three colours and two classes."""
    train, test = (data.Labelled(pictures(n, seed=n, shape=(3, 16, 16)), torch.arange(n) % 2) for n in (12, 6))
    return from_pictures("noise", train, test, ("left", "right"))


def write_folder(root, *, size=8, classes=("cat", "ape"), count=3, test_size=None):
    for part, pixels in (("train", size), ("test", test_size or size)):
        for label, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = pictures(1, seed=10 * label + number, shape=(pixels, pixels, 3))[0].numpy()
                Image.fromarray(values).save(folder / f"{number}.png")
    return root


def test_size_one_is_the_picture_as_it_is_mirrored_about_its_edges(source):
    images = source.draw("train", 1.0).images
    assert images.shape == (12, 3, 32, 32)
    picture = source.train.images.float() / 255
    assert torch.equal(images[..., 8:24, 8:24], picture)
    for dim in (2, 3):
        assert torch.equal(images.narrow(dim, 0, 8), images.narrow(dim, 8, 8).flip(dim))
        assert torch.equal(images.narrow(dim, 24, 8), images.narrow(dim, 16, 8).flip(dim))


@pytest.mark.parametrize("length", [7, 8])
@pytest.mark.parametrize("size", SIZES)
def test_cosines_that_pixels_can_tell_are_drawn_exactly_and_others_not_at_all(length, size):
    canvas = 2 * length + length % 2
    places = (np.arange(canvas) + 0.5 - canvas / 2) / size + length / 2
    for k in range(length):
        drawn = axis(length, size, canvas) @ np.cos(np.pi * k * (np.arange(length) + 0.5) / length)
        exact = np.cos(np.pi * k * places / length) if k < size * length else np.zeros(canvas)
        assert abs(drawn - exact).max() <= ROUNDING
    if size < 0.9:  # the control: what is not told apart is there in every other pixel
        assert abs(np.cos(np.pi * (length - 1) * places / length)).max() > 0.5


@pytest.mark.parametrize(("length", "larger"), [(8, 9), (8, 16), (32, 38), (32, 64), (7, 13)])
def test_enlarging_and_shrinking_again_gives_the_picture_back(length, larger):
    size = larger / length
    back = axis(larger, 1 / size, length) @ axis(length, size, larger)
    assert abs(back - np.eye(length)).max() <= ROUNDING
    nearest = np.eye(length)[np.minimum((np.arange(larger) + 0.5) / size, length - 1).astype(int)]
    assert abs(axis(larger, 1 / size, length) @ nearest - np.eye(length)).max() > 0.01  # the control
    lost = axis(length, size, larger) @ axis(larger, 1 / size, length)
    assert abs(lost - np.eye(larger)).max() > 0.01  # the other way round something is lost


@pytest.mark.parametrize(("size", "edges"), [(0.5, (12, 20)), (1.0, (8, 24)), (1.5, (4, 28))])
def test_images_go_on_as_the_mirror_of_what_is_at_each_edge(size, edges):
    rows = axis(16, size, 32)
    for edge in edges:
        known = min(edge, 32 - edge)
        before, behind = rows[edge - known : edge], rows[edge : edge + known]
        assert abs(before - behind[::-1]).max() <= ROUNDING
        assert abs(before - behind).max() > 0.1  # the control: it does not begin again


@pytest.mark.parametrize("size", SIZES)
def test_constants_stay_constant_and_what_overshoots_is_cut_off(source, size):
    rows = axis(16, size, 32)
    assert abs(rows.sum(1) - 1).max() <= ROUNDING
    black_and_white = replace(source.test, images=255 * (source.test.images > 127).to(torch.uint8))
    images = replace(source, test=black_and_white).draw("test", size).images
    whole = rows @ (black_and_white.images.double() / 255).numpy() @ rows.T
    assert images.dtype == torch.float32
    assert abs(images.numpy() - whole.clip(0, 1)).max() <= 1e-6
    assert (images.min(), images.max()) == (0, 1)
    assert size == 1 or whole.max() > 1.1  # the control


def test_what_a_source_is_for_follows_from_the_size_of_its_pictures(source):
    assert (source.unit, source.canvas, source.channels, source.classes) == (16, 32, 3, 2)
    assert source.boundary == Reflect()
    assert len(source.sizes) == 9
    assert (source.sizes[0], source.sizes[-1]) == (0.5, 2.0)
    assert source.window.sigmas == pytest.approx([2 ** (k / 2) / 4 for k in range(7)])  # half of those for 32 pixels
    odd = data.Labelled(pictures(2, shape=(1, 7, 7)), torch.arange(2))
    drawn = from_pictures("odd", odd, odd, "ab").draw("test", 1.0).images
    assert torch.equal(drawn[..., 4:11, 4:11], odd.images / 255)
    for size in (0.0, -1.0, float("nan")):
        refused(lambda size=size: source.draw("test", size), "size")


def test_moments_are_those_of_the_training_images(source):
    for sizes in ((1.0,), (0.5, 2.0)):
        mean, std = source.moments(sizes)
        images = torch.cat([source.draw("train", size).images for size in sizes]).double()
        assert mean == pytest.approx(images.mean((0, 2, 3)).tolist(), abs=1e-4)
        assert std == pytest.approx(images.std((0, 2, 3)).tolist(), abs=1e-4)
    assert source.first(train=1).moments([1.0]) != source.moments([1.0])
    assert data.digits().moments([1.0]) is None


# -- where pictures come from ------------------------------------------------------------------------------------------


def test_pictures_of_28_pixels_are_in_the_middle_of_32(tmp_path, monkeypatch):
    monkeypatch.setitem(rescaled.MARGINS, "mnist", 2)
    source = rescaled.rescaled_set("mnist")(data.Place(write_mnist(tmp_path)))
    assert (source.name, source.unit, source.canvas, source.channels) == ("rescaled-mnist", 32, 64, 1)
    assert source.class_names[3] == "3 - three"
    assert source.window.sigmas == pytest.approx([2 ** (k / 2) / 2 for k in range(7)])
    assert torch.equal(source.test.images[:, :, 2:30, 2:30], pictures(7, seed=1)[:, None])
    assert source.test.images.long().sum() == pictures(7, seed=1).long().sum()  # on black
    assert {"rescaled-cifar10", "rescaled-fashion-mnist", "rescaled-folder"} <= set(data.SOURCES)


def test_colour_pictures_are_taken_as_torchvision_has_them(monkeypatch):
    values = pictures(5, shape=(32, 32, 3))
    part = SimpleNamespace(data=values.numpy(), targets=[1, 0, 1, 0, 1], classes=["ape", "cat"])
    monkeypatch.setattr(rescaled, "both_parts", lambda *_: (part, part))
    source = data.load("rescaled-cifar10")
    assert source.class_names == ("ape", "cat")
    drawn = source.draw("test", 1.0).images
    assert torch.equal(drawn[..., 16:48, 16:48], values.movedim(-1, 1) / 255)


def test_folders_are_classes_in_an_order_that_mixes_them(tmp_path):
    place = data.Place(write_folder(tmp_path / "pets", count=20))
    source, again = data.load("rescaled-folder", place), data.load("rescaled-folder", place)
    assert (source.name, source.class_names, source.unit) == ("rescaled-pets", ("ape", "cat"), 8)
    assert torch.equal(source.train.images, again.train.images)
    assert sorted(source.train.labels.tolist()) == [0] * 20 + [1] * 20
    assert 0 < source.train.labels[:10].sum() < 10
    with Image.open(tmp_path / "pets" / "train" / "cat" / "3.png") as picture:
        wanted = torch.as_tensor(np.array(picture)).movedim(-1, 0)
    (row,) = [row for row, image in enumerate(source.train.images) if torch.equal(image, wanted)]
    assert source.train.labels[row] == 1


def test_what_does_not_fit_is_refused(tmp_path):
    def load(name):
        return data.load("rescaled-folder", data.Place(tmp_path / name))

    refused(lambda: data.load("rescaled-folder"), "--data-root")
    refused(lambda: load("nowhere"), "nowhere")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    refused(lambda: load("empty"), "empty", "CLASS")
    write_folder(tmp_path / "sizes", test_size=9)
    refused(lambda: load("sizes"), "[3, 9, 9]", "[3, 8, 8]")
    write_folder(tmp_path / "classes")
    (tmp_path / "classes" / "test" / "cat").rename(tmp_path / "classes" / "test" / "dog")
    refused(lambda: load("classes"), "['ape', 'dog']")
    for name, change in {
        "oblong": lambda path: Image.new("RGB", (8, 9)).save(path),
        "larger": lambda path: Image.new("RGB", (9, 9)).save(path),
        "damaged": lambda path: path.write_bytes(path.read_bytes()[:60]),
        "no picture": lambda path: path.write_text("none"),
    }.items():
        write_folder(tmp_path / name)
        load(name)  # the control
        change(tmp_path / name / "train" / "cat" / "1.png")
        refused(lambda name=name: load(name), name)


# -- what is made of them ----------------------------------------------------------------------------------------------


def test_contact_sheet_names_classes(source, monkeypatch, tmp_path):
    assert contact_sheet(source, [0.5, 1.0]).shape == (2, 2, 3, 32, 32)
    monkeypatch.setitem(data.SOURCES, "noise", lambda _: source)
    command = ["contact-sheet", "--data", "noise", "--test-images", "6", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *command])
    assert main() == 0
    assert (tmp_path / "noise.png").stat().st_size > 0


def test_networks_normalise_by_the_moments_and_files_hold_them(source, monkeypatch, tmp_path):
    monkeypatch.setitem(data.SOURCES, "noise", lambda _: source)
    narrow = {name: replace(preset, widths=(2,)) for name, preset in PRESETS.items()}
    monkeypatch.setattr(networks, "PRESETS", narrow)
    monkeypatch.setattr(generalisation.report, "draw", lambda *_: [])  # slow, and not what this is about
    command = ["generalisation", "--data", "noise", "--networks", "multi_scale", "--sizes", "1", "--epochs", "1"]
    command += ["--augment", "flip", "shift", "colour", "scale", "--weight-decay", "0.05", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *command])
    assert main() == 0
    net = gaussian_derivative_net(weights=tmp_path / "multi_scale.safetensors")
    architecture = net.architecture
    assert (architecture.mean, architecture.std) == source.moments([1.0])
    assert architecture.boundary == Reflect()
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["training"]["augment"] == ["flip", "shift", "colour", "scale"]
    assert found["training"]["weight_decay"] == 0.05
    assert found["data"]["class_names"] == ["left", "right"]
    assert networks.for_source(data.digits(), "multi_scale").mean is None  # the control


def test_blank_pictures_are_of_sources_with_a_background(source, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(data.SOURCES, "noise", lambda _: source)
    monkeypatch.setattr(losses, "train", lambda *_, **__: pytest.fail("it began to compute"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "losses", "--data", "noise", "--output", str(tmp_path)])
    assert main() == 2
    assert "background" in capsys.readouterr().err
