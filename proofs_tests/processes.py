"""Programs in processes of their own, forked from one that has imported torch: a fresh Python spends seconds on that.

One such server is started for a whole test run (for each of pytest-xdist's workers), when a test first needs it.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

_SERVER = """
import gc, importlib, json, os, runpy, signal, sys

# none of this repository, which programs import by themselves
for name in ("torch", "torch._dynamo", "torch.utils.benchmark", "accelerate", "scipy.ndimage", "sklearn.datasets"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
gc.freeze()  # else every program looks through all of it, and copies it by that

def next_program():
    "In a child: what it is to run. The server itself never returns."
    for line in sys.stdin:
        children = []
        for program in json.loads(line):
            child = os.fork()
            if not child:
                return program
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)
    raise SystemExit

program = next_program()
signal.alarm(program["seconds"])  # two that wait for each other do not wait for ever
os.chdir(program["folder"])
os.environ.update(program["environment"])
for number, path in enumerate([os.devnull, program["out"], program["err"]]):
    os.dup2(os.open(path, os.O_RDWR), number)
kind, what, *sys.argv[1:] = program["arguments"]
sys.path[:1] = filter(None, program["environment"].get("PYTHONPATH", "").split(os.pathsep))
if kind == "-c":
    sys.path.insert(0, "")
    exec(what, {"__name__": "__main__"})
elif kind == "-m":
    sys.path.insert(0, program["folder"])
    runpy.run_module(what, run_name="__main__", alter_sys=True)
else:
    sys.argv[0] = what
    if kind == "file":
        sys.path.insert(0, os.path.dirname(what))
    runpy.run_path(what, run_name="__main__")
"""


@dataclass(frozen=True)
class Program:
    """What follows `python` on a command line: `-c`, source; `-m`, module; `file` or `-P`, path; then arguments.

    Args:
        arguments: these.
        folder: the current one.
        environment: variables that are changed.
        seconds: after so many it is killed.
    """

    arguments: tuple[str, ...]
    folder: Path = field(default_factory=Path.cwd)
    environment: dict[str, str] = field(default_factory=dict)
    seconds: int = 300


def run(*programs: Program) -> list[CompletedProcess[str]]:
    """Run programs at the same time, on one thread each, and wait for all."""
    with tempfile.TemporaryDirectory() as name:
        told, written = [], []
        for number, program in enumerate(programs):
            files = [Path(name, f"{number}.{kind}") for kind in ("out", "err")]
            for file in files:
                file.touch()
            written.append(files)
            told.append(
                {
                    "arguments": list(map(str, program.arguments)),
                    "folder": str(program.folder),
                    "environment": program.environment,
                    "seconds": program.seconds,
                    "out": str(files[0]),
                    "err": str(files[1]),
                }
            )
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(told) + "\n")
        server.stdin.flush()
        codes = json.loads(server.stdout.readline())
        return [
            CompletedProcess(program.arguments, code, *(file.read_text(encoding="utf-8") for file in files))
            for program, code, files in zip(programs, codes, written, strict=True)
        ]


def forked(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], **_: object) -> CompletedProcess[str]:
    """In place of `subprocess.run`, where it starts Python."""
    (done,) = run(Program(tuple(command[1:]), cwd, dict(env)))
    return done


@cache
def _server() -> subprocess.Popen[str]:
    """It ends when its input is closed, so at the latest with this process."""
    command, one_thread = [sys.executable, "-c", _SERVER], os.environ | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, env=one_thread, stdin=pipe, stdout=pipe, text=True)
    atexit.register(server.communicate)
    return server
