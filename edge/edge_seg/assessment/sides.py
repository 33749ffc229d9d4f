"""Which side of a film is the patient's left, judged from the picture: by the heart's position and by side markers.

Two signals locate the heart: how far its centre is to one side of the lungs, and how much more the film looks like
others when it is mirrored. Weight and limits were set on the films of adults used for training or validation (`adult`
and `adult-v7`), each plain and mirrored. If the signals are unclear, side markers are read;
docs/reference/dicom-films.md says how often that finds a mirrored film. Also comparing how sure the network was of the
heart on the film and on its mirror image found 240 of 246 of its training films, and no more than this on others.
"""

from __future__ import annotations

import numpy as np

from edge_seg import pixels
from edge_seg.assessment.appearance import UPRIGHT, Appearance, Pose
from edge_seg.assessment.film_gate import WARN, Finding
from edge_seg.assessment.side_markers import SIDE, Marker, load_side_markers
from edge_seg.film import Film

MIRRORED, DISAGREE = "mirrored", "sides-disagree"
"""Codes of findings that make right and left uncertain."""

_WEIGHT = 0.55  # of the logarithm of how much less a film looks like others when it is mirrored
_LIMIT = 0.013  # in widths of both lungs
_CLEAR = 0.1  # from here on markers are not read: one in five plain films and seven in eight mirrored ones are below

_BY_HEART = {
    MIRRORED: "perhaps mirrored: check the side marker; right and left would be swapped",
    DISAGREE: "the header says which side is which, the picture looks mirrored: check the side marker",
}
_BY_MARKER = {
    MIRRORED: "perhaps mirrored: a side marker {} lies on the other side; right and left would be swapped",
    DISAGREE: "the header says which side is which, a side marker {} lies on the other side: check both",
}
_HEART_ALONE = "the heart lies to the right, a side marker {} lies on its own side: check which side is which"
_WITHHELD = "numbers of one side withheld"


def look_at_sides(
    logits: np.ndarray, names: tuple[str, ...], grey: np.ndarray, appearance: Appearance, film: Film
) -> tuple[Finding, ...]:
    """A finding if the picture looks mirrored.

    Args:
        logits: `(height, width, structures)` float32 of the upright film alone.
        names: of the structures; without both lungs and the cardiomediastinum there is no finding.
        grey: `(height, width)` uint8, the upright film alone as the network saw it.
        appearance: what films of this kind look like.
        film: the film, whose markers may be read.
    """
    shift = heart_shift(logits, names)
    if shift is None:
        return ()
    distances = appearance.poses(grey)
    likeness = float(np.log(distances[Pose(mirrored=True)] / distances[UPRIGHT]))
    by_heart = shift + _WEIGHT * likeness
    if by_heart > _CLEAR:
        return ()
    lungs = np.maximum(*(logits[:, :, names.index(name)] for name in ("right_lung", "left_lung"))) > 0
    letter, on_its_side = read_side(film, lungs)
    code = DISAGREE if film.orientation_known else MIRRORED
    if letter and not on_its_side:
        text = _BY_MARKER[code].format(letter)
    elif by_heart > _LIMIT:
        return ()
    else:
        text = _HEART_ALONE.format(letter) if letter else _BY_HEART[code]
    return (Finding(code, WARN, f"{text}; {_WITHHELD}"),)


def read_side(film: Film, lungs: np.ndarray) -> tuple[str, bool]:
    """The letter of the side marker, and whether it is on its own side; the letter is empty if no marker is read.

    Args:
        film: whose markers are read.
        lungs: `(height, width)` bool of the upright film alone, of any size; not empty.
    """
    grey = pixels.to_small(film, SIDE)
    rows, columns = (np.flatnonzero(lungs.any(axis=axis)) for axis in (1, 0))
    edges = [
        slice(round(along[0] * new / old), round((along[-1] + 1) * new / old))
        for along, old, new in zip((rows, columns), lungs.shape, grey.shape, strict=True)
    ]
    markers = load_side_markers().read(grey, (edges[0], edges[1]))
    middle = (columns[0] + columns[-1] + 1) / 2 / lungs.shape[1]
    votes = [
        (marker, marker.probability if _is_on_its_side(marker, middle) else -marker.probability) for marker in markers
    ]
    total = sum(vote for _, vote in votes)
    told = [marker for marker, vote in votes if vote * total > 0]
    return (max(told, key=lambda one: one.probability).letter, total > 0) if told else ("", True)


def _is_on_its_side(marker: Marker, middle: float) -> bool:
    """Whether it is an R in the picture's left part, where the patient's right is, or an L in the other."""
    return (marker.letter == "R") == (marker.column < middle)


def heart_shift(logits: np.ndarray, names: tuple[str, ...]) -> float | None:
    """How far right of the middle of both lungs the heart's centre is in the picture, as a fraction of their width.

    The centre is that of the cardiomediastinum's probability in the lower half of the lungs. `None` if one of the three
    was not found.
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
