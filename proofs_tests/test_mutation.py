"""The faults of `make mutation` are those that its operators promise, and its judges see the lines at fault."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from proofs_tests.mutation.__main__ import equivalents, show
from proofs_tests.mutation.judges import Judges, affordable
from proofs_tests.mutation.mutants import Mutant, meaning, mutants, sample
from proofs_tests.mutation.operators import OPERATORS
from proofs_tests.mutation.report import save

ROOT = Path(__file__).parent.parent

EXAMPLES = {
    "signs": ("y = a - b * c", ["(a + b * c)", "-(b * c)"]),
    "off by one": ("y = x[1:]", ["x[1 + 1:]", "x[1 - 1:]", "x[1:-1]"]),
    "factor left out": ("y = a * b / c", ["(a) / c", "(b) / c", "(a * b)"]),
    "other axis": ("y = x.mean((0, 2))", ["x.mean(((2,)))", "x.mean(((0,)))"]),
    "other statistic": ("y = x.mean(0)", ["(x.sum)(0)"]),
    "transposed": ("y = a @ b.inverse()", ["(b.inverse() @ a)", "(a.mT @ b.inverse())", "a @ (b)"]),
    "other order": ("y = f(a, b)", ["(f(b, a))"]),
    "stale cache": ("@lru_cache\ndef f(a): return a", ["a[:0] + a[1:]"]),
    "convention": ("y = x < 0.5", ["(5.0)", "(0.05)", "(x <= 0.5)"]),
    "deleted": ("x += 1\nx[0] = 2\nx = f(x)", ["pass"]),
    "argument left out": ("y = f(a, dim=1)", ["(f(a))"]),
    "condition": ("if a and b: raise E", ["if (True)", "if (False)", "if (not (a and b))", "if (a)", "if (b)"]),
}


def made(source: str, operator: str) -> list[str]:
    return [m.program for m in mutants("file.py", source) if m.operator == operator and m.means_another]


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_make_what_they_say(operator: str) -> None:
    source, expected = EXAMPLES[operator]
    programs = made(source, operator)
    assert not [text for text in expected if not any(text in program for program in programs)]
    assert not made("y = x", operator)  # the control: nothing to be wrong about


def test_a_stale_cache_gives_the_first_answer_to_other_questions() -> None:
    source = "from functools import lru_cache\n@lru_cache\ndef f(a, b):\n    return a + b"

    def answers(program: str) -> tuple[int, int]:
        names: dict = {}
        exec(program, names)
        return names["f"](1, 2), names["f"](10, 2)

    assert [answers(program) for program in made(source, "stale cache")] == [(3, 3), (3, 12)]
    assert answers(source) == (3, 12)  # the control


def test_what_only_people_read_is_left_alone() -> None:
    unread = "def f(x: 'a' + 'b' = 0):\n    text = f'{x + 1}'\n    if x:\n        raise ValueError(text + str(x - 1))"
    assert not made(unread, "signs")
    assert made(unread.replace("raise ValueError", "return "), "signs")  # the control


def test_positions_count_characters_of_any_size() -> None:
    assert made("σ = 'μ'; y = σ - 1", "signs") == ["σ = 'μ'; y = (σ + 1)"]


def test_mutants_of_the_same_meaning_are_none() -> None:
    assert meaning("def f(x: int):\n    'text'\n    return x") == meaning("def f(x):\n    return (x)")
    assert meaning("def f(x):\n    return x") != meaning("def f(x):\n    return -x")


def test_a_sample_shows_every_file_and_kind_and_grows() -> None:
    candidates: Sequence[Mutant] = [
        m for file in "ab" for m in mutants(file, "\n".join(s for s, _ in EXAMPLES.values()))
    ]
    candidates = [mutant for mutant in candidates if not mutant.operator.startswith("core/")]
    small, large = (sample(candidates, size, seed=0) for size in (20, 30))
    assert {m.file for m in small} == {"a", "b"}
    assert {m.kind for m in small} == set(OPERATORS)
    assert large[:20] == small
    assert len({(m.file, meaning(m.program)) for m in large}) == 30


def test_a_kind_that_makes_many_mutants_of_a_line_is_no_likelier_than_others() -> None:
    """Of as many lines as there are to be chosen, each gives one; only then comes the second of a line."""
    source = "\n".join(f"x{n} = [a, b{n}, 0, {n}, 2 + x, 3 - y]\ny{n} = x[{n}:]" for n in range(20))
    candidates = mutants("file", source)
    candidates = [mutant for mutant in candidates if not mutant.operator.startswith("core/")]
    lines = {(m.line, m.kind) for m in candidates}
    assert len(candidates) > 2 * len(lines)  # the control
    chosen = sample(candidates, len(lines), seed=0)
    assert {(m.line, m.kind) for m in chosen} == lines


def test_a_mutant_is_judged_by_the_tests_that_execute_its_lines() -> None:
    tree = ast.parse("A = 1\ndef f(x=2):\n    return x\ndef g():\n    return A")
    lines = {
        "t::s[file]": (1.0, {}),
        "t::f": (1.0, {"file": [3]}),
        "t::g": (2.0, {"file": [5]}),
        "t::none": (1.0, {"other": [1]}),
    }
    judges = Judges(lines)
    assert [judges.of("file", tree, line) for line in (3, 5)] == [["t::f"], ["t::g"]]
    assert judges.of("file", tree, 1) == ["t::s[file]", "t::g"]  # a constant, by those that read it
    assert judges.of("file", tree, 2) == ["t::s[file]", "t::f"]  # a default, by those that run the function
    assert affordable(["t::f", "t::g"], judges.seconds, 1.5) == ["t::f"]


def test_a_condition_is_judged_first_by_the_tests_for_which_it_holds() -> None:
    tree = ast.parse("def f(x):\n    if x < 0:\n        raise E\n    return x")
    judges = Judges({"t::a": (1.0, {"file": [2, 4]}), "t::b": (1.0, {"file": [2, 3], "other": [1, 2, 3]})})
    assert judges.of("file", tree, 2) == ["t::b", "t::a"]
    assert judges.of("file", tree, 4) == ["t::a"]  # the control


def test_a_condition_that_few_others_execute_is_judged_by_all_that_it_holds_for() -> None:
    tree = ast.parse("def f(x):\n    if x < 0:\n        raise E\n    return x")
    judges = Judges({"t::a": (4.0, {"file": [2, 3]}), "t::b": (4.0, {"file": [2, 3]}), "t::c": (1.0, {"file": [2, 4]})})
    assert judges.of("file", tree, 2, budget=8.0) == ["t::a", "t::c"]  # half for those for which it holds
    assert judges.of("file", tree, 2, budget=9.0) == ["t::a", "t::c", "t::b"]


def test_too_many_survivors_fail_and_explained_ones_do_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    fate = {
        "file": "f",
        "kind": "k",
        "operator": "k",
        "line": 1,
        "before": "a",
        "after": "b",
        "judges": 1,
        "seconds": 1.0,
    }
    caught, survived = fate | {"fate": "caught", "reason": None}, fate | {"fate": "survived", "reason": None}
    assert show([caught] * 19 + [survived]) == 0
    assert show([caught] * 18 + [survived]) == 1
    assert show([caught] * 18 + [survived | {"reason": "the same"}]) == 0
    assert "1 mean the same" in capsys.readouterr().out


def test_what_is_kept_has_every_mutant_the_commit_and_the_reasons(tmp_path: Path) -> None:
    fate = {"file": "f", "line": 1, "kind": "k", "operator": "k", "before": "a", "after": "b", "by": None}
    caught, survived = ({"fate": name, "reason": None} for name in ("caught", "survived"))
    fates = [fate | caught, fate | survived, fate | survived | {"after": "c", "reason": "it is the same"}]
    save(tmp_path, fates, {"seed": 0, "candidates": 9, "command": "c", "commit": "abc", "said": "abc"})
    content = json.loads((tmp_path / "mutation.json").read_text(encoding="utf-8"))
    assert (content["commit"], [mutant["after"] for mutant in content["mutants"]]) == ("abc", ["b", "b", "c"])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "1 of 2 caught (50.0%)" in text
    survivors, _, equivalent = text.partition("## Survivors")[2].partition("## Mutants")
    assert ("+ b" in survivors, "+ c" in survivors) == (True, False)
    assert "it is the same" in equivalent


def test_explained_mutants_are_of_lines_that_are_there() -> None:
    for file, before, _ in equivalents():
        stripped = {line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()}
        assert set(before.splitlines()) <= stripped, f"{file}: {before}"
