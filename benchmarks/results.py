"""What a run leaves behind; nothing is ever half there."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from scalegroup import ScaleGroupError
from scalegroup.whole_file import whole_file

_ROOT = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser, name: str, *, checkpoints: bool = True) -> None:
    """The options that say where a command writes, and that it goes on; `checkpoints`: it can be told how often."""
    if checkpoints:
        parser.add_argument("--checkpoint-every", type=int, help="steps between them, beside one after each epoch")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run of this command stopped")
    parser.add_argument("--output", type=Path, default=Path("results", name), help="folder (default: %(default)s)")


def make_folder(path: Path, *, option: str = "--output") -> Path:
    """The folder, made where it is missing. Raises `ScaleGroupError`, naming the `option`, if it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ScaleGroupError(
            f"output folder {path} ({error.strerror})", expected="a folder that can be written", mend=f"pass {option}"
        ) from None
    return path


@contextmanager
def alone_in(folder: Path, *, option: str = "--output") -> Iterator[None]:
    """As long as it lasts no other run writes there. Raises `ScaleGroupError` while another one does.

    A folder that was made for it and that nothing was written to is not left behind.
    """
    there = folder.is_dir()
    lock = FileLock(make_folder(folder, option=option) / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ScaleGroupError(
            f"output folder {folder}, where another run is writing",
            expected="one run at a time",
            mend=f"wait for it, or pass another {option}",
        ) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: who has opened it looks again
        lock.release()
        if not there:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def save_text(text: str, path: Path) -> None:
    """In UTF-8."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_json(content: dict[str, Any], path: Path) -> None:
    """Indented JSON, with a checksum of all that it says."""
    save_text(json.dumps(content | {"sha256": _checksum(content)}, indent=2) + "\n", path)


def read_json(path: Path, *, checked: bool = True) -> dict[str, Any]:
    """What `save_json` wrote; with `checked=False` of files from before there were checksums, too.

    Raises `ValueError` if the file is not as it was written, and `OSError` if it is not there.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    kept = content.pop("sha256", None)
    if kept != _checksum(content) and (checked or kept is not None):
        raise ValueError("not what was written")
    return content


def _checksum(content: dict[str, Any]) -> str:
    """As JSON tells it, whatever it was made of."""
    told = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def provenance() -> dict[str, Any]:
    """Commit, versions and machine, with the accelerator if one has been used."""
    packages = ("scalegroup", "torch", "numpy", "scipy")
    machine: dict[str, Any] = {"platform": platform.platform(), "processor": _processor()}
    machine |= {"cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if torch.cuda.is_initialized():
        machine["accelerator"] = torch.cuda.get_device_name()
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "machine": machine,
    }


def said(made: dict[str, Any]) -> str:
    """What `provenance` gave, in a line."""
    machine = made["machine"]
    where = f"{machine['accelerator']}, " if "accelerator" in machine else ""
    return (
        f"commit {made['commit']}, {where}{machine['processor']}, {machine['threads']} threads of {machine['cores']} "
        f"cores, torch {made['versions']['torch']}"
    )


def _commit() -> str:
    """The checked-out commit, marked where files differ from it."""
    try:
        git = ["git", "-C", str(_ROOT)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + " with local changes" if changed.strip() else commit


def _processor() -> str:
    """The processor's name, as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
