"""`python -m scalegroup check`: what is typed reaches the check, and what is found is said, drawn and written."""

import contextlib
import io
import json
import math
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn as torch_nn

import scalegroup.testing.check_module  # noqa: F401  its name in the package is that of the function
from proofs_tests.judged import curve
from proofs_tests.networks import maps_net, small_net
from scalegroup import ScaleGroup, ScaleGroupError
from scalegroup.__main__ import STATUS, _load, _numbers, _Progress, _ratio, _report, main
from scalegroup.testing import OUTPUT_TYPES, ErrorBudget, Verdict
from scalegroup.testing.outputs import output_type

EXAMPLES = Path(__file__).parent.parent / "examples"
FOUND = Verdict("Module", (curve(1.0, 0.25, 0.0625),), budget=ErrorBudget(2.0, ("output",), ("left over",), ((0.5,),)))


@pytest.fixture
def asked(monkeypatch):
    """Of the check, in place of which nothing is run."""
    calls = []

    def check(module, group, **options):
        calls.append((module, group, options))
        return FOUND

    monkeypatch.setattr(sys.modules["scalegroup.testing.check_module"], "check_module", check)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "given", SimpleNamespace(relu=torch_nn.ReLU, module=torch_nn.Tanh()))
    return calls


@pytest.fixture
def example(monkeypatch):
    """`examples/check_your_module.py`, importable as a user would have it: in the current folder."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", [*sys.path])
    smaller = SimpleNamespace(net=partial(small_net, 2, widths=(2,)), fields=maps_net, relu=torch_nn.ReLU)
    monkeypatch.setitem(sys.modules, "smaller", smaller)


def run(factory, *more):
    """On the smallest pictures that fit √2."""
    name = factory if ":" in factory else f"check_your_module:{factory}"
    return main(["check", name, "--powers", "1", "--size", "35", *more])


ROOM_FOR_TWO = ("--powers", "2", "--size", "49")

# -- what is typed ----------------------------------------------------------------------------------------------------

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


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("ratio", "status"), [("1.4142", 0), ("1.41421356", 0), ("1.189", 0), ("1.41", 2), ("1.4144", 2), ("1.26", 2)]
)
def test_ratio_typed_to_three_decimals_or_more_is_the_root_it_begins(ratio, status):
    """The scaling by √2 is in the network's group, one by 1.41 is not; nor is ∛2, however it is typed."""
    power = "2" if ratio == "1.189" else "1"  # ⁴√2
    assert run("smaller:net", "--no-budget", "--ratio", ratio, "--powers", power, "--channels", "2") == status


def test_help_and_misspelt_commands_import_no_torch():
    """So they come at once: torch takes seconds, and here it cannot be imported at all. The control is last."""
    program = "import sys\nsys.modules |= dict.fromkeys(('torch', 'numpy'))\nfrom scalegroup.__main__ import main\n"
    for arguments in (["check", "--help"], ["export", "--help"], ["export"], ["chekc"], ["check"], []):
        program += f"try:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
    program += "try:\n    import scalegroup.testing.check_module\nexcept ImportError:\n    print('needs torch')\n"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("needs torch\n")


def test_help_names_every_output_type_and_every_exit_status(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in (*OUTPUT_TYPES, "package.module:factory"))
    assert all(f"{status} {decision}" in said for decision, status in STATUS.items())


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    "more",
    [
        ["--ratio", "0.5"],
        ["--channels", "3"],
        ["--size", "9"],
        ["--in-channels", "3"],
        ["--output", "nothing"],
        ["--output", "scores", "--weight", "nan"],
        ["--output", "fields"],
        ["--weight", "1.5"],  # of no output that is named
        ["--powers", "0"],
        ["--ratio", "1.0000001"],
        ["--powers", "100000"],
        ["--channels", "0"],
        ["--size", "-5"],
        ["--size", "100000"],
        ["--in-channels", "0"],
        ["--in-channels", "100000"],
        ["--background", "nan"],
    ],
    ids=" ".join,
)
def test_command_that_cannot_be_run_has_status_2(more, capsys):
    assert run("ours", "--no-budget", *more) == 2
    assert re.search("could not be checked: ScaleGroupError: got .*expected .*mend", capsys.readouterr().err)


class Gives(torch_nn.Module):
    """A module of one line."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


OUTPUTS = {
    "a tuple": lambda images: (images, images),
    "a dict": lambda images: {"maps": images},
    "None": lambda _: None,
    "an array": lambda images: images.numpy(),
    "complex numbers": lambda images: images + 1j,
    "one image": lambda images: images[:1],
    "a number": lambda images: images.sum(),
    "an exit": lambda _: sys.exit(0),
    "an exit with a text": lambda _: sys.exit("bye"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_module_that_gives_no_answer_has_status_2(name, monkeypatch, capsys):
    given = SimpleNamespace(module=Gives(OUTPUTS[name]), channels=torch_nn.ReLU())
    monkeypatch.setitem(sys.modules, "given", given)
    assert run("given:module") == 2
    said = capsys.readouterr()
    assert ("SystemExit" if "exit" in name else "an output of ") in said.err
    assert not said.out
    assert run("given:channels", "--channels", "3") == 2  # it has none
    assert "0 scale channels" in capsys.readouterr().err


@pytest.mark.parametrize("function", [torch.zeros_like, torch.ones_like, lambda x: 0 * x.mean((2, 3))])
def test_of_a_module_that_gives_the_same_always_nothing_is_decided(function, monkeypatch):
    monkeypatch.setitem(sys.modules, "given", SimpleNamespace(module=Gives(function)))
    assert run("given:module") == 3


@pytest.mark.usefixtures("asked")
def test_a_verdict_can_be_printed_on_any_terminal_or_has_status_2(monkeypatch, capsys):
    verdict = Verdict("Module σ", (curve(1.0, 0.25, 0.0625),))
    monkeypatch.setattr(sys.modules["scalegroup.testing.check_module"], "check_module", lambda *_, **__: verdict)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert main(["check", "given:relu"]) == 0
        terminal.seek(0)
        assert "Module \\u03c3" in terminal.read()
        patch.setattr(sys, "stdout", io.TextIOWrapper(open("/dev/full", "wb"), encoding="utf-8"))  # noqa: PTH123, SIM115
        assert main(["check", "given:relu"]) == 2
        with contextlib.suppress(OSError):
            sys.stdout.close()
    assert "No space left" in capsys.readouterr().err


# -- what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("factory", "status"),
    [("ours", 0), ("wrapped", 0), ("relu", 0), ("broken", 1), ("cnn", 1), ("bare_cnn", 1), ("missing", 2), ("dead", 3)],
)
def test_command_tells_equivariant_modules_from_others(factory, status, capsys):
    assert run(factory, "--no-budget", *(ROOM_FOR_TWO if factory == "bare_cnn" else ())) == status
    said = capsys.readouterr()
    verdict = {
        0: "verdict: scale equivariant",
        1: "verdict: NOT scale equivariant",
        3: "verdict: not decided: its output does not depend on the picture",
    }.get(status, "")
    assert verdict in said.out
    assert ("could not be checked" in said.err) == (status == 2)


@pytest.mark.filterwarnings("ignore")  # escnn's own
@pytest.mark.usefixtures("example")
def test_command_finds_an_escnn_network_not_scale_equivariant(capsys):
    pytest.importorskip("escnn", exc_type=ImportError)
    assert run("escnn", *ROOM_FOR_TWO) == 1
    assert "verdict: NOT scale equivariant" in capsys.readouterr().out


@pytest.mark.parametrize(("errors", "status"), [((1.0, 0.25, 0.0625), 0), ((1.0, 1.0, 1.0), 1), ((0.5, 0.06, 0.03), 3)])
@pytest.mark.usefixtures("asked")
def test_the_exit_status_is_that_of_the_decision(errors, status, monkeypatch, capsys):
    verdict = Verdict("Module", (curve(*errors),))
    monkeypatch.setattr(sys.modules["scalegroup.testing.check_module"], "check_module", lambda *_, **__: verdict)
    assert main(["check", "given:relu"]) == status
    assert capsys.readouterr().out == f"{verdict}\n"
    assert main(["check", "given:nothing"]) == 2
    assert "given:nothing could not be checked: AttributeError" in capsys.readouterr().err


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


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize("factory", ["smaller:net", "smaller:fields"])
def test_command_prints_the_budget_draws_it_and_writes_its_verdict_as_json(factory, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / name for name in ("budget.svg", "verdict.json")]
    assert run(factory, "--figure", str(paths[0]), "--json", str(paths[1])) == 0
    assert "error budget for scaling by 1.414" in capsys.readouterr().out
    verdict = json.loads(paths[1].read_text(encoding="utf-8"))
    assert verdict["decision"] == "equivariant"
    assert {"curves", "channels", "layers", "budget", "reason"} <= set(verdict)
    assert {"family", "errors", "explained", "slope", "limit", "verdict", "visible"} <= set(verdict["curves"][0])
    assert sorted(tmp_path.iterdir()) == paths
    drawn = paths[0].read_text(encoding="utf-8")
    assert all(f"<!-- {source} -->" in drawn for source in (*verdict["budget"]["sources"], "observed"))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_figure_is_of_the_kind_that_it_is_named(ending, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"budget.{ending}"
    assert main(["check", "given:relu", "--figure", str(path)]) == 0
    assert path.read_bytes()[:5] == {"png": b"\x89PNG\r", "svg": b"<?xml"}[ending]
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("option", "name"),
    [("--figure", "budget.unknown"), ("--figure", "nowhere/budget.png"), ("--json", "nowhere/verdict.json")],
)
def test_command_whose_findings_cannot_be_written_has_status_2(option, name, tmp_path, capsys):
    assert main(["check", "given:relu", option, str(tmp_path / name)]) == 2
    assert "could not be checked" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("factory", "more", "mend"),
    [
        ("smaller:net", ["--no-budget"], "leave one of them out"),
        ("smaller:relu", [], "leave --figure out"),
        ("smaller:net", [*ROOM_FOR_TWO], "leave --figure out"),
    ],
    ids=["none is asked for", "another module", "no channel moved to another"],
)
def test_command_that_has_no_budget_to_draw_has_status_2(factory, more, mend, tmp_path, capsys):
    assert run(factory, "--figure", str(tmp_path / "budget.png"), *more) == 2
    assert mend in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("example")
def test_command_says_how_to_mend_a_missing_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run("smaller:net", "--figure", str(tmp_path / "budget.png")) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    assert run("smaller:net", "--no-budget") == 0  # nothing else needs it


# -- what is said meanwhile -------------------------------------------------------------------------------------------


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


@pytest.mark.usefixtures("example")
def test_command_says_what_it_does_once_it_has_taken_a_while(capsys, monkeypatch):
    monkeypatch.setattr("scalegroup.__main__._PATIENCE", 0.0)
    assert run("relu") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[0].endswith(" s: fine blobs, pictures of 35×35")
    assert lines[-1].endswith(" s: groups off centre, pictures of 137×137")
    monkeypatch.setattr("scalegroup.__main__._PATIENCE", math.inf)
    assert run("relu") == 0
    assert capsys.readouterr().err == ""
