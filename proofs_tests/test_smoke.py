"""What every Python, torch, numpy and scipy must do that pyproject.toml allows: `nox` runs this file with each."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import scalegroup
from proofs_tests.comparison import same_bits
from scalegroup import Background, ScaleField, ScaleGroup, ScaleWindow, nn
from scalegroup.models import gaussian_derivative_net, save_trained, transfer
from scalegroup.testing import layer_laws

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=3)
IMPORT_NAMES = {"scikit-learn": "sklearn", "mkdocs-material": "material", "griffelib": "griffe"}
ALL_NAMES = """
import scalegroup
for name in scalegroup.__all__:
    getattr(scalegroup, name)
for part in (scalegroup.nn, scalegroup.models, scalegroup.testing):
    for name in part.__all__:
        getattr(part, name)
"""


class OneChannelLouder(nn.Identity):
    """A layer that is not equivariant: it treats the finest channel of whatever window as another one."""

    def forward(self, field: ScaleField) -> ScaleField:
        first, *others = field.maps
        return replace(field, maps=(2 * first, *others))


def brought_in(program: str) -> set[str]:
    """The packages, outside the standard library, that a program makes a fresh Python import."""
    wrapped = (
        f"import json, sys\nbefore = set(sys.modules)\n{program}\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout)) - sys.stdlib_module_names


def packages(requirements: list[str]) -> set[str]:
    """As they are imported."""
    names = {re.split(r"[\[<>=,;]", requirement)[0].strip() for requirement in requirements}
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def test_importing_the_package_brings_in_nothing_but_the_lazy_loader() -> None:
    assert brought_in("import scalegroup") == {"scalegroup", "lazy_loader"}
    assert "tqdm" in brought_in("import scalegroup, tqdm")  # the control


def test_all_its_names_bring_in_no_package_of_the_extras() -> None:
    own = packages(PROJECT["dependencies"])
    extras = packages([of for name in PROJECT["optional-dependencies"].values() for of in name]) - own - {"scalegroup"}
    found = brought_in(ALL_NAMES)
    assert {"scalegroup", "torch", "numpy"} <= found
    assert not found & extras
    assert {"hypothesis", "accelerate", "onnx", "matplotlib", "pytest"} <= extras
    assert brought_in("import pytest") & extras == {"pytest"}  # the control


def test_a_network_learns_and_is_what_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = gaussian_derivative_net(widths=(4, 4), window=WINDOW, boundary=Background(0.0))
    images, labels = torch.rand(20, 1, 17, 17), torch.arange(20) % 10
    losses = []
    for _ in range(5):
        loss = F.cross_entropy(net(images), labels)
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for value, gradient in zip(net.parameters(), gradients, strict=True):
                value -= 0.1 * gradient
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    path = tmp_path / "net.safetensors"
    save_trained(net.eval(), path)
    again = gaussian_derivative_net(weights=path)
    assert same_bits(again(images), net(images))
    assert not same_bits(again(images, window=WINDOW.select(0, 2)), net(images))  # the control
    assert transfer(again, num_classes=3)(images).shape == (20, 3)


def test_scaling_the_image_by_the_group_moves_the_channels() -> None:
    """Exactly, by relabelling; the control is the field that was not moved."""
    net = nn.Sequential(nn.Lift(WINDOW), partial(nn.JetConv, out_type=2), nn.ReLU)
    field = net(torch.rand(1, 1, 21, 21))
    moved = field.transform(WINDOW.group.element(1))
    assert moved.window.sigmas == pytest.approx([sigma * 2**0.5 for sigma in WINDOW.sigmas])
    assert all(map(same_bits, moved.maps, field.maps))
    assert moved.window != field.window


@pytest.mark.filterwarnings("ignore:You are using .torch.load.:FutureWarning")  # torch 2.4, of its own unpickling
def test_a_layer_keeps_its_laws() -> None:
    """All but that of graphs, for which the extra `export` asks for a later torch."""
    laws = layer_laws(partial(nn.JetConv, out_type=3))
    del laws["can be exported"]
    for law in laws.values():
        law()
    with pytest.raises(AssertionError):  # the control: it treats one channel as no other
        layer_laws(OneChannelLouder)["commutes with scaling"]()


def test_the_version_is_said_once() -> None:
    assert scalegroup.__version__ == PROJECT["version"]
