"""A trained network of a run, made one that `gaussian_derivative_net(weights=NAME)` loads, with its model card."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmarks import report, results
from benchmarks.networks import NETWORKS, build
from benchmarks.report.selection import fit
from scalegroup import ScaleGroupError
from scalegroup.models import Setting, save_trained

DESCRIPTION = "put a trained network of a run into the package, with a model card"

_KEPT = ("data", "training", "train_size", "train_images", "test_images", "seed", "command", "commit", "versions")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("results", type=Path, help="folder of a run: results.json and weights")
    parser.add_argument("--name", dest="as_name", required=True, help="to load it by")
    parser.add_argument("--network", default=NETWORKS[0], help=f"{' or '.join(NETWORKS)} (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("models/pretrained"), help="folder (default: %(default)s, the package's)"
    )


def run(options: argparse.Namespace) -> None:
    """Read, check, write weights, description and card."""
    name = options.as_name
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ScaleGroupError(f"name {name!r}", expected="small letters, digits, '-' and '.'", mend="pass another one")
    try:
        content = json.loads((options.results / "results.json").read_text(encoding="utf-8"))
        setting = Setting.told(content["network"][options.network])
        about = describe(content, options.network)
        net = build(setting, seed=0)
        net.load_state_dict(load_file(options.results / f"{options.network}.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ScaleGroupError(
            f"{options.results} ({type(error).__name__}: {error})",
            expected=f"the folder of a run with a {options.network} network",
            mend="pass a folder that `generalisation` wrote, or another --network",
        ) from None
    folder = results.make_folder(options.output)
    trained = save_trained(net, setting, folder / f"{name}.safetensors", about)
    card = model_card(name, setting, about, net.parameter_count)
    results.save_text(card, folder / f"{name}.md")
    Console(soft_wrap=True).print(f"wrote {trained.path}, with its .json and .md")


def describe(content: dict[str, Any], network: str) -> dict[str, Any]:
    """What is to be known of a network beside its setting: data, recipe, accuracy, how σ₀ tells the size."""
    (run,) = (run for run in report.runs_in(content) if run.network == network)
    line = fit(report.Family((run,)))
    scale = None
    if line is not None:
        scale = {"slope": line.slope, "intercept": line.intercept, "sizes": [line.smallest, line.largest]}
    return {
        **{key: content[key] for key in _KEPT},
        "accuracy": content["accuracy"][network],
        "log2_sigma0_over_log2_size": scale,
    }


def model_card(name: str, setting: Setting, about: dict[str, Any], parameters: int) -> str:
    """As Markdown."""
    data, trained = about["data"], about["train_size"]
    recipe = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about["training"].items())
    sizes = " and ".join(f"{size:g}" for size in (trained if isinstance(trained, list) else [trained]))
    accuracy = "\n".join(f"| {float(size):.4g} | {value:.1%} |" for size, value in about["accuracy"].items())
    good = [float(size) for size, value in about["accuracy"].items() if value >= max(about["accuracy"].values()) - 0.02]
    background = setting.tell()["boundary"]
    return f"""# {name}

```python
net = gaussian_derivative_net({setting.preset!r}, weights={name!r})
```

A Gaussian derivative network ({parameters} parameters, preset `{setting.preset}`), {setting.window!r}.

## Data

{data["name"]}: {about["train_images"]} training images of size {sizes} (an object of size 1 is {data["unit"]} pixels
across) on a {data["canvas"]}×{data["canvas"]} canvas.
{data["recipe"]}

Images must be made alike, `[batch, {setting.in_channels}, y, x]`, with the object in the centre. What the network sees
outside of them: {background}.

## Training

{recipe}; seed {about["seed"]}.
Command: `{about["command"]}`, commit `{about["commit"]}`.

## Accuracy

On {about["test_images"]} held-out images of each size:

| size | accuracy |
|--:|--:|
{accuracy}

## Limits

- Within two points of its best from size {min(good):.4g} to {max(good):.4g} only; nothing beyond the sizes above was
  tried.
- One object, in the centre, upright, without clutter; other handwriting, fonts or cameras were not tried.
- The classes are those of the data; an image of something else gets one of them all the same.
"""
