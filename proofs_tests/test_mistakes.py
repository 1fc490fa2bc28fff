"""The sheet of mistakes shows what is misread, all of it, cut out and named."""

import sys
from dataclasses import replace

import pytest
import torch

from benchmarks import data
from benchmarks import mistakes as command
from benchmarks.__main__ import main
from benchmarks.evaluation import evaluate
from scalegroup.models import gaussian_derivative_net, save_trained


@pytest.fixture
def source():
    return replace(data.digits().first(train=1, test=30), name="few")


@pytest.fixture
def net(source):
    torch.manual_seed(0)
    return gaussian_derivative_net(widths=(2,), window=source.window, boundary=source.boundary).eval()


def test_what_is_misread_is_found_and_nothing_else(net, source):
    drawn = source.draw("test", 2.0)
    found = list(command.mistakes(net, source, 2.0))
    wrong = net(drawn.images).argmax(1) != drawn.labels
    assert 0 < len(found) == int(wrong.sum()) == round(30 * (1 - evaluate(net, drawn.images, drawn.labels).accuracy))
    for mistake, image, label in zip(found, drawn.images[wrong], drawn.labels[wrong], strict=True):
        assert mistake.label == label != mistake.read
        assert torch.equal(mistake.image, image[:, 16:49, 16:49])  # 32 pixels of 65


def test_the_command_draws_so_many_where_there_are_more(net, source, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(data.SOURCES, "few", lambda _: source)
    weights = save_trained(net, tmp_path / "net.safetensors", {}).path
    shown = []
    draw = command._draw
    monkeypatch.setattr(command, "_draw", lambda chosen, *of: shown.append(len(chosen)) or draw(chosen, *of))
    arguments = ["benchmarks", "mistakes", "--weights", str(weights), "--data", "few", "--sizes", "1", "2"]
    for most in (7, 1000):
        monkeypatch.setattr(sys, "argv", [*arguments, "--most", str(most), "--output", str(tmp_path)])
        assert main() == 0
    said = capsys.readouterr().out
    assert f"{shown[1]} of 60 images misread" in said
    assert shown[0] == 7 < shown[1]
    assert (tmp_path / "few.png").exists()
