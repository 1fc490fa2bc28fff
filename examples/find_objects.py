"""What is in this scene, where, how large? `python examples/find_objects.py PICTURE`.

Any picture of digits, light on dark or dark on light, many of them, anywhere, of any size from 20 pixels up. It needs
Pillow and torchvision. `--weights` takes the path of another network that `python -m benchmarks scenes` has trained.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from photographs import read
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image
from torchvision.utils import draw_bounding_boxes

from scalegroup import ScaleGroupError, ScaleWindow, detect
from scalegroup.models import find_trained, gaussian_derivative_net
from scalegroup.whole_file import whole_file

COLOURS = ("orange", "cyan", "lime", "magenta", "yellow", "white", "red", "deepskyblue", "pink", "springgreen")


def read_scene(path: Path) -> tuple[Tensor, Tensor]:
    """The picture in bytes `[3, y, x]`, and as the networks take it, `[1, y, x]`: ink light, the page dark."""
    upright = read(path)
    picture = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    page = np.asarray(picture.convert("L"), dtype=np.float32)
    ink = np.abs(page - np.median(page))
    if ink.max() < 16:
        raise ScaleGroupError(f"picture {str(path)!r}", expected="something that stands out from the page", mend="look")
    image = 2 / math.pi * np.arctan(0.02 * (ink * (255 / ink.max()) - 128))
    return torch.from_numpy(np.array(picture)).movedim(-1, 0), torch.from_numpy(image.astype(np.float32))[None]


def window_up_to(window: ScaleWindow, largest: float) -> ScaleWindow:
    """The window with as many coarser scale channels as objects up to a σ₀ of `largest` pixels need."""
    more = math.ceil(math.log(largest / window.sigmas[-1]) / math.log(window.group.ratio))
    return replace(window, channels=window.channels + max(0, more))


def drawn(picture: Tensor, found: dict[str, Tensor]) -> Tensor:
    """The picture with a box, a label and a size in pixels for everything that was found."""
    labels = found["labels"].tolist()
    said = [f"{label}: {size:.0f}" for label, size in zip(labels, found["sizes"].tolist(), strict=True)]
    colours = [COLOURS[label % len(COLOURS)] for label in labels]
    return draw_bounding_boxes(picture, found["boxes"], labels=said, colors=colours, width=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--weights", default="mnist-scenes")
    parser.add_argument("--threshold", type=float, help="least score (default: the one chosen for the weights)")
    parser.add_argument("--output", type=Path, default=Path("found.png"), help="(default: %(default)s)")
    options = parser.parse_args()
    try:
        net, about = gaussian_derivative_net(weights=options.weights), find_trained(options.weights).about
        if not options.output.parent.is_dir():
            raise ScaleGroupError(f"--output {options.output}", expected="a folder that is there", mend="make it")
        picture, image = read_scene(options.picture)
        extent = net.architecture.extent or 1.0
        window = window_up_to(net.window, min(image.shape[1:]) / extent)
        threshold = about.get("threshold", 0.5) if options.threshold is None else options.threshold
        (found,) = detect(net, image[None], threshold=threshold, window=window)
    except ScaleGroupError as error:
        raise SystemExit(str(error)) from None
    told = [found[name].tolist() for name in ("boxes", "labels", "scores", "sizes")]
    for box, label, score, size in zip(*told, strict=True):
        print(f"{label}, {score:.0%} sure, {size:.0f} pixels across, at {', '.join(f'{at:.0f}' for at in box)}")
    with whole_file(options.output) as temporary:
        to_pil_image(drawn(picture, found)).save(temporary, "png")
    print(f"{len(found['labels'])} objects; wrote {options.output}")


if __name__ == "__main__":
    main()
