"""The small faults: each operator is a function from a node of the syntax tree to what may stand in its place."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Edit = tuple[ast.AST, ast.AST | str]
"""A node, and what takes its place."""
Operator = Callable[[Any], Iterator[Edit]]

REGIONS = {"range", "arange", "dilated", "around", "within", "alike", "pixels", "Axis", "reach", "roll"}
AXES = {
    "mean", "sum", "var", "var_mean", "std", "amax", "amin", "max", "min", "argmax", "argmin", "norm", "softmax",
    "cat", "stack", "unbind", "flatten", "unflatten", "squeeze", "unsqueeze", "select", "narrow", "movedim",
    "index_add", "gather", "rot90", "flip", "roll",
}  # fmt: skip
OTHERWISE = {
    ("mean", "sum"), ("amax", "amin"), ("argmax", "argmin"), ("maximum", "minimum"), ("max", "min"), ("any", "all"),
    ("floor", "ceil"), ("cos", "sin"), ("square", "abs"), ("union", "intersection"), ("rsqrt", "sqrt"),
}  # fmt: skip
OPPOSITE = {a: b for pair in OTHERWISE for a, b in (pair, pair[::-1])}
NO_METHODS = {"max", "min", "any", "all"}
UNSEEN = {"mend", "expected", "got", "detail", "strict", "maxsize"}
"""Keywords whose values only people read, or that assert what holds (zip's), or decide about speed alone."""
PRODUCT = (ast.Mult, ast.Div, ast.MatMult)


def signs(node: Any) -> Iterator[Edit]:
    """a + b → a - b, a - b → a + b, -a → a, a·b → -(a·b)."""
    if isinstance(node, ast.BinOp):
        literals = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)
        texts = any(isinstance(x, literals) and not _is_number(x) for x in (node.left, node.right))
        if isinstance(node.op, (ast.Add, ast.Sub)) and not texts:
            yield node, _like(node, op=ast.Sub() if isinstance(node.op, ast.Add) else ast.Add())
        if isinstance(node.op, PRODUCT) and not _is_product(node.left) and not texts:
            yield node, ast.UnaryOp(ast.USub(), node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node, node.operand


def off_by_one(node: Any) -> Iterator[Edit]:
    """One more or less: bounds of slices, ranges and regions, whole quotients."""
    if isinstance(node, ast.Slice):
        for name, open_end in (("lower", 1), ("upper", -1)):
            bound = getattr(node, name)
            others = [ast.Constant(open_end)] if bound is None else [_plus(bound, 1), _plus(bound, -1)]
            yield from ((node, _like(node, **{name: other})) for other in others)
    if isinstance(node, ast.Call) and _name(node.func) in REGIONS:
        yield from ((argument, _plus(argument, n)) for argument in node.args for n in (1, -1) if _plain(argument))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
        yield node, _plus(node, 1)


def factor_left_out(node: Any) -> Iterator[Edit]:
    """A factor of a product, the denominator of a quotient, an exponent."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (*PRODUCT, ast.FloorDiv, ast.Pow)):
        yield node, node.left
        if isinstance(node.op, (ast.Mult, ast.MatMult)):
            yield node, node.right


def other_axis(node: Any) -> Iterator[Edit]:
    """A reduction along other axes: the next one, or one fewer (a statistic of each channel instead of all)."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in AXES):
        return
    named = [keyword.value for keyword in node.keywords if keyword.arg in ("dim", "axis")]
    for value in [*node.args, *named]:
        if isinstance(value, ast.Tuple):
            yield from ((value, ast.Tuple(rest, ast.Load())) for rest in _without_one(value.elts) if rest)
        elif _is_number(value) and isinstance(ast.literal_eval(value), int):
            axis = ast.literal_eval(value)
            yield from ((value, ast.Constant(other)) for other in (axis + 1, axis - 1))


def other_statistic(node: Any) -> Iterator[Edit]:
    """The mean for the sum, the least for the greatest, and so on."""
    if isinstance(node, ast.Call) and _name(node.func) in OPPOSITE:
        if isinstance(node.func, ast.Attribute):
            yield node.func, _like(node.func, attr=OPPOSITE[node.func.attr])
        elif node.func.id in NO_METHODS:
            yield node.func, ast.Name(OPPOSITE[node.func.id], ast.Load())


def transposed(node: Any) -> Iterator[Edit]:
    """A matrix for its transpose, products the other way round, an element for its inverse."""
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield node, node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield node, _like(node, left=node.right, right=node.left)
        yield node, _like(node, left=_transpose(node.left))
        yield node, _like(node, right=_transpose(node.right))
    if isinstance(node, ast.Call) and _name(node.func) == "inverse":
        yield node, node.func.value
    if isinstance(node, ast.Call) and _name(node.func) in ("matrix", "matrix_power"):
        yield node, _transpose(node)
    if isinstance(node, ast.Call) and _name(node.func) == "einsum":
        for text in [a for a in node.args if isinstance(a, ast.Constant)]:
            yield text, ast.Constant(re.sub(r"^(\w)( ?)(\w)", r"\3\2\1", text.value))


def other_order(node: Any) -> Iterator[Edit]:
    """The first two arguments of a call, or the two of a pair, the other way round."""
    if isinstance(node, ast.Call) and len(node.args) > 1 and not _name(node.func).startswith(("check_", "isinstance")):
        yield node, _like(node, args=[node.args[1], node.args[0], *node.args[2:]])
    without_order = isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn))
    if without_order or (isinstance(node, ast.Call) and _name(node.func) == "isinstance"):
        return
    for pair in ast.iter_child_nodes(node):
        if isinstance(pair, ast.Tuple) and isinstance(pair.ctx, ast.Load) and len(pair.elts) == 2:
            yield pair, _like(pair, elts=pair.elts[::-1])


_STALE = (
    "(lambda function, known={}: __import__('functools').wraps(function)(lambda *a, **k: known[repr(%s)] "
    "if repr(%s) in known else known.setdefault(repr(%s), function(*a, **k))))"
)


def stale_cache(node: Any) -> Iterator[Edit]:
    """What is remembered, without one of the arguments in its key; a property, remembered for all objects."""
    if not isinstance(node, ast.FunctionDef):
        return
    for decorator in node.decorator_list[-1:]:
        name = _name(decorator.func if isinstance(decorator, ast.Call) else decorator)
        arguments = [*node.args.posonlyargs, *node.args.args]
        left_out = {"lru_cache": range(len(arguments)), "constant_tensor": range(len(arguments)), "property": range(1)}
        for n in left_out.get(name, ()):
            stale = _STALE.replace("%s", f"(a[:{n}] + a[{n + 1}:], k)")
            yield decorator, f"lambda function: ({ast.unparse(decorator)})({stale}(function))"


def convention(node: Any) -> Iterator[Edit]:
    """Numbers that are conventions ten times as large or small; strict comparisons for others and the other way."""
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield from ((node, ast.Constant(node.value * factor)) for factor in (10, 0.1))
    if isinstance(node, ast.Compare):
        other = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
        for n, kind in enumerate(map(type, node.ops)):
            if kind in other:
                yield node, _like(node, ops=[*node.ops[:n], other[kind](), *node.ops[n + 1 :]])


def deleted(node: Any) -> Iterator[Edit]:
    """A statement of effect, or a context, left out."""
    calls = isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Yield, ast.YieldFrom))
    if calls or isinstance(node, (ast.AugAssign, ast.Assert)):
        yield node, ast.Pass()
    if isinstance(node, ast.Assign):
        targets = [target for whole in node.targets for target in getattr(whole, "elts", [whole])]
        read = {name.id for name in ast.walk(node.value) if isinstance(name, ast.Name)}
        if all(not isinstance(target, ast.Name) or target.id in read for target in targets):
            yield node, ast.Pass()
    if isinstance(node, ast.With):
        nothing = ast.parse("__import__('contextlib').nullcontext()", mode="eval").body
        yield from ((item.context_expr, nothing) for item in node.items if item.optional_vars is None)


def argument_left_out(node: Any) -> Iterator[Edit]:
    """A keyword of a call; an element of two tuples that are compared; an element of a starred or long tuple."""
    if isinstance(node, ast.Call):
        for n, keyword in enumerate(node.keywords):
            if keyword.arg not in UNSEEN:
                yield node, _like(node, keywords=[*node.keywords[:n], *node.keywords[n + 1 :]])
    if (
        isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Tuple)
        and isinstance(node.comparators[0], ast.Tuple)
    ):
        pairs = zip(_without_one(node.left.elts), _without_one(node.comparators[0].elts), strict=False)
        for left, right in pairs:
            tuples = [ast.Tuple(left, ast.Load()), ast.Tuple(right, ast.Load())]
            yield node, _like(node, left=tuples[0], comparators=tuples[1:])


def condition(node: Any) -> Iterator[Edit]:
    """A condition that always or never holds, the contrary of a check, a part of a condition left out."""
    if isinstance(node, ast.If):
        yield from ((node.test, ast.Constant(value)) for value in (True, False))
        if isinstance(node.body[-1], ast.Raise):
            yield node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.IfExp):
        yield from ((node, node.body), (node, node.orelse))
    if isinstance(node, ast.BoolOp):
        for rest in _without_one(node.values):
            yield node, _like(node, values=rest) if len(rest) > 1 else rest[0]
    if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)):
        for n, loop in enumerate(node.generators):
            if loop.ifs:
                bare = _like(loop, ifs=[])
                yield node, _like(node, generators=[*node.generators[:n], bare, *node.generators[n + 1 :]])


OPERATORS: dict[str, Operator] = {
    "signs": signs,
    "off by one": off_by_one,
    "factor left out": factor_left_out,
    "other axis": other_axis,
    "other statistic": other_statistic,
    "transposed": transposed,
    "other order": other_order,
    "stale cache": stale_cache,
    "convention": convention,
    "deleted": deleted,
    "argument left out": argument_left_out,
    "condition": condition,
}


def _like(node: Any, **changes: Any) -> Any:
    return type(node)(**{**{name: getattr(node, name) for name in node._fields}, **changes})


def _plus(node: Any, n: int) -> ast.AST:
    return ast.BinOp(node, ast.Add() if n > 0 else ast.Sub(), ast.Constant(abs(n)))


def _transpose(node: Any) -> ast.AST:
    return ast.Attribute(node, "mT", ast.Load())


def _without_one(items: Sequence[Any]) -> list[list[Any]]:
    return [[*items[:n], *items[n + 1 :]] for n in range(len(items))]


def _name(node: Any) -> str:
    """The last part of a name with dots, or nothing."""
    return getattr(node, "attr", None) or getattr(node, "id", "")


def _plain(node: Any) -> bool:
    return not isinstance(node, (ast.Starred, ast.Lambda))


def _is_product(node: Any) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, PRODUCT)


def _is_number(node: Any) -> bool:
    bare = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(bare, ast.Constant) and type(bare.value) in (int, float)
