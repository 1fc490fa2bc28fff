"""How reports name networks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.reports.runs import Run

_USUAL = 0.75  # of the networks of a report; no two values of a setting are so common


def named(run: Run) -> str:
    """The kind of network."""
    return run.network.replace("_", "-")


def trained_at(run: Run) -> str:
    """The training sizes: `1`, or `1+2+4` for a mixture."""
    return "+".join(f"{size:g}" for size in run.train_sizes)


def differing(run: Run, runs: Sequence[Run]) -> list[str]:
    """The settings in which networks of its kind differ."""
    return [word for word, value in run.setting if _share(word, value, run, runs) < 1]


def apart(run: Run, runs: Sequence[Run]) -> list[str]:
    """What tells it apart from others of its kind. What nearly all of them have in common goes without saying."""
    plain = ("widths", "channels")  # which speak for themselves
    said = [(word, value) for word, value in run.setting if _share(word, value, run, runs) < _USUAL]
    return [value if word in plain else f"{word} {value}" for word, value in said]


def _share(word: str, value: str, run: Run, runs: Sequence[Run]) -> float:
    """Of networks of its kind, the share with this value of a setting."""
    alike = [dict(other.setting) for other in runs if other.network == run.network]
    return sum(other.get(word) == value for other in alike) / len(alike)
