"""Dataclasses from JSON of any origin: every value is checked to have the type that its field declares."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

_Made = TypeVar("_Made")


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object by RFC 8259, which has no NaN or infinity.

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
    """Read a dataclass from the JSON object of its fields.

    Nested dataclasses and tuples of them are read likewise; `dict[str, Any]` takes any JSON object.

    Args:
        kind: the dataclass.
        raw: JSON object, as `parse_object` gives it.
        where: dotted name of the object, for messages.
        newer: whether a newer version may have written it: unknown fields are ignored.

    Raises:
        ValueError: a field is missing, unknown, or of another type; the message names it.

    >>> from edge_seg.structures import Structure
    >>> read_fields(Structure, {"name": "heart", "title": "heart", "colour": "#ff0000"}).title
    'heart'
    """
    made: _Made = _object_reader(kind, newer)(raw, where)  # type: ignore[arg-type]
    return made


_Reader: TypeAlias = Callable[[Any, str], Any]
"""Converts a JSON value to what a field declares; the text names the field."""


# A station reads some hundred thousand records, so each type is inspected only once.
@cache
def _object_reader(kind: Any, newer: bool) -> _Reader:
    hints = get_type_hints(kind)
    declared = {item.name: _reader(hints[item.name], newer) for item in fields(kind)}
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]

    def read(raw: Any, where: str) -> Any:
        _expect(isinstance(raw, Mapping), "an object", raw, where)
        if not newer and (unknown := sorted(raw.keys() - declared.keys())):
            raise ValueError(f"{_join(where, unknown[0])} is unknown")
        for name in needed:
            if name not in raw:
                raise ValueError(f"{_join(where, name)} is missing")
        return kind(**{name: one(raw[name], _join(where, name)) for name, one in declared.items() if name in raw})

    return read


@cache
def _reader(kind: Any, newer: bool) -> _Reader:
    origin, kinds = get_origin(kind), get_args(kind)
    if kind is Any:
        return _finite
    if origin in (Union, types.UnionType):
        return _union_reader(kinds, newer)
    if origin is tuple:
        return _tuple_reader(kinds, newer)
    if origin is dict:
        return _dict_reader(kinds[1], newer)
    if is_dataclass(kind) and isinstance(kind, type):
        return _object_reader(kind, newer)
    return _read_float if kind is float else _plain_reader(kind)


def _union_reader(kinds: tuple[Any, ...], newer: bool) -> _Reader:
    (kind,) = (one for one in kinds if one is not type(None))
    inner, optional = _reader(kind, newer), type(None) in kinds
    return lambda value, where: None if value is None and optional else inner(value, where)


def _tuple_reader(kinds: tuple[Any, ...], newer: bool) -> _Reader:
    inner = [_reader(kind, newer) for kind in kinds if kind is not Ellipsis]
    any_length = Ellipsis in kinds

    def read(value: Any, where: str) -> tuple[Any, ...]:
        _expect(isinstance(value, list | tuple), "a list", value, where)
        if not any_length:
            _expect(len(value) == len(inner), f"a list of {len(inner)}", value, where)
        readers = inner * len(value) if any_length else inner
        return tuple(one(item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(readers, value, strict=True)))

    return read


def _dict_reader(kind: Any, newer: bool) -> _Reader:
    inner = _reader(kind, newer)

    def read(value: Any, where: str) -> dict[str, Any]:
        _expect(isinstance(value, dict), "an object", value, where)
        return {key: inner(item, _join(where, key)) for key, item in value.items()}

    return read


def _read_float(value: Any, where: str) -> float:
    _expect(isinstance(value, int | float) and not isinstance(value, bool), "a number", value, where)
    _expect(isinstance(value, float) or abs(value) < _MOST, "a finite number", value, where)
    return float(_finite(float(value), where))


def _plain_reader(kind: Any) -> _Reader:
    # A bool is an int in Python, but not a number in a manifest.
    exactly, expected = kind is int, _NAMES.get(kind, str(kind))

    def read(value: Any, where: str) -> Any:
        _expect(isinstance(value, kind) and not (exactly and isinstance(value, bool)), expected, value, where)
        _expect(not exactly or abs(value) < _MOST, f"{expected} of 64 bits", value, where)
        return value

    return read


_MOST = 1 << 63
"""JSON integers may have any number of digits; no field needs more than this, and no float holds the largest."""

_NAMES = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


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
