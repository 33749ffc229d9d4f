"""Whose film a record is of: the identifiers of its DICOM objects, and the patient where somebody asked for names."""

from __future__ import annotations

from typing import Any

from edge_seg.film import Film

_UIDS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID", "instance": "SOPInstanceUID"}


def identity_of(film: Film, names: bool = False) -> dict[str, Any]:
    """What a record says of a film's origin.

    Args:
        film: with or without a DICOM header.
        names: whether the patient may be named.

    Returns:
        `dicom`: UIDs of study, series and instance, `None` without a header; and, with `names` alone, `patient`: `name`
        and `id` as the header has them, empty where it has none.
    """
    if film.header is None:
        return {"dicom": None}
    identity: dict[str, Any] = {"dicom": {key: _text(film.header, tag) for key, tag in _UIDS.items()}}
    if names:
        identity["patient"] = {"name": _text(film.header, "PatientName"), "id": _text(film.header, "PatientID")}
    return identity


def _text(header: Any, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip()
    except (ValueError, TypeError, AttributeError, UnicodeError):
        # A header that cannot be read there must not cost the film.
        return ""
