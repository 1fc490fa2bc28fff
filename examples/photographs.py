"""Pictures of single objects, of any size and shape, cut out or not, as square images with the object in the middle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

from scalegroup import ScaleGroupError

GREY = (128, 128, 128)


def read(path: str | Path) -> Image.Image:
    """In RGBA, upright; of what is transparent at its edges nothing is left, so that its size is the object's."""
    try:
        with Image.open(path) as file:
            picture = eight_bits(ImageOps.exif_transpose(file)).convert("RGBA")
    except Exception as error:  # a damaged file can make the reader fail anyhow
        raise ScaleGroupError(
            f"picture {str(path)!r} ({error})", expected="one that Pillow reads", mend="leave it out, or convert it"
        ) from None
    seen = picture.getchannel("A").getbbox()
    if seen is None:
        raise ScaleGroupError(
            f"picture {str(path)!r}, transparent everywhere", expected="an object in it", mend="leave it out"
        )
    return picture.crop(seen)


def eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow cuts off what is beyond 255 in pictures of 16 bits, and of numbers of any range."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    white = max(float(values.max()), 1.0) if picture.mode == "F" else 65535.0
    return Image.fromarray((values * (255 / white)).clip(0, 255).round().astype(np.uint8))


def is_cut_out(picture: Image.Image) -> bool:
    """Whether the object stands on nothing: something is more transparent than not."""
    return picture.getchannel("A").getextrema()[0] < 128  # type: ignore[operator]


def place(picture: Image.Image, longer: int, canvas: int, colour: Sequence[int]) -> Tensor:
    """`[3, canvas, canvas]` in bytes, with the picture in the middle, its longer side of so many pixels.

    What is cut out stands on the colour; a photograph goes on around itself as in mirrors along its edges.
    """
    mode = "constant" if is_cut_out(picture) else "symmetric"
    sides = [max(1, round(side / max(picture.size) * longer)) for side in picture.size]  # of a line, too
    picture = picture.resize(sides, Image.Resampling.BICUBIC)
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, tuple(colour)), picture).convert("RGB")
    before = [(canvas - side) // 2 for side in picture.size]
    behind = [canvas - side - left for side, left in zip(picture.size, before, strict=True)]
    around = v2.Pad([*before, *behind], fill=tuple(colour), padding_mode=mode)
    return v2.functional.pil_to_tensor(around(picture))


def read_as_trained(path: str | Path, size: int, colour: Sequence[int] = GREY) -> tuple[Tensor, float]:
    """A new picture as an image `[3, size, size]` in bytes, and its size there over its own.

    It is read as it is, and one that is larger than the image reduced to it: an object is found again from as large as
    the picture down to the smallest that the scale channels read.
    """
    picture = read(path)
    longer = min(max(picture.size), size)
    return place(picture, longer, size, colour), longer / max(picture.size)
