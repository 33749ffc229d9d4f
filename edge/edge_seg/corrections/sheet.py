"""What the editor starts from: a film, the model's outlines, and those of the newest version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edge_seg.corrections.outline import Points


@dataclass(frozen=True)
class SheetStructure:
    """A structure to be corrected.

    Attributes:
        name, title, colour: see `Structure`.
        model: rings of the model's outline.
        now: rings of the newest version; `None` if they are the model's.
    """

    name: str
    title: str
    colour: str
    model: tuple[Points, ...]
    now: tuple[Points, ...] | None


@dataclass(frozen=True)
class Window:
    """Which values of a film are shown, in per cent of the usual contrast and brightness; see `to_grey8`."""

    contrast: int = 100
    brightness: int = 100


USUAL = Window()


@dataclass(frozen=True)
class Sheet:
    """A film to be corrected.

    Attributes:
        name: of the film.
        width, height: in pixels, the unit of all rings.
        bits: per pixel; with more than 8, a picture shows only part of the range.
        base: number of the newest version, 0 if there is none.
        verdict, absent, who: of the newest version.
        structures: in the order of the model.
    """

    name: str
    width: int
    height: int
    bits: int
    base: int
    verdict: str | None
    absent: tuple[str, ...]
    who: str
    structures: tuple[SheetStructure, ...]

    def to_json(self) -> dict[str, Any]:
        """The sheet as a JSON object."""
        return asdict(self)
