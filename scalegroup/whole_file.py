"""Files that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

try:
    import fcntl
except ImportError:  # not on Windows: there what a kill leaves stays
    fcntl = None

_HIDDEN = ".half-written-"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`, with the same ending, to write to: renamed at the end, or removed.

    What was there before is replaced at once, and keeps its mode, or stays as it is after an error. A link stays one:
    what it points to is replaced. What is no regular file, such as a device or a pipe, is written to itself. Every call
    has a name of its own; names that killed processes have left go as soon as nobody else writes in their folder.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file.txt"
    >>> with whole_file(path) as temporary:
    ...     temporary.write_text("all of it")
    9
    >>> path.read_text()
    'all of it'
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    with _writing_in(path.parent):
        temporary = path.with_name(f"{_HIDDEN}{uuid4().hex}{path.suffix}")
        try:
            yield temporary
            if path.exists():
                shutil.copymode(path, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """Its lock, shared by all who write there; who has it alone knows that hidden files are those of the dead."""
    if fcntl is None:
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # others write there, or that file system has no locks
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{_HIDDEN}*"):
                left.unlink()
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_SH)
        yield
    finally:
        os.close(held)


def unaltered(path: Path) -> BytesIO:
    """What is in a zip archive, as `torch.save` writes them, once all its own checksums have been found right.

    Raises `BadZipFile` if one is wrong. `torch.load` by itself looks at none of them.
    """
    content = BytesIO(path.read_bytes())
    with ZipFile(content) as archive:
        if damaged := archive.testzip():
            raise BadZipFile(f"{damaged} is not what was written")
    content.seek(0)
    return content
