"""The columns of a part: those of the record, typed as in the record, and the masks."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from edge_seg.archive.contents import Settings
from edge_seg.assessment.measurements import measure
from edge_seg.film import Film
from edge_seg.model_file import Manifest
from edge_seg.record import SCHEMA, DoneRecord, FailedRecord

_LEFT_OUT = {"patient", "stem", "products", "files"}
"""Fields of the record that only make sense in a folder of results, and the patient's identity."""

_PLAIN = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

_MASK = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("runs", pa.list_(pa.uint32()))])

_BATCH = 100
"""Films per row group: held as Python objects until they become columns."""


def schema_of(settings: Settings, manifest: Manifest) -> pa.Schema:
    """The columns of an archive's parts.

    Args:
        settings: of the archive.
        manifest: of its model, which says what is measured.
    """
    known = _measured(manifest, settings.lung)
    columns: dict[str, pa.DataType] = {"number": pa.int64(), "status": pa.string()}
    for kind in (DoneRecord, FailedRecord):
        hints = get_type_hints(kind)
        for each in fields(kind):
            if each.name in _LEFT_OUT or known.get(each.name) == ():
                continue
            inner = known.get(each.name)
            if inner:
                columns[each.name] = pa.struct([(name, _type(get_args(hints[each.name])[1])) for name in inner])
            else:
                columns[each.name] = _type(hints[each.name])
    columns["recorded_at"] = pa.timestamp("ms", "UTC")
    columns["masks"] = pa.map_(pa.string(), _MASK)
    facts = {"notice": settings.notice, "edge_seg": settings.edge_seg, "record_schema": str(SCHEMA)}
    facts |= {"model_sha256": settings.model.sha256}
    return pa.schema(list(columns.items()), metadata={f"edge_seg.{key}": text for key, text in facts.items()})


def _measured(manifest: Manifest, lung: str | None) -> dict[str, tuple[str, ...]]:
    """Names of everything that can be measured on a film; each becomes a column of its own."""
    full = {structure.name: np.ones((16, 16), bool) for structure in manifest.structures}
    found = measure(full, Film(np.zeros((16, 16), np.uint8)), lung or "whole")
    return {name: tuple(getattr(found, name)) for name in ("areas", "widths", "ratios")}


def _type(kind: Any) -> pa.DataType:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _type(next(one for one in inner if one is not type(None)))
    if origin is tuple:
        return pa.list_(_type(inner[0]))
    if origin is dict:
        return pa.map_(pa.string(), _type(inner[1]))
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return pa.struct([(each.name, _type(hints[each.name])) for each in fields(kind)])
    return _PLAIN[kind]


class Part:
    """A part under construction, in memory: rows become columns as they arrive.

    Args:
        schema: see `schema_of`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema, self._rows, self._sink = schema, [], pa.BufferOutputStream()  # type: ignore[var-annotated]
        self._writer = parquet.ParquetWriter(self._sink, schema, compression="zstd")

    def add(self, row: dict[str, Any]) -> None:
        """Add a row: a record's JSON, the film's `number`, and its `masks`."""
        recorded = datetime.fromisoformat(row["recorded_at"])
        self._rows.append({**row, "recorded_at": recorded})
        if len(self._rows) == _BATCH:
            self._flush()

    def finish(self, **counts: int) -> pa.Buffer:
        """The part's bytes; its footer holds the counts."""
        self._flush()
        self._writer.add_key_value_metadata({f"edge_seg.{name}": str(count) for name, count in counts.items()})
        self._writer.close()
        return self._sink.getvalue()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []
