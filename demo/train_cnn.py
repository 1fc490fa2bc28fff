"""Trains the ordinary CNN of the page: `python -m demo.train_cnn --data-root FOLDER`, with torchvision's MNIST in it.

As many digits of the same size, and as many epochs, as the network beside it. Its weights are kept: `cnn.safetensors`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from safetensors.torch import save_file

from benchmarks import data
from benchmarks.evaluation import accuracy
from benchmarks.recipe import Recipe
from benchmarks.training import train
from demo.build import HERE, cnn

TRAINED, TESTED = 2.0, (0.5, 1.0, 2.0, 4.0, 8.0)


def main() -> None:
    """Train, test, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    options = parser.parse_args()
    source = data.load("mnist", data.Place(options.data_root)).first(train=5000, test=500)
    torch.manual_seed(0)
    net, recipe = cnn(), Recipe(epochs=5, label_smoothing=0.1)
    with tempfile.TemporaryDirectory() as folder:
        how: dict[str, Any] = {
            "seed": 0,
            "accelerator": Accelerator(cpu=True),
            "folder": Path(folder),
            "console": Console(),
        }
        train("cnn", net, source.draw("train", TRAINED), recipe, **how)
    for size in TESTED:
        of = source.draw("test", size)
        print(f"size {size:g}: {accuracy(net, of.images, of.labels):.1%} of {len(of.labels)}")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, HERE / "cnn.safetensors")


if __name__ == "__main__":
    main()
