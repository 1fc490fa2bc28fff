"""The example that trains on a folder of pictures, on small ones made here."""

import importlib
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from proofs_tests.examples import EXAMPLES
from scalegroup import Background, Reflect, ScaleGroupError
from scalegroup.models import find_trained, gaussian_derivative_net

SMALL = ("--object-size", 24, "--object-sizes", 16, 28, "--batch", 4, "--validation", 0.3)
GREEN = (0, 160, 80)


@pytest.fixture
def example(monkeypatch):
    """A module of the examples by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def command(example, monkeypatch):
    """An example as a command in this process: its exit status."""

    def call(*arguments, name="train_on_your_images"):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        return example(name).main()

    return call


def photograph(height=30, width=40, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def cut_out(side, margin, colour=(250, 20, 20)):
    """A disc in the middle of nothing, whose colour shows nowhere."""
    y, x = np.mgrid[-side:side, -side:side] + 0.5
    pixels = np.full((2 * side, 2 * side, 4), (0, 0, 255, 0), dtype=np.uint8)
    pixels[np.hypot(x, y) < side] = (*colour, 255)
    pixels = np.pad(pixels, [(margin, 2 * margin), (margin, margin), (0, 0)])
    return Image.fromarray(pixels)


def stripes(across, seed):
    lines = np.random.default_rng(seed).integers(0, 2, (10, 1, 3)) * 255
    lines = np.repeat(lines, 12, axis=1).astype(np.uint8)
    return Image.fromarray(lines if across else lines.swapaxes(0, 1)).resize((50, 40))


@pytest.fixture
def folder(tmp_path):
    """Two classes of five photographs."""
    for name in ("across", "down"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(5):
            stripes(name == "across", number).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


def saved(path, picture, **options):
    picture.save(path, **options)
    return path


def test_a_photograph_is_mirrored_along_its_edges(example):
    place, picture = example("photographs").place, photograph(20, 30)
    image = place(picture.convert("RGBA"), 30, 64, GREEN).movedim(0, -1).numpy()
    assert np.array_equal(image, np.pad(np.asarray(picture), [(22, 22), (17, 17), (0, 0)], mode="symmetric"))
    for height, width in ((2, 60), (3, 300), (300, 1)):  # mirrored often
        assert place(photograph(height, width).convert("RGBA"), 30, 64, GREEN).shape == (3, 64, 64)


def test_what_is_cut_out_is_as_large_as_what_is_seen_of_it_and_stands_on_the_colour(example, tmp_path):
    photographs = example("photographs")
    image, *others = (
        photographs.place(photographs.read(saved(tmp_path / "disc.png", cut_out(20, margin))), 24, 48, colour)
        for margin, colour in ((0, GREEN), (3, GREEN), (15, GREEN), (3, (0, 0, 0)))
    )
    assert all(torch.equal(image, other) for other in others[:2])
    assert not torch.equal(image, others[2])  # the control
    around = (image == torch.tensor(GREEN)[:, None, None]).all(0)
    rows, columns = (~around).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 35, 12, 35)
    assert image[:, 24, 24].tolist() == [250, 20, 20]
    assert image[2].max() <= 81  # nothing of the blue that is transparent, but for rounding


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "1"])
def test_pictures_of_any_mode_are_read_as_in_colour(mode, example, tmp_path):
    grey = photograph().convert("L").point(lambda value: 255 * (value > 99))
    path = saved(tmp_path / f"picture.{'tif' if mode == 'CMYK' else 'png'}", grey.convert("RGB").convert(mode))
    assert np.array_equal(np.asarray(example("photographs").read(path)), np.asarray(grey.convert("RGBA")))


def test_a_turned_photograph_is_turned_back(example, tmp_path):
    read, picture, exif = example("photographs").read, photograph(), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    turned = read(saved(tmp_path / "turned.png", picture, exif=exif))
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(picture.convert("RGBA")), -1))


@pytest.mark.parametrize(("side", "longer"), [(20, 20), (48, 48), (96, 48)])
def test_new_pictures_are_read_as_they_are_and_large_ones_reduced_to_the_image(side, longer, example, tmp_path):
    photographs, path = example("photographs"), saved(tmp_path / "picture.png", photograph(side // 2, side))
    image, reduction = photographs.read_as_trained(path, 48)
    assert reduction == longer / side
    assert torch.equal(image, photographs.place(photographs.read(path), longer, 48, GREEN))


def test_every_class_is_split_alike_and_has_a_picture_in_both_parts(example, tmp_path):
    picture_folder, counts = example("picture_folder"), {"few": 2, "some": 5, "many": 20}
    for name, count in counts.items():
        (tmp_path / name).mkdir()
        for number in range(count):
            photograph(2, 2).save(tmp_path / name / f"{number}.png")
    folder = picture_folder.open_folder(tmp_path)
    for share, expected in ((0.2, [1, 4, 1]), (0.01, [1, 1, 1]), (0.99, [1, 19, 4])):  # of few, many and some
        train, held_out = picture_folder.split(folder, share, seed=0)
        assert sorted(train + held_out) == list(range(27))
        assert np.bincount(np.array(folder.targets)[held_out]).tolist() == expected
    assert picture_folder.split(folder, 0.2, seed=3) == picture_folder.split(folder, 0.2, seed=3)
    assert picture_folder.split(folder, 0.2, seed=3) != picture_folder.split(folder, 0.2, seed=4)


def test_moments_are_those_of_all_pixels_together(example):
    images = torch.randint(256, (2, 5, 3, 4, 4), dtype=torch.uint8)
    found = example("picture_folder").Placed((1, 2), images, torch.zeros(5), cut_out=False).moments()
    std, mean = torch.std_mean(images / 255, (0, 1, 3, 4), correction=0)
    torch.testing.assert_close(torch.tensor(found), torch.stack([mean, std]), atol=1e-4, rtol=0)


def test_training_on_a_folder_writes_a_network_that_reads_new_pictures(folder, command, capsys, tmp_path):
    output = tmp_path / "out"
    assert command(folder, *SMALL, "--epochs", 1, "--output", output) == 0
    said = capsys.readouterr().out
    assert all(words in said for words in ("predicted to read objects of 1", "epoch 1 of 1", "of 4)", "curve.png"))
    about = find_trained(output / "trained.safetensors").about
    assert (about["classes"], about["size"], about["object_size"]) == (["across", "down"], 28, 24)
    assert about["accuracy"].keys() == {"12", "17", "24"}  # half the size and more, that fit the images
    net = gaussian_derivative_net(weights=output / "trained.safetensors")
    assert isinstance(net.architecture.boundary, Reflect)
    assert net.architecture.mean != net.architecture.std
    for name in ("curve", "confusion"):
        with Image.open(output / f"{name}.png") as figure:
            assert len(figure.convert("L").getcolors()) > 50

    again = (folder, *SMALL, "--epochs", 1, "--seed", 1, "--output", output)
    kept = (output / "trained.safetensors").read_bytes()
    refused(command, capsys, "--overwrite", *again)
    assert (output / "trained.safetensors").read_bytes() == kept
    assert command(*again, "--overwrite") == 0
    assert (output / "trained.safetensors").read_bytes() != kept
    capsys.readouterr()
    net = gaussian_derivative_net(weights=output / "trained.safetensors")
    about = find_trained(output / "trained.safetensors").about

    for side in (20, 300):
        new = saved(tmp_path / f"{side}.png", photograph(side, side))
        assert command("--predict", new, "--output", output) == 0
        said = capsys.readouterr().out
        name, size = said.split(": ")[1].split(",")[0], float(said.split("about ")[1].split(" ")[0])
        assert name in about["classes"]
        image, reduction = importlib.import_module("photographs").read_as_trained(new, 28)
        sigma0 = net.select_scale(image[None] / 255).item()
        assert size == pytest.approx(sigma0 * about["object_per_sigma"] / reduction, abs=0.5)
    command(new, "--weights", output / "trained.safetensors", name="predict")
    assert capsys.readouterr().out.split(",")[0] == name


def test_a_folder_of_cut_out_objects_is_trained_on_in_a_world_of_the_colour(command, tmp_path):
    for name, colour in (("red", (250, 20, 20)), ("white", (255, 255, 255))):
        (tmp_path / "discs" / name).mkdir(parents=True)
        for number in range(2):
            cut_out(12 + number, 2, colour).save(tmp_path / "discs" / name / f"{number}.png")
    output = tmp_path / "out"
    arguments = (tmp_path / "discs", *SMALL, "--epochs", 1, "--colour", "#00a050", "--output", output)
    assert command(*arguments, "--network", "plain") == 0
    trained = find_trained(output / "trained.safetensors")
    assert trained.architecture.boundary == Background(tuple(value / 255 for value in GREEN))
    assert trained.about["colour"] == list(GREEN)


def test_an_interrupted_training_that_is_resumed_ends_with_the_same_weights(
    folder, command, example, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(example("train_on_your_images"), "report", lambda *_: None)

    def trained(name, *more):
        assert command(folder, *SMALL, "--epochs", 2, "--output", tmp_path / name, *more) == 0
        return torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["parts"]["net"]

    def same(ours, theirs):
        return all(torch.equal(ours[name], theirs[name]) for name in theirs)

    whole = trained("whole")
    checkpoint = example("training_loop").Checkpoint
    save = checkpoint.save

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_stop)
        assert command(folder, *SMALL, "--epochs", 2, "--output", tmp_path / "halves") == 130
    assert len(torch.load(tmp_path / "halves" / "checkpoint.pt", weights_only=True)["history"]) == 1
    assert "--resume" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "halves").iterdir()] == ["checkpoint.pt"]
    begun = (tmp_path / "halves" / "checkpoint.pt").read_bytes()
    assert command(folder, *SMALL, "--epochs", 2, "--output", tmp_path / "halves") == 2  # nothing is begun anew unasked
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "halves" / "checkpoint.pt").read_bytes() == begun
    for _ in range(2):  # the second time there is nothing left to do
        assert same(trained("halves", "--resume"), whole)
    assert not same(trained("other", "--seed", 1), whole)  # the control

    stripes(True, 9).save(folder / "across" / "0.png")  # other pictures
    for arguments, said in ((("--rate", 0.02), "other pictures, rate"), ((), "other pictures")):
        assert command(folder, *SMALL, "--epochs", 2, "--output", tmp_path / "halves", "--resume", *arguments) == 2
        assert said in capsys.readouterr().err
    path = tmp_path / "halves" / "checkpoint.pt"
    content = path.read_bytes()
    place = content.index(next(iter(whole.values())).numpy().tobytes())
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    for damaged in (b"something else", flipped):
        path.write_bytes(damaged)
        assert command(folder, *SMALL, "--epochs", 2, "--output", tmp_path / "halves", "--resume") == 2
        assert "--overwrite instead of --resume" in capsys.readouterr().err


def nothing(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()


def no_classes(folder):
    for path in folder.rglob("*.png"):
        path.replace(folder / f"{path.parent.name}-{path.name}")
    for path in folder.iterdir():
        if path.is_dir():
            path.rmdir()


def one_class(folder):
    for path in (folder / "down").iterdir():
        path.unlink()
    (folder / "down").rmdir()


def a_class_of_one(folder):
    (folder / "third").mkdir()
    (folder / ".hidden").mkdir()  # which is none
    photograph().save(folder / "third" / "alone.png")


def a_class_of_none(folder):
    (folder / "third").mkdir()


def a_damaged_picture(folder):
    path = folder / "down" / "3.png"
    path.write_bytes(path.read_bytes()[:-60])


def no_picture(folder):
    (folder / "down" / "3.png").write_text("text")


def a_transparent_picture(folder):
    Image.new("RGBA", (9, 9)).save(folder / "down" / "3.png")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (nothing, "FOLDER/CLASS"),
        (no_classes, "FOLDER/CLASS"),
        (one_class, "two classes or more"),
        (a_class_of_one, "a single picture in 'third'"),
        (a_class_of_none, "third"),
        (a_damaged_picture, "3.png.*one that Pillow reads"),
        (no_picture, "3.png.*one that Pillow reads"),
        (a_transparent_picture, "3.png.*transparent everywhere"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_folder_that_cannot_be_used_is_refused_in_a_line_and_nothing_is_written(
    spoil, said, folder, command, capsys, tmp_path
):
    spoil(folder)
    refused(command, capsys, said, folder, *SMALL, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--object-sizes", 8, 28), "objects of at least 11.5 pixels"),
        (("--size", 20), "the image cuts larger ones"),
        (("--object-size", 40), "as object_sizes says"),
        (("--epochs", 0), "epochs"),
        (("--rate", -1), "rate"),
        (("--seed", -1), "seed"),
        (("--label-smoothing", 1), "label-smoothing"),
        (("--weight-decay", "nan"), "weight-decay"),
        (("--weight-decay", -1), "weight-decay"),
        (("--object-size", 0), "object-size"),
        (("--validation", 1), "share"),
    ],
)
def test_what_cannot_be_met_is_refused_in_a_line(arguments, said, folder, command, capsys, tmp_path):
    refused(command, capsys, said, folder, *SMALL, "--output", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_into_is_refused_before_training(
    folder, command, example, monkeypatch, capsys, tmp_path
):
    train = example("train_on_your_images")
    monkeypatch.setattr(train, "fit", lambda *_, **__: pytest.fail("it began"))
    monkeypatch.setattr(train, "report", lambda *_: None)
    (tmp_path / "file").write_text("")
    refused(command, capsys, "a folder to write into", folder, *SMALL, "--output", tmp_path / "file" / "out")
    with train.alone_in(tmp_path / "out"):
        refused(command, capsys, "another training writes there", folder, *SMALL, "--output", tmp_path / "out")
        monkeypatch.setattr(train, "fit", lambda *_, **__: [])
        assert command(folder, *SMALL, "--output", tmp_path / "other" / "deep") == 0  # the control


def test_predicting_without_a_network_or_a_picture_is_refused_in_a_line(folder, command, capsys, tmp_path):
    refused(command, capsys, "a trained network", "--predict", folder / "down" / "1.png", "--output", tmp_path / "out")
    with pytest.raises(SystemExit, match="2"):
        command()
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ScaleGroupError, match="one that Pillow reads"):
        importlib.import_module("photographs").read_as_trained(tmp_path / "text.png", 28)


def refused(command, capsys, said, *arguments):
    assert command(*arguments) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(r"got .*expected .*mend: .*\n", err)
    assert re.search(said, err), err
