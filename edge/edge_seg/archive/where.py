"""Parses a row filter from a line of text: comparisons of columns, nothing that could run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc

from edge_seg.errors import UsageError

_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: lambda left, right: left < right,
    ast.LtE: lambda left, right: left <= right,
    ast.Gt: lambda left, right: left > right,
    ast.GtE: lambda left, right: left >= right,
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
}

_LONGEST = 2000

_HELP = "columns are compared with numbers and 'text' by < <= > >= == != in, is None, and joined by and, or, not"


def parse_where(text: str, schema: pa.Schema) -> pc.Expression:
    """Parse a filter; its syntax is Python's, but none of it is run.

    Args:
        text: `estimated_dice < 0.9 and status == 'done'`; a dot selects a field, `areas.right_lung.cm2 > 300`.
        schema: of the rows.

    Raises:
        UsageError: anything but comparisons of columns with values, joined by `and`, `or`, `not`.
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"over {_LONGEST} characters")
        made = _expression(ast.parse(text.strip(), mode="eval").body, schema)
        # Arrow only checks here that the types match.
        empty = pa.Table.from_pylist([], schema)
        empty.filter(made)
    except (SyntaxError, ValueError, RecursionError, MemoryError, pa.ArrowException) as error:
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise UsageError(f"--where {text[:80]!r}: {reason.splitlines()[0]}: {_HELP}") from error
    return made


def _expression(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    if isinstance(node, ast.BoolOp):
        found = [_expression(value, schema) for value in node.values]
        for other in found[1:]:
            found[0] = found[0] & other if isinstance(node.op, ast.And) else found[0] | other
        return found[0]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_expression(node.operand, schema)
    if isinstance(node, ast.Name | ast.Attribute):
        return _column(node, schema)
    if not isinstance(node, ast.Compare):
        raise ValueError(f"{ast.unparse(node)[:40]} is no comparison")
    sides = [node.left, *node.comparators]
    steps = zip(sides, node.ops, sides[1:], strict=False)
    found = [_comparison(left, operation, right, schema) for left, operation, right in steps]
    for other in found[1:]:
        found[0] = found[0] & other
    return found[0]


def _comparison(left: ast.expr, operation: ast.cmpop, right: ast.expr, schema: pa.Schema) -> pc.Expression:
    if isinstance(operation, ast.Is | ast.IsNot):
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise ValueError("`is` goes with None")
        missing = _column(left, schema).is_null()
        return missing if isinstance(operation, ast.Is) else ~missing
    if isinstance(operation, ast.In | ast.NotIn):
        values = right.elts if isinstance(right, ast.List | ast.Tuple) else [right]
        among = _column(left, schema).isin([_constant(value) for value in values])
        return among if isinstance(operation, ast.In) else ~among
    return _COMPARISONS[type(operation)](_value(left, schema), _value(right, schema))


def _value(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    return _column(node, schema) if isinstance(node, ast.Name | ast.Attribute) else pc.scalar(_constant(node))


def _constant(node: ast.expr) -> str | float | int | bool:
    found = ast.literal_eval(node)
    if not isinstance(found, str | float | int | bool):
        raise ValueError(f"{ast.unparse(node)[:40]} is no number or text")
    return found


def _column(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    names: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        names.insert(0, inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name):
        raise ValueError(f"{ast.unparse(node)[:40]} is no column")
    names.insert(0, inner.id)
    kind: Any = schema
    for depth, name in enumerate(names):
        known = kind.names if isinstance(kind, pa.Schema | pa.StructType) else []
        if name not in known:
            whole = ".".join(names[:depth]) or "the archive"
            raise ValueError(f"{whole} has no {name}, but {', '.join(known) or 'no fields'}")
        kind = kind.field(name).type
    return pc.field(*names)
