"""How a training went, as figures."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from sklearn.metrics import ConfusionMatrixDisplay
from torch import Tensor

from scalegroup.whole_file import whole_file


def curve(
    history: Sequence[tuple[float, float]], sizes: dict[int, float], trained: int, valid: tuple[float, float]
) -> Figure:
    """Accuracy over epochs, and of held-out pictures over the size of their objects."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    epochs = range(1, len(history) + 1)
    for values, name in zip(zip(*history, strict=True), ("in training", "held-out pictures"), strict=True):
        left.plot(epochs, values, marker=".", label=name)
    left.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.03), title=f"objects of {trained} pixels")
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.axvspan(max(valid[0], min(sizes) / 1.1), min(valid[1], max(sizes) * 1.1), alpha=0.08, label="as planned")
    right.axvline(trained, color="0.4", linestyle=":", label="size in training")
    right.plot(list(sizes), list(sizes.values()), marker="o", color="C1", label="held-out pictures")
    right.set_xscale("log", base=2)
    right.set_xticks(list(sizes), [str(size) for size in sizes])
    right.xaxis.set_minor_locator(NullLocator())
    right.set(xlabel="longer side of the object in pixels", title="after training, all scale channels")
    for place in (left, right):
        place.grid(alpha=0.3)
        place.legend(loc="lower right")
    return figure


def confusion(labels: Tensor, predicted: Tensor, classes: Sequence[str], title: str) -> Figure:
    """How many pictures of each class were read as each."""
    side = 3.4 + 0.45 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    place = figure.subplots()
    ConfusionMatrixDisplay.from_predictions(
        labels.numpy(),
        predicted.numpy(),
        labels=range(len(classes)),
        display_labels=classes,
        xticks_rotation="vertical",
        cmap="Blues",
        colorbar=False,
        ax=place,
    )
    place.set(xlabel="read as", ylabel="is")
    figure.suptitle(title)
    return figure


def save(figure: Figure, path: Path) -> Path:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path
