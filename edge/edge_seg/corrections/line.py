"""One saved version of a film's outlines: a line of `corrections.jsonl`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from edge_seg.notice import RESEARCH_USE
from edge_seg.record import WrittenFile
from edge_seg.typed_json import read_fields
from edge_seg.version import __version__

SCHEMA = 1
"""Version of the fields; readers must refuse one they do not know."""

CORRECTED, RIGHT, CANNOT_JUDGE = "corrected", "right", "cannot be judged"
VERDICTS = (CORRECTED, RIGHT, CANNOT_JUDGE)
"""A person's verdict on a film: outlines were changed, the model's are right, or it cannot be judged."""

_PLAIN_NAME = re.compile(r"[^/\\\0]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelOfCorrection:
    """The model whose outlines were looked at. `sha256` is of its flatbuffer."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What a person decided about a film.

    Attributes:
        number: of the version, from 1, counted over all films of the folder.
        film: stem of the film's file names, as `DoneRecord.stem`.
        verdict: one of `VERDICTS`.
        who: the name that the person chose.
        when: ISO 8601, by the machine's clock.
        model: the one whose outlines were looked at.
        patient: a keyed hash, which tells one patient's films from another's and nothing else.
        split: `train`, `val` or `test`; a patient always keeps the first one.
        height, width: of the film and its masks in pixels, upright.
        structures: all that have an outline in this version, changed or not.
        changed: those that differ from before.
        drawn: those drawn from scratch, without an outline from the model.
        absent: those that the film does not show.
        seconds: from opening the editor to saving.
        actions: drags, strokes and button presses between the two.
        files: names (relative to the folder of corrections), sizes and checksums of the files written.
    """

    edge_seg: str = __version__
    notice: str = RESEARCH_USE
    number: int
    film: str
    verdict: str
    who: str
    when: str
    model: ModelOfCorrection
    patient: str
    split: str
    height: int
    width: int
    structures: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    seconds: float = 0.0
    actions: int = 0
    files: tuple[WrittenFile, ...] = ()

    @property
    def is_judged(self) -> bool:
        """Whether the film can be learned from."""
        return self.verdict != CANNOT_JUDGE

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object."""
        return {"schema": SCHEMA, **asdict(self)}


def correction_from_json(data: Any) -> Correction:
    """The correction from what `Correction.to_json` gave; fields unknown to this version are ignored.

    Raises:
        ValueError: it is not a correction of schema `SCHEMA`.
    """
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"no correction of schema {SCHEMA}")
    found = read_fields(Correction, data, newer=True)
    if found.verdict not in VERDICTS:
        raise ValueError(f"no verdict is called {found.verdict!r}")
    # Paths are built from these: none may lead out of the folder.
    for name in (found.film, *found.structures):
        if not _PLAIN_NAME.fullmatch(name) or name.startswith("."):
            raise ValueError(f"{name!r} is no name of a film or structure")
    if found.split not in ("train", "val", "test"):
        raise ValueError(f"no split is called {found.split!r}")
    if not all(_SHA256.fullmatch(file.sha256) for file in found.files):
        raise ValueError("files: no checksum")
    datetime.fromisoformat(found.when)
    return found
