"""The tables a run shows on the screen."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def of(content: dict[str, Any]) -> list[Table]:
    """Those of the content of a `results.json`."""
    selection = content["selected_scale"].get("multi_scale")
    return [_accuracy(content), *([_selection(selection)] if selection else [])]


def _accuracy(content: dict[str, Any]) -> Table:
    accuracy, trained = content["accuracy"], content["train_size"]
    trained = trained if isinstance(trained, list) else [trained]
    words = " and ".join(f"{size:g}" for size in trained)
    table = Table(title=f"accuracy on {content['test_images']} held-out images, trained at size {words}")
    table.add_column("size", justify="right")
    for name in accuracy:
        table.add_column(name.replace("_", "-"), justify="right")
    for size in next(iter(accuracy.values())):
        seen = " (trained)" if any(abs(float(size) - other) < 1e-3 for other in trained) else ""
        table.add_row(size + seen, *(f"{row[size]:.1%}" for row in accuracy.values()))
    return table


def _selection(selection: dict[str, Any]) -> Table:
    table = Table(title="scale selection of the multi-scale network: images per scale channel, by σ₀")
    table.add_column("size", justify="right")
    for sigma in selection["sigma0"]:
        table.add_column(f"{sigma:.3g}", justify="right")
    for size, counts in selection["histogram"].items():
        table.add_row(size, *(str(count) if count else "·" for count in counts))
    return table
