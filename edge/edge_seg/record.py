"""The record of a film: what was found, by what, and which files hold it. A film is done when its record says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar, TypeAlias

from edge_seg.assessment.doubt import Estimate
from edge_seg.assessment.film_gate import REJECT, WARN, Finding
from edge_seg.assessment.measurements import Area, Width
from edge_seg.film import Failure, Film
from edge_seg.identity import Patient, Uids, identity_of
from edge_seg.model_file import Manifest
from edge_seg.notice import RESEARCH_USE
from edge_seg.segmenter import Segmentation
from edge_seg.typed_json import read_fields
from edge_seg.version import __version__

SCHEMA = 1
"""Version of the record's fields; readers must refuse versions they do not support."""

_PLAIN_NAME = re.compile(r"[^/\\\0]+")


@dataclass(frozen=True)
class FilmFacts:
    """The film itself; see `Film`. `bits` is per stored pixel, `sha256` is of the file it came from."""

    height: int
    width: int
    bits: int
    spacing_mm: tuple[float, ...] | None
    view: str | None
    taken_at: str | None
    age_s: float | None
    sha256: str | None
    unique_name: bool = False
    spacing_origin: str | None = None
    spacing_plane: str = "unknown"
    orientation: str = "L/F"
    orientation_known: bool = False

    @classmethod
    def of(cls, film: Film, names: bool = False) -> FilmFacts:
        """The facts of a film; `taken_at` only if patients may be named, or the film has no header."""
        bits = film.pixels.dtype.itemsize * 8
        return cls(
            *film.shape,
            bits,
            spacing_mm=film.spacing_mm,
            view=film.view,
            taken_at=film.taken_at if names or film.header is None else None,
            age_s=film.age_s,
            sha256=film.checksum,
            unique_name=film.unique_name,
            spacing_origin=film.spacing_origin,
            spacing_plane=film.spacing_plane,
            orientation=film.orientation.letters,
            orientation_known=film.orientation_known,
        )


@dataclass(frozen=True)
class ModelFacts:
    """The model that ran. `sha256` is of its flatbuffer, `input` is `(height, width)` in pixels."""

    name: str
    version: str
    quantisation: str
    sha256: str
    input: tuple[int, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> ModelFacts:
        """The facts of a model from its manifest."""
        known = (manifest.name, manifest.version, manifest.quantisation, manifest.flatbuffer_sha256)
        return cls(*known, tuple(manifest.input_shape))


@dataclass(frozen=True)
class QualityFacts:
    """The film gate's verdict and findings; `gate` is whether there was a gate."""

    gate: bool
    verdict: str = "accept"
    findings: tuple[Finding, ...] = ()

    @property
    def rejections(self) -> list[str]:
        """Why the film was rejected, in words."""
        return [finding.text for finding in self.findings if finding.verdict == REJECT]

    @property
    def warnings(self) -> list[str]:
        """Why a person should check the result, in words."""
        return [finding.text for finding in self.findings if finding.verdict == WARN]


@dataclass(frozen=True)
class WrittenFile:
    """A file of results; `name` is relative to the output folder, `bytes` its size."""

    name: str
    bytes: int
    sha256: str


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record contains.

    Attributes:
        edge_seg: version of the program.
        notice: what the result may be used for.
        recorded_at: ISO 8601, by the machine's clock.
        name, source: of the film.
        clock_offset_s: seconds by which the machine's clock was behind the counted time, see `clock`.
        status: `done` or `failed`.
    """

    edge_seg: str = __version__
    notice: str = RESEARCH_USE
    recorded_at: str = field(default_factory=_now)
    name: str
    source: str
    clock_offset_s: float | None = None

    status: ClassVar[str]

    @property
    def recorded(self) -> datetime:
        """When it was recorded, by the machine's clock."""
        stamp = datetime.fromisoformat(self.recorded_at)
        return stamp if stamp.tzinfo else stamp.replace(tzinfo=timezone.utc)

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object of schema `SCHEMA`."""
        plain = {key: value for key, value in asdict(self).items() if key not in _ABSENT or value is not None}
        head = {"schema": SCHEMA, "edge_seg": plain.pop("edge_seg"), "notice": plain.pop("notice")}
        return {**head, "status": self.status, **plain}


_ABSENT = frozenset({"patient", "clock_offset_s"})
"""Fields that are omitted from the JSON, rather than null, if they are `None`."""


@dataclass(frozen=True, kw_only=True)
class FailedRecord(Record):
    """The record of a film that could not be read or processed."""

    status: ClassVar[str] = "failed"

    error: str
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class DoneRecord(Record):
    """The record of a segmented film, or of one that the film gate rejected.

    Attributes:
        stem: prefix of the film's file names.
        dicom, patient: see `identity`.
        structures: definitions of the outlined structures, by name.
        areas, widths, ratios: measurements, see `assessment.measurements`.
        flagged: why measurements are not to be trusted, under the same names; empty if all are trusted.
        estimated_dice, estimated_dice_bound: see `Segmentation.trust` and `trust_bound`.
        estimates: the same by structure and derived region.
        cardiothoracic_of: see `Measurements`.
        timings_ms: milliseconds of each stage, writing included.
        products: what was requested.
        files: what was written.
    """

    status: ClassVar[str] = "done"

    stem: str
    dicom: Uids | None = None
    patient: Patient | None = None
    film: FilmFacts
    lung: str | None
    structures: dict[str, str] = field(default_factory=dict)
    areas: dict[str, Area] = field(default_factory=dict)
    widths: dict[str, Width] = field(default_factory=dict)
    ratios: dict[str, float | None] = field(default_factory=dict)
    flagged: dict[str, dict[str, str]] = field(default_factory=dict)
    estimated_dice: float | None = None
    estimated_dice_bound: float | None = None
    estimates: dict[str, Estimate] = field(default_factory=dict)
    cardiothoracic_of: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
    model: ModelFacts
    runtime: str = ""
    delegate: str = ""
    threads: int = 0
    quality: QualityFacts
    warnings: tuple[str, ...] = ()
    products: tuple[str, ...]
    files: tuple[WrittenFile, ...]

    @property
    def rejected(self) -> bool:
        """Whether the film gate rejected the film, so that nothing was segmented."""
        return self.quality.verdict == REJECT


AnyRecord: TypeAlias = DoneRecord | FailedRecord


def record_of(
    segmentation: Segmentation,
    stem: str,
    products: list[str],
    files: list[WrittenFile],
    timings_ms: dict[str, float],
    names: bool = False,
    clock_offset_s: float | None = None,
) -> DoneRecord:
    """The record of a segmented film.

    Args:
        segmentation: of the film.
        stem: prefix of the film's file names.
        products: what was requested (`mask`, `overlay`, `record`).
        files: what was written.
        timings_ms: all stages, writing included.
        names: whether the patient may be named; UIDs always are.
        clock_offset_s: see `Record`.
    """
    film, quality, measurements = segmentation.film, segmentation.quality, segmentation.measurements
    measured: dict[str, Mapping[str, object]] = {
        "areas": segmentation.areas,
        "widths": measurements.widths,
        "ratios": measurements.ratios,
    }
    flags = {kind: dict.fromkeys(values, "low trust") for kind, values in measured.items()}
    identity = identity_of(film, names)
    return DoneRecord(
        name=film.name,
        source=film.source,
        clock_offset_s=clock_offset_s,
        stem=stem,
        dicom=identity.dicom,
        patient=identity.patient,
        film=FilmFacts.of(film, names),
        lung=segmentation.lung,
        structures={structure.name: structure.definition for structure in segmentation.structures},
        areas=segmentation.areas,
        widths=measurements.widths,
        ratios=measurements.ratios,
        flagged=flags if segmentation.low_trust else {},
        estimated_dice=segmentation.trust,
        estimated_dice_bound=segmentation.trust_bound,
        estimates=segmentation.estimates,
        cardiothoracic_of=measurements.cardiothoracic_of,
        timings_ms=timings_ms,
        model=ModelFacts.of(segmentation.manifest),
        runtime=segmentation.runtime,
        delegate=segmentation.delegate,
        threads=segmentation.threads,
        quality=QualityFacts(segmentation.gate, quality.verdict, quality.findings),
        warnings=tuple(segmentation.warnings),
        products=tuple(products),
        files=tuple(files),
    )


def record_of_failure(failure: Failure, clock_offset_s: float | None = None) -> FailedRecord:
    """The record of a film that could not be read or processed."""
    return FailedRecord(
        name=failure.name,
        source=failure.source,
        clock_offset_s=clock_offset_s,
        error=" ".join(str(failure.error).split()),
        exit_code=failure.error.exit_code,
    )


def record_from_json(data: Any) -> AnyRecord:
    """Read a record from the output of `Record.to_json`; unknown fields are ignored.

    Raises:
        ValueError: it is not a record of schema `SCHEMA`.
    """
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"no record of schema {SCHEMA}")
    kinds: dict[Any, type[DoneRecord] | type[FailedRecord]] = {"done": DoneRecord, "failed": FailedRecord}
    kind = kinds.get(data.get("status")) if isinstance(data.get("status"), str) else None
    if kind is None:
        raise ValueError("no status of a record")
    record: AnyRecord = read_fields(kind, data, newer=True)
    if "recorded_at" not in data:
        raise ValueError("recorded_at is missing")
    datetime.fromisoformat(record.recorded_at)
    if isinstance(record, DoneRecord):
        for file in record.files:
            # Retention removes these files: a name must never lead out of the output folder.
            if not _PLAIN_NAME.fullmatch(file.name) or not file.name.startswith(f"{record.stem}."):
                raise ValueError(f"files: {file.name!r} is no file of this film")
    return record
