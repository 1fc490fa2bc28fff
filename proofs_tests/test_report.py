"""Reports: what is put together, the slope of scale selection, and figures and tables from the json alone."""

import json
import os
import sys
from math import log2
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import main
from benchmarks.reports import figures, generalisation, tables
from benchmarks.reports.runs import families, runs_in
from benchmarks.reports.selection import fit
from benchmarks.reports.words import apart
from scalegroup import Attention, ScaleGroup, ScaleGroupError, ScaleWindow, TopK
from scalegroup.models import PRESETS

RESULTS = Path(report.__file__).parent / "results"
SIZES = [2 ** (k / 2) for k in range(-2, 7)]
WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=11, first=-3)
ONE = ScaleWindow(WINDOW.group, sigma0=1.0, channels=1)


def of(preset, window, **parts):
    """A network of a run."""
    return PRESETS[preset].changed(window=window, scale_dropout=min(2, window.channels - 1), **parts)


def content(*, train_size=1.0, seed=0, slope=1.0, gain=0.0, preset="larger", name="large-scale-mnist"):
    """A results.json: every image selects the channel nearest to size^slope, or the one nearest but one."""

    def histogram(sigmas, size):
        order = sorted(range(len(sigmas)), key=lambda channel: abs(log2(sigmas[channel]) - slope * log2(size)))
        counts = [0] * len(sigmas)
        for count, channel in zip((60, 40), order, strict=False):
            counts[channel] = count
        return counts

    windows = {"multi_scale": (preset, WINDOW), "single_scale": ("single_scale", ONE)}
    return {
        "benchmark": "generalisation",
        "data": {"name": name},
        "training": {"epochs": 4},
        "train_size": train_size,
        "train_images": 5000,
        "test_images": 100,
        "seed": seed,
        "network": {net: of(preset, window).tell() for net, (preset, window) in windows.items()},
        "accuracy": {
            "multi_scale": {f"{size:.4f}": 0.98 + gain for size in SIZES},
            "single_scale": {f"{size:.4f}": 0.98 / (1 + log2(size) ** 2) for size in SIZES},
        },
        "selected_scale": {
            net: {"sigma0": list(window.sigmas), "histogram": {f"{s:.4f}": histogram(window.sigmas, s) for s in SIZES}}
            for net, (_, window) in windows.items()
        },
    }


def together(*contents):
    return families([run for one in contents for run in runs_in(one)])


def test_only_the_seed_is_averaged_over():
    multi, single = together(content(gain=0.01), content(seed=1, gain=-0.01))
    assert (len(multi.runs), len(single.runs)) == (2, 2)
    mean, spread = multi.accuracy(1.0)
    assert abs(mean - 0.98) < 1e-12
    assert abs(spread - 0.02 / 2**0.5) < 1e-12  # of the sample: two values
    assert single.accuracy(1.0)[1] == 0.0
    for other in ({"train_size": 2.0}, {"preset": "multi_scale"}, {"name": "digits"}):
        assert len(together(content(), content(seed=1, **other))) > 2
    assert together(content())[0].accuracy(1.0)[1] is None


@pytest.mark.parametrize("slope", [1.0, 0.5, 0.0])
def test_the_fitted_slope_is_that_of_the_selection(slope):
    """In theory 1; 0.5 and 0 are the controls."""
    line = fit(together(content(slope=slope))[0])
    assert abs(line.slope - slope) < 0.1  # channels are half an octave apart
    assert (slope == 1.0) == (line.slope > 0.9)


def test_sizes_at_the_ends_of_the_window_are_not_fitted():
    steep, *_ = together(content(slope=2.5))
    line = fit(steep)
    assert (line.smallest, line.largest) != (SIZES[0], SIZES[-1])
    assert all(
        max(steep.shares(size)[0], steep.shares(size)[-1]) == 0
        for size in steep.sizes
        if line.smallest <= size <= line.largest
    )
    assert fit(together(content())[1]) is None  # a single scale


def ablation(values):
    """Multi-scale networks of which each but the first differs from it in one setting, of itself or of its training."""
    contents = [content() for _ in range(1 + len(values))]
    for one, (setting, value) in zip(contents[1:], values.items(), strict=True):
        network = one["network"]["multi_scale"]
        (network if setting in network else one["training"])[setting] = value
    return families([run for one in contents for run in runs_in(one) if run.network == "multi_scale"])


def test_what_nearly_all_networks_have_in_common_goes_without_saying():
    runs = [family.first for family in ablation({"epochs": 5, "scale_dropout": 0, "batch": 9})]
    assert sorted(apart(run, runs) for run in runs) == [[], ["batch 9"], ["dropped channels 0"], ["epochs 5"]]
    for later in ({"augment": ["flip", "shift"]}, {"weight_decay": 0.05}):  # which older results say nothing of
        old, new = (family.first for family in ablation(later))
        assert {*apart(old, [old, new]), *apart(new, [old, new])} in (
            {"augment none", "augment flip+shift"},
            {"weight decay 0.0", "weight decay 0.05"},
        )
    one, other = runs[:2]  # of two, neither is usual: both are told
    assert all(apart(run, [one, other]) for run in (one, other))


def test_a_long_legend_takes_nothing_from_the_panels():
    def panel(found):
        figure = figures.accuracy_over_size(found)
        figure.canvas.draw()
        return figure.axes[0].get_position().height * figure.get_figheight()

    short, long = panel(together(content())), panel(ablation({f"setting_{n}": n for n in range(9)}))
    assert abs(long / short - 1) < 0.1


def test_a_network_looks_the_same_in_all_panels_and_no_two_look_alike():
    """At size 2 the second network is alone: it must not look as the first does at size 1."""
    first, second, alone = content(preset="multi_scale"), content(), content(train_size=2.0)
    found = families([run for one in (first, second, alone) for run in runs_in(one) if run.network == "multi_scale"])
    looks = {}
    for place in figures.accuracy_over_size(found).axes:
        for curve, label in zip(*place.get_legend_handles_labels(), strict=True):
            if label.startswith("multi-scale"):
                looks.setdefault(label, set()).add((curve[0].get_color(), curve[0].get_marker()))
    assert len(looks) == 2
    assert all(len(of) == 1 for of in looks.values())
    assert len(set.union(*looks.values())) == 2


def test_no_title_is_wider_than_its_panel(monkeypatch):
    def lines():
        places = figures.selected_scale_over_size(ablation({"batch": 9, "epochs": 5})).axes
        return [line for place in places for line in place.get_title().splitlines()]

    one_line_each = lines()
    monkeypatch.setattr(figures, "_TITLE", 20)
    assert max(map(len, lines())) <= 20 < max(map(len, one_line_each))
    assert len(lines()) > len(one_line_each)


def test_the_same_run_twice_is_refused():
    with pytest.raises(ScaleGroupError, match="same seed"):
        together(content(), content())


def before_grids(window, preset):
    """A network as results told of it before self-similar grids."""
    told = {"ratio": window.group.ratio, "sigma0": window.sigma0, "first": window.first, "channels": window.channels}
    return {"preset": preset, "window": told, "pooling": "max", "min_grid_sigma": None, "margin": 0}


def test_results_from_before_self_similar_grids_are_told_in_the_same_words():
    """They differ from those of the image's grid in nothing, and from the others in what is said of grids."""
    old = content()
    old["training"]["dropped_channels"] = 2
    old["network"] = {"multi_scale": before_grids(WINDOW, "larger"), "single_scale": before_grids(ONE, "single_scale")}
    image = content()
    image["network"]["multi_scale"] = of("larger", WINDOW, grid="image").tell()
    before, plain, ours = (runs_in(one)[0] for one in (old, image, content()))
    assert before == plain
    assert {word for word, value in ours.setting if (word, value) not in before.setting} == {
        "grid",
        "min grid σ",
        "samples per σ",
    }


@pytest.mark.parametrize(
    ("pooling", "said"),
    [(TopK(2), "top-k 2"), (Attention(), "attention"), (Attention(per_feature=True), "attention per feature")],
)
def test_what_has_no_name_is_told_by_its_parts(pooling, said):
    one = content()
    other = of("larger", WINDOW, widths=(3, 4), pooling=pooling)
    one["network"]["multi_scale"] = other.tell()
    setting = dict(runs_in(one)[0].setting)
    assert (setting["widths"], setting["pooling"], setting["read-out"]) == ("3-4", said, "centre-pixel")
    assert dict(runs_in(content())[0].setting)["widths"] == "larger"  # the control


@pytest.mark.parametrize("grids", ["before grids", "self-similar"])
def test_dropped_channels_are_told_alike_of_the_training_and_of_the_network(grids):
    """Runs from before scale-channel dropout was a layer have it with their training, if their network tells of it."""
    for number in (0, 2):
        old, new = content(), content()
        new["network"]["multi_scale"]["scale_dropout"] = number
        old["training"]["dropped_channels"] = number
        del old["network"]["multi_scale"]["scale_dropout"]
        if grids == "before grids":
            old["network"]["multi_scale"] = before_grids(WINDOW, "larger")
        (before, *_), (after, *_) = runs_in(old), runs_in(new)
        assert dict(before.setting)["dropped channels"] == dict(after.setting)["dropped channels"] == str(number)
        assert (before == after) == (grids == "self-similar")
    del new["network"]["multi_scale"]["scale_dropout"]
    with pytest.raises(KeyError):
        runs_in(new)


def test_committed_results_can_be_read():
    found = [
        run
        for content in report.find([RESULTS]).values()
        if content["benchmark"] == "generalisation"
        for run in runs_in(content)
    ]
    assert {dict(run.setting)["dropped channels"] for run in found if run.network == "multi_scale"} >= {"0", "2"}
    assert {"digits", "large-scale-mnist"} <= {run.data for run in found}
    assert tables.of([families([run])[0] for run in found[:3]])


def report_on(monkeypatch, folder, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "report", *map(str, arguments), "--output", str(folder)])
    return main()


def test_figures_and_tables_are_rebuilt_from_the_json_alone(monkeypatch, tmp_path, capsys):
    for number, size in enumerate((1.0, 2.0, [1.0, 2.0])):
        (tmp_path / "runs" / str(number)).mkdir(parents=True)
        (tmp_path / "runs" / str(number) / "results.json").write_text(json.dumps(content(train_size=size)))
    assert report_on(monkeypatch, tmp_path / "out", tmp_path / "runs") == 0
    names = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert set(names) == {"accuracy.png", "training_sizes.png", "selected_scale.png", "report.md"}
    assert all(names.values())
    text = (tmp_path / "out" / "report.md").read_text()
    assert all(said in text for said in ("RieszNet, 5 000 images", "| 1+2 |", "slope", "98.0"))
    assert "RieszNet" in capsys.readouterr().out


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in RESULTS.rglob("report*.md")}), ids=lambda path: path.name
)
def test_committed_reports_are_what_their_json_says(folder, tmp_path):
    for path in report.write(report.find([folder]), tmp_path):
        told = folder / path.name
        if path.suffix == ".md" and told.exists():
            assert path.read_text("utf-8") == told.read_text("utf-8")


def test_results_of_several_benchmarks_have_folders_of_their_own(tmp_path):
    found = report.find([RESULTS / "stir", RESULTS / "truncation"]) | {tmp_path / "of" / "results.json": content()}
    written = report.write(found, tmp_path / "out")
    assert {str(path.parent.relative_to(tmp_path / "out")) for path in written if path.name == "report.md"} == {
        "generalisation",
        *(str(file.parent.relative_to(os.path.commonpath(found))) for file in list(found)[:2]),
    }


def test_a_folder_that_cannot_be_written_is_not_said_of_the_results(monkeypatch, tmp_path, capsys):
    (tmp_path / "stir").touch()
    assert report_on(monkeypatch, tmp_path, RESULTS / "stir", RESULTS / "truncation") == 2
    assert "a folder that can be written" in capsys.readouterr().err


def test_published_figures_stand_beside_digits_trained_at_size_one_only():
    titles = [table.title for table in tables.of(together(content()))]
    assert any("published" in title for title in titles)
    for other in ({"name": "digits"}, {"train_size": 2.0}):
        assert not any("published" in table.title for table in tables.of(together(content(**other))))


def test_of_one_size_errors_are_told_and_splits_together_beside_published_ones(tmp_path):
    def tested_at(sizes, **more):
        return content(**more) | {"accuracy": {"multi_scale": dict.fromkeys(sizes, 0.9)}}

    def titles(found):
        return [table.title for table in tables.of(found)]

    splits = together(*(tested_at(["1.0000"], name=f"mnist-scale-{split}") for split in (1, 2)))
    (errors,) = tables.of(splits)
    assert [row[1:] for row in errors.rows[:3]] == [
        *(["mnist-scale-1", "100", "10.00"], ["mnist-scale-2", "100", "10.00"]),
        ["mean of 2 splits", "", "10.00"],
    ]
    assert any("steerable" in row[0] for row in errors.rows)
    assert not generalisation.draw(splits, tmp_path)
    (errors,) = tables.of(together(tested_at(["1.0000"], name="plain-mnist")))  # the controls
    assert len(errors.rows) == 1
    assert errors.title not in titles(together(tested_at(["1.0000", "2.0000"], name="mnist-scale-1")))


def test_each_data_set_has_figures_of_its_own(tmp_path):
    found = together(content(name="digits"), content(name="large-scale-kmnist"))
    assert {path.name for path in generalisation.draw(found, tmp_path)} == {
        f"{name}-{figure}.png" for name in ("digits", "large-scale-kmnist") for figure in ("accuracy", "selected_scale")
    }


def test_what_is_no_result_is_refused(monkeypatch, tmp_path, capsys):
    path = tmp_path / "results.json"
    for damaged in ("", "{", "[]", '{"benchmark": "generalisation"}', '{"benchmark": "speed"}'):
        path.write_text(damaged)
        assert report_on(monkeypatch, tmp_path / "out", tmp_path) == 2
        message = capsys.readouterr().err
        assert all(word in message for word in ("got ", "expected ", "mend: "))
    path.unlink()
    for missing in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(ScaleGroupError):
            report.find([missing])
