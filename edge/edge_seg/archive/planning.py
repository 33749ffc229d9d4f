"""Plans an archive: freezes its list of films, and what will segment them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
from pyarrow import parquet

from edge_seg.archive.contents import (
    MODEL_NAME,
    SETTINGS_NAME,
    PlannedFilm,
    Settings,
    part_name,
    settings_of,
    write_settings,
)
from edge_seg.archive.sources import Films, Found
from edge_seg.archive.store import Store
from edge_seg.errors import InputError, UsageError
from edge_seg.model_file import ModelFile
from edge_seg.segmenter import Segmenter

FILMS_PER_SHARD = 1000

MOST_FILMS_PER_SHARD = 100_000
"""A part is built in memory, at some 20 kB per film."""

_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("source", pa.string()),
        ("size", pa.int64()),
        ("modified_ns", pa.int64()),
        ("problem", pa.string()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """What was planned.

    Attributes:
        settings: of the archive.
        problems: films already known to be unreadable; their records will say why.
        passed_over: files that are not films.
    """

    settings: Settings
    problems: int
    passed_over: int


def plan(
    sources: Sequence[str],
    address: str,
    *,
    model: str = "lungs",
    lung: str | None = None,
    gate: bool = True,
    films_per_shard: int = FILMS_PER_SHARD,
) -> Plan:
    """Plan an archive: list the films with size and time of each, and store the model beside them.

    Args:
        sources: folders, files, globs, URLs (`s3://bucket/films`), addresses of DICOMweb services, and lists of films
            (CSV or Parquet).
        address: path or URL of the archive's folder.
        model: shipped model or model file.
        lung, gate: see `Segmenter`.
        films_per_shard: films per part; losing a worker loses at most one part.

    Raises:
        UsageError: an archive is already planned there, or records are left of one; an invalid request.
        InputError: there are no films.
        ModelError: no such model.
        OutputError: the folder cannot be written.
        DeviceError: a service or store does not answer, or denies access.
    """
    if not 1 <= films_per_shard <= MOST_FILMS_PER_SHARD:
        raise UsageError(f"{films_per_shard} films per shard: give 1 to {MOST_FILMS_PER_SHARD}")
    store = Store(address)
    if store.holds(SETTINGS_NAME):
        raise UsageError(f"{address}: an archive is planned there already: run it, or choose another --out")
    if store.list("records"):
        # They would count as films of this plan.
        raise UsageError(f"{address}: holds records of another archive: choose another --out, or remove records/ in it")
    file = ModelFile.read(model)
    segmenter = Segmenter(file, lung=lung, gate=gate)
    # Left over from an unfinished plan.
    for name in store.list("manifest"):
        store.remove(f"manifest/{name}")
    films, shape = Films(sources), settings_of(segmenter, 0, films_per_shard)
    shards = _shards(films, films_per_shard)
    made = iter(lambda: _manifest(islice(shards, shape.shards_of_a_manifest)), (b"", 0, 0))
    count = problems = 0
    for index, (data, some, bad) in enumerate(made):
        store.write(f"manifest/{part_name(index)}", data)
        count, problems = count + some, problems + bad
    if not count:
        raise InputError(f"no films in {', '.join(sources) or 'nothing'}: give PNG, JPEG, TIFF or DICOM files")
    settings = settings_of(segmenter, count, films_per_shard)
    store.write(MODEL_NAME, file.to_bytes())
    write_settings(store, settings)
    return Plan(settings, problems, films.passed_over)


def _shards(films: Iterable[Found], size: int) -> Iterator[list[PlannedFilm]]:
    numbered = (PlannedFilm(number, **vars(found)) for number, found in enumerate(films))
    while some := list(islice(numbered, size)):
        yield some


def _manifest(shards: Iterable[list[PlannedFilm]]) -> tuple[bytes, int, int]:
    """A file of the manifest, its number of films, and how many are unreadable; empty without a shard."""
    sink, films, problems = pa.BufferOutputStream(), 0, 0
    with parquet.ParquetWriter(sink, _SCHEMA, compression="zstd") as writer:
        for shard in shards:
            # Each call makes a row group.
            writer.write_table(pa.Table.from_pylist([vars(film) for film in shard], _SCHEMA))
            films += len(shard)
            problems += sum(film.problem is not None for film in shard)
    return (sink.getvalue().to_pybytes(), films, problems) if films else (b"", 0, 0)
