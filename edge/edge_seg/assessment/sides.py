"""Which side of a film is the patient's left, by the picture: the heart lies there, and a mirrored film looks odd.

Two things tell: how far the heart's centre lies to one side of the lungs, and how much more the film looks like others
when it is mirrored. Weight and limit were set on the films of adults trained on or validated with (`adult` and
`adult-v7`), each plain and mirrored. With `lungs` 2.1, 8 of 256 plain ones are called mirrored and 236 of 256 mirrored
ones are found; a heart that lies to the right is called so too. Of the test splits no plain one of 142 is called so,
and 135 of 142 mirrored ones are found. Side markers are not read: of the nine films that `lungs` 2.0 missed, one shows
an L and one an S. To ask that network, too, how sure it was of the heart on the film and on its mirror image found 240
of 246 of the films that it learned from, and no more than this on others.
"""

from __future__ import annotations

import numpy as np

from edge_seg.assessment.appearance import UPRIGHT, Appearance, Pose
from edge_seg.assessment.film_gate import WARN, Finding

MIRRORED, DISAGREE = "mirrored", "sides-disagree"
"""Codes of findings that make right and left unsure."""

_WEIGHT = 0.55  # of the logarithm of how much less a film looks like others when it is mirrored
_LIMIT = 0.013  # in widths of both lungs

_TEXTS = {
    MIRRORED: "perhaps mirrored: check the side marker; right and left would be swapped",
    DISAGREE: "the header says which side is which, the picture looks mirrored: check the side marker",
}
_WITHHELD = "numbers of one side withheld"


def look_at_sides(
    logits: np.ndarray, names: tuple[str, ...], grey: np.ndarray, appearance: Appearance, *, header_known: bool
) -> tuple[Finding, ...]:
    """A finding where the picture looks mirrored.

    Args:
        logits: `(height, width, structures)` float32 of the upright film alone.
        names: of the structures; without both lungs and the cardiomediastinum nothing is found.
        grey: `(height, width)` uint8, the upright film alone as the network saw it.
        appearance: what films of this kind look like.
        header_known: whether a header says how the film lies.
    """
    shift = heart_shift(logits, names)
    if shift is None:
        return ()
    distances = appearance.poses(grey)
    likeness = float(np.log(distances[Pose(mirrored=True)] / distances[UPRIGHT]))
    if shift + _WEIGHT * likeness > _LIMIT:
        return ()
    code = DISAGREE if header_known else MIRRORED
    return (Finding(code, WARN, f"{_TEXTS[code]}; {_WITHHELD}"),)


def heart_shift(logits: np.ndarray, names: tuple[str, ...]) -> float | None:
    """How far the heart's centre lies to the right of the picture from the middle of both lungs, in their width.

    The centre is that of the cardiomediastinum's probability in the lower half of the lungs. `None` where one of the
    three was not found.
    """
    if not {"right_lung", "left_lung", "cardiomediastinum"} <= set(names):
        return None
    right, left, heart = (logits[:, :, names.index(n)] for n in ("right_lung", "left_lung", "cardiomediastinum"))
    if not all((plane > 0).any() for plane in (right, left, heart)):
        return None
    lungs = (right > 0) | (left > 0)
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    lower = heart[rows[0] + (rows[-1] - rows[0]) // 2 : rows[-1] + 1]
    probability = (1 / (1 + np.exp(-np.clip(lower, -30, 30)))).sum(axis=0, dtype=np.float64)
    centre = float(probability @ np.arange(len(probability)) / probability.sum())
    return (centre - (columns[0] + columns[-1]) / 2) / (columns[-1] - columns[0] + 1)
