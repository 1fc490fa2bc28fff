"""Records cannot be altered: what is equal stays equal, and what was found stays what was found."""

import importlib
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from inspect import isabstract
from pathlib import Path

import pytest

import scalegroup

ROOT = Path(scalegroup.__file__).parent
FILES = [path.relative_to(ROOT.parent) for path in ROOT.rglob("*.py") if "@dataclass" in path.read_text("utf-8")]
MODULES = [".".join(path.with_suffix("").parts) for path in sorted(FILES) if "models" not in path.parts]


def altered(kind: type) -> bool:
    """Whether a field of a record can be set."""
    try:
        setattr(object.__new__(kind), fields(kind)[0].name, 0)
    except FrozenInstanceError:
        return False
    return True


@pytest.mark.parametrize("name", MODULES, ids=str)
def test_records_cannot_be_altered(name):
    module = importlib.import_module(name)
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == name]
    records = [kind for kind in kinds if is_dataclass(kind) and fields(kind) and not isabstract(kind)]
    assert not [kind for kind in records if altered(kind)]


def test_records_that_are_not_frozen_can_be_altered():
    """The control."""

    @dataclass
    class Record:
        value: int

    assert altered(Record)
