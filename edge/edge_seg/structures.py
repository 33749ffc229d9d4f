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
        title: display name (`right lung`).
        colour: outline colour, `#rrggbb`.
        snomed: SNOMED CT concept identifier, empty if there is none.
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
    """A region derived from structures: the union of `of`, minus `without`.

    Attributes:
        name: identifier.
        of: structures that it is made of.
        without: structure that is left out, empty for none.
    """

    name: str
    of: tuple[str, ...]
    without: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The structures that decide where the region is."""
        return (*self.of, self.without) if self.without else self.of

    def known_from(self, names: Iterable[str]) -> bool:
        """Whether the region can be derived from structures of these names."""
        return set(self.parts) <= set(names)


DERIVED = (
    DerivedRegion("whole_lung", _LUNGS),
    DerivedRegion("visible_lung", _LUNGS, _SHADOW),
    DerivedRegion("visible_right_lung", _LUNGS[:1], _SHADOW),
    DerivedRegion("visible_left_lung", _LUNGS[1:], _SHADOW),
)
"""Regions that outlines may show although no single output gives them, for models whose lungs are whole."""

OWN = "own"
"""Name for a definition of lung that is neither, worded by whoever trained the model."""


def regions(masks: Mapping[str, np.ndarray], lung: str = "whole") -> dict[str, np.ndarray]:
    """The masks and the regions derived from them: whole lung, visible lung.

    Whole lung is the union of right and left lung. Visible lung is whole lung without cardiomediastinum, the
    other definition in use in the field. Each appears only if its parts are present.

    Args:
        masks: bool arrays of one shape, by structure name.
        lung: definition that the masks of the lungs follow; visible lungs cannot give a whole lung.
    """
    found = dict(masks)
    if set(_LUNGS) <= masks.keys():
        found[f"{lung}_lung"] = masks["right_lung"] | masks["left_lung"]
    if "whole_lung" in found and _SHADOW in masks:
        found["visible_lung"] = _without(found["whole_lung"], masks[_SHADOW])
    return found


def lung_definitions(structures: tuple[Structure, ...]) -> tuple[str, ...]:
    """Definitions of right and left lung that these outputs can give, the one they were trained on first.

    Whole lungs and the cardiomediastinum give visible lungs; visible lungs cannot give whole ones.
    """
    named = {structure.name: structure for structure in structures}
    if not set(_LUNGS) <= named.keys():
        return ()
    texts = {named[name].definition for name in _LUNGS}
    trained = next((key for key, text in LUNG_DEFINITIONS.items() if texts == {text}), OWN)
    return ("whole", "visible") if trained == "whole" and _SHADOW in named else (trained,)


def shows_chest(structures: tuple[Structure, ...]) -> bool:
    """Whether these structures are in the chest, so that films of anything else can be rejected."""
    known = {structure.name for structure in (*CHEST, *_BOTH_LUNGS)}
    return any(structure.name in known for structure in structures)


def visible_lungs(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The masks with the cardiomediastinum left out of both lungs.

    Args:
        masks: bool arrays of one shape, including whole right and left lung and the cardiomediastinum.
    """
    return {name: _without(mask, masks[_SHADOW]) if name in _LUNGS else mask for name, mask in masks.items()}


def _without(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    return mask > other  # on bools; `mask & ~other` needs a third array of the film's size


def with_definition(structures: tuple[Structure, ...], lung: str) -> tuple[Structure, ...]:
    """The structures with the definition of lung written out: `whole`, `visible`, or a text of one's own.

    A mask of both lungs keeps the definition that its name implies, unless the text is one's own.
    """
    own = lung not in LUNG_DEFINITIONS
    text = LUNG_DEFINITIONS.get(lung, lung)
    return tuple(
        replace(s, definition=text) if s.name in _LUNGS or (own and s.name.endswith("lung")) else s for s in structures
    )


_PALETTE = ("#35c4ff", "#ffb635", "#ff5c7a", "#7ce38b", "#c792ff", "#ffe45c", "#5cfff1", "#ff8f5c")


def structures_named(names: tuple[str, ...]) -> tuple[Structure, ...]:
    """Structures for these names: the chest's own where known, else plain ones with a colour from the palette."""
    known = {structure.name: structure for structure in (*CHEST, *_BOTH_LUNGS)}
    return tuple(
        known.get(name) or Structure(name, name.replace("_", " "), _PALETTE[i % len(_PALETTE)])
        for i, name in enumerate(names)
    )
