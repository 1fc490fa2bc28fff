"""Trained networks on disk: loaded as they were saved, or refused."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import data
from scalegroup import (
    Background,
    CentrePixel,
    Max,
    Mean,
    ScaleGroup,
    ScaleGroupError,
    ScaleWindow,
    SpatialMax,
    TopK,
)
from scalegroup.models import Setting, find_trained, gaussian_derivative_net, save_trained
from scalegroup.models.weights import PRETRAINED

SETTING = Setting(
    preset="larger",
    window=ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=3, first=-1),
    boundary=Background(-0.763),
    pooling=Mean(),
    min_grid_sigma=1.0,
    in_channels=1,
    num_classes=4,
    margin=2,
    readout=SpatialMax(),
)
IMAGES = torch.rand(2, 1, 25, 25, generator=torch.Generator().manual_seed(0))
load = partial(gaussian_derivative_net, "larger", num_classes=4, widths=(3, 5))


@pytest.fixture
def net():
    names = "window", "boundary", "margin", "pooling", "readout", "min_grid_sigma"
    net = load(**{name: getattr(SETTING, name) for name in names})
    net.train()
    net(IMAGES)  # statistics of its own
    return net.eval()


@pytest.fixture
def pretrained(monkeypatch, tmp_path, net):
    """A package with one trained network, "tiny"."""
    monkeypatch.setattr("scalegroup.models.weights.PRETRAINED", tmp_path)
    save_trained(net, SETTING, tmp_path / "tiny.safetensors", {"data": "noise"})
    return tmp_path


def test_a_network_is_loaded_as_it_was_saved_with_all_that_belongs_to_it(pretrained, net):
    for weights in ("tiny", pretrained / "tiny.safetensors"):
        loaded = load(weights=weights)
        assert not loaded.training
        assert torch.equal(loaded(IMAGES), net(IMAGES))
    others = {"boundary": Background(0.0), "margin": 0, "pooling": Max(), "readout": CentrePixel()}
    for name, other in others.items():  # the controls
        assert not torch.equal(load(weights="tiny", **{name: other})(IMAGES), net(IMAGES))
    assert find_trained("tiny").about == {"data": "noise"}


@pytest.mark.usefixtures("pretrained")
def test_what_is_given_replaces_what_was_trained_with():
    wider = replace(SETTING.window, channels=5)
    for least in (None, 4.0):
        loaded = load(weights="tiny", window=wider, min_grid_sigma=least)
        assert (loaded.lift.window, loaded.min_grid_sigma) == (wider, least)
    assert load(weights="tiny").min_grid_sigma == 1.0  # the control: the default gives way to what was trained with


def test_a_description_gives_the_setting_back():
    for pooling in ("max", "mean", "log-sum-exp"):
        told = json.loads(json.dumps(SETTING.tell())) | {"pooling": pooling}
        assert Setting.told(told).tell() == told
    for readout in ("centre-pixel", "spatial-max", "spatial-mean", "dense"):
        told = SETTING.tell() | {"readout": readout}
        assert Setting.told(told).tell() == told
    for boundary in ("reflect", {"background": 0.5}, {"background": [0.5, 1.0]}):
        told = SETTING.tell() | {"boundary": boundary, "min_grid_sigma": None}
        assert json.loads(json.dumps(Setting.told(told).tell())) == told
    coloured = replace(SETTING, boundary=Background(torch.tensor([0.5, 1.0])))
    assert coloured.tell()["boundary"] == {"background": [0.5, 1.0]}
    with pytest.raises(ScaleGroupError, match="TopK"):
        replace(SETTING, pooling=TopK(2)).tell()


def refused(call, *words):
    with pytest.raises(ScaleGroupError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


def test_unknown_names_are_refused_with_those_there_are(pretrained):
    refused(lambda: load(weights="huge"), "'huge'", "['tiny']")
    refused(lambda: load(weights=pretrained / "huge.safetensors"), "huge.json beside it")
    (pretrained / "tiny.json").unlink()
    refused(lambda: load(weights="tiny"), "no trained networks")


@pytest.mark.usefixtures("pretrained")
def test_weights_that_do_not_fit_are_refused():
    refused(lambda: gaussian_derivative_net("multi_scale", num_classes=4, weights="tiny"), "'multi_scale'", "'larger'")
    refused(lambda: load(weights="tiny", widths=(3, 6)), "shape")
    refused(lambda: load(weights="tiny", widths=(3,)), "shape")
    refused(lambda: gaussian_derivative_net("larger", widths=(3, 5), weights="tiny"), "num_classes=4")
    refused(lambda: load(weights="tiny", in_channels=3), "in_channels=1")


def test_damaged_files_are_refused(pretrained):
    weights, description = pretrained / "tiny.safetensors", pretrained / "tiny.json"
    content, told = weights.read_bytes(), description.read_text()
    for damaged in (b"", content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        weights.write_bytes(damaged)
        refused(lambda: load(weights="tiny"), "sha256", "tiny.safetensors")
    weights.unlink()
    refused(lambda: load(weights="tiny"), "tiny.safetensors")
    weights.write_bytes(content)
    load(weights="tiny")  # the control
    for damaged in ("", told[:-5], "[]", "{}", told.replace('"ratio"', '"other"'), told.replace('"mean"', '"mode"')):
        description.write_text(damaged)
        refused(lambda: load(weights="tiny"), "tiny.json")


def test_saving_is_whole_or_not_at_all(pretrained, net, monkeypatch):
    before = {path.name: path.read_bytes() for path in pretrained.iterdir()}

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        save_trained(net, SETTING, pretrained / "tiny.safetensors")
    assert {path.name: path.read_bytes() for path in pretrained.iterdir()} == before


# -- the package's own ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::scalegroup.ScaleGroupWarning")  # the canvas is smaller than that of the training
def test_the_networks_of_the_package_read_digits_of_another_collection_at_sizes_never_seen():
    """scikit-learn's 8×8 digits, of other writers and another scanner, at 1 and 2 times their size: .90 and .92."""
    net = gaussian_derivative_net("larger", weights="mnist-large-scale-5k")
    selected = []
    for size in (1.0, 2.0):
        drawn = data.digits().first(test=100).draw("test", size)
        with torch.no_grad():
            scores, sigma0 = net.predict(drawn.images)
        assert (scores.argmax(1) == drawn.labels).float().mean() > 0.85
        selected.append(sigma0.log2().mean())
    assert (selected[1] - selected[0]).item() == pytest.approx(1, abs=0.15)  # one octave: scale follows size
    net = gaussian_derivative_net("larger", window=net.lift.window)  # the control: weights of chance
    assert (net.eval()(drawn.images).argmax(1) == drawn.labels).float().mean() < 0.3


def test_every_network_of_the_package_has_its_card_and_its_results():
    names = [path.stem for path in PRETRAINED.glob("*.safetensors")]
    assert names
    for name in names:
        assert name in (PRETRAINED / f"{name}.md").read_text(encoding="utf-8")
        assert find_trained(name).about["accuracy"]
