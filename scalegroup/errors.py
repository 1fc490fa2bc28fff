"""The one error of this library, and the checks that every public entrance shares."""

import inspect
import math
import operator
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from scalegroup.constants import is_transformed, known

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])

_RAW = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
_NOT_OURS = (TypeCheckError, torch.cuda.OutOfMemoryError)


class ScaleGroupError(ValueError):
    """Input that cannot be used. The message says what was got, what was expected and how to mend it.

    >>> raise ScaleGroupError("ratio 0.5", expected="a ratio greater than 1", mend="pass 1 / 0.5")
    Traceback (most recent call last):
    ...
    scalegroup.errors.ScaleGroupError: got ratio 0.5; expected a ratio greater than 1; mend: pass 1 / 0.5
    """

    def __init__(self, got: str, *, expected: str, mend: str) -> None:
        super().__init__(f"got {got}; expected {expected}; mend: {mend}")
        self.got, self.expected, self.mend = got, expected, mend


def refusing(function: _F) -> _F:
    """The function, whose errors of torch, numpy and Python come as a `ScaleGroupError`, with themselves as the cause.

    For what computes with its arguments as they are: it says what was given and how it is called. It costs nothing but
    a call where there is no error. A call of too few or too many arguments and a device out of memory stay what they
    are, and so do the checks of jaxtyping and the errors of a module that is checked.

    >>> refusing(lambda x: x.mean())(3)
    Traceback (most recent call last):
    ...
    scalegroup.errors.ScaleGroupError: got 3 ('int' object has no attribute 'mean'); expected <lambda>(x); mend: pass
        what its docstring says
    """

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except _RAW as error:
            if (refusal := _refusal(error, function, arguments, options)) is None:
                raise
            raise refusal from error

    @wraps(function)
    def each(*arguments: Any, **options: Any) -> Any:
        try:
            yield from function(*arguments, **options)
        except _RAW as error:
            if (refusal := _refusal(error, function, arguments, options)) is None:
                raise
            raise refusal from error

    return each if inspect.isgeneratorfunction(function) else call  # type: ignore[return-value]


_OWN = ("__init__", "__post_init__", "__getitem__", "__add__", "__mul__", "__rmul__", "__pow__")


class Refusing:
    """Whose methods are `refusing` ones, operators and making included; so are those of subclasses in this library."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
            for name, value in list(vars(cls).items()):
                public = name in _OWN or not name.startswith("_")
                if public and not getattr(value, "__isabstractmethod__", False):
                    if isinstance(value, (staticmethod, classmethod)):
                        setattr(cls, name, type(value)(refusing(value.__func__)))
                    elif inspect.isfunction(value) or hasattr(value, "cache_info"):
                        setattr(cls, name, refusing(value))


def _refusal(
    error: Exception, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
) -> ScaleGroupError | None:
    """What an error is raised as; None: as it is."""
    signature = inspect.signature(function)
    try:
        signature.bind(*arguments, **options)
    except TypeError:  # a call that Python refuses
        return None
    if isinstance(error, (ScaleGroupError, *_NOT_OURS)) or hasattr(error, "of_the_checked_module"):
        return None
    name, _, method = function.__qualname__.rpartition(">.")[2].rpartition(".")
    making = method in ("__init__", "__post_init__")
    name = name if making else f"{name}.{method}" if name else method
    given = ", ".join([_brief(value) for value in (*arguments[making:], *options.values())])
    return ScaleGroupError(f"{given} ({error})", expected=f"{name}{signature}", mend="pass what its docstring says")


def _brief(value: Any) -> str:
    """It in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)} and dtype {value.dtype}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # it is as it is
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_instance(name: str, value: Any, kind: type[_T], *, mend: str) -> _T:
    """`value` if it is an instance of `kind`, else a `ScaleGroupError`."""
    if isinstance(value, kind):
        return value
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    raise ScaleGroupError(f"{name} {value!r}".strip(), expected=f"{article} {kind.__name__}", mend=mend)


def check_unchanged(owner: Any, name: str, value: Any) -> Any:
    """A setting that weights or types depend on, which is set once: another value is a `ScaleGroupError`."""
    if name in vars(owner) and vars(owner)[name] != value:
        raise ScaleGroupError(
            f"{name} {value!r} for a {type(owner).__name__} that was made",
            expected=f"{vars(owner)[name]!r}, as it was made with",
            mend=f"make another one with that {name}",
        )
    return value


def check_integer(name: str, value: Any, *, at_least: int | None = None, at_most: int | None = None) -> int:
    """`value` as an int (anything with `__index__`, but no bool), or a `ScaleGroupError`."""
    expected = "an integer" if at_least is None else f"an integer of at least {at_least}"
    expected += "" if at_most is None else f" and at most {at_most}"
    try:
        result = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        result = None
    if result is None:
        raise ScaleGroupError(f"{name} {value!r}", expected=expected, mend=f"pass {name} as a whole number")
    if at_least is not None and result < at_least:
        raise ScaleGroupError(f"{name} {result}", expected=expected, mend=f"pass {name}={at_least} or more")
    if at_most is not None and result > at_most:
        raise ScaleGroupError(f"{name} {result}", expected=expected, mend=f"pass {name}={at_most} or less")
    return result


def check_number(name: str, value: Any, *, expected: str = "a number") -> float:
    """`value` as a float, or a `ScaleGroupError`."""
    try:
        return float(known(value))
    except (TypeError, ValueError, OverflowError):
        raise ScaleGroupError(f"{name} {value!r}", expected=expected, mend=f"pass {name} as a number") from None


def check_finite(name: str, value: Any) -> float:
    """`value` as a finite float, or a `ScaleGroupError`."""
    result = check_number(name, value)
    if not math.isfinite(result):
        raise ScaleGroupError(f"{name} {result:g}", expected="a finite number", mend=f"pass another {name}")
    return result


def check_positive(name: str, value: Any, *, more_than: float = 0.0) -> float:
    """`value` as a finite float greater than `more_than`, or a `ScaleGroupError`."""
    more_than = known(more_than)
    expected = f"a finite number greater than {more_than:g}"
    result = check_number(name, value, expected=expected)
    if not math.isfinite(result) or result <= more_than:
        raise ScaleGroupError(f"{name} {result:g}", expected=expected, mend=f"pass a {name} above {more_than:g}")
    return result


def check_probability(name: str, value: Any) -> float:
    """`value` as a float in [0, 1), or a `ScaleGroupError`."""
    result = check_number(name, value)
    if not 0 <= result < 1:
        raise ScaleGroupError(f"{name} {result:g}", expected="in [0, 1)", mend=f"try {name}=0.1")
    return result


def check_images(images: Any, channels: int | None = None, *, name: str = "images") -> Tensor:
    """A finite, non-empty, floating `[batch, channel, y, x]` tensor, or a `ScaleGroupError`, before any computing."""
    layout = "[batch, channel, y, x]"
    if not isinstance(images, Tensor):
        raise ScaleGroupError(
            f"{name} of type {type(images).__name__}",
            expected=f"a torch tensor {layout}",
            mend=f"convert them: torch.as_tensor({name})",
        )
    shape = list(images.shape)
    if images.ndim != 4:
        single = images.ndim == 3 and channels == shape[0] != 1
        hint = {2: f"{name}[None, None]", 3: f"{name}[None]" if single else f"{name}[:, None]"}.get(
            images.ndim, "reshape"
        )
        raise ScaleGroupError(f"{name} of shape {shape}", expected=f"four axes {layout}", mend=f"try {hint}")
    if not images.is_floating_point():
        raise ScaleGroupError(
            f"{name} of dtype {images.dtype}",
            expected="floating point",
            mend=f"convert them: {name}.float() / 255, if the network takes 0 to 1",
        )
    if 0 in shape:
        raise ScaleGroupError(
            f"{name} of shape {shape}",
            expected="at least one image of at least one pixel and one channel",
            mend="leave empty batches out",
        )
    if channels is not None and shape[1] != channels:
        raise ScaleGroupError(
            f"{name} with {shape[1]} channels (shape {shape})",
            expected=f"{channels} channels",
            mend=f"pass {name}.permute(0, 3, 1, 2)"
            if shape[3] == channels
            else f"build the network with in_channels={shape[1]}, or select {channels} channels",
        )
    if can_be_looked_at(images) and not bool(torch.isfinite(images).all()):
        raise ScaleGroupError(
            f"{name} with NaN or infinity", expected="finite values", mend=f"clean them: torch.nan_to_num({name})"
        )
    return images


def can_be_looked_at(tensor: Tensor) -> bool:
    """Whether a tensor has numbers: not while a graph is made of it, nor within `torch.func.vmap` and its kind."""
    in_graph = torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    has_none = in_graph or tensor.is_meta or is_transformed(tensor)
    return not has_none and type(tensor) in (Tensor, torch.nn.Parameter)


def check_like(name: str, tensor: Tensor, images: Tensor) -> None:
    """Raise `ScaleGroupError` unless a tensor has the dtype and device of the images."""
    if tensor.dtype != images.dtype or tensor.device.type != images.device.type:
        raise ScaleGroupError(
            f"images of {images.dtype} on {images.device.type} with {name} of {tensor.dtype} on {tensor.device.type}",
            expected="one dtype and one device",
            mend=f"convert the images: images.to({str(tensor.device)!r}, {tensor.dtype})",
        )
