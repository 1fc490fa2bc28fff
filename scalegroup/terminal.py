"""Terminals that do not have all the letters that are printed on them."""

import sys


def print_all_letters() -> None:
    r"""Have letters that a terminal lacks, such as σ, come as `\u03c3`, in place of an error in the middle of work."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
