"""`python -m scalegroup check`: what is typed reaches the check, and what is found can be read by other programs."""

import io
import json
import math
import sys
from types import SimpleNamespace

import pytest
from torch import nn as torch_nn

import scalegroup.testing.check_module  # noqa: F401  its name in the package is that of the function
from scalegroup import ScaleGroup, ScaleGroupError
from scalegroup.__main__ import _load, _numbers, _Progress, _ratio, _report, main
from scalegroup.testing import Curve, Verdict
from scalegroup.testing.outputs import output_type


def curve(*errors, responds=True):
    return Curve("fine blobs", 2.0, "maps", (1, 2, 4), errors, None, responds, 2e-3, math.inf)


@pytest.fixture
def asked(monkeypatch):
    """Of the check, in place of which nothing is run."""
    calls = []

    def check(module, group, **options):
        calls.append((module, group, options))
        return Verdict("Module", (curve(1.0, 0.25, 0.0625),))

    monkeypatch.setattr(sys.modules["scalegroup.testing.check_module"], "check_module", check)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "given", SimpleNamespace(relu=torch_nn.ReLU, module=torch_nn.Tanh()))
    return calls


PLAIN = {
    "powers": None, "channels": None, "size": None, "in_channels": 1, "background": None, "output": None,
    "fixed_size": False, "budget": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "changes"),
    [
        ("", {}),
        ("--powers 1 -2", {"powers": [1, -2]}),
        ("--channels 5", {"channels": 5}),
        ("--size 49", {"size": 49}),
        ("--in-channels 3", {"in_channels": 3}),
        ("--background -0.5", {"background": -0.5}),
        ("--output maps", {"output": output_type("maps")}),
        ("--output maps --weight 1.5", {"output": output_type("maps", weight=1.5)}),
        ("--weight 1.5", {}),  # of no output that is named
        ("--fixed-size", {"fixed_size": True}),
        ("--no-budget", {"budget": False}),
    ],
)
def test_what_is_typed_is_what_is_asked(typed, changes, asked):
    assert main(["check", "given:relu", *typed.split()]) == 0
    ((module, group, options),) = asked
    assert isinstance(module, torch_nn.ReLU)
    assert group == ScaleGroup(2**0.5)
    assert isinstance(options.pop("progress"), _Progress)
    assert options == PLAIN | changes


def test_a_module_is_named_by_a_factory_or_itself(asked):
    given = sys.modules["given"]
    assert main(["check", "given:module", "--ratio", "3"]) == 0
    assert (asked[0][0], asked[0][1]) == (given.module, ScaleGroup(3.0))
    assert _load("given:relu") is torch_nn.ReLU
    assert sys.path[0]  # the current folder
    for name in ("given", "given:", ":relu", ""):
        with pytest.raises(ScaleGroupError, match=r"package\.module:factory"):
            _load(name)


def test_roots_of_two_are_known_by_three_decimals_and_more():
    for root in range(2, 13):
        exact = 2 ** (1 / root)
        for decimals in (3, 4, 9):
            assert _ratio(f"{exact:.{decimals}f}") == exact
    for text in ("1.41", "1.4144", "1.055", "2", "3.5"):  # the controls: 2^(1/13) is 1.0548
        assert _ratio(text) == float(text)


def test_numbers_that_json_lacks_are_null():
    values = {"a": [1, 2.5, math.inf], "b": (math.nan, {"c": -math.inf, "d": "text", "e": None, "f": True})}
    known = {"a": [1, 2.5, None], "b": [None, {"c": None, "d": "text", "e": None, "f": True}]}
    assert _numbers(values) == known
    assert json.loads(json.dumps(_numbers(values), allow_nan=False)) == known


def test_the_report_has_what_follows_from_every_curve():
    found, other = curve(1.0, 0.25, 0.0625), curve(1.0, 1.0, 1.0)
    report = _report(Verdict("Module", (found,), (other, found)))
    assert [[c["verdict"] for c in report[part]] for part in ("curves", "channels")] == [
        ["equivariant"], ["not equivariant", "equivariant"],
    ]  # fmt: skip
    first = report["curves"][0]
    assert (first["errors"], first["slope"], first["limit"]) == (found.errors, found.slope, found.limit)
    assert (report["decision"], report["reason"]) == ("not equivariant", str(other))
    assert (report["module"], report["budget"], report["layers"]) == ("Module", None, {})


@pytest.mark.usefixtures("asked")
def test_json_is_written_for_any_reader(tmp_path):
    path = tmp_path / "verdict.json"
    assert main(["check", "given:relu", "--json", str(path)]) == 0

    def refuse(name):
        raise ValueError(name)

    verdict = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert verdict["curves"][0]["visible"] is None
    assert verdict["decision"] == "equivariant"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_told_every_two_seconds_in_one_line_of_a_terminal(terminal, monkeypatch):
    seen = io.StringIO()
    monkeypatch.setattr(seen, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", seen)
    clock = iter((100.0, 101.9, 102.0, 103.9, 112.0))
    monkeypatch.setattr("scalegroup.__main__.time.monotonic", lambda: next(clock))
    progress = _Progress()
    for doing in "abcd":
        progress(doing)
    told = ["  2 s: b", " 12 s: d"]
    assert seen.getvalue() == "".join(f"\r{line:<79}\r" if terminal else f"{line}\n" for line in told)


@pytest.mark.parametrize(("errors", "status"), [((1.0, 0.25, 0.0625), 0), ((1.0, 1.0, 1.0), 1), ((0.5, 0.06, 0.03), 3)])
@pytest.mark.usefixtures("asked")
def test_the_exit_status_is_that_of_the_decision(errors, status, monkeypatch, capsys):
    verdict = Verdict("Module", (curve(*errors),))
    monkeypatch.setattr(sys.modules["scalegroup.testing.check_module"], "check_module", lambda *_, **__: verdict)
    assert main(["check", "given:relu"]) == status
    assert capsys.readouterr().out == f"{verdict}\n"
    assert main(["check", "given:nothing"]) == 2
    assert "given:nothing could not be checked: AttributeError" in capsys.readouterr().err
