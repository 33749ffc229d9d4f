"""Dataclasses from JSON that somebody else may have written: every value has the type that its field declares."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_Made = TypeVar("_Made")


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object as RFC 8259 has it: NaN and infinity are no JSON.

    Raises:
        ValueError: not JSON, not an object, or nested too deeply to read.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is expected, this is {type(found).__name__}")
    return found


def read_fields(kind: type[_Made], raw: Mapping[str, Any], where: str = "", *, newer: bool = False) -> _Made:
    """A dataclass from the JSON object of its fields.

    Fields of a dataclass type and tuples of them are read alike; `dict[str, Any]` takes any JSON object.

    Args:
        kind: the dataclass.
        raw: JSON object, as `parse_object` gives it.
        where: dotted name of the object, for messages.
        newer: whether a newer version may have written it: fields that this one does not know are passed over.

    Raises:
        ValueError: a field is missing, unknown, or of another type; the message names it.

    >>> from edge_seg.structures import Structure
    >>> read_fields(Structure, {"name": "heart", "title": "heart", "colour": "#ff0000"}).title
    'heart'
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    declared = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    if not newer and (unknown := sorted(raw.keys() - declared.keys())):
        raise ValueError(f"{_join(where, unknown[0])} is unknown")
    values = {}
    for name, item in declared.items():
        if name in raw:
            values[name] = _read(hints[name], raw[name], _join(where, name), newer)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{_join(where, name)} is missing")
    return kind(**values)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: Any, where: str, newer: bool) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return _finite(value, where)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(kind), value, where, newer)
    if origin is tuple:
        return _read_tuple(get_args(kind), value, where, newer)
    if origin is dict:
        _expect(isinstance(value, dict), "an object", value, where)
        inner = get_args(kind)[1]
        return {key: _read(inner, item, _join(where, key), newer) for key, item in value.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        _expect(isinstance(value, dict), "an object", value, where)
        return read_fields(kind, value, where, newer=newer)
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), "a number", value, where)
        return _finite(float(value), where)
    # A bool is an int to Python, and no number to whoever reads a manifest.
    matches = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
    _expect(matches, _NAMES.get(kind, str(kind)), value, where)
    return value


_NAMES = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


def _read_union(kinds: tuple[Any, ...], value: Any, where: str, newer: bool) -> Any:
    if value is None and type(None) in kinds:
        return None
    (kind,) = (one for one in kinds if one is not type(None))
    return _read(kind, value, where, newer)


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str, newer: bool) -> tuple[Any, ...]:
    _expect(isinstance(value, list | tuple), "a list", value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], item, f"{where}[{i}]", newer) for i, item in enumerate(value))
    _expect(len(value) == len(kinds), f"a list of {len(kinds)}", value, where)
    both = enumerate(zip(kinds, value, strict=True))
    return tuple(_read(kind, item, f"{where}[{i}]", newer) for i, (kind, item) in both)


def _finite(value: Any, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}, a finite number is expected")
    return value


def _expect(holds: bool, expected: str, value: Any, where: str) -> None:
    if not holds:
        shown = repr(value)
        raise ValueError(f"{where} is {shown if len(shown) <= 40 else shown[:37] + '...'}, {expected} is expected")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
