"""The gate before the mask: is this a film that the model can be trusted with, and if not, why not?

Every finding is worded for a technician: what is wrong, and what to do. The limits were set on the training and
validation films; `tests/edge/test_quality.py` checks them on films and pictures they were not set on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_seg import pixels
from edge_seg.assessment.appearance import UPRIGHT, Appearance, Pose
from edge_seg.film import Film

ACCEPT, WARN, REJECT = VERDICTS = ("accept", "warn", "reject")

_TOO_SMALL, _SMALL = 64, 160  # shorter side, pixels
_BLANK_LEVELS = 3  # pixel values between black and white
_FEW_LEVELS, _BESIDE = 3, 5  # grey values of a mask, and how far from one a lossy copy of it strays
_SAMPLED_SIDE = 256  # least number of pixels sampled along the shorter side
_MASK = 0.9  # share of a picture's pixels near that few grey values; chest films: up to 0.75
_SMOOTH, _GRAINY, _NOISE = 0.012, 0.10, 0.14  # share of fine detail in a film's contrast; chest films: 0.02 to 0.09
_TINTED, _COLOURED = 0.05, 0.15  # difference between colour channels
_CLIPPED = 0.2  # share of the chest without any detail
_FLAT = 0.25  # of an 8-bit film's grey values in use
_CLEARLY = 1.3  # times more like a chest in another pose
_SURELY = 3.0  # distance of 4 in 5 chest films; none of 101 pictures of other things is as close when inverted
_CUT_OFF = 0.03  # share of a side of the film along which a lung ends


@dataclass(frozen=True)
class Finding:
    """One thing about a film that a reader should know.

    Attributes:
        code: for programs (`not-a-chest-film`).
        verdict: `warn` or `reject`.
        text: for people: what is wrong, and what to do.
    """

    code: str
    verdict: str
    text: str


@dataclass(frozen=True)
class Quality:
    """The gate's findings on a film; none means `accept`."""

    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """The most severe verdict of the findings: `accept`, `warn` or `reject`."""
        return max((finding.verdict for finding in self.findings), key=VERDICTS.index, default=ACCEPT)

    def has(self, code: str) -> bool:
        """Whether there is a finding with that code."""
        return any(finding.code == code for finding in self.findings)


def corrected(film: Film) -> Finding:
    """The finding for a film whose black and white were swapped."""
    against = ", against what its header says" if film.polarity_known else ""
    return Finding("inverted", WARN, f"bone was black{against}: corrected; check the sender's polarity")


def look_at_film(film: Film, grey: np.ndarray, appearance: Appearance) -> Quality:
    """The gate for chest films.

    Args:
        film: as it came.
        grey: the film as the network will see it, without the letterbox's borders, `(height, width)` uint8.
        appearance: what films of this kind look like.
    """
    return _looked_at(film, grey, lambda: _likeness(film, grey, appearance))


def look_at_exposure(film: Film, grey: np.ndarray) -> Quality:
    """The part of the gate that does not ask what the film shows: size, emptiness, grey values, exposure, colour.

    For models that recognise by their own features what they see. Arguments as for `look_at_film`.
    """
    return _looked_at(film, grey, lambda: _colour(film))


def _looked_at(film: Film, grey: np.ndarray, of_content: Callable[[], Iterator[Finding]]) -> Quality:
    low, high = pixels.value_range(film)
    if high - low >= _BLANK_LEVELS and _share_of_few_levels(film) > _MASK:
        text = "only a few grey values: a mask or a drawing, no film: give the film that it was made for"
        return Quality((*_size(film), Finding("few-levels", REJECT, text)))
    detail = _fine_detail(grey)
    empty = tuple(_emptiness(grey, high - low, detail))
    there = () if empty else (*_exposure(film, grey, high - low, detail), *of_content())
    return Quality((*_size(film), *empty, *there))


def look_at_pose(film: Film, grey: np.ndarray, appearance: Appearance) -> Finding | None:
    """Whether a film looks turned or inverted. Arguments as for `look_at_film`."""
    found = _likeness(film, grey, appearance)
    return next((finding for finding in found if finding.code in ("turned", "inverted")), None)


def look_at_masks(masks: Mapping[str, np.ndarray]) -> Quality:
    """What only the outlines show: lungs that were not found, or that the film's edge cuts off.

    Args:
        masks: bool `(height, width)` by structure name; right and left lung, or both in one.
    """
    return Quality(tuple(_outlines(masks)))


def _size(film: Film) -> Iterator[Finding]:
    side = min(film.upright.shape)
    if side < _TOO_SMALL:
        yield Finding("too-small", REJECT, f"only {side} pixels on its shorter side: send the film itself, no preview")
    elif side < _SMALL:
        yield Finding("small", WARN, f"only {side} pixels on its shorter side: outlines are coarse")


def _emptiness(grey: np.ndarray, levels: float, detail: float) -> Iterator[Finding]:
    if levels < _BLANK_LEVELS or grey.std() < _BLANK_LEVELS:
        yield Finding("blank", REJECT, "nothing to see on it: was it exposed?")
    elif detail < _SMOOTH:
        yield Finding("no-detail", REJECT, "no anatomy on it, only smooth shades: was anybody before the detector?")
    elif detail > _NOISE:
        yield Finding("noise-or-print", REJECT, "noise, print or fine patterns, no chest film: send another")


def _exposure(film: Film, grey: np.ndarray, levels: float, detail: float) -> Iterator[Finding]:
    height, width = grey.shape
    middle = grey[height // 6 : height - height // 6, width // 8 : width - width // 8]
    if np.mean(middle <= 2) > _CLIPPED:
        yield Finding(
            "over-exposed", WARN, "large parts are black without detail: over-exposed, or the window is wrong"
        )
    if np.mean(middle >= 253) > _CLIPPED:
        yield Finding(
            "under-exposed", WARN, "large parts are white without detail: under-exposed, or the window is wrong"
        )
    if detail > _GRAINY:
        yield Finding("grainy", WARN, "grainy: exposed too little, or much text on it")
    if film.pixels.dtype == np.uint8 and film.window is None and levels < _FLAT * 255:
        yield Finding(
            "little-contrast", WARN, "few shades of grey: send the film itself, no photograph or preview of it"
        )


def _likeness(film: Film, grey: np.ndarray, appearance: Appearance) -> Iterator[Finding]:
    distances = appearance.poses(grey)
    upright = distances[UPRIGHT]
    # If a header specifies polarity, a film that looks inverted is of something else, unless it then looks very much
    # like a chest: some headers are wrong.
    least = _SURELY if film.polarity_known else appearance.doubtful
    believed = {pose: distance for pose, distance in distances.items() if not pose.inverted or distance < least}
    best = min(believed, key=lambda pose: believed[pose])
    # Being mirrored as well would take two mistakes at once: then it is of something else.
    set_upright = distances[Pose(best.turns, False, best.inverted)]
    convincing = set_upright < appearance.doubtful and upright > _CLEARLY * set_upright
    if best.turns and convincing:
        turn = {1: "a quarter turn clockwise", 2: "half a turn", 3: "a quarter turn anticlockwise"}[best.turns]
        unsure = "" if set_upright < _SURELY else "it does not look like a frontal chest film; if it is one, "
        against = ", against what its header says" if film.orientation_known else ""
        yield Finding("turned", REJECT, f"{unsure}it does not stand upright{against}: give it {turn}")
        return
    if best.inverted and convincing:
        yield corrected(film)
        upright = distances[Pose(inverted=True)]
    elif upright > appearance.strange:
        yield Finding("not-a-chest-film", REJECT, "it does not look like a frontal chest film")
        return
    yield from _colour(film)
    if upright > appearance.doubtful:
        yield Finding("unusual", WARN, "an unusual chest film: check the outlines with care")


def _colour(film: Film) -> Iterator[Finding]:
    if film.colour > _COLOURED:
        yield Finding("photograph", REJECT, "a colour picture, no film")
    elif film.colour > _TINTED:
        yield Finding("tinted", WARN, "it has colours: photographed, or drawn on")


def _outlines(masks: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    for name, mask in masks.items():
        title = name.replace("_", " ")
        if not name.endswith("lung"):
            continue
        if not mask.any():
            yield Finding(f"no-{title.replace(' ', '-')}", WARN, f"no {title} found: read the film yourself")
            continue
        sides = {"left": mask[:, 0], "right": mask[:, -1], "upper": mask[0], "lower": mask[-1]}
        cut = [side for side, edge in sides.items() if edge.mean() > _CUT_OFF]
        if cut:
            yield Finding(
                f"cut-off-{title.replace(' ', '-')}", WARN, f"{title} cut off at the {' and '.join(cut)} edge"
            )


def _share_of_few_levels(film: Film) -> float:
    """Share of the pixels near the most frequent grey values, out of 256 between black and white."""
    low, high = pixels.value_range(replace(film, window=None))
    shown = film.upright.of(film.pixels)
    step = max(1, min(shown.shape) // _SAMPLED_SIDE)
    values = (shown[::step, ::step].astype(np.float32) - low) * (255 / (high - low))
    counts = np.bincount(np.clip(values, 0, 255).astype(np.uint8).ravel(), minlength=256).astype(np.float64)
    share, count = 0.0, counts.sum()
    for _ in range(_FEW_LEVELS):
        near = np.convolve(counts, np.ones(2 * _BESIDE + 1), "same")
        peak = int(near.argmax())
        share += near[peak] / count
        counts[max(0, peak - _BESIDE) : peak + _BESIDE + 1] = 0
    return float(share)


def _fine_detail(grey: np.ndarray) -> float:
    """Mean of what a blur of 1.5 in 224 pixels removes, in units of the film's contrast."""
    plane = cv2.resize(grey, (224, 224), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(np.abs(plane - cv2.GaussianBlur(plane, (0, 0), 1.5)).mean() / (plane.std() + 4))
