"""The age of a patient and the time of an exposure; neither name nor ID is read."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from edge_seg.sources.dicom.attributes import text

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_OLDEST = 130.0


def years_of(dataset: Any) -> float | None:
    """Age at the time of the study: by Patient's Age (0010,1010; `018M`), else by birth date and study date."""
    said = re.fullmatch(r"(\d{1,3}) ?([DWMY])", text(dataset, "PatientAge"))
    if said:
        return int(said[1]) * _YEARS[said[2]]
    born, studied = _date(text(dataset, "PatientBirthDate")), _date(text(dataset, "StudyDate"))
    if born is None or studied is None:
        return None
    years = (studied - born).days / 365.25
    return years if 0 <= years <= _OLDEST else None


def taken_at(dataset: Any) -> str | None:
    """ISO 8601 time of exposure, as far as known."""
    day = next((d for d in (text(dataset, f"{k}Date") for k in ("Acquisition", "Content", "Study")) if d), "")
    clock = next((c for c in (text(dataset, f"{k}Time") for k in ("Acquisition", "Content")) if c), "")
    if not re.fullmatch(r"\d{8}", day):
        return None
    iso = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return f"{iso}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}" if re.match(r"\d{6}", clock) else iso


def _date(said: str) -> date | None:
    try:
        return date(int(said[:4]), int(said[4:6]), int(said[6:8])) if re.fullmatch(r"\d{8}", said) else None
    except ValueError:
        return None
