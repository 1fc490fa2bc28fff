"""The table and the figure of `python -m benchmarks covariance`, from its results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from benchmarks import results
from benchmarks.reports.figures import save


def write(content: dict[str, Any], folder: Path) -> list[Path]:
    """`report.md`, `covariance.png`."""
    results.save_text(table(content), folder / "report.md")
    save(figure(content), folder / "covariance.png")
    return [folder / "report.md", folder / "covariance.png"]


def table(content: dict[str, Any]) -> str:
    """As Markdown."""
    heads = [f"σ₀ = {sigma:.3g}" for sigma in content["sigmas"]]
    lines = [
        "Six layers of 2-jets with batch norm and ReLU, random weights; images of blobs of "
        f"{content['narrowest_blob']} pixels and wider, anywhere in {content['size']}×{content['size']} pixels; two "
        f"scale channels, of σ₀ and γσ₀ pixels. The worst of γ = {', '.join(content['ratios'])}; error of whole maps "
        "relative to the signal, float64 (float32). On the image's grid only samples that scaling sends to samples are "
        "compared. Shift: error of moving the image by half a sample. Time: inference with the `larger` network at "
        "112×112, eight channels, per image.",
        "",
        f"| samples per σ₀ | {' | '.join(heads)} | shift | ms |",
        "|---|" + "--:|" * (len(heads) + 2),
    ]
    for row in content["rows"]:
        cells = [f"{_worst(row, 'float64', n):.0e} ({_worst(row, 'float32', n):.0e})" for n in range(len(heads))]
        shift = "–" if row["half_sample_shift"] is None else f"{100 * row['half_sample_shift']:.1f} %"
        lines.append(f"| {row['name']} | {' | '.join(cells)} | {shift} | {row['inference_ms']:.3g} |")
    found = content["ends_of_the_window"]
    each = ", ".join(f"{name}: {error:.0e}" for name, error in zip(found["channels"], found["errors"], strict=True))
    lines += [
        "",
        f"With a convolution over scale (g = 1), by channel; at the window's ends neighbours are missing: {each}.",
    ]
    return "\n".join([*lines, ""])


def figure(content: dict[str, Any]) -> Any:
    """The errors over σ₀."""
    drawn, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for row in content["rows"]:
        errors = [_worst(row, "float64", n) for n in range(len(content["sigmas"]))]
        axes.loglog(content["sigmas"], errors, "s--" if "image" in row["name"] else "o-", label=row["name"])
    axes.set(
        xlabel="σ₀ of the finer scale channel, in pixels",
        ylabel="equivariance error, of the signal",
        title="Six layers with batch norm and ReLU: worst of γ = " + ", ".join(content["ratios"]),
    )
    axes.set_xticks(content["sigmas"], [f"{sigma:.3g}" for sigma in content["sigmas"]], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return drawn


def _worst(row: dict[str, Any], dtype: str, place: int) -> float:
    return max(errors[dtype][place] for errors in row["errors"].values())
