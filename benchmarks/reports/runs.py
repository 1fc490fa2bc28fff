"""What runs have found, as their `results.json` says it, and put together where only the seed differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, stdev
from typing import Any

from scalegroup import ScaleGroupError
from scalegroup.models import PRESETS

_LATER = {"cut_share": 0.0, "augment": [], "weight_decay": 0.0}
"""Parts of a recipe that older results say nothing of."""


@dataclass(frozen=True)
class Run:
    """One network of one `results.json`.

    Args:
        data: name of the data set.
        network: `"multi_scale"` or `"single_scale"`.
        train_sizes: it was trained on.
        train_images: how many.
        test_images: how many, at each size.
        setting: whatever else was chosen, in words.
        seed: of weights and order.
        accuracy: by test size.
        sigmas: σ₀ of the scale channels, finest first.
        selected: by test size, how many images had their highest score in each scale channel.
    """

    data: str
    network: str
    train_sizes: tuple[float, ...]
    train_images: int
    test_images: int
    setting: tuple[tuple[str, str], ...]
    seed: int
    accuracy: Mapping[float, float]
    sigmas: tuple[float, ...]
    selected: Mapping[float, tuple[int, ...]]

    @property
    def kind(self) -> tuple[Any, ...]:
        """All but training sizes and seed, in the order of reports."""
        return self.data, self.network, self.train_images // len(self.train_sizes), self.setting, self.test_images


@dataclass(frozen=True)
class Family:
    """Runs of which only the seed differs."""

    runs: tuple[Run, ...]

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.runs[0].data

    @property
    def first(self) -> Run:
        """One of them, for all they have in common."""
        return self.runs[0]

    @property
    def sizes(self) -> list[float]:
        """Test sizes that all of them have."""
        return [size for size in self.first.accuracy if all(size in run.accuracy for run in self.runs)]

    def accuracy(self, size: float) -> tuple[float, float | None]:
        """(mean, standard deviation over seeds), the second None for one seed."""
        return over_seeds([run.accuracy[size] for run in self.runs])

    def shares(self, size: float) -> list[float]:
        """For each scale channel the share of images that had their highest score in it, over all seeds."""
        counts = [sum(channel) for channel in zip(*(run.selected[size] for run in self.runs), strict=True)]
        return [count / sum(counts) for count in counts]


def sizes_of(families: Iterable[Family]) -> list[float]:
    """All test sizes that any of them has, smallest first."""
    return sorted({size for family in families for size in family.sizes})


def over_seeds(values: Sequence[float]) -> tuple[float, float | None]:
    """(mean, standard deviation), the second None for a single value.

    >>> over_seeds([1.0])
    (1.0, None)
    """
    return mean(values), stdev(values) if len(values) > 1 else None


def runs_in(content: Mapping[str, Any]) -> list[Run]:
    """The networks of one `results.json`."""
    trained = content["train_size"]
    return [
        Run(
            data=content["data"]["name"],
            network=network,
            train_sizes=tuple(trained) if isinstance(trained, list) else (trained,),
            train_images=content["train_images"],
            test_images=content["test_images"],
            setting=_setting(content["network"][network], _LATER | content["training"]),
            seed=content["seed"],
            accuracy={float(size): value for size, value in accuracy.items()},
            sigmas=tuple(content["selected_scale"][network]["sigma0"]),
            selected={
                float(size): tuple(counts) for size, counts in content["selected_scale"][network]["histogram"].items()
            },
        )
        for network, accuracy in content["accuracy"].items()
    ]


def families(runs: Iterable[Run]) -> list[Family]:
    """Runs put together by all but their seed, in the order of reports.

    Raises:
        ScaleGroupError: if two are the same, seed included.
    """

    def alike(run: Run) -> tuple[Any, ...]:
        return *run.kind, run.train_sizes

    found = []
    for _, group in groupby(sorted(runs, key=lambda run: (alike(run), run.seed)), key=alike):
        members = tuple(group)
        if len({run.seed for run in members}) < len(members):
            raise ScaleGroupError(
                f"two runs of {members[0].network} on {members[0].data} with the same seed and settings",
                expected="each run once",
                mend="leave one of them out",
            )
        found.append(Family(members))
    return found


def _setting(network: Mapping[str, Any], training: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """In the words of tables and legends; the order is theirs."""
    window = network["window"]
    finest, coarsest = (
        window["sigma0"] * window["ratio"] ** power
        for power in (window["first"], window["first"] + window["channels"] - 1)
    )
    words = {"widths": _widths(network)}
    if window["channels"] > 1:
        words["channels"] = f"{window['channels']}, σ₀ {finest:.2g}–{coarsest:.3g}"
        words["pooling"] = _name(network["pooling"])
        of_training = "dropped_channels" in training  # in runs from before it was a layer
        words["dropped channels"] = str(training["dropped_channels"] if of_training else network["scale_dropout"])
    rest = {"grid": network.get("grid", "image"), "min grid σ": network["min_grid_sigma"]}
    rest |= {"samples per σ": network.get("samples_per_sigma"), "margin": network.get("margin", 0)}
    view = network.get("field_of_view")
    rest["field of view"] = "all" if view is None else f"{view:g} σ₀"
    rest["read-out"] = _name(network.get("readout", "centre-pixel"))
    others = {**training, "augment": "+".join(training["augment"]) or "none"}
    rest |= {name.replace("_", " "): value for name, value in others.items() if name != "dropped_channels"}
    return *words.items(), *((name, str(value)) for name, value in rest.items())


def _widths(network: Mapping[str, Any]) -> str:
    """The preset that has them, in the paper's word (Figure 9); runs from before self-similar grids tell no more."""
    presets = [name for name, preset in PRESETS.items() if preset.widths == tuple(network.get("widths", ()))]
    name = network.get("preset") or (presets[0] if presets else "-".join(map(str, network["widths"])))
    return {"multi_scale": "default"}.get(name, name)


def _name(strategy: str | Mapping[str, Any]) -> str:
    """As the command line has it, with its options; runs from before self-similar grids have the name alone."""
    if isinstance(strategy, str):
        return strategy
    (_, name), *options = strategy.items()
    said = [key.replace("_", " ") if value is True else str(value) for key, value in options if value is not False]
    return " ".join([re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower(), *said])
