"""How reports name networks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.runs import Run


def named(run: Run) -> str:
    """The kind of network."""
    return run.network.replace("_", "-")


def trained_at(run: Run) -> str:
    """The training sizes: `1`, or `1+2+4` for a mixture."""
    return "+".join(f"{size:g}" for size in run.train_sizes)


def differing(run: Run, runs: Sequence[Run]) -> list[str]:
    """The settings in which networks of its kind differ."""
    alike = [dict(other.setting) for other in runs if other.network == run.network]
    return [word for word, value in run.setting if any(other.get(word) != value for other in alike)]


def apart(run: Run, runs: Sequence[Run]) -> list[str]:
    """What tells it apart from others of its kind."""
    setting, plain = dict(run.setting), ("widths", "channels")  # which speak for themselves
    return [setting[word] if word in plain else f"{word} {setting[word]}" for word in differing(run, runs)]
