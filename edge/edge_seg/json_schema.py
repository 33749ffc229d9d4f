"""JSON Schema (draft 2020-12) for dataclasses written as JSON: records, manifests, reports."""

from __future__ import annotations

import types
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}


def schema_of(kind: type, definitions: dict[str, Any], optional: Collection[str] = ()) -> dict[str, Any]:
    """The schema of a dataclass's JSON object.

    Args:
        kind: the dataclass.
        definitions: receives the schemas of the dataclasses in its fields, by name, for `$defs`.
        optional: fields that may be left out.
    """
    hints = get_type_hints(kind)
    properties = {each.name: _value(hints[each.name], definitions) for each in fields(kind)}  # type: ignore[arg-type]
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _value(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if origin in (Union, types.UnionType):
        return {
            "anyOf": [{"type": "null"} if one is type(None) else _value(one, definitions) for one in inner],
        }
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return {"type": "array", "items": _value(inner[0], definitions)}
    if origin is tuple:
        items = [_value(one, definitions) for one in inner]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(inner[1], definitions)}
    if is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            # Registered first, since it may contain itself.
            definitions[kind.__name__] = {}
            definitions[kind.__name__] = schema_of(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return {"type": _PLAIN[kind]}
