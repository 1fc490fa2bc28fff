"""The data sets: the recipe's laws, what is kept on disk, and files of others."""

import argparse
import gzip
import math
import struct
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from benchmarks import data
from benchmarks.contact_sheet import contact_sheet
from benchmarks.data import mnist_scale
from scalegroup import ScaleGroupError


def pictures(count, *, seed=0, shape=(28, 28)):
    return torch.randint(256, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def write_mnist(folder, train=12, test=7):
    """MNIST's own files, with noise in them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        images, labels = pictures(count, seed=int(part == "t10k")).numpy(), np.arange(count, dtype=np.uint8) % 10
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    return folder


@pytest.fixture
def mnist(tmp_path):
    return data.load("mnist", data.Place(write_mnist(tmp_path), cache=tmp_path / "cache"))


def refused(call, *words):
    with pytest.raises(ScaleGroupError) as error:
        call()
    assert all(word in str(error.value) for word in ("got ", "expected ", "mend: ", *words))


def test_training_and_test_digits_are_disjoint():
    source = data.digits()
    assert (len(source.train.labels), len(source.test.labels)) == (1297, 500)
    seen = {tuple(image.flatten().tolist()) for image in source.train.images}
    assert not seen & {tuple(image.flatten().tolist()) for image in source.test.images}


def test_recipe_keeps_the_background_and_the_range():
    source = data.digits().first(test=20)
    for size in source.sizes:
        images = source.draw("test", size).images
        assert images.shape == (20, 1, 65, 65)
        assert images.min() >= data.BACKGROUND - 1e-6
        assert images.max() <= -data.BACKGROUND
        if size < 3:
            corner = images[..., 0, 0]
            torch.testing.assert_close(corner, torch.full_like(corner, data.BACKGROUND))


def test_recipe_scales_the_object_and_keeps_its_centre():
    square = torch.zeros(1, 1, 16, 16)
    square[..., 4:12, 4:12] = 255.0

    def extent(size):
        image = data.large_scale(square, round(16 * size), 65, smoothing=7 / 8 * size)[0, 0].double()
        mass = image - data.BACKGROUND
        at = torch.arange(65.0, dtype=torch.float64)
        mean = (mass.sum(0) * at).sum() / mass.sum()
        return mean, ((mass.sum(0) * (at - mean) ** 2).sum() / mass.sum()).sqrt()

    (centre, width), (double_centre, double_width) = extent(1.0), extent(2.0)
    assert abs(double_width / width - 2) < 0.02
    assert abs(centre - 31.5) < 1e-3  # an even object on an odd canvas lies half a pixel off
    assert abs(double_centre - 31.5) < 1e-3


def test_recipe_treats_every_picture_and_every_colour_alike(monkeypatch):
    grey = pictures(5)[:, None]
    whole = data.large_scale(grey, 40, 112, smoothing=1.25)
    colour = data.large_scale(grey.expand(-1, 3, -1, -1), 40, 112, smoothing=1.25)
    assert torch.equal(colour, whole.expand(-1, 3, -1, -1))
    monkeypatch.setattr("benchmarks.data.recipe._AT_ONCE", 2)
    assert torch.equal(data.large_scale(grey, 40, 112, smoothing=1.25), whole)
    assert not torch.equal(data.large_scale(grey.flip(0), 40, 112, smoothing=1.25), whole)  # the control


def test_sizes_are_seventeen_from_a_half_to_eight_and_thirteen_for_the_digits(mnist):
    assert len(mnist.sizes) == 17
    assert (mnist.sizes[0], mnist.sizes[4], mnist.sizes[-1]) == (0.5, 1.0, 8.0)
    assert math.isclose(mnist.sizes[2], 2**-0.5)
    assert mnist.sizes[:13] == data.digits().sizes


def test_pictures_of_28_pixels_are_drawn_on_112_with_the_papers_scale_channels(mnist):
    assert (mnist.unit, mnist.canvas, mnist.channels, mnist.classes) == (28, 112, 1, 10)
    assert (mnist.window.channels, round(mnist.window.sigmas[0], 3), mnist.window.sigmas[-1]) == (8, 0.707, 8.0)
    drawn = mnist.draw("train", 1.0)
    assert drawn.images.shape == (12, 1, 112, 112)
    assert drawn.labels.tolist() == [n % 10 for n in range(12)]
    assert mnist.draw("test", 2.0).images.shape == (7, 1, 112, 112)


def test_plain_pictures_are_as_they_are_and_of_one_size(tmp_path):
    source = data.load("plain-mnist", data.Place(write_mnist(tmp_path)))
    assert (source.unit, source.canvas, source.sizes, source.background) == (28, 28, (1.0,), 0.0)
    drawn = source.first(train=5).draw("train", 1.0)
    assert torch.equal((drawn.images * 255).round().to(torch.uint8), source.train.images[:5])
    assert drawn.images.max() <= 1
    refused(lambda: source.draw("test", 2.0), "size 2 of plain-mnist")


def test_colour_sets_keep_their_colours():
    colour = SimpleNamespace(data=pictures(3, shape=(32, 32, 3)).numpy(), targets=[2, 0, 1])
    source = data.from_datasets("colour", colour, colour)
    assert (source.channels, source.classes, source.unit, source.canvas) == (3, 3, 32, 128)
    drawn = source.draw("test", 1.0).images
    torch.testing.assert_close(
        drawn[:, 1:2],
        data.large_scale(torch.as_tensor(colour.data[..., 1])[:, None], 32, 128, smoothing=7 / 8),
        rtol=0,
        atol=0,
    )
    oblong = SimpleNamespace(data=pictures(3, shape=(32, 30)), targets=[2, 0, 1])
    refused(lambda: data.from_datasets("oblong", oblong, oblong), "square")


def test_kept_images_are_what_is_drawn(mnist, tmp_path):
    drawn = replace(mnist, cache=None).draw("train", 1.4142)
    for _ in range(2):
        kept = mnist.draw("train", 1.4142)
        assert torch.equal(kept.images, drawn.images)
        assert torch.equal(kept.labels, drawn.labels)
    (path,) = (tmp_path / "cache").iterdir()
    with h5py.File(path) as file:
        assert '"size": 1.4142' in file.attrs["description"]
    # other pictures, other parts, other sizes never meet an old file
    assert len(mnist.first(train=3).draw("train", 1.4142).labels) == 3
    mnist.draw("test", 1.4142)
    mnist.draw("train", 1.0)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_kept_images_are_read_not_drawn_again(mnist, monkeypatch):
    mnist.draw("train", 1.0)
    monkeypatch.setattr("benchmarks.data.source.large_scale", lambda *_, **__: pytest.fail("it draws"))
    mnist.draw("train", 1.0)


def test_a_damaged_or_foreign_cache_is_refused(mnist, tmp_path):
    mnist.draw("train", 1.0)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(lambda: mnist.draw("train", 1.0), str(path), "delete")
    path.write_bytes(b"")
    refused(lambda: mnist.draw("train", 1.0), str(path), "delete")
    path.write_bytes(whole)
    mnist.draw("train", 1.0)  # the control
    with h5py.File(path, "a") as file:
        file["images"][0, 0, 5, 5] += 1e-3
    refused(lambda: mnist.draw("train", 1.0), str(path), "sha256", "delete")
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file.attrs["description"] = file.attrs["description"].replace('"canvas": 112', '"canvas": 96')
    refused(lambda: mnist.draw("train", 1.0), str(path), '"canvas": 96', "delete")
    with h5py.File(path, "w") as file:
        file["something"] = 1
    refused(lambda: mnist.draw("train", 1.0), str(path), "delete")


def test_missing_files_are_refused_with_what_to_pass(tmp_path):
    refused(lambda: data.load("mnist"), "--data-root")
    refused(lambda: data.load("mnist", data.Place(tmp_path / "nowhere")), "nowhere", "--data-root")
    refused(lambda: data.load("mnist", data.Place(tmp_path)), "MNIST", "--download")
    write_mnist(tmp_path)
    data.load("mnist", data.Place(tmp_path))  # the control
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(gzip.compress(images.read_bytes()))
    refused(lambda: data.load("mnist", data.Place(tmp_path)), "MNIST")
    refused(lambda: data.load("nothing"), "one of")


def test_only_the_first_images_where_so_many_are_wanted(mnist):
    few = mnist.first(train=5, test=2)
    assert torch.equal(few.train.images, mnist.train.images[:5])
    assert len(few.test.labels) == 2
    for count in (0, 13):
        refused(lambda count=count: mnist.first(train=count), "1 to 12", "--train-images")


def test_validation_images_are_the_last_of_the_training_part_and_no_test_image_is_looked_at(mnist):
    source = mnist.validating(4)
    assert torch.equal(source.train.images, mnist.train.images[:8])
    assert torch.equal(source.test.images, mnist.train.images[8:])
    assert torch.equal(source.test.labels, mnist.train.labels[8:])
    assert (source.name, type(source)) == ("large-scale-mnist-validation", type(mnist))  # no report mixes them
    for count in (0, 12):
        refused(lambda count=count: mnist.validating(count), "validation images")
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    chosen = data.choose(parser.parse_args(["--validation-images", "300", "--train-images", "7"]))
    assert [len(part.labels) for part in (chosen.train, chosen.test)] == [7, 300]


def test_published_files_are_read_as_they_are(tmp_path):
    generator = np.random.default_rng(0)

    def write(name, parts):
        with h5py.File(tmp_path / name, "w") as file:
            for part, count in parts.items():
                file[f"x_{part}"] = generator.uniform(-0.76, 0.76, (count, 112, 112, 1)).astype(np.float32)
                file[f"y_{part}"] = np.arange(count) % 10
            return {key: file[key][:] for key in file}

    name = "mnist_large_scale_tr50000_vl10000_te10000_outsize112-112_sctr1p000_scte1p000.h5"
    trained = write(name, {"train": 4, "val": 2, "test": 3})
    tested = write("mnist_large_scale_te10000_outsize112-112_scte1p189.h5", {"test": 3})
    source = data.load("mnist-large-scale", data.Place(tmp_path))
    for part, size, written in (("train", 1.0, trained), ("test", 1.0, trained), ("test", 2**0.25, tested)):
        drawn = source.draw(part, size)
        np.testing.assert_array_equal(drawn.images[:, 0].numpy(), written[f"x_{part}"][..., 0])
        assert drawn.labels.tolist() == written[f"y_{part}"].tolist()
    assert len(source.first(test=2).draw("test", 1.0).labels) == 2
    refused(lambda: source.validating(2), "--data mnist")
    refused(lambda: source.draw("train", 2.0), "2.000", "choose sizes")
    refused(lambda: source.first(train=9).draw("train", 1.0), "1 to 4", "--train-images")
    write("mnist_large_scale_te10000_outsize112-112_scte4p000.h5", {"val": 3})
    refused(lambda: source.draw("test", 4.0), "x_test")


def test_contact_sheet_shows_each_class_once_per_size(mnist):
    sheet = contact_sheet(mnist, [1.0, 2.0])
    assert sheet.shape == (7, 2, 1, 112, 112)
    for label in range(7):
        assert torch.equal(sheet[label, 1], mnist.draw("test", 2.0).images[label])


def test_mnist_scale_makes_digits_smaller_and_splits_them(tmp_path, monkeypatch):
    for name, count in (("_TRAIN", 40), ("_VALIDATION", 10), ("_TEST", 50)):
        monkeypatch.setattr(mnist_scale, name, count)
    place = data.Place(write_mnist(tmp_path, train=80, test=30))
    one, same, other = (data.load(f"mnist-scale-{split}", place) for split in (1, 1, 2))
    assert (len(one.train.labels), len(one.test.labels)) == (50, 50)
    assert len(one.validating(10).train.labels) == 40
    images = one.draw("test", 1.0).images
    assert torch.equal(images, same.draw("test", 1.0).images)
    assert not torch.equal(images, other.draw("test", 1.0).images)
    rows = (images > 0).any(3).sum((1, 2))  # of noise, which fills its square
    assert 8 <= rows.min() < 12
    assert 24 < rows.max() <= 28
    assert (images[:, :, 14].amax((1, 2)) > 0).all()  # centred
    refused(lambda: data.load("mnist-scale-1", data.Place(write_mnist(tmp_path / "few"))), "digits")


def test_factors_of_one_leave_digits_as_they_are():
    images = pictures(3)[:, None]
    assert torch.equal(mnist_scale.shrunk(images, torch.ones(3)), images)
    half = mnist_scale.shrunk(images, torch.full((3,), 0.5))
    assert (half[:, :, :7] == 0).all()
    assert (half[:, :, 21:] == 0).all()
    assert float(half[:, :, 7:21].float().mean()) == pytest.approx(float(images.float().mean()) / 2, rel=0.05)
