"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, with the same ending, to write to: renamed at the end, removed after an error.

    What was there before is replaced at once or stays as it is. Processes have names of their own.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file.txt"
    >>> with whole_file(path) as temporary:
    ...     temporary.write_text("all of it")
    9
    >>> path.read_text()
    'all of it'
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
