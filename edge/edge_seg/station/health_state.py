"""A typed snapshot of a session's health; `docs/reference/service.md` describes its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_seg.assessment.film_gate import ACCEPT, REJECT, WARN
from edge_seg.assessment.measurements import Area
from edge_seg.identity import Patient
from edge_seg.model_file import Manifest
from edge_seg.outputs.outbox import REASONS_NAME, Outbox
from edge_seg.record import AnyRecord, DoneRecord, FailedRecord
from edge_seg.sources import SourceState
from edge_seg.station.session import Summary

_STATUS = {REJECT: "rejected", WARN: "check", ACCEPT: "done"}
_OVERLAYS = (".overlay.jpg", ".overlay.png")


@dataclass(frozen=True)
class Measured:
    """Measurements of a segmented film for a list of films; see `DoneRecord`. `low_trust`: any of them is flagged."""

    low_trust: bool
    estimated_dice: float | None
    areas: Mapping[str, Area]
    ratios: Mapping[str, float | None]
    age_s: float | None
    taken_at: str | None

    @classmethod
    def of(cls, record: DoneRecord) -> Measured:
        """The measurements in a record; a rejected film has none, and zeros would look like findings."""
        areas, ratios = ({}, {}) if record.rejected else (record.areas, record.ratios)
        film = record.film
        return cls(bool(record.flagged), record.estimated_dice, areas, ratios, film.age_s, film.taken_at)


@dataclass(frozen=True)
class RecentFilm:
    """A film in a list of films.

    Attributes:
        number: identifies it in requests, until the next start.
        name, source, patient, recorded_at: see `Record`.
        status: `done`, `check`, `rejected` or `failed`.
        overlay: name of its overlay, if any.
        notes: what a reader should know, or why it failed.
        measured: `None` if it failed.
        layers: whether its outlines can be shown one by one.
        frames: for a camera, how many frames the entry stands for.
    """

    number: int
    name: str
    source: str
    patient: Patient | None
    recorded_at: str
    status: str
    overlay: str | None
    notes: tuple[str, ...]
    measured: Measured | None
    layers: bool
    frames: int = 1

    @classmethod
    def of(cls, number: int, record: AnyRecord, layers: bool) -> RecentFilm:
        """The film that a record describes."""
        if isinstance(record, FailedRecord):
            return cls(
                number,
                record.name,
                record.source,
                patient=None,
                recorded_at=record.recorded_at,
                status=record.status,
                overlay=None,
                notes=(record.error,),
                measured=None,
                layers=layers,
            )
        return cls(
            number,
            record.name,
            record.source,
            patient=record.patient,
            recorded_at=record.recorded_at,
            status=_STATUS[record.quality.verdict],
            overlay=next((file.name for file in record.files if file.name.endswith(_OVERLAYS)), None),
            notes=record.warnings,
            measured=Measured.of(record),
            layers=layers,
        )

    def to_json(self) -> dict[str, Any]:
        """The film as JSON: measurements are merged with the other fields, and left out if it failed."""
        plain = asdict(self)
        return plain | (plain.pop("measured") or {})


@dataclass(frozen=True)
class RunningModel:
    """The running model. `sha256` is that of its flatbuffer."""

    name: str
    version: str
    sha256: str

    @classmethod
    def of(cls, manifest: Manifest) -> RunningModel:
        """The model that a manifest describes."""
        return cls(manifest.name, manifest.version, manifest.flatbuffer_sha256)


@dataclass(frozen=True)
class FilmCounts:
    """Films seen since the start, by outcome."""

    done: int
    rejected: int
    failed: int
    skipped: int

    @classmethod
    def of(cls, summary: Summary) -> FilmCounts:
        """The counts of a session so far."""
        return cls(summary.done, summary.rejected, summary.failed, summary.skipped)


@dataclass(frozen=True)
class Sending:
    """State of an outbox, see `Outbox`. `waiting`, `refused` and `sent` are counts."""

    waiting: int
    refused: int
    sent: int
    trouble: str | None
    last_refusal: str | None

    @classmethod
    def of(cls, outbox: Outbox | None) -> Sending | None:
        """Current state of an outbox; `None` if nothing is sent."""
        if outbox is None:
            return None
        return cls(len(outbox), outbox.refused, outbox.sent, outbox.trouble, outbox.last_refusal)


@dataclass(frozen=True, kw_only=True)
class HealthState:
    """The health of a session.

    Attributes:
        notice: what results may be used for.
        edge_seg: version of the program.
        started_at: ISO 8601, by the machine's clock; `uptime_s` is independent of that clock.
        model, lung, runtime, delegate: what segments.
        films: counts since the start; inference on them took `inference_s`.
        sources: state of each source.
        outbox, notices: state of sending results to an archive and records to a receiver; `None` if nothing is sent.
        free_bytes: free space on the results disk.
        board, temperature_c, throttling: see `hardware`.
        recent: the newest films, newest first.
        problems: what is wrong now, in words.
        learning: which model waits for the next start, and the outcome of learning from corrections, in words.
    """

    notice: str
    edge_seg: str
    started_at: str
    uptime_s: float
    model: RunningModel
    lung: str | None
    runtime: str
    delegate: str
    films: FilmCounts
    inference_s: float
    sources: tuple[SourceState, ...]
    outbox: Sending | None
    notices: Sending | None
    free_bytes: int | None
    board: str
    temperature_c: float | None
    throttling: Mapping[str, list[str]] | None
    recent: tuple[RecentFilm, ...]
    problems: tuple[str, ...] = ()
    learning: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The state as JSON."""
        plain = asdict(self)
        return plain | {"recent": [film.to_json() for film in self.recent]}


def sending_problems(outbox: Sending | None, notices: Sending | None) -> Iterator[str]:
    """Problems with sending, in words."""
    for name, what, sending in (("outbox", "results", outbox), ("notices", "records", notices)):
        if sending and sending.trouble:
            yield f"{what} wait: {sending.trouble}"
        if sending and sending.refused:
            reason = f" (the last: {sending.last_refusal})" if sending.last_refusal else ""
            yield f"{sending.refused} {what} were set aside: see {name}/refused/{REASONS_NAME}{reason}"
