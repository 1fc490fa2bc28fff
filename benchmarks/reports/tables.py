"""The tables of a report, for the screen and for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from statistics import mean

from rich import table as rich_table

from benchmarks import results
from benchmarks.reports.runs import Family, Run, over_seeds, sizes_of
from benchmarks.reports.selection import fit
from benchmarks.reports.words import apart, differing, named, trained_at

# RieszNet on MNIST Large Scale, trained at size 1 (its own publication); by number of training images
_PUBLISHED = {
    "RieszNet, 5 000 images": {0.5: 0.8831, 1.0: 0.9475, 2.0: 0.9447, 4.0: 0.9212, 8.0: 0.5587},
    "RieszNet, 50 000 images": {0.5: 0.9634, 1.0: 0.9858, 2.0: 0.9839, 4.0: 0.9642, 8.0: 0.5182},
}
_PUBLISHED_ON = "large-scale-mnist"
# Test errors in % of nets on MNIST-scale: means over six splits, and their spread where it is told
_PUBLISHED_SPLITS = {
    "scale-equivariant steerable": "1.74 ± 0.06",
    "learnt scales": "1.72",
    "scale-equivariant steerable, digits scaled in training": "1.50 ± 0.08",
    "learnt scales, digits scaled in training": "1.44",
}
_SPLIT = re.compile(r"mnist-scale-\d+")
_NEAR = 1e-3  # sizes are kept with four decimals


@dataclass(frozen=True)
class Table:
    """A title, the heads of the columns, rows of as many cells."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> rich_table.Table:
        """For the screen."""
        table = rich_table.Table(title=self.title)
        for number, head in enumerate(self.heads):
            table.add_column(head, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a file.

        >>> print(Table("t", ["a", "b"], [["1", "2"]]).markdown())
        **t**
        <BLANKLINE>
        | a | b |
        |---|--:|
        | 1 | 2 |
        <BLANKLINE>
        """
        ruler = "|---|" + "--:|" * (len(self.heads) - 1)
        lines = [f"| {' | '.join(cells)} |" for cells in (self.heads, *self.rows)]
        return "\n".join([f"**{self.title}**", "", lines[0], ruler, *lines[1:], ""])

    def save(self, folder: Path) -> Path:
        """As Markdown, into `report.md`."""
        results.save_text(self.markdown(), folder / "report.md")
        return folder / "report.md"


def of(families: Sequence[Family]) -> list[Table]:
    """Accuracy at every size, a summary, published figures beside ours; for each data set."""
    tables: list[Table] = []
    of_one_size: list[Family] = []
    for name, group in groupby(families, key=attrgetter("data")):
        members = list(group)
        if len(sizes_of(members)) == 1:
            of_one_size += members
            continue
        tables += [_accuracy(name, members), _summary(name, members)]
        if name == _PUBLISHED_ON and (comparable := [one for one in members if one.first.train_sizes == (1.0,)]):
            tables.append(_beside_published(comparable))
    return [*tables, _errors(of_one_size)] if of_one_size else tables


def brief(families: Sequence[Family]) -> list[Table]:
    """Accuracy and scale selection of families of one data set."""
    name = families[0].data
    return [_accuracy(name, families), *(_selection(name, one) for one in families if len(one.first.sigmas) > 1)]


def _accuracy(name: str, families: Sequence[Family]) -> Table:
    rows = [[f"{size:.4g}", *(_at(family, size) for family in families)] for size in sizes_of(families)]
    title = f"{name}: accuracy in % on {families[0].first.test_images} held-out images, by their size"
    return Table(title, ["size", *(_head(family, families) for family in families)], rows)


def _errors(families: Sequence[Family]) -> Table:
    """Of data sets of one size; MNIST-scale's splits together, and beside published figures."""
    found = [(family, 100 * (1 - family.accuracy(family.sizes[0])[0])) for family in families]
    rows = [[named(one.first), one.data, str(one.first.test_images), f"{error:.2f}"] for one, error in found]
    if splits := [error for one, error in found if _SPLIT.fullmatch(one.data)]:
        rows.append(["ours", f"mean of {len(splits)} splits", "", f"{mean(splits):.2f}"])
        rows += [[name, "mean of 6 splits", "", error] for name, error in _PUBLISHED_SPLITS.items()]
    return Table("test error in %", ["network", "data", "test images", "error"], rows)


def _summary(name: str, families: Sequence[Family]) -> Table:
    runs = [family.first for family in families]
    different = list(dict.fromkeys(word for run in runs for word in differing(run, runs)))
    heads = ["network", "trained at", "images", "seeds", *different, "mean 1–4", "least 1–4", "½", "1/√2", "4√2", "8"]
    rows = []
    for family in families:
        run, line = family.first, fit(family)
        setting = dict(run.setting)
        rows.append(
            [
                named(run),
                trained_at(run),
                str(run.train_images),
                str(len(family.runs)),
                *(setting.get(word, "") for word in different),
                *(percent(*over_seeds([reduce(_middle(one)) for one in family.runs])) for reduce in (mean, min)),
                *(_at(family, size) for size in (0.5, 2**-0.5, 4 * 2**0.5, 8.0)),
                "" if line is None else f"{line.slope:.2f}" + ("" if line.spread is None else f" ± {line.spread:.3f}"),
            ]
        )
    return Table(
        f"{name}: summary, accuracy in %; ± is the standard deviation over seeds",
        [*heads, "slope of selected σ₀"],
        rows,
    )


def _middle(run: Run) -> list[float]:
    """The accuracies at sizes from 1 to 4; at all, where there are none."""
    return [value for size, value in run.accuracy.items() if 1 - _NEAR <= size <= 4 + _NEAR] or [*run.accuracy.values()]


def _beside_published(families: Sequence[Family]) -> Table:
    sizes = next(iter(_PUBLISHED.values()))
    ours = [
        [f"{_head(family, families)}, {family.first.train_images} images", *(_at(family, size) for size in sizes)]
        for family in families
    ]
    published = [[name, *(f"{100 * value:.2f}" for value in row.values())] for name, row in _PUBLISHED.items()]
    return Table(
        "accuracy in % beside published figures, all trained at size 1, each on training and test digits of its own",
        ["network", *(f"{size:g}" for size in sizes)],
        [*ours, *published],
    )


def _selection(name: str, family: Family) -> Table:
    rows = [
        [f"{size:.4g}", *(f"{share:.0%}" if share else "·" for share in family.shares(size))] for size in family.sizes
    ]
    title = f"{name}: selected scale channel by σ₀, {named(family.first)} trained at size {trained_at(family.first)}"
    return Table(title, ["size", *(f"{sigma:.3g}" for sigma in family.first.sigmas)], rows)


def _head(family: Family, families: Sequence[Family]) -> str:
    run = family.first
    return ", ".join([named(run), *apart(run, [other.first for other in families]), f"at {trained_at(run)}"])


def _at(family: Family, size: float) -> str:
    near = [known for known in family.sizes if abs(known - size) < _NEAR]
    return percent(*family.accuracy(near[0])) if near else ""


def percent(value: float, spread: float | None) -> str:
    """A fraction with its spread, as a cell has it.

    >>> percent(0.5, None), percent(0.5, 0.01)
    ('50.0', '50.0 ± 1.0')
    """
    return f"{100 * value:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
