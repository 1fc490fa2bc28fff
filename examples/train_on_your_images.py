"""Train on a folder of colour pictures, one folder in it for each class, and read objects of other sizes.

    python examples/train_on_your_images.py FOLDER --output OUTPUT

FOLDER/CLASS/* are photographs or drawings of single objects, of any sizes and shapes, cut out or not. The network is
trained on them at one size, and held-out ones are read at others; all of it is written into OUTPUT. New pictures:

    python examples/train_on_your_images.py --predict PICTURE... --output OUTPUT

They are read as they are; those larger than the images of the training are reduced to these: an object may be as large
as its picture, or smaller by as much as the scale channels were planned for. Needs the packages of `.[train]`.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from photographs import GREY, read_as_trained
from picture_folder import Placed, open_folder, split
from PIL import ImageColor
from rich.console import Console
from rich.table import Table
from torchvision.transforms import v2
from training_figures import confusion, curve, save
from training_loop import Checkpoint, Recipe, accuracy, fit, read

from scalegroup import Background, Reflect, ScaleGroupError, plan_window
from scalegroup.errors import check_integer
from scalegroup.models import (
    RESNET_PRESETS,
    GaussianDerivativeNet,
    find_trained,
    gaussian_derivative_net,
    gaussian_derivative_resnet,
    save_trained,
)
from scalegroup.terminal import print_all_letters
from scalegroup.window_plan import WindowPlan

NETWORKS = {"plain": partial(gaussian_derivative_net, "larger", field_of_view=24.0)}
NETWORKS |= {name: partial(gaussian_derivative_resnet, name) for name in RESNET_PRESETS}
FACTORS = (0.5, 0.5**0.5, 1.0, 2**0.5, 2.0)  # of the size in training: where held-out pictures are read
NAME, CHECKPOINT = "trained.safetensors", "checkpoint.pt"


def train(options: argparse.Namespace) -> None:
    """The plan first, then all pictures; nothing is written before they have been read."""
    trained_size = check_integer("--object-size", options.object_size, at_least=1)
    smallest, largest = options.object_sizes or (trained_size / 2, trained_size * 2)
    size = math.ceil(largest) if options.size is None else options.size
    plan = plan_window(
        image_size=size,
        object_sizes=(smallest, largest),
        trained_size=trained_size,
        object_per_sigma=options.object_per_sigma,
        network=partial(NETWORKS[options.network], in_channels=3),
    )
    recipe = Recipe(**{part.name: getattr(options, part.name) for part in fields(Recipe)})
    print(plan)

    folder = open_folder(options.folder)
    rows, others = split(folder, options.validation, recipe.seed)
    shift = trained_size // 8  # by so much objects are moved: images are cut out of larger ones
    training = Placed.read(folder, rows, [trained_size], size + 2 * shift, options.colour)
    sizes = [longer for longer in (round(factor * trained_size) for factor in FACTORS) if longer <= size]
    held_out = Placed.read(folder, others, sizes, size, options.colour)
    augment = v2.Compose([v2.RandomCrop(size), v2.RandomHorizontalFlip(0.5 if options.flip else 0.0)])

    net = network(options, plan, training, len(folder.classes))
    print(f"{len(folder.classes)} classes, {len(rows)} pictures to train on, {len(others)} held out")
    print(f"{options.network}: {net.parameter_count} weights, {net.architecture.boundary!r} around images")
    print(f"trained in all scale channels, but in each step for up to {net.architecture.scale_dropout} of the finest")
    run = asdict(recipe) | {"network": repr(net.architecture.tell())}
    run |= {"flip": options.flip, "pictures": [part.checksum() for part in (training, held_out)]}
    about = {"classes": folder.classes, "size": size, "object_size": trained_size, "colour": options.colour}
    about |= {"range": [0, 1], "pictures": {"training": len(rows), "held out": len(others)}}
    with alone_in(options.output) as output:
        holds = [name for name in (CHECKPOINT, NAME) if (output / name).exists()]
        if holds and not (options.resume or options.overwrite):
            raise ScaleGroupError(
                f"--output {output}, which holds a training ({holds[-1]})",
                expected="one of its own for each training",
                mend="pass --resume to go on, --overwrite to begin anew, or another folder",
            )
        history = fit(
            net,
            (training.images[0], training.labels),
            (held_out.images[sizes.index(trained_size)], held_out.labels),
            augment,
            recipe,
            Checkpoint(output / CHECKPOINT, run),
            resume=options.resume,
        )
        report(net, plan, options.object_per_sigma, history, held_out, about, output)


def network(options: argparse.Namespace, plan: WindowPlan, training: Placed, classes: int) -> GaussianDerivativeNet:
    """With all of the plan's scale channels, of which every step of the training leaves out some of the finest.

    In pictures, unlike on a blank page, every channel sees something: those that are added after training, or never are
    the finest in it, win by chance.
    """
    torch.manual_seed(options.seed)
    mean, std = training.moments()
    return NETWORKS[options.network](
        window=plan.window,
        samples_per_sigma=plan.samples_per_sigma,
        scale_dropout=plan.training_window.first - plan.window.first,
        in_channels=3,
        num_classes=classes,
        boundary=Background(tuple(value / 255 for value in options.colour)) if training.cut_out else Reflect(),
        mean=mean,
        std=std,
    ).to(options.device)


def report(
    net: GaussianDerivativeNet,
    plan: WindowPlan,
    planned: float,
    history: list[tuple[float, float]],
    held_out: Placed,
    about: dict[str, Any],
    output: Path,
) -> None:
    """Read the held-out pictures at all sizes, in all scale channels; tell, draw and save."""
    trained_size, labels = about["object_size"], held_out.labels
    found = {size: read(net, images) for size, images in zip(held_out.sizes, held_out.images, strict=True)}
    right = {size: accuracy(scores, labels) for size, (scores, _) in found.items()}
    table = Table("object in pixels", "times that in training", "read right", "selected σ₀ (geometric mean)")
    for size, (_, sigma0) in found.items():
        count = f"{right[size]:.1%} ({round(right[size] * len(labels))} of {len(labels)})"
        table.add_row(str(size), f"{size / trained_size:.2f}", count, f"{sigma0.log().mean().exp().item():.2f}")
    Console().print(table)

    scores, sigma0 = found[trained_size]
    about["object_per_sigma"] = measured = trained_size / sigma0.log().mean().exp().item()
    print(f"objects are {measured:.3g} times as large as the σ₀ that they select (--object-per-sigma {planned:g})")
    about["accuracy"] = {str(size): value for size, value in right.items()}
    title = f"{len(labels)} held-out pictures,\nobjects of {trained_size} pixels"
    written = [
        save_trained(net, output / NAME, about).path,
        save(curve(history, right, trained_size, plan.valid), output / "curve.png"),
        save(confusion(labels, scores.argmax(1), about["classes"], title), output / "confusion.png"),
    ]
    print("wrote", ", ".join(map(str, written)))


def predict(options: argparse.Namespace) -> None:
    """Class, confidence, selected σ₀, and the size of the object that this suggests: in training it was known."""
    path = options.output / NAME
    if not path.is_file():
        raise ScaleGroupError(f"no {path}", expected="a trained network", mend="train one, or pass its --output")
    net, about = gaussian_derivative_net(weights=path).to(options.device), find_trained(path).about
    images, reductions = zip(
        *(read_as_trained(picture, about["size"], about["colour"]) for picture in options.predict), strict=True
    )
    found = read(net, torch.stack(images))
    for picture, scores, sigma0, reduction in zip(options.predict, *found, reductions, strict=True):
        confidence, label = scores.softmax(0).max(0)
        print(
            f"{picture}: {about['classes'][label]}, with a confidence of {confidence.item():.0%}; "
            f"about {about['object_per_sigma'] * sigma0.item() / reduction:.0f} pixels across "
            f"(selected σ₀ = {sigma0.item():.3g}" + (f" at {reduction:.2g} times its size)" if reduction < 1 else ")")
        )


def main() -> int:
    """Exit status: 0 done, 2 could not be run, 130 interrupted."""
    print_all_letters()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="with a folder of pictures for each class")
    parser.add_argument("--output", type=Path, default=Path("results/yours"), help="folder (default: %(default)s)")
    parser.add_argument(
        "--predict", type=Path, nargs="+", metavar="PICTURE", help="read these with the net of --output"
    )
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run of this command stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace what another run has left there")
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument("--object-size", type=int, default=48, help="longer side in training (default: %(default)s)")
    pictures.add_argument(
        "--object-sizes",
        type=float,
        nargs=2,
        metavar=("SMALLEST", "LARGEST"),
        help="to be read after training, in pixels (default: half to twice the size in training)",
    )
    pictures.add_argument(
        "--object-per-sigma",
        type=float,
        default=23.0,
        help="size of an object over the σ₀ that it selects; it is measured and told after training (default: 23)",
    )
    pictures.add_argument("--size", type=int, help="of square images around objects (default: the largest object's)")
    pictures.add_argument("--colour", type=colour, default=GREY, help="around what is cut out (default: grey)")
    pictures.add_argument("--validation", type=float, default=0.2, help="share of each class (default: %(default)s)")
    training = parser.add_argument_group("training")
    training.add_argument("--network", choices=NETWORKS, default="small", help="(default: %(default)s)")
    training.add_argument("--epochs", type=int, default=30, help="(default: %(default)s)")
    training.add_argument("--batch", type=int, default=32, help="pictures a step (default: %(default)s)")
    training.add_argument("--rate", type=float, default=0.01, help="of learning, the highest (default: %(default)s)")
    training.add_argument("--weight-decay", type=float, default=0.02, help="AdamW's (default: %(default)s)")
    training.add_argument("--label-smoothing", type=float, default=0.1, help="(default: %(default)s)")
    training.add_argument("--flip", action=argparse.BooleanOptionalAction, default=True, help="left and right")
    training.add_argument("--seed", type=int, default=0, help="of the split, weights and order (default: %(default)s)")
    training.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    options = parser.parse_args()
    if (options.folder is None) == (options.predict is None):
        parser.error("pass a FOLDER to train on, or pictures to --predict")
    try:
        predict(options) if options.predict else train(options)
    except ScaleGroupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume goes on after the last complete epoch", file=sys.stderr)
        return 130
    return 0


def colour(name: str) -> tuple[int, ...]:
    """Of a name or #rrggbb."""
    return ImageColor.getrgb(name)[:3]


@contextmanager
def alone_in(path: Path) -> Iterator[Path]:
    """The folder, which no other training writes into meanwhile."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock", timeout=0)
        lock.acquire()
    except (OSError, Timeout) as error:
        why = "another training writes there" if isinstance(error, Timeout) else error.strerror
        raise ScaleGroupError(
            f"--output {path} ({why})", expected="a folder to write into", mend="pass another"
        ) from None
    try:
        yield path
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: who has opened it looks again
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
