"""The anatomical structures a model outlines, and the regions derived from them.

SNOMED CT codes are those of the DICOM context groups for chest anatomy (PS3.16, CID 4031 and CID 7151).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Structure:
    """One output of a network.

    Attributes:
        name: identifier used in file names and records (`right_lung`).
        title: as a person reads it (`right lung`).
        colour: outline colour, `#rrggbb`.
        snomed: SNOMED CT concept identifier, empty where there is none.
        definition: what exactly is outlined; two definitions of "lung" are in use.
    """

    name: str
    title: str
    colour: str
    snomed: str = ""
    definition: str = ""


LUNG_DEFINITIONS = {
    "whole": "the whole lung on the patient's side of that name, with the part behind the heart",
    "visible": "the visible lung field on the patient's side of that name, cardiomediastinum left out",
}
"""The two definitions of lung in use in the field; scores of one say nothing about the other."""

_LUNGS, _SHADOW = ("right_lung", "left_lung"), "cardiomediastinum"
_WHOLE = LUNG_DEFINITIONS["whole"]

CHEST = (
    Structure("right_lung", "right lung", "#35c4ff", "3341006", _WHOLE),
    Structure("left_lung", "left lung", "#ffb635", "44029006", _WHOLE),
    Structure(
        "cardiomediastinum",
        "cardiomediastinum",
        "#ff5c7a",
        "72410000",
        "heart and mediastinal shadow; overlaps the lungs",
    ),
    Structure(
        "heart",
        "heart",
        "#c792ff",
        "80891009",
        "the heart alone, without mediastinum and great vessels; overlaps the lungs and lies in the cardiomediastinum",
    ),
)
"""What the shipped models outline; right and left are the patient's."""

_BOTH_LUNGS = (
    Structure("whole_lung", "whole lung", "#35c4ff", "39607008", "both whole lungs, with the part behind the heart"),
    Structure(
        "visible_lung", "visible lung", "#35c4ff", "39607008", "both visible lung fields, cardiomediastinum left out"
    ),
)


@dataclass(frozen=True)
class DerivedRegion:
    """A region that follows from structures: all of `of` together, less `without`.

    Attributes:
        name: identifier.
        of: structures that it is made of.
        without: structure that is left out, empty where none is.
    """

    name: str
    of: tuple[str, ...]
    without: str = ""

    def known_from(self, names: Iterable[str]) -> bool:
        """Whether structures of these names give the region."""
        return {*self.of, *([self.without] if self.without else [])} <= set(names)


DERIVED = (
    DerivedRegion("whole_lung", _LUNGS),
    DerivedRegion("visible_lung", _LUNGS, _SHADOW),
    DerivedRegion("visible_right_lung", _LUNGS[:1], _SHADOW),
    DerivedRegion("visible_left_lung", _LUNGS[1:], _SHADOW),
)
"""What outlines may show that no output gives by itself, of models whose lungs are whole."""

OWN = "own"
"""What a definition of lung is called that is neither: whoever trained the model put it into words of their own."""


def regions(masks: Mapping[str, np.ndarray], lung: str = "whole") -> dict[str, np.ndarray]:
    """The masks and the regions derived from them: whole lung, visible lung.

    Whole lung is right or left lung. Visible lung is whole lung without cardiomediastinum, the
    other definition in use in the field. Each appears only where its parts are there.

    Args:
        masks: bool arrays of one shape, by structure name.
        lung: definition that the masks of the lungs follow; from visible lungs no whole lung can be had.
    """
    found = dict(masks)
    if set(_LUNGS) <= masks.keys():
        found[f"{lung}_lung"] = masks["right_lung"] | masks["left_lung"]
    if "whole_lung" in found and _SHADOW in masks:
        found["visible_lung"] = _without(found["whole_lung"], masks[_SHADOW])
    return found


def lung_definitions(structures: tuple[Structure, ...]) -> tuple[str, ...]:
    """Definitions by which these outputs can give right and left lung, the one they were trained on first.

    From whole lungs visible ones can be had, with the cardiomediastinum; from visible lungs no whole ones.
    """
    named = {structure.name: structure for structure in structures}
    if not set(_LUNGS) <= named.keys():
        return ()
    texts = {named[name].definition for name in _LUNGS}
    trained = next((key for key, text in LUNG_DEFINITIONS.items() if texts == {text}), OWN)
    return ("whole", "visible") if trained == "whole" and _SHADOW in named else (trained,)


def shows_chest(structures: tuple[Structure, ...]) -> bool:
    """Whether these structures lie in the chest, so that films of anything else can be turned away."""
    known = {structure.name for structure in (*CHEST, *_BOTH_LUNGS)}
    return any(structure.name in known for structure in structures)


def visible_lungs(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The masks with the cardiomediastinum left out of both lungs.

    Args:
        masks: bool arrays of one shape; whole right and left lung and the cardiomediastinum among them.
    """
    return {name: _without(mask, masks[_SHADOW]) if name in _LUNGS else mask for name, mask in masks.items()}


def _without(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    return mask > other  # of bools; `mask & ~other` needs a third picture of the film's size


def with_definition(structures: tuple[Structure, ...], lung: str) -> tuple[Structure, ...]:
    """The structures with the lungs' definition written out: `whole`, `visible`, or words that say it themselves.

    A mask of both lungs whose name tells the definition keeps that of its name, unless the words are one's own.
    """
    own = lung not in LUNG_DEFINITIONS
    text = LUNG_DEFINITIONS.get(lung, lung)
    return tuple(
        replace(s, definition=text) if s.name in _LUNGS or (own and s.name.endswith("lung")) else s for s in structures
    )


_PALETTE = ("#35c4ff", "#ffb635", "#ff5c7a", "#7ce38b", "#c792ff", "#ffe45c", "#5cfff1", "#ff8f5c")


def structures_named(names: tuple[str, ...]) -> tuple[Structure, ...]:
    """Structures for these names: the chest's own where known, else plain ones with a colour of the palette."""
    known = {structure.name: structure for structure in (*CHEST, *_BOTH_LUNGS)}
    return tuple(
        known.get(name) or Structure(name, name.replace("_", " "), _PALETTE[i % len(_PALETTE)])
        for i, name in enumerate(names)
    )
