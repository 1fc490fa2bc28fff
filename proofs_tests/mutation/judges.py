"""Which tests execute which lines of the library, measured once, and which of them judge a mutant."""

from __future__ import annotations

import ast
import gc
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from proofs_tests.mutation.trial import in_child, run_tests

LONGEST = 300.0  # seconds that one file of tests may take while it is measured
BUDGET = 40.0  # seconds that the tests of one mutant take on the program as it is
FIRST_FILES, FIRST_BUDGET = 5, 3.0  # of those that are run first
SLOWEST = 15.0  # seconds of one test; slower ones judge nothing
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Measured = dict[str, tuple[float, dict[str, list[int]]]]
"""By test: its seconds, and the lines of each file that it executes."""


class Recorder:
    """A pytest plugin that notes for each test that passes how long it takes and which lines it executes."""

    def __init__(self) -> None:
        import coverage

        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{Path.cwd()}/scalegroup/*"], omit=["*/scalegroup/models/*"]
        )
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self.caches: list[Any] = []

    def pytest_collection_finish(self) -> None:
        self.caches = [
            thing
            for thing in gc.get_objects()
            if hasattr(type(thing), "cache_clear") and str(getattr(thing, "__module__", "")).startswith("scalegroup")
        ]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        for cache in self.caches:  # a test that finds a result of an earlier one depends on its lines as well
            cache.cache_clear()
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def result(self) -> Measured:
        """What has been noted."""
        data = self.coverage.get_data()
        lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for file in data.measured_files():
            for line, tests in data.contexts_by_lineno(file).items():
                for test in tests:
                    lines[test][str(Path(file).relative_to(Path.cwd()))].append(line)
        return {t: (round(s, 4), lines[t]) for t, s in self.seconds.items() if t not in self.failed}


def measure(files: Sequence[str], cache: Path) -> Measured:
    """By the tests in these files, or folders of doctests; remembered in `cache` while these do not change.

    In a library that has changed, what was measured holds for the lines that are still there.
    """
    library = {str(path): path.read_text("utf-8") for path in sorted(Path("scalegroup").rglob("*.py"))}
    cache.mkdir(parents=True, exist_ok=True)
    measured: Measured = {}
    for file in files:
        tests = Path(file).read_bytes() if Path(file).is_file() else b""
        key = hashlib.sha256(tests).hexdigest()
        kept = cache / f"{Path(file).stem}.json"
        known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
        if known.get("key") != key:
            found = in_child(lambda file=file: _recorded(file), seconds=LONGEST)
            print(f"{file}: {'took too long' if found is None else f'{len(found)} tests measured'}", flush=True)
            known = {"key": key, "library": library, "tests": found or {}}
            kept.write_text(json.dumps(known), encoding="utf-8")
        moves = {name: moved(source, library.get(name, "")) for name, source in known["library"].items()}
        for test, (seconds, lines) in known["tests"].items():
            measured[test] = seconds, {name: [moves[name].get(n, 0) for n in at] for name, at in lines.items()}
    return measured


def moved(before: str, now: str) -> dict[int, int]:
    """Where the lines of a source are that are still there, counted from 1.

    >>> moved("a\\nb\\nc", "new\\na\\nc")
    {1: 2, 3: 3}
    """
    if before == now:
        return {n: n for n in range(1, before.count("\n") + 2)}
    blocks = SequenceMatcher(None, before.splitlines(), now.splitlines(), autojunk=False).get_matching_blocks()
    return {block.a + n + 1: block.b + n + 1 for block in blocks for n in range(block.size)}


def _recorded(file: str) -> Measured:
    recorder = Recorder()
    recorder.coverage.start()
    run_tests([file], recorder)
    recorder.coverage.stop()
    return recorder.result()


def scopes(tree: ast.Module, line: int) -> Iterator[set[int]]:
    """Ever larger sets of lines that a mutant at `line` may show in, from the statement to the file.

    What runs at import only is of no test's own: a constant shows where functions read it, a default or an attribute in
    the whole function or class.

    >>> tree = ast.parse("A = 1\\n\\ndef f():\\n    return A\\n\\ndef g():\\n    return 2")
    >>> list(scopes(tree, 1)), list(scopes(tree, 7))
    ([{1}, {3, 4}, {1, 2, 3, 4, 5, 6, 7}], [{7}, {6, 7}, {1, 2, 3, 4, 5, 6, 7}])
    """
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and line in _lines(node)]
    around.sort(key=lambda node: len(_lines(node)))
    yield from map(_lines, around)
    if around and isinstance(around[0], (ast.Assign, ast.AnnAssign)) and len(around) == 1:
        names = {
            name.id for name in ast.walk(around[0]) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        readers = [
            _lines(function)
            for function in ast.walk(tree)
            if isinstance(function, _FUNCTIONS)
            and any(isinstance(name, ast.Name) and name.id in names for name in ast.walk(function))
        ]
        yield set().union(*readers)
    yield set(range(1, max(max(_lines(node)) for node in tree.body) + 1))


def in_function(tree: ast.Module, line: int) -> bool:
    """Whether a line is in the body of a function; others run at import.

    >>> tree = ast.parse("def f(a=1):\\n    return a")
    >>> in_function(tree, 1), in_function(tree, 2)
    (False, True)
    """
    return any(
        isinstance(node, _FUNCTIONS) and node.body[0].lineno <= line <= (node.end_lineno or line)
        for node in ast.walk(tree)
    )


def _lines(node: ast.stmt) -> set[int]:
    decorators = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
    return set(range(min([node.lineno, *decorators]), (node.end_lineno or node.lineno) + 1))


class Judges:
    """The tests for each line."""

    def __init__(self, measured: Measured) -> None:
        self.seconds = {test: seconds for test, (seconds, _) in measured.items() if seconds <= SLOWEST}
        self.tests: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.executed: dict[str, int] = Counter()
        for test in self.seconds:
            for file, lines in measured[test][1].items():
                self.executed[test] += len(lines)
                for line in lines:
                    self.tests[file][line].add(test)

    def of(self, file: str, tree: ast.Module, line: int, *, budget: float = BUDGET) -> list[str]:
        """Tests that execute a line, as many as the budget allows, of many kinds.

        Of a condition first those for which it holds. What runs at import only is judged by those that bear the name of
        the module as well.
        """
        here = self.tests[file]
        first: set[str] = set()
        if not in_function(tree, line):
            module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            first = {test for test in self.seconds if test.endswith((f"[{module}]", f"[{file}]"))}
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and node.lineno <= line <= (node.test.end_lineno or line):
                first |= here.get(node.body[0].lineno, set())
        # a test in which a module happens to be imported says nothing of what runs then
        told = {n: tests for n, tests in here.items() if in_function(tree, n)}
        found = (set().union(*(told[n] for n in lines if n in told)) for lines in scopes(tree, line))
        others = next(filter(None, found), set()) - first
        chosen: list[str] = []
        for tests, part in ((first, budget / 2), (others, budget), (first, budget)):
            left = part - sum(self.seconds[test] for test in chosen)
            chosen += affordable(self._varied(tests - set(chosen)), self.seconds, left)
        return chosen

    def _varied(self, tests: Iterable[str]) -> list[str]:
        """One of each parametrised test, those that execute least first; then another one of each; and so on."""
        turns: dict[str, int] = Counter()
        queue = []
        for test in sorted(tests, key=lambda test: hashlib.sha256(test.encode()).digest()):
            function = test.partition("[")[0]
            queue.append((turns[function], self.executed[test], test))
            turns[function] += 1
        return [test for _, _, test in sorted(queue)]


def affordable(tests: Iterable[str], seconds: dict[str, float], budget: float) -> list[str]:
    """As many tests as a budget allows, in their order, every file of tests given as much of it as the others.

    >>> affordable(["a::1", "a::2", "a::3", "b::1"], {"a::1": 1.0, "a::2": 2.0, "a::3": 1.0, "b::1": 2.0}, 5.0)
    ['a::1', 'b::1', 'a::2']
    """
    given: dict[str, float] = defaultdict(float)
    queue = []
    for place, test in enumerate(tests):
        file = test.partition("::")[0]
        given[file] += seconds[test]
        queue.append((given[file], place, test))
    chosen, spent = [], 0.0
    for _, _, test in sorted(queue):
        if spent + seconds[test] <= budget:
            chosen.append(test)
            spent += seconds[test]
    return chosen


def most_telling(tests: Sequence[str], seconds: dict[str, float]) -> list[str]:
    """The few tests to run first, of few files: to collect a file takes longer than most tests.

    >>> most_telling(["a::1", "b::1", "b::2"], {"a::1": 9.0, "b::1": 1.0, "b::2": 1.0})
    ['b::1', 'b::2']
    """
    files = Counter(test.partition("::")[0] for test in tests).most_common(FIRST_FILES)
    return affordable([test for test in tests if test.partition("::")[0] in dict(files)], seconds, FIRST_BUDGET)
