"""Where a command computes: CPU threads, and the device."""

from __future__ import annotations

import argparse

import torch

from scalegroup import ScaleGroupError
from scalegroup.errors import check_integer


def add_arguments(parser: argparse.ArgumentParser, *, device: bool = True) -> None:
    """`--threads`, and `--device` for commands that run on accelerators."""
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    if device:
        parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")


def use(options: argparse.Namespace) -> int:
    """Set the number of threads, and give it. Raises `ScaleGroupError` if these options cannot be had here."""
    if getattr(options, "device", "cpu") == "cuda" and not torch.cuda.is_available():
        raise ScaleGroupError("device cuda", expected="a device that torch can use here", mend="pass --device cpu")
    if options.threads is not None:
        torch.set_num_threads(check_integer("threads", options.threads, at_least=1))
    return torch.get_num_threads()
