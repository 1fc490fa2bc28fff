"""The pictures' world, as a module is to be told of it: how finely they are sampled, and what is around them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from scalegroup.algebra.group import GroupElement
from scalegroup.fields.boundary import Background, Boundary
from scalegroup.fields.window import ScaleWindow
from scalegroup.testing.outputs import owner_of


def holds_both(module: Callable[[Tensor], Any], element: GroupElement) -> bool:
    """Whether the windows of a module hold scale channels that a scaling sends to each other."""
    windows = [held["window"] for held in map(vars, parts_of(module)) if isinstance(held.get("window"), ScaleWindow)]
    return all(abs(element.as_element_of(window.group).power) < window.channels for window in windows)


def parts_of(module: Callable[[Tensor], Any]) -> list[nn.Module]:
    """All parts of a module, itself included."""
    owner = owner_of(module)
    return list(owner.modules()) if isinstance(owner, nn.Module) else []


@contextmanager
def in_the_pictures_world(module: Callable[[Tensor], Any], times: float, background: Any) -> Iterator[None]:
    """With all σ₀ as many times larger: the same scale channels, of finer pictures; and with their background around.

    Every scale window and every boundary that a part of the module holds is set so, and put back. A boundary becomes
    what is in the corner of the images that its part is given: what comes before may have changed the background.
    """
    parts = parts_of(module)
    held = [vars(part) for part in parts]
    before = [dict(values) for values in held]
    bounded = [part for part in parts if isinstance(vars(part).get("boundary"), Boundary)]
    hooks = [part.register_forward_pre_hook(_surround) for part in bounded]
    try:
        for values in held:
            window, boundary = values.get("window"), values.get("boundary")
            if isinstance(window, ScaleWindow):
                values["window"] = replace(window, sigma0=window.sigma0 * times)
            if isinstance(boundary, Boundary):
                values["boundary"] = background
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for values, old in zip(held, before, strict=True):
            values.update((name, old[name]) for name in ("window", "boundary") if name in old)


def _surround(part: nn.Module, arguments: tuple[Any, ...]) -> None:
    images = arguments[0] if arguments else None
    if isinstance(images, Tensor) and images.ndim == 4:
        vars(part)["boundary"] = Background(tuple(images[0, :, 0, 0].tolist()))
