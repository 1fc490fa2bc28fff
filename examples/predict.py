"""What is in this picture, how sure, how large? `python examples/predict.py PICTURE`.

Any picture of one digit, light on dark or dark on light, of any size. `--weights` takes a name that comes with the
package, or a file of `python -m benchmarks generalisation`; or one of `train_on_your_images.py`, for pictures of what
that was trained on. It needs Pillow and torchvision.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from photographs import is_cut_out, read, read_as_trained
from PIL import Image

from scalegroup import ScaleGroupError
from scalegroup.models import find_trained, gaussian_derivative_net
from scalegroup.terminal import print_all_letters

CANVAS = 121  # pixels, at least
LARGEST = 113  # pixels of a digit; the networks have seen 20 for size 1, and read up to about 6 times that well


def read_digit(path: Path) -> tuple[torch.Tensor, int]:
    """The digit as `[1, 1, y, x]` in the networks' range, centred as MNIST's are, and by how much it was shrunk."""
    page = on_paper(read(path))
    ink = np.abs(page - paper(page))
    rows, columns = (np.flatnonzero((ink > ink.max() / 4).any(axis)) for axis in (1, 0))
    if ink.max() < 16:
        raise ScaleGroupError(
            f"picture {str(path)!r}, of which nothing stands out from its edge",
            expected="a digit on paper",
            mend="take another one",
        )
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


def on_paper(picture: Image.Image) -> np.ndarray:
    """Its brightness in [0, 255]; what is cut out lies on white where it is dark, and on black where it is light."""
    grey, seen = (
        np.asarray(part, np.float32) for part in (picture.convert("RGB").convert("L"), picture.getchannel("A"))
    )
    if not is_cut_out(picture):
        return grey
    ground = 255.0 if np.average(grey, weights=seen) < 128 else 0.0
    return np.pad(ground + (grey - ground) * seen / 255, 2 + max(grey.shape) // 8, constant_values=ground)


def paper(page: np.ndarray) -> np.ndarray:
    """The light on the paper, from what it is along the edge: a polynomial of degree 2, for lamps and shadows.

    What is far from it, such as ink that touches the edge, is left out.
    """
    y, x = (np.linspace(-1, 1, length) for length in page.shape)
    y, x = np.meshgrid(y, x, indexing="ij")
    terms = np.stack([np.ones_like(x), y, x, y * y, y * x, x * x], axis=-1)
    edge = (abs(y) == 1) | (abs(x) == 1)
    light = np.full_like(page, np.median(page[edge]))
    kept = edge & (abs(page - light) <= 64)
    for _ in range(4):
        light = terms @ np.linalg.lstsq(terms[kept], page[kept], rcond=None)[0]
        off = abs(page - light)
        kept = edge & (off <= 1 + 3 * np.median(off[kept]))
    return light.round()


def main() -> int:
    """Exit status: 0 done, 2 could not be run."""
    print_all_letters()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--weights", default="mnist-large-scale")
    options = parser.parse_args()
    try:
        predict(options.picture, options.weights)
    except ScaleGroupError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def predict(picture: Path, weights: str) -> None:
    net, about = gaussian_derivative_net(weights=weights), find_trained(weights).about
    if "colour" in about:  # by examples/train_on_your_images.py
        classes = about["classes"]
        pixels, _ = read_as_trained(picture, about["size"], about["colour"])
        image, shrunk = pixels[None] / 255, 1
    else:
        classes = range(10)
        image, shrunk = read_digit(picture)
    with torch.no_grad():
        scores, sigma0 = net.predict(image)
    confidence, label = scores.softmax(1).max(1)
    print(f"{classes[int(label)]}, with a confidence of {confidence.item():.0%}")
    if line := about.get("log2_sigma0_over_log2_size"):
        size = shrunk * 2 ** ((math.log2(sigma0.item()) - line["intercept"]) / line["slope"])
        print(f"about {size:.2g} times MNIST's: {20 * size:.0f} pixels high (selected σ₀ = {sigma0.item():.3g})")


if __name__ == "__main__":
    sys.exit(main())
