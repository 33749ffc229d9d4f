"""The view of a film: PA or AP, in every spelling; laterals and obliques are refused, as the model handles neither.

View Position (0018,5101) is free text in CR (PS3.3 C.8.1.1) and one of a list in DX (C.8.11.5), where View Code
Sequence (0054,0220) gives the same as codes of CID 4010.
"""

from __future__ import annotations

import re
from typing import Any

from edge_seg.errors import InputError
from edge_seg.sources.dicom.attributes import items, text, texts

# CID 4010 "DX View" of PS3.16: SNOMED CT, and the SNOMED RT codes it listed before 2019.
_CODES = {
    "AP": {"399348003", "R-10206"},
    "PA": {"272479007", "R-10214", "R-40888"},
    "lateral": {
        *("399067008", "399173006", "399198007", "399352003", "399260004", "30730003"),
        *("R-102CD", "R-10236", "R-10232", "R-10228", "R-10224", "G-A145"),
    },
    "oblique": {
        *("399182000", "399184004", "399236003", "399135007", "399356000", "399038007", "399006002", "399312000"),
        *("399059000", "260427002", "260426006", "399160007", "R-102C1", "R-10238", "R-10234", "R-10220", "R-40985"),
        *("R-10210", "R-10212", "R-10208", "R-10216", "R-40783"),
    },
}

# Defined terms of PS3.3 C.8.1.1 and C.8.11.5.1.1, and what technicians write instead of them.
_WORDS = {
    "AP": {"AP", "APS", "SUPINEAP"},
    "PA": {"PA"},
    "lateral": {
        *("LL", "RL", "LAT", "LATERAL", "LATERALLEFT", "LATERALRIGHT", "LLAT", "RLAT", "LATL", "LATR"),
        *("LEFTLATERAL", "RIGHTLATERAL", "LATERO", "SEITLICH", "PROFIL", "PROFILE", "LATERALE", "SAGITTAL"),
        *("ML", "LM", "MEDIOLATERAL", "LATEROMEDIAL", "XTABLE", "CROSSTABLE"),
    },
    "decubitus": {"LLD", "RLD", "DECUBITUS", "DECUB", "LDECUB", "RDECUB"},
    "oblique": {"LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE"},
}
# How such words begin in many languages and abbreviations, behind a side or a part of the body.
_STEMS = {
    "AP": re.compile(r"AP(?=SUP|ERECT|UPRIGHT|SEMI|SIT|STAND|PORT|MOBIL|BED)"),
    "PA": re.compile(r"PA(?=ERECT|UPRIGHT|STAND|SIT)"),
    "lateral": re.compile(r"LAT(?!E$|EST$)|PROFIL|PERFIL"),
    "decubitus": re.compile(r"DECUB"),
    "oblique": re.compile(r"OBL"),
}
_SPELLED_OUT = {
    "AP": re.compile(r"(?<![A-Z])ANT(ERO|ERIOR)?[^A-Z]*POST(ERIOR)?(?![A-Z])"),
    "PA": re.compile(r"(?<![A-Z])POST(ERO|ERIOR)?[^A-Z]*ANT(ERIOR)?(?![A-Z])"),
}
_BEFORE_STEM = re.compile(r"(LEFT|RIGHT|LT|RT|L|R|CHEST|THORAX|LATERO)(?=LAT|PROF|DECUB|OBL)")
_REFUSED = {"lateral": "a lateral", "decubitus": "a decubitus", "oblique": "an oblique"}


def view_of(dataset: Any) -> str | None:
    """`PA`, `AP`, `lateral`, `decubitus` or `oblique`; any other View Position as it is; `None` without one.

    A view that is not frontal takes precedence over a frontal one, and View Position over the code.
    """
    said = _view_position(dataset)
    kinds = [_kind_of_text(said), *(_kind_of_code(item) for item in items(dataset, "ViewCodeSequence"))]
    known = [kind for kind in kinds if kind is not None]
    return next((kind for kind in known if kind in _REFUSED), next(iter(known), said or None))


def refuse_other_views(dataset: Any, path: str) -> None:
    """Refuse films that are not a frontal view by their header.

    Raises:
        InputError: a lateral, decubitus or oblique film.
    """
    view = view_of(dataset)
    if view is not None and view in _REFUSED:
        said = _view_position(dataset) or "the view code"
        raise InputError(f"{path}: {_REFUSED[view]} film by its header ({said}): give a frontal one, PA or AP")


def _view_position(dataset: Any) -> str:
    return " ".join(texts(dataset, "ViewPosition")).strip().upper()


def _kind_of_text(said: str) -> str | None:
    for short, long in _SPELLED_OUT.items():
        said = long.sub(short, said)
    words = re.findall(r"[A-Z]+", re.sub(r"\b([A-Z])[.\- /]+(?=[A-Z]\b)", r"\1", said))
    words.append("".join(words))
    kinds = [kind for word in words for kind, known in _WORDS.items() if word in known]
    stems = [_BEFORE_STEM.sub("", word, count=1) if _BEFORE_STEM.match(word) else word for word in words]
    kinds += [kind for word in stems for kind, stem in _STEMS.items() if stem.match(word)]
    return next((kind for kind in kinds if kind in _REFUSED), next(iter(kinds), None))


def _kind_of_code(item: Any) -> str | None:
    code = text(item, "CodeValue") or text(item, "LongCodeValue")
    kind = next((kind for kind, codes in _CODES.items() if code in codes), None)
    return kind or _kind_of_text(text(item, "CodeMeaning").replace("-", ""))
