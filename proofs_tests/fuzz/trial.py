"""Every call of a callable in a process of its own, which may hang, crash or want all memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import scalegroup as sg
from proofs_tests.fuzz.callables import Public
from proofs_tests.fuzz.values import HUNG, RAW, calls, is_moderate, outcome

_MEMORY = 6 * 2**30  # of addresses
_SECONDS = 300  # for all calls of one callable

BOUNDLESS = ("BandLimited.reach", "SampledLifting.error")
"""Whose answer may be infinite: how far a sinc reaches, and a bound where there is none."""

Trial = dict[str, Any]


def trials(public: Public) -> list[Trial]:
    """What comes of every bad call of it."""
    found = []
    for parameter, kind, arguments, value in calls(public):
        made, said = outcome(
            lambda a=arguments: public.call(a), finite=is_moderate(value) and public.name not in BOUNDLESS
        )
        found.append(
            {"callable": public.name, "parameter": parameter, "kind": kind, "value": f"{value!r:.60}", "outcome": made}
            | ({"said": said[:200]} if said else {})
        )
    return found


def in_children(publics: Sequence[Public], told: Callable[[str], None] = lambda _: None) -> list[Trial]:
    """The trials of all of them, each callable in a forked process."""
    found: list[Trial] = []
    _warm()
    with tempfile.TemporaryDirectory() as folder:
        for number, public in enumerate(publics):
            path = Path(folder, f"{number}.json")
            child = multiprocessing.get_context("fork").Process(target=_write, args=(public, path))
            child.start()
            child.join(_SECONDS)
            if child.is_alive():
                child.kill()
                child.join()
            if path.exists():
                found += json.loads(path.read_text("utf-8"))
            else:
                made = HUNG if child.exitcode in (None, -9) else RAW
                found.append({"callable": public.name, "parameter": "", "kind": "", "value": "", "outcome": made,
                              "said": f"exit code {child.exitcode}"})  # fmt: skip
            told(f"{number + 1} of {len(publics)}: {public.name}")
    return found


def _warm() -> None:
    """What is imported on the first occasion, seconds of it, is there before anybody looks at the time."""
    torch.set_num_threads(1)
    sg.steer(torch.zeros(3, 5, device="meta"), 0.3)
    sg.functional.jet_maps(torch.zeros(1, 1, 9, 9, device="meta"), sigma=1.0)


def _write(public: Public, path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    path.write_text(json.dumps(trials(public)), "utf-8")
