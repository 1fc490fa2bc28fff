"""What does a trained network see? Four figures: `python examples/look_inside.py [PICTURE]`.

filters.png: what a point of light adds to a feature, layer by layer; channels.png: the maps of all scale channels;
scales.png: the scores over σ₀, at several sizes of the picture; evidence.png: where in the picture a score comes from.
Without a picture it draws a digit of scikit-learn's. `--weights` takes what `predict.py` takes. Needs matplotlib.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inside
import numpy as np
import torch
from inside import Look
from matplotlib.figure import Figure
from photographs import GREY, read_as_trained
from PIL import Image
from predict import read_digit
from torch import Tensor

from scalegroup import ScaleGroupError
from scalegroup.models import find_trained, gaussian_derivative_net

FEATURES = 8  # of each layer, at most
COLUMNS = 12  # scale channels, and the selected one
SIZES = 2.0 ** np.arange(-1, 1.1, 0.5)  # of the picture
STEPS = 32  # from the background to the picture


def filters(look: Look) -> Figure:
    """A row for each layer, and one for the first layer's learnt jets, from which its grid is so much "off".

    That is the norm of the difference: central differences of so few samples per σ are other filters, alike in all
    scale channels.
    """
    rows: list[tuple[str, list[Any], Tensor, Tensor]] = []  # the last: what colours and width are chosen for
    for name, layer in look.jets.items():
        features, found = inside.effective_filters(look, layer, FEATURES)
        titles = [look.names[n] if name == "classes" else f"feature {n}" for n in features]
        alike = found
        if not rows and (jets := inside.learnt_jets(look, features)) is not None:
            alike = torch.cat([jets, found])
            rows.append((f"{name},\nΣ C σⁿ∂ⁿg", titles, jets, alike))
            name += f" on its\ngrid, {(found - jets).norm() / jets.norm():.0%} off"
        rows.append((name, titles, found, alike))
    figure = Figure(figsize=(1.25 * FEATURES + 0.8, 1.55 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), FEATURES, squeeze=False)
    for (name, titles, row, alike), places in zip(rows, axes, strict=True):
        half = inside.half_width(alike)
        for place, title, values in zip(places, titles, row, strict=False):
            show(place, values, alike.abs().max().item(), extent_of(look.image))
            place.set(xlim=(-half, half), ylim=(half, -half))
            place.set_title(title, fontsize="small")
        places[0].set(ylabel=name, xlabel=f"± {half:g} px")
        for place in places[len(row) :]:
            place.set_axis_off()
    signs = "red adds, blue takes away" if look.image.shape[1] == 1 else "grey adds nothing"
    figure.suptitle(
        f"What a point of light adds to a feature at the centre, {name_of(look, look.channel)}\n"
        f"Of each layer the {FEATURES} features that this picture moves most; {signs}; colours alike in a row"
    )
    return figure


def channels(look: Look) -> Figure:
    """A row for what is lifted and for each layer, a column for each scale channel."""
    shown = sorted({look.channel, *inside.spread(range(len(look.sigmas)), COLUMNS)})
    stages = {"lifted": look.net[:1]} | look.stages
    figure = Figure(figsize=(max(6, 1.15 * len(shown) + 1.7), 1.2 * len(stages) + 0.8), layout="constrained")
    axes = figure.subplots(len(stages), len(shown), squeeze=False)
    for (name, stage), places in zip(stages.items(), axes, strict=True):
        maps, grids = inside.responses(look, stage)
        risen = maps[look.channel].clamp(min=0).square().mean((1, 2))
        feature = look.ranking[0] if name == "classes" else int(risen.argmax())
        labels = {"lifted": name, "classes": f"score of\n{look.names[look.ranking[0]]}"}
        places[0].set_ylabel(labels.get(name, f"{name},\nfeature {feature}"))
        limit = max(maps[n][feature].abs().max().item() for n in shown)
        for place, n in zip(places, shown, strict=True):
            axes_of = grids.grids[n].x, grids.grids[n].y
            across, down = (grids.spacings[n] * (np.array([axis.first, axis.stop]) - 0.5) for axis in axes_of)
            extent = *across, *down[::-1]
            if name == "lifted":
                show_picture(place, look, maps[n] + look.background[0, :, :1, :1], extent)
            else:
                show(place, maps[n][feature, None], limit, extent)
            place.set(xlim=extent_of(look.image)[:2], ylim=extent_of(look.image)[2:])
        if name == "lifted" and look.image.shape[1] == 3:  # those are colours
            continue
        figure.colorbar(places[0].images[0], ax=places, aspect=8, pad=0.01).ax.tick_params(labelsize="small")
    for place, n in zip(axes[0], shown, strict=True):
        place.set_title(name_of(look, n), fontsize="small", fontweight="bold" if n == look.channel else None)
    beyond = "" if look.net.architecture.field_of_view is None else "; white: beyond what a channel sees"
    figure.suptitle(
        f"Every scale channel on its own grid (bold: the selected one)\nFeatures less what the background gives{beyond}"
    )
    return figure


def scales(look: Look) -> Figure:
    """The scores of two classes over σ₀ at several sizes, and the σ₀ that is selected over the size."""
    figure = Figure(figsize=(9, 8), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    best, factors, selected = look.ranking[0], [], []
    for number, (image, factor) in enumerate(inside.resized(look.image, size) for size in SIZES):
        with torch.no_grad():
            scores = inside.class_scores(look.net, image)[0].numpy()
        winner, colour = int(scores[best].argmax()), f"C{number}"
        factors.append(factor)
        selected.append(look.sigmas[winner])
        for n in look.ranking[1:2]:
            above.plot(look.sigmas, scores[n], "--", color=colour, linewidth=1)
        above.plot(look.sigmas, scores[best], "-", color=colour, label=f"size {factor:.2f}")
        above.plot(selected[-1], scores[best, winner], "o", color=colour)
        below.plot(factor, selected[-1], "o", color=colour)
    for n, line, role in zip(look.ranking, ("k-o", "k--"), ("predicted", "runner-up"), strict=False):
        above.plot([], [], line, label=f"{look.names[n]}, {role}")
    logs = np.log2([factors, selected])
    below.plot(factors, 2 ** (logs[0] + (logs[1] - logs[0]).mean()), "k:", label="slope 1", zorder=0)
    below.plot([], [], "ko", label=f"selected,\nslope {np.polyfit(logs[0], logs[1], 1)[0]:.2f}")
    above.set(xlabel="σ₀ of the scale channel in pixels", ylabel="class score", title="The picture at several sizes")
    below.set(xlabel="size", ylabel="selected σ₀ in pixels", yscale="log")
    below.set_yticks(look.sigmas, [f"{sigma:.3g}" for sigma in look.sigmas])
    below.set_ylim(min(selected) / 1.6, max(selected) * 1.6)
    for place, ticks in ((above, look.sigmas), (below, factors)):
        place.set_xscale("log")
        place.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        place.minorticks_off()
        place.grid(alpha=0.3)
        place.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def evidence(look: Look) -> Figure:
    """Each pixel's share of the predicted class's score: of the selected scale channel, and of all of them."""
    each, integrated, change = inside.attributions(look, STEPS)
    units = torch.tensor(look.sigmas)[:, None, None] ** 2  # gradients are per pixel: in all channels per area of σ₀²
    limit = (units * each)[look.channel].abs().max().item()
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=(1, 2.4))
    left, right = parts
    columns = int(np.ceil(np.sqrt(1.2 * len(each))))
    small = right.subplots(-(-len(each) // columns), columns, squeeze=False).flatten()
    panels = [("gradient × departure\n", look.channel, each[look.channel])]
    panels += [("integrated gradients\n", look.channel, integrated)]
    panels += [("", n, values) for n, values in enumerate(each)]
    for place, (name, n, values) in zip([*left.subplots(2, 1), *small], panels, strict=False):
        overlay(place, look, units[n] * values, limit)
        title = f"{name}{name_of(look, n)}\nΣ = {values.sum():.3g} of {change[n]:.3g}"
        place.set_title(title, fontsize="small", fontweight="bold" if n == look.channel else None)
    for place in small[len(each) :]:
        place.set_axis_off()
    right.colorbar(small[0].images[1], ax=list(small), shrink=0.6, extend="both", label="evidence per area σ₀²")
    figure.suptitle(f"Where the evidence for {look.names[look.ranking[0]]} lies")
    figure.supxlabel(
        "Σ: all pixels together, of what the picture changes in the score. Gradient × departure from the background\n"
        f"misses the ReLUs that switch on that way; integrated gradients are its mean over {STEPS} steps of the way.",
        fontsize="medium",
    )
    return figure


FIGURES = (filters, channels, scales, evidence)


def name_of(look: Look, n: int) -> str:
    return f"σ₀ = {look.sigmas[n]:.3g} px"


def extent_of(image: Tensor) -> tuple[float, ...]:
    """Left, right, bottom and top, in pixels from the centre; y runs down."""
    rows, columns = image.shape[-2:]
    return -columns / 2, columns / 2, rows / 2, -rows / 2


def show(place: Any, values: Tensor, limit: float, extent: tuple[float, ...], **options: Any) -> None:
    """`[channel, y, x]` with nothing in the middle of the colours: one channel from blue to red, three as they are."""
    if len(values) == 3:
        values = 0.5 + values / (2 * limit or 1)
    place.set(xticks=[], yticks=[])
    place.imshow(values.permute(1, 2, 0).numpy(), "RdBu_r", extent=extent, vmin=-limit, vmax=limit, **options)


def show_picture(place: Any, look: Look, values: Tensor, extent: tuple[float, ...]) -> None:
    low, high = look.image.min(), look.image.max()
    values = ((values - low) / (high - low).clip(1e-9)).clip(0, 1)
    place.set(xticks=[], yticks=[])
    place.imshow(values.permute(1, 2, 0).numpy(), extent=extent, cmap="gray", vmin=0, vmax=1)


def overlay(place: Any, look: Look, values: Tensor, limit: float) -> None:
    """Over the faint picture, which shows where there is nothing."""
    grey, extent = look.image[0].mean(0), extent_of(look.image)
    low, high = grey.min().item(), grey.max().item()
    place.imshow(grey.numpy(), extent=extent, cmap="gray_r", vmin=low, vmax=high + 2 * (high - low))
    strength = (values.abs() / (limit or 1)).clip(0, 1).sqrt()
    show(place, values[None], limit, extent, alpha=strength.numpy(), interpolation="nearest")


def draw_digit(path: Path) -> Path:
    from sklearn.datasets import load_digits

    pixels, _ = load_digits(return_X_y=True)
    digit = np.pad(pixels[22].reshape(8, 8) * (255 / 16), 1).astype(np.uint8)
    Image.fromarray(digit).resize((80, 80), Image.Resampling.BICUBIC).save(path)
    return path


def read_picture(path: Path, channels: int, size: int, colour: Sequence[int] = GREY) -> Tensor:
    """`[1, channels, y, x]`, as the other examples read pictures. Raises `ScaleGroupError` if it cannot be read."""
    if channels not in (1, 3):
        raise ScaleGroupError(
            f"a network of {channels} image channels", expected="1 (grey) or 3 (colour)", mend="make a Look yourself"
        )
    try:
        return read_digit(path)[0] if channels == 1 else read_as_trained(path, size, colour)[0][None] / 255
    except (OSError, Image.DecompressionBombError) as error:
        raise ScaleGroupError(
            f"picture {str(path)!r} ({error})", expected="one that Pillow reads", mend="check the name, or convert it"
        ) from None


def make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScaleGroupError(
            f"--output {folder} ({error.strerror})", expected="a folder to write into", mend="pass another"
        ) from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, nargs="?")
    parser.add_argument("--weights", default="mnist-large-scale")
    parser.add_argument("--output", type=Path, default=Path("results/inside"))
    options = parser.parse_args()
    try:
        make(options.output)
        net, about = gaussian_derivative_net(weights=options.weights), find_trained(options.weights).about
        picture = options.picture or draw_digit(options.output / "picture.png")
        image = read_picture(picture, net.in_type.channels, about.get("size", 97), about.get("colour", GREY))
    except ScaleGroupError as error:
        raise SystemExit(str(error)) from None
    classes = about.get("classes") or range(net.architecture.num_classes)
    look = Look(net, image.to(next(net.parameters()).dtype), classes)
    for figure in FIGURES:
        path = options.output / f"{figure.__name__}.png"
        figure(look).savefig(path, dpi=150)
        print(path)


if __name__ == "__main__":
    main()
