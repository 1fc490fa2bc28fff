"""The examples that take a user's files, on small ones made here."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from proofs_tests.examples import EXAMPLES, names_of, run
from scalegroup import Background, ScaleGroup, ScaleGroupError, ScaleWindow
from scalegroup.models import find_trained, gaussian_derivative_net, save_trained

read = names_of("predict.py")["read_digit"]


def seven(height, page=(90, 120), at=(30, 40), paper=0, ink=255):
    """A page with a 7 on it."""
    picture = np.full(page, paper, dtype=np.uint8)
    y, x = at
    stroke = height // 5
    picture[y : y + stroke, x : x + height // 2] = ink
    picture[y : y + height, x + height // 2 - stroke : x + height // 2] = ink
    return picture


def saved(folder, picture):
    path = folder / "picture.png"
    Image.fromarray(picture).save(path)
    return path


def test_a_digit_is_read_alike_wherever_it_stands_and_in_whatever_ink(tmp_path):
    image, shrunk = read(saved(tmp_path, seven(20)))
    assert shrunk == 1
    for other in (
        seven(20, at=(5, 70)),
        seven(20, page=(40, 60), at=(10, 20)),
        seven(20, paper=255, ink=0),
        seven(20, paper=180, ink=60),
    ):
        assert torch.equal(read(saved(tmp_path, other))[0], image)
    assert not torch.equal(read(saved(tmp_path, seven(25)))[0], image)  # the control


def test_a_digit_is_centred_by_its_mass_and_in_the_networks_range(tmp_path):
    image, _ = read(saved(tmp_path, seven(40)))
    assert image.min() == pytest.approx(-0.763, abs=1e-3)
    assert image.max() == pytest.approx(0.761, abs=1e-3)  # white: (2/π)·arctan(0.02·127)
    mass = torch.tan(image * torch.pi / 2)[0, 0]
    mass -= mass.min()
    for axis, size in enumerate(mass.shape):
        assert size % 2 == 1
        at = (mass.sum(1 - axis) * torch.arange(size)).sum() / mass.sum()
        assert abs(at - size // 2) <= 0.5


def test_a_large_digit_is_shrunk_and_an_empty_page_refused(tmp_path):
    image, shrunk = read(saved(tmp_path, seven(300, page=(400, 400))))
    assert shrunk == 3
    assert max(image.shape) < 220
    with pytest.raises(ScaleGroupError, match="nothing"):
        read(saved(tmp_path, np.full((20, 20), 200, dtype=np.uint8)))


def kinds_of_picture():
    """The same page as pictures of other kinds, by their file names."""
    grey = seven(20)
    dark = Image.fromarray(255 - grey)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter to be upright
    alone = Image.new("LA", dark.size, (0, 0))
    alone.putalpha(Image.fromarray(grey))
    light = Image.new("RGBA", dark.size, (255, 255, 255, 0))
    light.putalpha(Image.fromarray(grey))
    return {
        "sixteen bits": (Image.fromarray(grey.astype(np.uint16) * 257), {"format": "png"}),
        "thirty-two bits": (Image.fromarray(grey.astype(np.int32) * 257), {"format": "tiff"}),
        "real numbers": (Image.fromarray(grey.astype(np.float32)), {"format": "tiff"}),
        "colours of a palette": (dark.convert("P"), {"format": "png"}),
        "turned": (Image.fromarray(np.rot90(grey)), {"format": "png", "exif": turned}),
        "black on transparent": (alone, {"format": "png"}),
        "white on transparent": (light, {"format": "png"}),
    }


@pytest.mark.parametrize("kind", kinds_of_picture())
def test_a_digit_is_read_alike_from_pictures_of_any_kind(kind, tmp_path):
    picture, options = kinds_of_picture()[kind]
    picture.save(tmp_path / "other", **options)
    expected = read(saved(tmp_path, seven(20)))[0]
    assert torch.equal(read(tmp_path / "other")[0], expected)


def test_a_digit_is_read_alike_in_uneven_light_and_where_it_touches_the_edge(tmp_path):
    """Its ink is as dark, to the rounding of the light; the control is the light alone."""
    expected = read(saved(tmp_path, seven(40)))[0]
    y, x = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 120), indexing="ij")
    for light in (160 + 60 * x - 30 * y, 230 - 60 * (x**2 + y**2), 120 + 0 * x):
        page = np.where(seven(40) > 0, light - 100, light).round().clip(0, 255).astype(np.uint8)
        found = read(saved(tmp_path, page))[0]
        assert found.shape == expected.shape
        assert (found - expected).abs().mean() < 0.02
        with pytest.raises(ScaleGroupError, match="nothing"):
            read(saved(tmp_path, light.round().astype(np.uint8)))
    for at in ((0, 40), (50, 100), (30, 0)):
        assert torch.equal(read(saved(tmp_path, seven(40, at=at)))[0], expected)


def test_what_is_no_picture_of_a_digit_is_refused_in_a_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("LA", (20, 20)).save(tmp_path / "transparent.png")
    saved(tmp_path, np.full((20, 20), 200, dtype=np.uint8))
    main = names_of("predict.py")["main"]
    for name in ("text.png", "missing.png", "transparent.png", "picture.png", "."):
        monkeypatch.setattr("sys.argv", ["predict.py", str(tmp_path / name)])
        assert main() == 2
        assert re.fullmatch(r"got .*; expected .*; mend: .*\n", capsys.readouterr().err)


def test_predict_says_digit_confidence_and_size(tmp_path):
    window = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=3)
    net = gaussian_derivative_net("single_scale", window=window, boundary=Background(-0.763))
    weights = tmp_path / "net.safetensors"
    line = {"slope": 1.0, "intercept": 0.5, "sizes": [0.5, 4.0]}
    save_trained(net, weights, {"log2_sigma0_over_log2_size": line})
    said = run("predict.py", saved(tmp_path, seven(20)), "--weights", weights)
    digit, size = said.splitlines()
    assert int(digit[0]) in range(10)
    assert "confidence" in digit
    sigma0 = float(size.split("=")[1].rstrip(")"))
    assert f"{20 * sigma0 / 2**0.5:.0f} pixels" in size


def test_predict_reads_a_photograph_with_the_packaged_weights_for_pictures(tmp_path):
    y, x = np.mgrid[:60, :90]
    picture = saved(tmp_path, np.stack([2 * x, 4 * y, 255 - x - y], axis=-1).astype(np.uint8))
    said = run("predict.py", picture, "--weights", "cifar10")
    assert said.split(",")[0] in find_trained("cifar10").about["classes"]


def small_net(path, in_channels=1, about=None):
    window = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=3)
    net = gaussian_derivative_net(widths=(3,), in_channels=in_channels, num_classes=2, window=window)
    save_trained(net, path, about)
    return path


@pytest.fixture
def look_inside():
    return names_of("look_inside.py")


def drawn(file):
    with Image.open(file) as figure:
        return len(figure.convert("L").getcolors()) > 50


def test_looking_inside_without_a_picture_draws_one_and_four_figures(tmp_path):
    weights = small_net(tmp_path / "net.safetensors")
    said = run("look_inside.py", "--weights", weights, "--output", tmp_path / "out")
    paths = [tmp_path / "out" / f"{name}.png" for name in ("filters", "channels", "scales", "evidence")]
    assert said.splitlines() == list(map(str, paths))
    assert all(map(drawn, paths))
    assert read(tmp_path / "out" / "picture.png")[0].shape == (1, 1, 121, 121)


def test_figures_are_drawn_of_a_colour_picture(look_inside, tmp_path):
    picture = saved(tmp_path, np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8))
    net = gaussian_derivative_net(weights=small_net(tmp_path / "net.safetensors", 3))
    image = look_inside["read_picture"](picture, 3, 33)
    assert image.shape == (1, 3, 33, 33)
    of_one_colour = torch.full_like(image, 0.5)  # nothing is to be divided by what nothing gives
    figures = [(figure, image) for figure in look_inside["FIGURES"]] + [(look_inside["evidence"], of_one_colour)]
    for figure, looked_at in figures:
        file = io.BytesIO()
        figure(look_inside["Look"](net, looked_at, ["one", "other"])).savefig(file, dpi=30)
        assert drawn(file)


def test_what_cannot_be_looked_into_is_refused_in_a_line(look_inside, tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("no picture")
    for arguments, expected in (
        ([tmp_path / "text.png"], "one that Pillow reads"),
        ([tmp_path / "missing.png"], "one that Pillow reads"),
        (["--weights", small_net(tmp_path / "two.safetensors", 2)], "grey"),
        (["--weights", "nothing"], "a safetensors file"),
        (["--output", tmp_path / "text.png" / "out"], "a folder to write into"),
    ):
        monkeypatch.setattr("sys.argv", ["look_inside.py", "--output", str(tmp_path / "out"), *map(str, arguments)])
        with pytest.raises(SystemExit, match=rf"^got .*; expected .*{expected}.*; mend: .*$"):
            look_inside["main"]()


def test_digits_of_all_sizes_are_found_in_the_scene_of_the_demo(tmp_path):
    said = run("find_objects.py", EXAMPLES / "scene.png", "--output", tmp_path / "found.png")
    assert sorted(line[0] for line in said.splitlines()[:-1]) == ["2", "4", "6", "9", "9", "9"]  # all there are
    with Image.open(tmp_path / "found.png") as picture:
        assert picture.size == (384, 256)
    with pytest.raises(ScaleGroupError, match="stands out"):
        names_of("find_objects.py")["read_scene"](saved(tmp_path, np.full((30, 40), 90, dtype=np.uint8)))
