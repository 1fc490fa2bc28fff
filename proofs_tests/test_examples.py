"""The examples run, and say what they claim."""

import runpy
from pathlib import Path

import pytest
import torch

from proofs_tests.processes import Program, run
from scalegroup import Background, nn
from scalegroup.models import PRESETS, gaussian_derivative_net

# tested in test_examples_with_input and in test_train_on_your_images
WITH_INPUT = {"predict", "look_inside", "inside", "train_on_your_images", "find_objects"}
WITH_INPUT |= {"photographs", "picture_folder", "training_loop", "training_figures"}
ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


WITHOUT_INPUT = sorted(path for path in EXAMPLES.glob("*.py") if path.stem not in WITH_INPUT)


@pytest.mark.parametrize("path", WITHOUT_INPUT, ids=lambda path: path.stem)
def test_every_example_runs_from_another_folder(path, tmp_path):
    runner = ("-m", "pytest", "-q", "-p", "no:cacheprovider") if path.stem.startswith("test_") else ("file",)
    (done,) = run(Program((*runner, str(path)), tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("preset", PRESETS)
def test_the_network_composed_by_hand_is_the_preset(preset):
    compose = runpy.run_path(str(EXAMPLES / "compose.py"))["compose"]
    net = gaussian_derivative_net(preset, boundary=Background(0.0)).eval()
    window = net.window
    by_hand = compose((*PRESETS[preset].widths, 10), window, 0.0).eval()
    images = torch.rand(3, 1, 65, 65)
    by_hand.load_state_dict(net.state_dict())
    assert torch.equal(by_hand(images), net(images))
    with torch.no_grad():  # the control: another weight, another answer
        last = [layer for layer in net.layers if isinstance(layer, nn.JetConv)][-1]
        last.offset += 1.0
    assert not torch.equal(by_hand(images), net(images))


def test_composing_takes_at_most_25_lines():
    lines = (EXAMPLES / "compose.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25
