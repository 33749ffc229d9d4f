"""Whose film a record describes: the identifiers of its DICOM objects, and the patient if names are requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_seg.character_sets import CharacterSets
from edge_seg.film import Film


@dataclass(frozen=True)
class Uids:
    """UIDs of a film's study, series and instance; empty where the header has none."""

    study: str
    series: str
    instance: str


@dataclass(frozen=True)
class Patient:
    """Name and ID from the header, empty where it has none."""

    name: str
    id: str


@dataclass(frozen=True)
class Identity:
    """What a record says about a film's origin.

    Attributes:
        dicom: `None` for a film without a DICOM header.
        patient: `None` unless names are requested.
    """

    dicom: Uids | None = None
    patient: Patient | None = None


def identity_of(film: Film, names: bool = False) -> Identity:
    """What a record says about a film's origin.

    Args:
        film: with or without a DICOM header.
        names: whether the patient may be named.
    """
    header = film.header
    if header is None:
        return Identity()
    sets = CharacterSets.of(header)
    uids = Uids(*(_text(header, sets, tag) for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")))
    if not names:
        return Identity(uids)
    return Identity(uids, Patient(_text(header, sets, "PatientName"), _text(header, sets, "PatientID")))


def _text(header: Any, sets: CharacterSets, keyword: str) -> str:
    try:
        return sets.text(header, keyword)[0].strip(" \0")
    # pydicom may raise anything on a damaged value, and a bad header must not fail the film.
    except Exception:
        return ""
