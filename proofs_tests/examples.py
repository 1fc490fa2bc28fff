"""The examples as tests see them: as modules' names, and as commands."""

import runpy
import sys
from pathlib import Path
from unittest import mock

from proofs_tests import processes

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def names_of(example):
    """What is defined in one, which may import others beside it."""
    with mock.patch.object(sys, "path", [str(EXAMPLES), *sys.path]):
        return runpy.run_path(str(EXAMPLES / example))


def run(example, *arguments):
    """What one says as a command, which ends well."""
    command = ("file", str(EXAMPLES / example), *map(str, arguments))
    (done,) = processes.run(processes.Program(command, environment={"PYTHONPATH": str(ROOT)}))
    assert done.returncode == 0, done.stderr
    return done.stdout
