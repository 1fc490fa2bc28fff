"""Mutants of a file: by the operators of `operators` and, where it is installed, by those of cosmic-ray."""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from proofs_tests.mutation.operators import OPERATORS, UNSEEN

Span = tuple[tuple[int, int], tuple[int, int]]
"""(line from 1, character from 0) of the start, and of the stop."""

DESCRIPTIONS = {"__repr__", "__str__", "extra_repr", "detail"}  # functions whose results only people read


@dataclass(frozen=True)
class Mutant:
    """A fault in one file. What the program then is gets made when it is asked for.

    `place` tells it from all others, whatever changes on other lines.
    """

    file: str
    source: str
    line: int
    operator: str
    place: str
    make: Callable[[], str]

    @property
    def kind(self) -> str:
        """The operator, without the details of cosmic-ray's."""
        return self.operator.partition("_")[0]

    @cached_property
    def program(self) -> str:
        return self.make()

    @cached_property
    def means_another(self) -> bool:
        """Whether it is a program, and another one than the source."""
        return meaning(self.program) not in (None, meaning(self.source))

    @property
    def difference(self) -> tuple[str, str]:
        """The lines that go, and those that come."""
        lines = list(difflib.ndiff(self.source.splitlines(), self.program.splitlines()))
        before, after = ("\n".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
        return before, after


def mutants(file: str, source: str) -> list[Mutant]:
    """All of a file, in a fixed order; not those in what only people read."""
    unread = list(descriptions(ast.parse(source)))
    places = [*_own(source), *_cosmic_ray(source)]
    lines, same, found = source.splitlines(), Counter[str](), []
    for start, operator, make in places:
        if not any(first <= start < stop for first, stop in unread):
            line = f"{file}: {lines[start[0] - 1].strip()}: {operator}"
            same[line] += 1
            found.append(Mutant(file, source, start[0], operator, f"{line} {same[line]}", make))
    return found


def meaning(program: str) -> str | None:
    """A program without annotations and docstrings, or None if it is none.

    >>> meaning("x: int = 1") == meaning("x: str = 1"), meaning("x = 1") == meaning("x = 2"), meaning("x = ")
    (True, False, None)
    """
    try:
        tree = ast.parse(program)
        compile(program, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, None)
        if isinstance(getattr(node, "body", None), list):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return ast.dump(tree)


def descriptions(tree: ast.Module) -> Iterator[Span]:
    """Where nothing matters to a program: annotations, docstrings, errors' texts, and what they are put together of.

    >>> tree = ast.parse("def f(x: int):\\n    y = str(x)\\n    if x:\\n        raise ValueError(y)")
    >>> list(descriptions(tree))
    [((1, 9), (1, 12)), ((4, 8), (4, 27)), ((2, 4), (2, 14))]
    """
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        unread = isinstance(node, (ast.JoinedStr, ast.Raise)) or _is_text(node)
        if isinstance(node, ast.FunctionDef) and node.name in DESCRIPTIONS:
            unread = True
        if isinstance(node, ast.keyword) and node.arg in UNSEEN:
            unread = True
        found += [part for part in [*parts, node if unread else None] if part is not None]
    inside = {id(part) for node in found for part in ast.walk(node)}
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        read = {name.id for name in names if isinstance(name.ctx, ast.Load) and id(name) not in inside}
        for node in ast.walk(function):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if targets and all(isinstance(target, ast.Name) and target.id not in read for target in targets):
                found.append(node)
    yield from (_span(node) for node in found)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _span(node: Any) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _own(source: str) -> Iterator[tuple[tuple[int, int], str, Callable[[], str]]]:
    # positions of Python's trees are in bytes: one character must be one
    lines = source.encode().decode("latin-1").splitlines(keepends=True)
    starts = [sum(map(len, lines[:n])) for n in range(len(lines))]
    seen = set()
    for node in ast.walk(ast.parse(source)):
        for name, operator in OPERATORS.items():
            for old, new in operator(node):
                (line, column), (last, end) = _span(old)
                text = new if isinstance(new, str) else ast.unparse(new)
                bare = isinstance(old, (ast.stmt, ast.Slice))
                edit = (starts[line - 1] + column, starts[last - 1] + end, text if bare else f"({text})")
                if edit not in seen:
                    seen.add(edit)
                    yield (line, column), name, lambda edit=edit: _edited("".join(lines), *edit)


def _edited(source: str, start: int, stop: int, text: str) -> str:
    whole = source[:start] + text.encode().decode("latin-1") + source[stop:]
    return whole.encode("latin-1").decode()


def _cosmic_ray(source: str) -> Iterator[tuple[tuple[int, int], str, Callable[[], str]]]:
    try:
        from cosmic_ray.ast import ast_nodes, get_ast
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError:
        return
    nodes = list(ast_nodes(get_ast(source)))
    lines = source.splitlines()
    for name in sorted(operator_names()):
        if get_operator(name).arguments() or re.search(r"_(?!Is)[A-Za-z]+_Is(Not)?$", name):
            continue  # whether equal numbers are one object is the interpreter's choice
        operator = get_operator(name)()
        positions = (start for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, (line, column) in enumerate(positions):
            start = (line, len(lines[line - 1][:column].encode()))
            yield start, name, lambda o=operator, n=occurrence: mutate_code(source, o, n) or source


def sample(candidates: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """A random sample in which every file and every kind of operator is; a larger one begins with the smaller.

    Every kind on every line is as likely as any other, however many mutants it makes there; its second comes when there
    are no more lines.
    """
    chosen: dict[tuple[str, str | None], Mutant] = {}
    for mutant in _new_ones_first(_mixed(candidates, seed)):
        if len(chosen) >= size:
            break
        if mutant.means_another:
            chosen.setdefault((mutant.file, meaning(mutant.program)), mutant)
    return list(chosen.values())


def _mixed(candidates: Sequence[Mutant], seed: int) -> list[Mutant]:
    def at_random(what: str) -> bytes:
        return hashlib.sha256(f"{seed} {what}".encode()).digest()

    turns, queue = Counter[object](), []
    for mutant in sorted(candidates, key=lambda mutant: at_random(mutant.place)):
        line, _, _ = mutant.place.rpartition(": ")
        here = mutant.file, mutant.line, mutant.kind
        queue.append((turns[here], at_random(f"{line}: {mutant.kind}"), mutant))
        turns[here] += 1
    return [mutant for _, _, mutant in sorted(queue, key=lambda entry: entry[:2])]


def _new_ones_first(candidates: Sequence[Mutant]) -> Iterator[Mutant]:
    shown: set[str] = set()
    left = []
    for mutant in candidates:
        if {mutant.file, mutant.kind} <= shown or not mutant.means_another:
            left.append(mutant)
        else:
            shown |= {mutant.file, mutant.kind}
            yield mutant
    yield from left
