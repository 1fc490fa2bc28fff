"""The data set that the command line names."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.data.digits import digits
from benchmarks.data.mnist_scale import SPLITS, mnist_scale
from benchmarks.data.place import Place
from benchmarks.data.published import mnist_large_scale
from benchmarks.data.rescaled import MARGINS, rescaled_folder, rescaled_set
from benchmarks.data.source import Source
from benchmarks.data.stir import stir_emoji, stir_mnist
from benchmarks.data.torchvision_sets import KINDS, plain_set, torchvision_set
from scalegroup import ScaleGroupError

SOURCES: dict[str, Callable[[Place], Source]] = {
    "digits": digits,
    **{name: torchvision_set(name) for name in KINDS},
    **{f"plain-{name}": plain_set(name) for name in KINDS},
    "mnist-large-scale": mnist_large_scale,
    **{f"mnist-scale-{split}": mnist_scale(split) for split in SPLITS},
    **{f"rescaled-{name}": rescaled_set(name) for name in MARGINS},
    "rescaled-folder": rescaled_folder,
    "stir-emoji": stir_emoji,
    "stir-mnist": stir_mnist,
}


def load(name: str, place: Place = Place()) -> Source:  # noqa: B008 (immutable)
    """The source of that name. Raises `ScaleGroupError` for an unknown one, or one whose files are missing."""
    if name not in SOURCES:
        raise ScaleGroupError(f"data set {name!r}", expected=f"one of {sorted(SOURCES)}", mend="choose one of these")
    return SOURCES[name](place)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which data."""
    parser.add_argument("--data", default="digits", help=f"data set: {', '.join(SOURCES)} (default: %(default)s)")
    parser.add_argument("--data-root", type=Path, help="folder of the data set's files; digits need none")
    parser.add_argument("--download", action="store_true", help="fetch files that are missing (torchvision sets)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("results/cache"),
        help="folder that keeps drawn images (default: %(default)s)",
    )
    parser.add_argument("--train-images", type=int, help="only the first so many training images")
    parser.add_argument("--test-images", type=int, help="only the first so many test images")
    parser.add_argument(
        "--validation-images",
        type=int,
        help="test on so many of the training part, its last, which are not trained on: to choose by",
    )


def choose(options: argparse.Namespace) -> Source:
    """The data those options name."""
    place = Place(options.data_root, options.download, options.cache)
    source = load(options.data, place)
    if options.validation_images is not None:
        source = source.validating(options.validation_images)
    return source.first(train=options.train_images, test=options.test_images)
