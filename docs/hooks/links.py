"""Links of the repository's Markdown files, as the site has them: a text is written once, and read in both places."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CARDS = sorted(path.name for path in (ROOT / "models" / "pretrained").glob("*.md") if path.stem != "README")

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks/how.md",
    "benchmarks/results/verdicts.md": "benchmarks/verdicts.md",
    "models/pretrained/README.md": "trained/index.md",
    **{f"models/pretrained/{name}": f"trained/{name}" for name in CARDS},
}
"""Files that are pages as they are; those under docs/ are as well."""

_LINK = re.compile(r"(?<=\]\()([^()\s]+)(?=\))")
_FENCE = re.compile(r"^ *(```|~~~)", re.MULTILINE)
_OTHER = re.compile(r"^([a-z]+:|#|/)")


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    r"""The text, changed but for what is in fenced blocks of code.

    >>> print(outside_fences("a\n```\na\n```\na", str.upper))
    A
    ```
    a
    ```
    A
    """
    parts, inside = [], False
    for line in text.split("\n"):
        fence = _FENCE.match(line) is not None
        parts.append(line if inside or fence else change(line))
        inside ^= fence
    return "\n".join(parts)


def links(text: str) -> Iterator[str]:
    """The targets of all links and pictures outside of code."""
    found: list[str] = []
    outside_fences(text, lambda line: found.extend(_LINK.findall(line)) or line)
    return iter(found)


def place_of(path: str) -> str:
    """Where the site has a file of the repository.

    >>> place_of("docs/start.md"), place_of("a/b.png"), place_of("proofs_tests/test_group.py")
    ('start.md', 'files/a/b.png', 'source/proofs_tests/test_group.py.md')
    >>> place_of("benchmarks/results/mnist")
    'benchmarks/mnist.md'
    """
    folder, name = posixpath.split(path)
    if path in PAGES:
        return PAGES[path]
    if folder == "benchmarks/results" and "." not in name:
        return f"benchmarks/{name}.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"files/{path}" if path.endswith(".png") else f"source/{path}.md"


def relinked(text: str, source: str, page: str, wanted: Callable[[str], None]) -> str:
    """The text of a file of the repository with its links as they are on a page; `wanted` is told what they lead to.

    What is not there is left, for the build to complain of.

    >>> relinked("[g](../README.md#a), [h](x.md)", "docs/start.md", "start.md", print)
    README.md
    '[g](index.md#a), [h](x.md)'
    """

    def target(found: re.Match[str]) -> str:
        path, mark, anchor = found[0].partition("#")
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if _OTHER.match(found[0]) or not (ROOT / whole).exists():
            return found[0]
        wanted(whole)
        return posixpath.relpath(place_of(whole), posixpath.dirname(page) or ".") + mark + anchor

    return outside_fences(text, lambda line: _LINK.sub(target, line))


def with_names(text: str, names: Mapping[str, str]) -> str:
    """Public names in code, such as `nn.ReLU`, lead to where they are documented; not in headings and links.

    >>> with_names("`nn.ReLU` and `x`", {"nn.ReLU": "scalegroup.nn.ReLU"})
    '[`nn.ReLU`][scalegroup.nn.ReLU] and `x`'
    """

    def name(found: re.Match[str]) -> str:
        told = names.get(found[1].removesuffix("()"))
        return f"[`{found[1]}`][{told}]" if told else found[0]

    def line(one: str) -> str:
        return one if one.startswith("#") else re.sub(r"(?<!\[)(?<!`)`([\w.]+(?:\(\))?)`(?!`)(?!\])", name, one)

    return outside_fences(text, line)
