"""The build of the library: imports point one way, public names are guarded and documented, files stay small."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import scalegroup

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "scalegroup"
LIBRARY = sorted(path for path in PACKAGE.rglob("*.py") if "models" not in path.relative_to(PACKAGE).parts)
MODELS = sorted((ROOT / "models").glob("*.py"))
OUTSIDE = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
NAMESPACES = ["scalegroup.nn", "scalegroup.testing", "scalegroup.models"]

# A file imports only from lines above its own, a folder from itself as well.
LAYERS = [
    {"constants", "terminal", "whole_file"},
    {"errors"},
    {"algebra"},
    {"fields"},
    {"jets"},
    {"planning"},
    {"functional"},
    {"nn"},
    {""},  # scalegroup itself
    {"testing"},
    {"models"},
    {"detection", "window_plan"},
    {"export_command"},
    {"__main__"},
    {"benchmarks", "examples"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

ALLOWED = {"torch", "numpy", "scipy", "einops", "jaxtyping", "lazy_loader", "safetensors", "scalegroup", "tqdm"}
OPTIONAL = {
    "testing/strategies.py": {"hypothesis"},
    "testing/checks.py": {"pytest"},
    "scalegroup/__main__.py": {"matplotlib"},
    "scalegroup/detection.py": {"torchvision"},
}


def name_of(path: Path) -> str:
    """The part of the project that a file belongs to, as in LAYERS."""
    folder, *rest = path.relative_to(ROOT).parts
    if folder != "scalegroup":
        return folder
    return "" if rest == ["__init__.py"] else rest[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Full names of all that a source imports, wherever in it; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def part_of(name: str) -> str | None:
    """The part of the project that an imported name belongs to, or None."""
    top, *rest = name.split(".")
    if top == "scalegroup":
        return rest[0] if rest and rest[0] in RANK else ""
    return top if top in RANK else None


def upward_imports(path: Path, source: str) -> list[str]:
    here = name_of(path)
    parts = {name: part for name in imported(source) if (part := part_of(name)) is not None}
    return [name for name, part in parts.items() if part != here and RANK[part] >= RANK[here]]


def foreign_imports(path: Path, source: str) -> set[str]:
    tops = {name.split(".")[0] for name in imported(source)} - set(sys.stdlib_module_names)
    return tops - ALLOWED - OPTIONAL.get(f"{path.parent.name}/{path.name}", set())


def calls_of(source: str, *, names: set[str]) -> list[str]:
    """Calls of the given names."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.id for call in calls if isinstance(call, ast.Name) and call.id in names]


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# -- imports ----------------------------------------------------------------------------------------------------------


def test_every_file_of_the_library_has_a_rank() -> None:
    assert {name_of(path) for path in [*LIBRARY, *MODELS, *OUTSIDE]} == set(RANK)


@pytest.mark.parametrize("path", [*LIBRARY, *MODELS, *OUTSIDE], ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    assert not upward_imports(path, text(path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("scalegroup/algebra/group.py", "from scalegroup.fields.window import ScaleWindow"),
        ("scalegroup/algebra/group.py", "def late():\n    import scalegroup.fields.field"),
        ("scalegroup/fields/field.py", "from scalegroup import ScaleWindow"),
        ("scalegroup/fields/lifting.py", "from scalegroup.jets import gaussian"),
        ("scalegroup/jets/kernels.py", "from scalegroup.nn.layer import Layer"),
        ("scalegroup/planning/plan.py", "from scalegroup import nn"),
        ("scalegroup/nn/norm.py", "from scalegroup.testing import Blobs"),
        ("scalegroup/testing/bounds.py", "from scalegroup import models"),
        ("models/gaussian_derivative.py", "from benchmarks import data"),
    ],
)
def test_imports_that_point_back_are_found(path: str, source: str) -> None:
    assert upward_imports(ROOT / path, source)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("scalegroup", *parts) if parts[0] == "models" else parts
    return ".".join(parts).removesuffix(".__init__")


def circles(sources: dict[str, str]) -> list[str]:
    """Modules that import themselves through others, wherever in their source."""
    edges = {
        name: {m for full in imported(source) for m in (full, full.rpartition(".")[0]) if m in sources and m != name}
        for name, source in sources.items()
    }
    # `from scalegroup import nn` of a module within the package waits for nn alone
    edges = {name: others - {o for o in others if name.startswith(f"{o}.")} for name, others in edges.items()}

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges[name])
        while todo:
            if (other := todo.pop()) not in seen:
                seen.add(other)
                todo += edges[other]
        return seen

    return [name for name in edges if name in reached(name)]


def test_modules_import_in_no_circle() -> None:
    assert not circles({module_of(path): text(path) for path in [*LIBRARY, *MODELS]})
    circle = {"a.b": "from a.c import d", "a.c": "def late():\n    import a.e", "a.e": "from a import b", "a.f": ""}
    assert circles(circle) == ["a.b", "a.c", "a.e"]  # the control


@pytest.mark.parametrize("path", [*LIBRARY, *MODELS], ids=lambda path: str(path.relative_to(ROOT)))
def test_library_imports_no_training_code(path: Path) -> None:
    assert not foreign_imports(path, text(path))


def test_training_code_in_the_library_is_found() -> None:
    assert foreign_imports(PACKAGE / "nn" / "norm.py", "from rich.progress import Progress") == {"rich"}
    assert foreign_imports(PACKAGE / "fields" / "field.py", "import hypothesis") == {"hypothesis"}
    assert not foreign_imports(PACKAGE / "testing" / "strategies.py", "import hypothesis")


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


def test_nobody_imports_models_as_a_second_copy() -> None:
    def copies(source: str) -> list[str]:
        return [name for name in imported(source) if name.split(".")[0] == "models"]

    assert not {path: copies(text(path)) for path in python_files() if copies(text(path))}
    assert copies("from models import PRESETS") == ["models.PRESETS"]
    assert not copies("from scalegroup.models import PRESETS")


# -- public names -----------------------------------------------------------------------------------------------------


def public_names(module: ModuleType) -> set[str]:
    """What a namespace imports under a name without an underscore from this library, its own modules left out."""
    return {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(thing)
        and getattr(thing, "__module__", "scalegroup").startswith("scalegroup")
    }


def kind_and_name(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions and modules, each by name."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_public_names_are_complete_sorted_and_there(namespace: str) -> None:
    module = importlib.import_module(namespace)
    assert module.__all__ == sorted(module.__all__, key=kind_and_name)
    assert len(module.__all__) == len(set(module.__all__))
    assert set(module.__all__) == public_names(module)


def test_names_of_the_package_are_complete_and_imported_when_asked_for() -> None:
    stub = ast.parse(text(PACKAGE / "__init__.pyi"))
    (listed,) = (ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign))
    assert listed == sorted(listed, key=kind_and_name)
    assert set(listed) == set(scalegroup.__all__) == set(dir(scalegroup))
    assert all(getattr(scalegroup, name) is not None for name in listed)


def test_names_that_the_specification_relies_upon_are_public() -> None:
    relied = "ScaleGroup Representation ScaleWindow FieldType ScaleField functional nn ScaleGroupError DiscreteGaussian"
    assert set(relied.split()) < set(scalegroup.__all__)
    assert callable(importlib.import_module("scalegroup.models").gaussian_derivative_net)
    assert not hasattr(scalegroup, "gaussian_derivative_net")


def documented(thing: Any) -> Iterator[tuple[str, str | None]]:
    """(name, docstring) of a function, or of a class and its public methods and properties, of which those that
    override others may have theirs from these: as `help` shows it."""
    yield thing.__qualname__, thing.__doc__
    if inspect.isclass(thing):
        for name, member in vars(thing).items():
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not name.startswith("_") and inspect.isfunction(function):
                yield f"{thing.__qualname__}.{name}", inspect.getdoc(getattr(thing, name))


def undocumented(module: ModuleType) -> list[str]:
    """Public functions, classes and methods that a module defines without a docstring."""
    own = [
        thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    ]
    pairs = [("module", module.__doc__), *(pair for thing in own for pair in documented(thing))]
    # what dataclass writes for a class without docstring is its signature
    return [name for name, doc in pairs if not doc or re.match(rf"{re.escape(name)}\(", doc)]


def library_modules() -> list[str]:
    """Every module of the package, models included."""
    found = pkgutil.walk_packages(scalegroup.__path__, "scalegroup.")
    return ["scalegroup", *(module.name for module in found)]


@pytest.mark.parametrize("name", library_modules())
def test_every_public_function_class_and_method_has_a_docstring(name: str) -> None:
    assert not undocumented(importlib.import_module(name))


def test_missing_docstrings_are_found() -> None:
    module = ModuleType("bare", "A module.")
    source = "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\n    def f(self): ...\ndef g(): ...\n"
    exec(compile(source, "bare", "exec"), vars(module))
    assert undocumented(module) == ["A", "A.f", "g"]


def test_docstrings_of_a_base_are_those_of_what_overrides_its_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("half_bare", "A module.")
    monkeypatch.setitem(sys.modules, "half_bare", module)
    source = (
        "class A:\n    'A.'\n    def f(self): 'f.'\nclass B(A):\n    'B.'\n    def f(self): ...\n    def g(self): ..."
    )
    exec(compile(source, "half_bare", "exec"), vars(module))
    assert undocumented(module) == ["B.g"]


def changeable(module: ModuleType) -> list[str]:
    """Dataclasses of a module whose objects can be changed, and may so be other keys than when they were remembered."""
    own = [thing for thing in vars(module).values() if inspect.isclass(thing) and thing.__module__ == module.__name__]
    return [kind.__name__ for kind in own if is_dataclass(kind) and not kind.__dataclass_params__.frozen]


@pytest.mark.parametrize("name", library_modules())
def test_settings_are_immutable(name: str) -> None:
    assert not changeable(importlib.import_module(name))


def test_settings_that_can_be_changed_are_found() -> None:
    module = ModuleType("open")
    exec("from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int", vars(module))
    assert changeable(module) == ["A"]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*LIBRARY, *MODELS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_the_library_are_short_and_do_not_print(path: Path) -> None:
    assert len(text(path).splitlines()) < 300
    if path.name != "__main__.py":
        assert not calls_of(text(path), names={"print", "breakpoint", "input"})


def tells_layers_apart(source: str) -> list[str]:
    """`isinstance` of a layer, where what every layer says of itself must do."""
    kinds = set(scalegroup.nn.__all__) - {"Layer"}
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    asked = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("isinstance", "issubclass")]
    last = {ast.unparse(call): {ast.unparse(n).split(".")[-1] for n in ast.walk(call.args[1])} for call in asked}
    return [call for call, names in last.items() if names & kinds]


@pytest.mark.parametrize("path", [*LIBRARY, *MODELS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_layer_is_treated_by_its_class(path: Path) -> None:
    assert not tells_layers_apart(text(path))
    assert tells_layers_apart("if isinstance(layer, (nn.JetConv, str)): ...")  # the control


def asserts_on_arguments(source: str) -> list[str]:
    """Assertions about anything that a caller passes; about what the code itself has set they are allowed."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            arguments = {a.arg for a in [*function.args.args, *function.args.kwonlyargs]} - {"self"}
            for node in ast.walk(function):
                if isinstance(node, ast.Assert):
                    names = {name.id for name in ast.walk(node.test) if isinstance(name, ast.Name)}
                    found += [ast.unparse(node)] if names & arguments else []
    return found


@pytest.mark.parametrize("path", [*LIBRARY, *MODELS], ids=lambda path: str(path.relative_to(ROOT)))
def test_input_of_users_is_not_asserted(path: Path) -> None:
    assert not asserts_on_arguments(text(path))


def test_prints_and_assertions_are_found() -> None:
    assert calls_of("def f():\n    print('x')", names={"print"}) == ["print"]
    assert asserts_on_arguments("def f(sigma):\n    assert sigma > 0")
    assert not asserts_on_arguments("def f(self):\n    assert self.grid is not None")


def tracked_files() -> list[Path]:
    """Files of the checkout that git does not ignore (all files, where there is no git)."""
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed if (path := ROOT / name).is_file() and not path.is_symlink()]


_PLACES = "|".join(["work", "home", "root", "Users"])
ABSOLUTE = re.compile(rf"(?<![\w.)}}])/(?:{_PLACES})/\w")


def test_no_absolute_path_of_a_machine_is_committed() -> None:
    found = []
    for path in tracked_files():
        try:
            found += [f"{path}: {line}" for line in text(path).splitlines() if ABSOLUTE.search(line)]
        except UnicodeDecodeError:
            continue  # a picture
    assert not found
    assert all(ABSOLUTE.search(f"data = '/{place}/x'") for place in _PLACES.split("|"))  # the control
    assert not ABSOLUTE.search("../shared/work/x and https://site.org/home/x")


def test_version_is_the_one_of_the_package() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    assert project["version"] == scalegroup.__version__
    needs = {re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]}
    assert needs == ALLOWED - {"scalegroup"}
