"""Less memory for more time: layers whose maps are not kept for the backward pass, but made again there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from torch.utils.checkpoint import checkpoint

_RECOMPUTING = ContextVar("recomputing", default=False)


def forgetting(function: Callable[[Any], Any], field: Any) -> Any:
    """`function(field)`, of which nothing is kept but the field. What it draws at random it draws again."""

    def of(field: Any, _: Any) -> Any:
        return function(field)

    # the state of a device's random numbers is kept if a tensor of that device is seen among the arguments
    seen = getattr(field, "maps", None)
    return checkpoint(of, field, seen, use_reentrant=False, context_fn=lambda: (nullcontext(), _recomputing()))


def is_recomputing() -> bool:
    """Whether this is the second time, in the backward pass: what counts batches must not count this one again."""
    return _RECOMPUTING.get()


@contextmanager
def _recomputing() -> Iterator[None]:
    token = _RECOMPUTING.set(True)
    try:
        yield
    finally:
        _RECOMPUTING.reset(token)
