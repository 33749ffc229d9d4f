"""The OpenAPI 3.1 description of the HTTP interface."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from edge_seg.notice import RESEARCH_USE
from edge_seg.version import __version__

_NUMBER = {
    "name": "number",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "format": "int64", "minimum": 0},
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_LINKS = {"type": "object", "additionalProperties": {"type": "string"}}


@cache
def description() -> dict[str, Any]:
    """The description served at `/v1/openapi.json`."""
    done, definitions = _record()
    film = {
        "type": "object",
        "properties": {
            "number": {"type": "integer", "format": "int64"},
            "name": {"type": "string"},
            "status": {"enum": ["done", "check", "rejected", "failed"]},
            "links": _LINKS,
        },
        "required": ["number", "name", "status", "links"],
    }
    models = {"type": "object", "properties": {"models": {"type": "array"}}, "required": ["models", "running"]}
    films = {"type": "object", "properties": {"films": {"type": "array", "items": _reference("Film")}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "edge-seg", "version": __version__, "description": RESEARCH_USE},
        "security": [{"bearer": []}],
        "paths": {
            "/v1/segment": {"post": _segment()},
            "/v1/models": {"get": _get("Models that ship, and what runs", _json(models))},
            "/v1/films": {"get": _get("The newest films of the session", _json(films))},
            "/v1/films/{number}": {"get": _get("A film of the session", _json(_reference("Film")), "number")},
            "/v1/films/{number}/overlay": {"get": _get("Its overlay", _picture(), "number")},
            "/v1/results/{number}/{file}": {"get": _get("A file of a result", _picture(), "number", "file")},
            "/v1/openapi.json": {"get": _get("This description", _json({"type": "object"}))},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Result": done, "Film": film, "Error": _ERROR, **definitions},
        },
    }


def _segment() -> dict[str, Any]:
    body: dict[str, Any] = {"application/octet-stream": {}, "image/png": {}, "image/jpeg": {}, "application/dicom": {}}
    found = {
        **_json(_reference("Result")),
        **_picture(),
        **_binary("application/zip"),
        **_binary("application/dicom"),
    }
    refused = {
        "400": "no body, or its length is not told",
        "406": "no such kind of answer",
        "413": "too large",
        "422": "not a film, or not one that this answer can be made of",
        "503": "busy, or no engine: try again",
        "504": "took too long",
    }
    return {
        "summary": "Segment a film; `Accept` chooses numbers (JSON), overlay (PNG, JPEG), all files (zip) or DICOM SEG",
        "requestBody": {"required": True, "content": body},
        "responses": {"200": {"description": "the result", "content": found}, **_errors(refused)},
    }


def _get(summary: str, content: dict[str, Any], *parameters: str) -> dict[str, Any]:
    file = {"name": "file", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[a-z_.]+$"}}
    known = {"number": _NUMBER, "file": file}
    responses = {"200": {"description": summary, "content": content}}
    if parameters:
        responses |= _errors({"404": "no such thing, or no longer"})
    return {
        "summary": summary,
        "parameters": [known[name] for name in parameters],
        "responses": {**responses, **_errors({})},
    }


def _errors(reasons: dict[str, str]) -> dict[str, Any]:
    always = {"401": "without the token", "403": "meant for another machine"}
    return {
        code: {"description": reason, "content": {**_json(_reference("Error")), "text/plain": {}}}
        for code, reason in {**always, **reasons}.items()
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _picture() -> dict[str, Any]:
    return {**_binary("image/jpeg"), **_binary("image/png")}


def _binary(kind: str) -> dict[str, Any]:
    return {kind: {}}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _record() -> tuple[dict[str, Any], dict[str, Any]]:
    """Schema of a result, and those that it refers to."""
    text = resources.files("edge_seg").joinpath("schemas", "record.json").read_text()
    record = json.loads(text.replace("#/$defs/", "#/components/schemas/"))
    done = record["oneOf"][0]
    done["properties"]["links"] = _LINKS
    return done, record["$defs"]
