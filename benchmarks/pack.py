"""A trained network of a run, made one that `gaussian_derivative_net(weights=NAME)` loads, with its model card."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import results
from benchmarks.networks import NETWORKS
from scalegroup import ScaleGroupError
from scalegroup.models import Trained, find_trained, gaussian_derivative_net, save_trained
from scalegroup.models.exporting import told_of_images

DESCRIPTION = "put a trained network of a run into the package, with a model card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("results", type=Path, help="folder of a run, with its weights")
    parser.add_argument("--name", dest="as_name", required=True, help="to load it by")
    parser.add_argument(
        "--network", default=NETWORKS[0], help="name of its file, without the suffix (default: %(default)s)"
    )
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="what they are called (default: numbers)")
    parser.add_argument(
        "--range", type=float, nargs=2, metavar=("LOWEST", "HIGHEST"), help="values of its images, which exports tell"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("models/pretrained"), help="folder (default: %(default)s, the package's)"
    )


def run(options: argparse.Namespace) -> None:
    """Read, check, write weights and card."""
    name = options.as_name
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ScaleGroupError(f"name {name!r}", expected="small letters, digits, '-' and '.'", mend="pass another one")
    path = options.results / f"{options.network}.safetensors"
    trained, net = find_trained(path), gaussian_derivative_net(weights=path)
    try:
        card = CARDS[trained.about.get("benchmark", "generalisation")](name, trained, net.parameter_count)
    except KeyError as error:
        raise ScaleGroupError(
            f"{path} that says nothing of {error}",
            expected="weights of a run",
            mend="pass a folder that `generalisation`, `natural` or `scenes` wrote",
        ) from None
    said = {"classes": options.classes, "range": options.range}
    about = trained.about | {key: value for key, value in said.items() if value is not None}
    told_of_images(about, net.architecture.num_classes)  # refuses what does not fit
    folder = results.make_folder(options.output)
    packed = save_trained(net, folder / f"{name}.safetensors", about)
    results.save_text(card, folder / f"{name}.md")
    Console(soft_wrap=True).print(f"wrote {packed.path}, with its .md")


def model_card(name: str, trained: Trained, parameters: int) -> str:
    """As Markdown. Raises `KeyError` for weights that do not tell of their training as those of a run do."""
    architecture, about = trained.architecture, trained.about
    data, size = about["data"], about["train_size"]
    recipe = in_words(about["training"])
    recipe += f", scale-channel dropout of {architecture.scale_dropout} at most" if architecture.scale_dropout else ""
    sizes = " and ".join(f"{one:g}" for one in (size if isinstance(size, list) else [size]))
    accuracy = "\n".join(f"| {float(size):.4g} | {value:.1%} |" for size, value in about["accuracy"].items())
    good = near_the_best({float(size): value for size, value in about["accuracy"].items()})
    grid = architecture.grid
    if architecture.samples_per_sigma is not None:
        grid += f", {architecture.samples_per_sigma:.3g} samples per σ"
    view = architecture.field_of_view
    seen = "" if view is None else f"\nEach scale channel sees what lies within {view:g} σ₀ of the centre."
    return f"""# {name}

```python
net = gaussian_derivative_net(weights="{name}")
```

A Gaussian derivative network ({parameters} parameters, hidden widths {"-".join(map(str, architecture.widths))}),
{architecture.window!r}, grids: {grid}.{seen}

## Data

{data["name"]}: {about["train_images"]} training images of size {sizes} (an object of size 1 is {data["unit"]} pixels
across) on a {data["canvas"]}×{data["canvas"]} canvas.
{data["recipe"]}

Images must be made alike, `[batch, {architecture.in_channels}, y, x]`, with the object in the centre. What the network
sees outside of them: {architecture.boundary!r}.

## Training

{recipe}; seed {about["seed"]}.
Scale channels that were added afterwards, with the same weights: {about["finer_channels"]} finer and
{about.get("coarser_channels", 0)} coarser ones.
Command: `{about["command"]}`, commit `{about["commit"]}`.

## Accuracy

On {about["test_images"]} held-out images of each size:

| size | accuracy |
|--:|--:|
{accuracy}

## Limits

- Within two points of its best from size {good[0]:.4g} to {good[-1]:.4g} only; nothing beyond the sizes above was
  tried.
- One object, in the centre, upright, without clutter; other handwriting, fonts or cameras were not tried.
- The classes are those of the data; an image of something else gets one of them all the same.
"""


def scenes_card(name: str, trained: Trained, parameters: int) -> str:
    """As Markdown, of a network that finds objects in scenes. Raises `KeyError` as `model_card`."""
    architecture, about = trained.architecture, trained.about
    recipe = in_words(about["recipe"])
    backgrounds = list(about["f1"])
    sizes = list(about["f1"][backgrounds[0]])
    rows = [[f"{float(size):.4g}", *(f"{about['f1'][of][size]:.3f}" for of in backgrounds)] for size in sizes]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""# {name}

```python
net = gaussian_derivative_net(weights="{name}")
found = scalegroup.detect(net, images, threshold={about["threshold"]:g})
```

A Gaussian derivative network ({parameters} parameters, hidden widths {"-".join(map(str, architecture.widths))}),
{architecture.window!r}, to be read everywhere. A box is {architecture.extent:g} times the σ₀ of its maximum wide.

## Data

{about["data"]}: {about["train_images"]} training pictures, drawn at size {about["train_size"]:g} alone. Recipe of the
scenes: {about["scenes"]}.

Images `[batch, {architecture.in_channels}, y, x]` of any size, made alike: values from -0.763, the page, to 0.763.

## Training

{recipe}; seed {about["seed"]}.
Command: `{about["command"]}`, commit `{about["commit"]}`.

## F1

At a threshold of {about["threshold"]:g}, which was chosen on scenes of validation digits of the trained size; on
{about["pictures"]} scenes of each background with digits that were not seen:

| size | {" | ".join(backgrounds)} |
|--:|{"--:|" * len(backgrounds)}
{lines}

## Limits

- Nothing beyond these sizes and backgrounds was tried; objects did not overlap.
- Boxes are squares: what is longer than wide has one as wide as long.
"""


def natural_card(name: str, trained: Trained, parameters: int) -> str:
    """As Markdown, of a network for natural pictures. Raises `KeyError` as `model_card`."""
    architecture, about = trained.architecture, trained.about
    recipe = in_words(about["recipe"])
    window, (finest, coarsest) = about["window"], about["window"]["fewer"]
    lines = "\n".join(f"| {float(size):.4g} | {value:.1%} |" for size, value in about["accuracy"].items())
    return f"""# {name}

```python
net = gaussian_derivative_net(weights="{name}")
```

A Gaussian derivative network ({parameters} parameters, widths {"-".join(map(str, architecture.widths))}, residual:
{architecture.residual}), {architecture.window!r}, read by {architecture.readout!r}.
Its classes: {", ".join(about["classes"])}.

## Data

{about["data"]}: {about["images"]["train"]} training pictures of size {about["train_size"]:g} alone, {about["size"]}
pixels wide in the middle of a canvas of {about["canvas"]}×{about["canvas"]}. Made so: {about["pictures"]}.

Images `[batch, {architecture.in_channels}, y, x]` of any size, made alike, with values in [0, 1]. What the network sees
outside of them: {architecture.boundary!r}.

## Training

{recipe}; scale-channel dropout of {window["dropped"]} at most; seed {about["seed"]}.
Scale channels that were added afterwards, with the same weights: {finest} finer and {coarsest} coarser ones.
Command: `{about["command"]}`, commit `{about["commit"]}`.

## Accuracy

On {about["images"]["test"]} test pictures of each size:

| size | accuracy |
|--:|--:|
{lines}

## Limits

- One object that fills its picture; nothing beyond these sizes was tried.
- The classes are those of the data; a picture of something else gets one of them all the same.
"""


CARDS: dict[str, Callable[[str, Trained, int], str]] = {
    "generalisation": model_card,
    "natural": natural_card,
    "scenes": scenes_card,
}
"""By the benchmark that trained the network."""


def in_words(recipe: Mapping[str, Any]) -> str:
    """A recipe on one line.

    >>> in_words({"epochs": 3, "weight_decay": 0.0})
    'epochs 3, weight decay 0.0'
    """
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in recipe.items())


def near_the_best(accuracy: dict[float, float]) -> list[float]:
    """The sizes around the best one up to where accuracy is two points less.

    >>> near_the_best({0.5: 0.98, 0.7: 0.9, 1.0: 0.97, 2.0: 0.99, 4.0: 0.95})
    [1.0, 2.0]
    """
    sizes = sorted(accuracy)
    best = max(sizes, key=accuracy.__getitem__)
    good = [accuracy[size] >= accuracy[best] - 0.02 for size in sizes]
    first = last = sizes.index(best)
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(sizes) - 1 and good[last + 1]:
        last += 1
    return sizes[first : last + 1]
