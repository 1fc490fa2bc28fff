"""Docstrings as Markdown: examples become blocks of code, equations and public names become links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import griffe
from links import with_names
from public_names import public_names

PAPER = "https://arxiv.org/pdf/2011.14759"

_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1.*\S.*)*", re.MULTILINE)
_EQUATION = re.compile(r"(?<!\d{4},\s)(?<!\w)((?:eqs?|equations?) (?:\d+(?:[-–]\d+)?(?:, | and | or |/)?)+(?<=\d))")


def as_markdown(text: str, names: Mapping[str, str]) -> str:
    r"""A docstring for the site.

    >>> as_markdown("By eq 6 and 12.", {})
    'By [eq 6 and 12](https://arxiv.org/pdf/2011.14759).'
    >>> as_markdown(">>> 1 + 1\n2", {}).splitlines()
    ['```pycon', '>>> 1 + 1', '2', '```']
    """
    # "NeurIPS 2020, eq 4" is of another paper
    linked = _EQUATION.sub(rf"[\1]({PAPER})", text)
    fenced = _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", linked)
    return with_names(fenced.replace("<BLANKLINE>", ""), names)


class Docstrings(griffe.Extension):
    """Rewrites every docstring that is shown."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value, public_names())
