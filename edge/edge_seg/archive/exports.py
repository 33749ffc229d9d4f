"""Exports films from an archive: their records as JSON lines, and their masks as pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import dataset

from edge_seg.archive.columns import schema_of
from edge_seg.archive.contents import Archive, part_name
from edge_seg.archive.masks import decode_mask
from edge_seg.archive.where import parse_where
from edge_seg.errors import OutputError, UsageError
from edge_seg.outputs.names import plain_stem
from edge_seg.outputs.png import encode_png
from edge_seg.storage import flush_folder, write_atomically

KINDS_OF_MASK = ("png",)

RECORDS_NAME = "records.jsonl"

_ROWS = 64
"""Rows in memory at a time."""

_LONGEST_STEM = 160  # bytes; file systems allow 255 for a name


@dataclass(frozen=True)
class Exported:
    """How many films and masks were exported."""

    films: int
    masks: int


def export(address: str, out: Path, *, where: str = "", masks: str | None = None) -> Exported:
    """Write the records, and on request the masks, of an archive's films to a folder.

    Each part gets a folder `part-00000000` with `records.jsonl`, one line per film, and
    `NUMBER-name.STRUCTURE.png` (8-bit, 0 or 255, the film's own size).

    Args:
        address: path or URL of the archive's folder.
        out: created if absent; must be empty.
        where: which films, see `parse_where`; all by default.
        masks: `png`, or `None` for none.

    Raises:
        UsageError: no archive, a folder that is not empty, or an invalid request.
        DeviceError: the archive's store does not answer, or denies access.
        InputError: a part is damaged.
        OutputError: the folder cannot be written.
    """
    if masks not in (None, *KINDS_OF_MASK):
        raise UsageError(f"--masks {masks}: choose from {', '.join(KINDS_OF_MASK)}")
    archive = Archive(address)
    schema = schema_of(archive.settings, archive.model.manifest)
    wanted = parse_where(where, schema) if where else None
    try:
        out.mkdir(parents=True, exist_ok=True)
        if next(out.iterdir(), None) is not None:
            raise UsageError(f"{out}: is not empty: choose another --out, or empty it")
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}): choose another --out") from error
    films = pictures = 0
    columns = [name for name in schema.names if masks or name != "masks"]
    for shard, rows in groupby(_rows(archive, schema, columns, wanted), key=lambda pair: pair[0]):
        folder = out / part_name(shard).partition(".")[0]
        folder.mkdir()
        lines = []
        for _, row in rows:
            files = [_write_mask(folder, row, name, mask) for name, mask in row.pop("masks", {}).items()]
            lines.append(json.dumps({**row, "files": files}, default=_plain) + "\n")
            pictures += len(files)
        write_atomically(folder / RECORDS_NAME, "".join(lines).encode())
        films += len(lines)
    flush_folder(out)
    return Exported(films, pictures)


def _rows(archive: Archive, schema: Any, columns: list[str], wanted: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows and their shards, part by part, a few at a time."""
    kind, store = dataset.ParquetFileFormat(), archive.store
    for shard in sorted(archive.parts()):
        fragment = kind.make_fragment(store.path(f"records/{part_name(shard)}"), store.system)
        with store.reading(f"records/{part_name(shard)}"):
            batches = fragment.to_batches(
                schema=schema, columns=columns, filter=wanted, batch_size=_ROWS, batch_readahead=1, fragment_readahead=1
            )
            for batch in batches:
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    yield shard, row


def _write_mask(folder: Path, row: dict[str, Any], structure: str, mask: dict[str, Any]) -> str:
    stem = plain_stem(row["name"]).encode()[:_LONGEST_STEM].decode(errors="ignore")
    name = f"{row['number']:09d}-{stem}.{structure}.png"
    picture = np.ascontiguousarray(decode_mask(mask)).view(np.uint8) * 255
    write_atomically(folder / name, encode_png(picture), lasting=False)
    return name


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    raise TypeError(f"{type(value).__name__} has no JSON")
