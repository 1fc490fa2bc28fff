"""All that a user may import, and where it is documented."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

PACKAGES = ("scalegroup", "scalegroup.nn", "scalegroup.functional", "scalegroup.models", "scalegroup.testing")
MORE = ("scalegroup.testing.strategies",)
"""Public as well, but known by their whole path only."""


@cache
def documented() -> dict[str, tuple[str, ...]]:
    """The public names of each package, of `scalegroup.functional` its own functions."""
    found = {}
    for package in (*PACKAGES, *MORE):
        module = import_module(package)
        every = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        own = [name for name in every if not hasattr(getattr(module, name), "__path__")]
        if not hasattr(module, "__all__"):
            own = [name for name in own if getattr(getattr(module, name), "__module__", "") == package]
        found[package] = tuple(name for name in own if type(getattr(module, name)) is not type(module))
    return found


def where(package: str, name: str) -> str:
    """The path of a public name; a file of the same name stands in the way of the short one.

    >>> where("scalegroup", "detect"), where("scalegroup.models", "transfer")
    ('scalegroup.detect', 'scalegroup.models.transfer.transfer')
    """
    path = f"{package}.{name}"
    is_file = hasattr(import_module(package), "__path__") and find_spec(path) is not None
    return f"{path}.{name}" if is_file else path


@cache
def public_names() -> dict[str, str]:
    """As they are written in texts, `nn.ReLU` or `ScaleGroup`, and the whole path."""
    told = {}
    for package in PACKAGES:
        prefix = package.removeprefix("scalegroup").removeprefix(".")
        for name in documented()[package]:
            told[f"{prefix}.{name}" if prefix else name] = where(package, name)
    for package in PACKAGES[1:]:  # docstrings leave the package out
        for name in documented()[package]:
            told.setdefault(name, where(package, name))
    return told
