"""What the editor sends, checked and turned into masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_seg.corrections.line import CANNOT_JUDGE, RIGHT, VERDICTS
from edge_seg.corrections.outline import MOST_POINTS, MOST_RINGS, Points, mask_of
from edge_seg.errors import InputError
from edge_seg.record import DoneRecord
from edge_seg.typed_json import parse_object, read_fields

LONGEST_NAME = 80
"""Characters in the name of the person who corrects."""


@dataclass(frozen=True)
class Said:
    """What the editor sends.

    Attributes:
        base: number of the version that was changed.
        who: name that the person chose.
        verdict: one of `VERDICTS`.
        outlines: rings of the structures that were changed, in the film's pixels; the others stay as they are.
        absent: structures that the film does not show.
        seconds, actions: what the correction took.
    """

    base: int
    who: str
    verdict: str
    outlines: dict[str, tuple[Points, ...]]
    absent: tuple[str, ...] = ()
    seconds: float = 0.0
    actions: int = 0


def parsed(body: bytes) -> Said:
    """Parse the JSON that the editor sent.

    Raises:
        InputError: it makes no sense.
    """
    try:
        said = read_fields(Said, parse_object(body.decode()))
    except ValueError as error:
        raise InputError(f"the correction is not understood: {error}") from error
    who = " ".join(said.who.split())
    if not who or len(who) > LONGEST_NAME or not who.isprintable():
        raise InputError(f"who: give a name of 1 to {LONGEST_NAME} characters")
    if said.verdict not in VERDICTS:
        raise InputError(f"verdict: choose from {', '.join(VERDICTS)}")
    if not (0 <= said.seconds < 1e6 and 0 <= said.actions < 1_000_000):
        raise InputError("seconds and actions: give what the correction took")
    return replace(said, who=who)


def masks_of_said(record: DoneRecord, said: Said, before: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outlines that were sent, as masks.

    Args:
        record: of the film.
        said: what was sent.
        before: masks of what was not changed, bool, `(height, width)`, by structure.

    Returns:
        A mask of each structure of the model, bool, `(height, width)`; none if the film cannot be judged.

    Raises:
        InputError: a structure that the model does not outline, or an outline that covers none of the film.
    """
    if said.verdict == CANNOT_JUDGE:
        return {}
    if unknown := sorted(({*said.outlines} | {*said.absent}) - set(record.structures)):
        raise InputError(f"{record.name}: has no structure {unknown[0]}: choose from {', '.join(record.structures)}")
    if both := sorted({*said.outlines} & {*said.absent}):
        raise InputError(f"{record.name}: {both[0]} is called absent and has an outline: take one back")
    shape = record.film.height, record.film.width
    masks = {name: before[name] if name in before else np.zeros(shape, bool) for name in record.structures}
    if said.verdict == RIGHT:
        return masks
    for name, rings in said.outlines.items():
        masks[name] = _drawn(record.name, name, rings, shape)
    return masks | {name: np.zeros(shape, bool) for name in said.absent}


def _drawn(film: str, name: str, rings: tuple[Points, ...], shape: tuple[int, int]) -> np.ndarray:
    if len(rings) > MOST_RINGS or sum(map(len, rings)) > MOST_POINTS or any(len(ring) < 3 for ring in rings):
        raise InputError(
            f"{film}: {name} has {len(rings)} rings: give up to {MOST_RINGS} of 3 points or more, {MOST_POINTS} in all"
        )
    limit = 2.0 * max(shape)
    mask = mask_of([np.clip(np.array(ring), -limit, limit) for ring in rings], shape)
    if not mask.any():
        raise InputError(f"{film}: the outline of {name} holds nothing of the film: draw it, or call it absent")
    return mask
