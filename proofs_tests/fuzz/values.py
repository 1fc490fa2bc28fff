"""What callables are given in place of a good argument, by kind; and what they make of it."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proofs_tests.fuzz.callables import SLOW, Public
from scalegroup import ScaleGroupError

BAD: dict[str, tuple[Any, ...]] = {
    "wrong type": ("two", object(), {"a": 1}, torch.relu, int),
    "None": (None,),
    "boolean": (True,),
    "NaN": (math.nan, np.array([math.nan])),
    "infinity": (math.inf, -math.inf),
    "zero": (0, 0.0),
    "negative": (-1, -2.5),
    "between": (0.5, 1.5, 1j),
    "huge": (10**9, 10**400, 1e300),
    "tiny": (1e-300,),
    "empty": ((), [], "", torch.zeros(0), np.zeros(0)),
    "wrong rank": (torch.tensor(1.0), torch.zeros(3), torch.zeros((1,) * 7), [[1.0]], (1, 2, 3, 4, 5, 6, 7)),
    "wrong dtype": (torch.zeros(1, 2, 33, 33).long(), torch.zeros(1, 2, 33, 33, dtype=torch.complex64)),
    "meta device": (torch.zeros(1, 2, 33, 33, device="meta"),),
}
"""For every argument; what good tensors are turned into is added to it."""

OF_TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": lambda good: good * math.nan,
    "infinity": lambda good: good + math.inf,
    "empty": lambda good: good[:0],
    "wrong rank": lambda good: good[0],
    "one axis more": lambda good: good[None],
    "wrong dtype": lambda good: good.long() if good.is_floating_point() else good.float(),
    "booleans": lambda good: good > 0,
    "complex numbers": lambda good: good.to(torch.complex64),
    "other dtype": lambda good: good.double(),
    "half precision": lambda good: good.half(),
    "meta device": lambda good: good.to("meta"),
    "one fewer": lambda good: good[..., 1:],
}


def bad_values(good: Any) -> Iterator[tuple[str, Any]]:
    """(kind, value) for an argument that is good."""
    for kind, values in BAD.items():
        for value in values:
            yield kind, value
    if isinstance(good, Tensor):
        for kind, change in OF_TENSORS.items():
            yield kind, change(good)
        yield "wrong type", good.numpy()
    if isinstance(good, tuple | list) and good:
        yield "one fewer", good[1:]
        yield "one more", good + good[:1]


def calls(public: Public) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """(parameter, kind, arguments, value): one argument at a time is bad."""
    good = public.arguments()
    for one in public.parameters:
        seen: set[str] = set()
        fitting = good.get(one.name, one.default)
        for kind, value in bad_values(fitting):
            if public.name in SLOW and kind in seen:
                continue
            seen.add(kind)
            yield one.name, kind, good | {one.name: value}, value


REFUSED, ANSWERED, RAW, NONSENSE, HUNG = "clear error", "answer", "raw error", "nonsense", "hang"


class _TooLong(BaseException):
    """Not an Exception, so that nothing takes it for an error of its own."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def too_long(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def outcome(call: Callable[[], Any], *, finite: bool = True, seconds: float = 5.0) -> tuple[str, str]:
    """What came of a call, and what it said. `finite`: as the arguments are, the answer has to be. Seconds of CPU."""
    try:
        with _at_most(seconds):
            result = call()
            if finite and not is_finite(result):
                return NONSENSE, f"{result!r:.100}"
            return ANSWERED, ""
    except ScaleGroupError as error:
        return REFUSED, str(error)
    except _TooLong:
        return HUNG, f"after {seconds:g} s"
    except Exception as error:
        return RAW, f"{type(error).__name__}: {error}"


def is_moderate(value: Any) -> bool:
    """Whether an argument is finite, and no number so large or small that what follows from it overflows."""
    if isinstance(value, int | float) and value and not 1e-30 < abs(value) < 1e30:
        return False
    return is_finite(value)


def is_finite(value: Any) -> bool:
    """Whether all numbers in an answer are."""
    if isinstance(value, Tensor):
        return value.is_meta or not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all())
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        return bool(np.isfinite(value).all())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, tuple | list):
        return all(map(is_finite, value))
    if is_dataclass(value) and not isinstance(value, type):
        return all(map(is_finite, vars(value).values()))
    return True
