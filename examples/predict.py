"""What is in this picture, how sure, how large? `python examples/predict.py PICTURE`.

Any picture of one digit, light on dark or dark on light, of any size. `--weights` takes a name that comes with the
package, or a file of `python -m benchmarks generalisation`; or one of `train_on_your_images.py`, for pictures of what
that was trained on. It needs Pillow and torchvision.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from photographs import read_as_trained
from PIL import Image

from scalegroup.models import find_trained, gaussian_derivative_net

CANVAS = 121  # pixels, at least
LARGEST = 113  # pixels of a digit; the networks have seen 20 for size 1, and read up to about 6 times that well


def read_digit(path: Path) -> tuple[torch.Tensor, int]:
    """The digit as `[1, 1, y, x]` in the networks' range, centred as MNIST's are, and by how much it was shrunk."""
    page = np.asarray(Image.open(path).convert("L"), dtype=np.float32)
    edge = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])
    ink = np.abs(page - np.median(edge))
    rows, columns = (np.flatnonzero((ink > ink.max() / 4).any(axis)) for axis in (1, 0))
    if ink.max() < 16:
        raise SystemExit(f"{path}: nothing in it stands out from its edge")
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * (255 / ink.max())
    shrunk = math.ceil(max(digit.shape) / LARGEST)
    digit = np.asarray(Image.fromarray(digit).reduce(shrunk))
    # black around it, so that its centre of mass is the centre; outside, the networks know the background
    margins = []
    for axis, length in enumerate(digit.shape):
        centre = round(np.arange(length) @ digit.sum(1 - axis) / digit.sum())
        before, after = max(0, length - 1 - 2 * centre), max(0, 2 * centre + 1 - length)
        around = max(0, CANVAS - length - before - after) // 2
        margins.append((before + around, after + around))
    image = 2 / math.pi * np.arctan(0.02 * (np.pad(digit, margins) - 128))
    return torch.as_tensor(image, dtype=torch.float32)[None, None], shrunk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--weights", default="mnist-large-scale-5k")
    options = parser.parse_args()
    net, about = gaussian_derivative_net(weights=options.weights), find_trained(options.weights).about
    if classes := about.get("classes"):
        pixels, _ = read_as_trained(options.picture, about["size"], about["colour"])
        image, shrunk = pixels[None] / 255, 1
    else:
        classes = range(10)
        image, shrunk = read_digit(options.picture)
    with torch.no_grad():
        scores, sigma0 = net.predict(image)
    confidence, label = scores.softmax(1).max(1)
    print(f"{classes[int(label)]}, with a confidence of {confidence.item():.0%}")
    if line := about.get("log2_sigma0_over_log2_size"):
        size = shrunk * 2 ** ((math.log2(sigma0.item()) - line["intercept"]) / line["slope"])
        print(f"about {size:.2g} times MNIST's: {20 * size:.0f} pixels high (selected σ₀ = {sigma0.item():.3g})")


if __name__ == "__main__":
    main()
