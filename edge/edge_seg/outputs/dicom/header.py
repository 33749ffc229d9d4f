"""What DICOM results take over from a film's header: only valid values, whatever the scanner wrote.

An archive files a result by patient and study and needs no more of the header. Every value is checked against its
value representation (PS3.5 section 6.2). Invalid ones are left blank and reported, so that a bad header never costs
the result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_seg.character_sets import CharacterSets
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.quiet import warnings_ignored

UTF_8 = "ISO_IR 192"
"""Specific Character Set of all results."""

_NEEDED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes that results always have, empty if the film lacks them (type 2 in PS3.3)."""

_WELCOME = ("IssuerOfPatientID", "PatientAge", "PatientSize", "PatientWeight", "StudyDescription")
"""Attributes that results have only if the film does (type 3)."""

_ENUMERATED = {"PatientSex": ("M", "F", "O")}  # PS3.3 section C.7.1.1.1
_MULTIPLE = {"PatientOrientation": 2, "PixelSpacing": 2}
_LINES = frozenset({"LT", "ST", "UT"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_UID = re.compile(r"(?!0(\.0)*$)[0-2](\.(0|[1-9]\d*))+")  # ISO/IEC 9834-1: three roots; all zeros name nothing
_OPPOSITE = {"A": "P", "P": "A", "L": "R", "R": "L", "H": "F", "F": "H"}
_FALLBACK_CLASS = "1.2.840.10008.5.1.4.1.1.1"  # Computed Radiography Image Storage


@dataclass(frozen=True)
class StudyHeader:
    """A film's header as results carry it.

    Attributes:
        dataset: pydicom's, with valid values in UTF-8: patient, study, UIDs, orientation, size and spacing of the film.
        notes: what could not be taken over, by attribute and without the value, which may name a person.
    """

    dataset: Any
    notes: tuple[str, ...]


def study_header(film: Film) -> StudyHeader:
    """The valid part of a film's header.

    Missing UIDs are derived from the film's content, invalid ones from their own text, so that a repeated run gives the
    same ones.

    Raises:
        InputError: the film came without a DICOM header.
    """
    import pydicom

    if film.header is None:
        raise InputError(f"{film.source}: came without a DICOM header: no DICOM object can be made of it")
    with warnings_ignored():
        # pydicom warns about every oddity that the scanner wrote into the header.
        reader = _Reader(film.header)
        made = pydicom.Dataset()
        made.SpecificCharacterSet = UTF_8
        for keyword in _NEEDED:
            setattr(made, keyword, reader.value(keyword) or "")
        for keyword in _WELCOME:
            if value := reader.value(keyword):
                setattr(made, keyword, value)
        made.SOPClassUID = reader.uid("SOPClassUID") or _FALLBACK_CLASS
        made.Modality = reader.value("Modality") or "DX"
        notes = _take_uids(made, reader, film)
        made.Rows, made.Columns = film.shape
        made.PatientOrientation = _orientation(reader)
        spacing = [float(value) for value in reader.values("PixelSpacing")]
        if len(spacing) == 2 and min(spacing) > 0:
            made.PixelSpacing = spacing
    return StudyHeader(made, (*reader.notes(), *notes))


def _take_uids(made: Any, reader: _Reader, film: Film) -> list[str]:
    """Set the UIDs of study, series and film in the header, generating them if needed, and return notes on that."""
    from pydicom.uid import generate_uid

    notes = []
    for keyword, consequence in (
        ("StudyInstanceUID", "its DICOM results form a study of their own"),
        ("SeriesInstanceUID", ""),
        ("SOPInstanceUID", "its DICOM results refer to no film in an archive"),
    ):
        uid = reader.uid(keyword)
        if not uid:
            # Films of one study with the same invalid UID stay together.
            origin = reader.text(keyword) or film.checksum or film.source
            uid = str(generate_uid(entropy_srcs=[keyword, origin]))
            if consequence:
                notes.append(f"the film has no valid {_title(keyword)}: {consequence}")
        setattr(made, keyword, uid)
    return notes


def _orientation(reader: _Reader) -> list[str]:
    """Patient Orientation (PS3.3 section C.7.6.1.1.1), empty if it is missing or makes no sense."""
    found = reader.values("PatientOrientation")
    sides = [set(value) for value in found]
    if len(sides) != 2 or not all(sides):
        return []
    sound = all(
        len(value) == len(letters) and letters <= _OPPOSITE.keys() and not {_OPPOSITE[c] for c in letters} & letters
        for value, letters in zip(found, sides, strict=True)
    )
    along, down = (value[0] for value in found)
    if not sound or down in (along, _OPPOSITE[along]):
        reader.invalid.append("PatientOrientation")
        return []
    return found


class _Reader:
    """Reads the valid attributes of a header and remembers the invalid ones."""

    def __init__(self, header: Any) -> None:
        self._header = header
        self._sets = CharacterSets.of(header)
        self.invalid: list[str] = []
        self.guessed: list[str] = []

    def text(self, keyword: str) -> str:
        """The attribute's text, decoded, without padding; empty if it is missing."""
        try:
            return self._decoded(keyword).strip(" \0")
        # pydicom decodes some values on access and can raise anything for damaged ones.
        except Exception:
            self.invalid.append(keyword)
            return ""

    def _decoded(self, keyword: str) -> str:
        decoded, sure = self._sets.text(self._header, keyword)
        if not sure:
            self.guessed.append(keyword)
        return decoded

    def values(self, keyword: str) -> list[str]:
        """The attribute's values; none if it is missing, empty or invalid."""
        from pydicom.datadict import dictionary_VR

        text, vr = self.text(keyword), dictionary_VR(keyword)
        if not text:
            return []
        single = vr in _LINES
        found = [text] if single else [part.strip(" \0") for part in text.split("\\")]
        allowed = _ENUMERATED.get(keyword)
        if (
            len(found) != _MULTIPLE.get(keyword, 1)
            or not all(_is_valid(vr, part) for part in found)
            or (allowed and not set(found) <= set(allowed))
        ):
            self.invalid.append(keyword)
            return []
        return found

    def value(self, keyword: str) -> str:
        """The attribute's single value, empty if it is missing or invalid."""
        return next(iter(self.values(keyword)), "")

    def uid(self, keyword: str) -> str:
        """A UID, from the file meta information if the data set has none."""
        text = self.text(keyword)
        if not text:
            meta = getattr(self._header, "file_meta", None) or {}
            text = str(meta.get(f"MediaStorage{keyword}", "") or "").strip(" \0")
        return text if text and _is_valid("UI", text) else ""

    def notes(self) -> list[str]:
        """What to report about the header."""
        notes = []
        if self.invalid:
            notes.append(f"left blank in DICOM results, since invalid in the film's header: {_titles(self.invalid)}")
        if self.guessed:
            notes.append(f"not in the character set that the film's header declares: {_titles(self.guessed)}")
        return notes


def _is_valid(vr: str, text: str) -> bool:
    """Whether text is valid for a value representation (PS3.5 section 6.2)."""
    from pydicom import config
    from pydicom.valuerep import TM, validate_value

    if (_CONTROL_BUT_LINES if vr in _LINES else _CONTROL).search(text):
        return False
    try:
        validate_value(vr, text, config.RAISE)
        if vr == "DA":
            # Eight digits that are a calendar day.
            datetime.strptime(text, "%Y%m%d")
        elif vr == "TM":
            TM(text)
        elif vr == "DS":
            return abs(float(text)) < float("inf")
        elif vr == "UI":
            return bool(_UID.fullmatch(text))
        elif vr == "PN":
            return all(group.count("^") < 5 for group in text.split("="))
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _titles(keywords: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(_title(keyword) for keyword in keywords))


def _title(keyword: str) -> str:
    from pydicom.datadict import dictionary_description

    return dictionary_description(keyword)
