"""Tests in a forked copy of this process, which has imported torch and its kind but nothing of the library."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

PRELOADED = (
    "numpy torch torch._dynamo torch.export torch.utils.checkpoint torch.nn.utils.parametrize scipy.linalg "
    "scipy.signal scipy.special scipy.stats scipy.ndimage scipy.optimize hypothesis hypothesis.strategies "
    "hypothesis.extra.numpy einops jaxtyping beartype safetensors.torch matplotlib.pyplot coverage pytest "
    "xml.etree.ElementTree _pytest.doctest"
)
_EARLY = "ignore::pytest.PytestAssertRewriteWarning"  # pytest's plugins among them have been imported before it runs
OURS = ("scalegroup", "proofs_tests", "benchmarks", "models", "conftest")
MEMORY = 16 * 2**30  # bytes of address space: a mutant that asks for more fails instead of the machine


def preload() -> None:
    """Import once what would take seconds in every child."""
    for name in PRELOADED.split():
        with contextlib.suppress(ImportError):
            __import__(name)
    gc.freeze()  # else every collection in a child copies all these objects' pages


def in_child(work: Callable[[], Any], *, seconds: float) -> Any:
    """What `work` returns (as JSON has it) in a forked copy of this process; None if that takes longer, or crashes.

    >>> in_child(lambda: [1, 2], seconds=9), in_child(lambda: time.sleep(9), seconds=1)
    ([1, 2], None)
    """
    answer = Path(f".answer-{os.getpid()}").absolute()
    answer.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(max(1, round(seconds)))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            text = json.dumps(work())
            answer.write_text(text, encoding="utf-8")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started
    if not answer.exists():
        return None
    text = answer.read_text(encoding="utf-8")
    answer.unlink()
    return json.loads(text)


def run_tests(arguments: Sequence[str], *plugins: object) -> int:
    """pytest's exit status on the tree in the current folder; 2 where the library cannot even be imported."""
    import pytest

    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path.insert(0, str(Path.cwd()))
    sys.dont_write_bytecode = "--collect-only" not in arguments  # a mutant's could be taken for that of another
    try:
        __import__("scalegroup")  # before its doctests: pytest imports a file that is named to it under another name
    except Exception:
        return 2
    return int(pytest.main([*arguments, "-q", "-p", "no:cacheprovider", "-W", _EARLY], plugins=list(plugins)))


def compile_tests() -> None:
    """Leave their compiled code in the tree, for all children to find."""
    in_child(lambda: run_tests(["--collect-only"]), seconds=600)


class Chosen:
    """A pytest plugin: these tests only, in this order; and which one failed."""

    def __init__(self, tests: Iterable[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        chosen = [item for item in items if item.nodeid in self.places]
        items[:] = sorted(chosen, key=lambda item: self.places[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = f"{report.nodeid} (collection)"


def judged(tests: Sequence[str], *, seconds: float) -> dict[str, Any]:
    """Whether one of the tests fails on the tree in the current folder: `caught`, by which, and how long it took."""
    start = time.monotonic()

    def work() -> tuple[int, str | None]:
        chosen = Chosen(tests)
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        doctests_last = sorted(files, key=lambda file: file.startswith("scalegroup"))
        return run_tests(["-x", *doctests_last], chosen), chosen.failed

    status, failed = in_child(work, seconds=seconds) or (-1, None)
    fates = {0: "survived", 1: "caught", 2: "caught", -1: "hung or crashed"}
    by = failed or {2: "import", 0: None}.get(status, "its time" if status == -1 else None)
    return {
        "fate": fates.get(status, f"not judged (pytest's status {status})"),
        "by": by,
        "seconds": round(time.monotonic() - start, 2),
    }
