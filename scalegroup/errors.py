"""The one error of this library, and the checks that every public entrance shares."""

import math
import operator
from typing import Any, TypeVar

import torch
from torch import Tensor

from scalegroup.constants import is_transformed, known

_T = TypeVar("_T")


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
        hint = f"{name}[:, None]" if images.ndim == 3 else f"{name}[None, None]" if images.ndim == 2 else "reshape"
        raise ScaleGroupError(f"{name} of shape {shape}", expected=f"four axes {layout}", mend=f"try {hint}")
    if not images.is_floating_point():
        raise ScaleGroupError(
            f"{name} of dtype {images.dtype}", expected="floating point", mend=f"convert them: {name}.float()"
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
            mend=f"build the network with in_channels={shape[1]}, or select {channels} channels",
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
