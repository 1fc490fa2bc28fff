"""Terminals that do not have all the letters that are printed on them."""

import sys
from io import TextIOWrapper


def print_all_letters() -> None:
    r"""Have letters that a terminal lacks, such as σ, come as `\u03c3`, in place of an error in the middle of work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
