"""Tensors that follow from settings alone: made once, kept on their device, and constants to `torch.compile`."""

from collections import OrderedDict, UserString
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, wraps
from itertools import count
from threading import RLock
from types import SimpleNamespace
from typing import Any, TypeVar
from weakref import finalize

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

_R = TypeVar("_R")
_MADE = SimpleNamespace()
_NUMBERS = count()
_LOCK = RLock()
_MOST = 256  # of each kind: some dozen image sizes
_MOST_BYTES = 2**27  # of each kind: large ones, of large images, go sooner


class _Named(UserString):
    """A tensor's name, with the tensor: what has the name of it alone loses it when this goes."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        super().__init__(name)
        self.tensor = tensor
        setattr(_MADE, name, tensor)
        finalize(self, vars(_MADE).pop, name)


def constant_result(function: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.compiler.assume_constant_result`, which itself imports the compiler: two seconds, whoever needs it.

    What the function gives depends on its arguments alone, so that `torch.compile` may call it once. Numbers that
    `torch.compile` takes for unknown, since another network has others, are those of this network from here on.
    """

    def constant(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    constant._dynamo_marked_constant = True  # type: ignore[attr-defined]

    @wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        if not torch.compiler.is_compiling():
            return function(*arguments, **options)
        return constant(*known(arguments), **{name: known(option) for name, option in options.items()})

    return wrapped


def remembered(function: Callable[..., _R]) -> Callable[..., _R]:
    """A pure function of hashable arguments that keeps its latest results: every image of a size asks the same."""

    @wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> _R:
        if torch.compiler.is_compiling():
            return function(*arguments, **options)
        return _memory(function)(*arguments, **options)

    return wrapped


@cache
def _memory(function: Callable[..., _R]) -> Callable[..., _R]:
    """Not held by the function itself: `torch.compile` cannot have it among what a function closes over."""
    return lru_cache(maxsize=4096)(function)


def known(argument: Any) -> Any:
    """As it is; within `torch.compile`, with numbers for unknowns: what is looked for in a set has to be one."""
    if not torch.compiler.is_compiling():
        return argument
    if isinstance(argument, tuple):
        return tuple(known(part) for part in argument)
    return next(iter({argument})) if isinstance(argument, int | float) else argument


def constant_tensor(make: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """A function that gives a float64 array, as one that gives a tensor like another: `f(..., like=maps)`.

    All arguments must be hashable; for torch.compile to hand them over, numbers, tuples of them, or objects that were
    there before. Half precision gets float32: what is made here is smoothed or differentiated with.

    >>> @constant_tensor
    ... def ramp(length):
    ...     return np.arange(length)
    >>> ramp(3, like=torch.zeros(1))
    tensor([0., 1., 2.])
    """
    kept: OrderedDict[Any, _Named] = OrderedDict()

    def make_tensor(arguments: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        # a real tensor, and fit for autograd, even where the first call comes from within export or inference mode
        with _disable_current_modes(), torch.inference_mode(False):
            array = np.array(make(*arguments), order="C")  # a copy: what is contiguous may still run backwards
            return torch.as_tensor(array, dtype=dtype, device=device)

    def named(arguments: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> _Named:
        key = arguments, dtype, device
        with _LOCK:  # threads that make the same one at a time would each drop the other's
            if key not in kept:
                kept[key] = _Named(f"{make.__name__}{next(_NUMBERS)}", make_tensor(*key))
                while len(kept) > 1 and (len(kept) > _MOST or _bytes(kept) > _MOST_BYTES):
                    kept.popitem(last=False)
            kept.move_to_end(key)
            return kept[key]

    @constant_result
    def name_of(dtype: torch.dtype, device: torch.device, *arguments: Any) -> str:
        return str(named(arguments, dtype, device))

    @wraps(make)
    def wrapped(*arguments: Any, like: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            return named(arguments, working_dtype(like), like.device).tensor
        # as an attribute of its own torch.compile can tell each tensor from the others, and guard it
        return getattr(_MADE, name_of(working_dtype(like), like.device, *arguments))

    return wrapped


def _bytes(of: Mapping[Any, _Named]) -> int:
    return sum(one.tensor.nbytes for one in of.values())


def working_dtype(like: Tensor) -> torch.dtype:
    """That of a tensor; float32 for half precision, which is too coarse for maps that are differentiated next."""
    return torch.float32 if like.dtype in (torch.float16, torch.bfloat16) else like.dtype


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """`tensor.to(dtype)`, and no step of a graph where that changes nothing."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def is_transformed(tensor: Tensor) -> bool:
    """Whether a tensor is one of `torch.func`'s, within vmap and its kind."""
    return not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # type: ignore[attr-defined]
