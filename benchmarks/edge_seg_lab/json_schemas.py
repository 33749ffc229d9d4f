"""Writes the JSON schemas of record, correction, manifest and report that ship with the package.

python -m edge_seg_lab.json_schemas
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import edge_seg
import edge_seg_benchmarks
from edge_seg import model_file, record
from edge_seg.corrections import line as correction
from edge_seg.json_schema import DRAFT, schema_of
from edge_seg_benchmarks import schema as report

_RECORDS = (("done", record.DoneRecord), ("failed", record.FailedRecord))
_LEFT_OUT = ("patient", "clock_offset_s")


def record_schema() -> dict[str, Any]:
    """Schema of a line of `records.jsonl`."""
    definitions: dict[str, Any] = {}
    kinds = []
    for status, kind in _RECORDS:
        one = _numbered(schema_of(kind, definitions, _LEFT_OUT), record.SCHEMA)
        one["properties"]["status"] = {"const": status}
        one["required"].insert(1, "status")
        kinds.append(one)
    return _whole("A record of edge-seg: what was found on a film, or why nothing was", {"oneOf": kinds}, definitions)


def correction_schema() -> dict[str, Any]:
    """Schema of a line of `corrections.jsonl`."""
    definitions: dict[str, Any] = {}
    made = _numbered(schema_of(correction.Correction, definitions), correction.SCHEMA)
    made["properties"]["verdict"] = {"enum": list(correction.VERDICTS)}
    return _whole("A correction of edge-seg: what a person said of the outlines of a film", made, definitions)


def manifest_schema() -> dict[str, Any]:
    """Schema of `edge_seg.json` in a model file."""
    definitions: dict[str, Any] = {}
    made = _numbered(schema_of(model_file.Manifest, definitions, ("other",)), model_file.SCHEMA)
    return _whole("The manifest of a model of edge-seg", made, definitions)


def report_schema() -> dict[str, Any]:
    """Schema of a benchmark's `report.json`."""
    definitions: dict[str, Any] = {}
    made = _numbered(schema_of(report.Report, definitions), report.SCHEMA)
    return _whole("A report of edge-seg benchmark", made, definitions)


def schemas() -> dict[Path, str]:
    """Each shipped schema file, and what it should contain."""
    device, benchmarks = (Path(str(package.__file__)).parent for package in (edge_seg, edge_seg_benchmarks))
    made = {
        device / "schemas" / "record.json": record_schema(),
        device / "schemas" / "correction.json": correction_schema(),
        device / "schemas" / "manifest.json": manifest_schema(),
        benchmarks / "schemas" / "report.json": report_schema(),
    }
    return {path: json.dumps(schema, indent=1) + "\n" for path, schema in made.items()}


def _numbered(schema: dict[str, Any], version: int) -> dict[str, Any]:
    properties = {"schema": {}, **schema["properties"]}
    properties["schema"] = {"const": version}
    required = ["schema", *(name for name in schema["required"] if name != "schema")]
    return {**schema, "properties": properties, "required": required}


def _whole(title: str, schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DRAFT, "title": title, **schema, "$defs": definitions}


def main() -> None:
    """Write the schemas into the packages."""
    for path, text in schemas().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
