"""The orientation of a film, by its header.

Patient Orientation (0020,0020) gives the direction of rows and columns in the patient (PS3.3 C.7.6.1.1.1): `L\\F` is a
frontal film as it is read, from the front, head up. Field of View Rotation and Horizontal Flip (0018,7032 and 7034,
PS3.3 C.8.11.4) say what was done to the pixels since they left the detector, not how the patient stood in front of it.
Patient Orientation describes the pixels as they are, so nothing more has to be undone; without it, the other two only
show that someone turned the film.
"""

from __future__ import annotations

from typing import Any

from edge_seg.errors import InputError
from edge_seg.orientation import UPRIGHT, Orientation
from edge_seg.sources.dicom.attributes import number, text, texts

_ACROSS, _ALONG, _THROUGH = "LR", "FH", "AP"


def orientation_of(dataset: Any, path: str) -> tuple[Orientation, bool, tuple[str, ...]]:
    """What turns the film upright, whether the header says so, and warnings about it.

    Raises:
        InputError: the header says that it is not a frontal film.
    """
    notes = _notes(dataset)
    said = [value.upper() for value in texts(dataset, "PatientOrientation")]
    nonsense = f"patient orientation {'/'.join(said)} makes no sense: ignored"
    if len(said) != 2 or not all(said):
        return UPRIGHT, False, (*notes, *([nonsense] if any(said) else []), *_field_of_view(dataset))
    # Oblique directions name their main one first.
    row, column = said[0][0], said[1][0]
    if _axes(row, column) == {_ALONG, _THROUGH}:
        raise InputError(f"{path}: a lateral film by its header (orientation {'/'.join(said)}): give a frontal one")
    if _axes(row, column) == {_ACROSS, _THROUGH}:
        raise InputError(f"{path}: seen from above or below by its header ({'/'.join(said)}): give a frontal film")
    if _axes(row, column) != {_ACROSS, _ALONG}:
        return UPRIGHT, False, (*notes, nonsense)
    transposed = row in _ALONG
    across, along = (column, row) if transposed else (row, column)
    return Orientation(transposed, rows_reversed=along == "H", columns_reversed=across == "R"), True, notes


def _axes(*letters: str) -> set[str]:
    return {axis for letter in letters for axis in (_ACROSS, _ALONG, _THROUGH) if letter in axis}


def _field_of_view(dataset: Any) -> tuple[str, ...]:
    flipped = text(dataset, "FieldOfViewHorizontalFlip") == "YES"
    turned = number(dataset, "FieldOfViewRotation", 0) % 360
    if not flipped and not turned:
        return ()
    ways = (f"turned by {turned:.0f} degrees" if turned else "", "flipped" if flipped else "")
    done = " and ".join(filter(None, ways))
    return (f"the film was {done} at the detector and the header gives no patient orientation: check the side marker",)


def _notes(dataset: Any) -> tuple[str, ...]:
    """Warn of a laterality (0020,0060 and 0020,0062), which means a film of one side."""
    side = text(dataset, "ImageLaterality") or text(dataset, "Laterality")
    name = {"L": "left", "R": "right"}.get(side[:1])
    return (f"by its header a film of the {name} side alone: check that both lungs are on it",) if name else ()
