"""Trains the ordinary CNN of the page: `python demo/train_cnn.py --data-root FOLDER`, with torchvision's MNIST in it.

On the same 5 000 digits of size 2 and for the same five epochs as the network beside it. Its weights are kept here.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from build import DOWNSAMPLE, HERE
from rich.console import Console
from safetensors.torch import save_file

from benchmarks import data
from benchmarks.baselines import plain_cnn
from benchmarks.evaluation import accuracy
from benchmarks.recipe import Recipe
from benchmarks.training import train

SIZES = (0.5, 1.0, 2.0, 4.0, 8.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    options = parser.parse_args()
    source = data.load("mnist", data.Place(options.data_root)).first(train=5000, test=500)
    torch.manual_seed(0)
    net, recipe = plain_cnn(downsample=DOWNSAMPLE), Recipe(epochs=5, label_smoothing=0.1)
    with tempfile.TemporaryDirectory() as folder:
        how = {"seed": 0, "accelerator": Accelerator(cpu=True), "folder": Path(folder), "console": Console()}
        train("cnn", net, source.draw("train", 2.0), recipe, **how)
    for size in SIZES:
        of = source.draw("test", size)
        print(f"size {size:g}: {accuracy(net, of.images, of.labels):.1%} of {len(of.labels)}")
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, HERE / "cnn.safetensors")


if __name__ == "__main__":
    main()
