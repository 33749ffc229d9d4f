"""Which films to look at next: those that teach most, not the newest.

A correction teaches about the film itself and about those that look like it to the model, and more so where the model
is trusted less. So films are chosen one by one to stand for the most doubt that no corrected film stands for yet
(greedy facility location). Doubt is one minus the product of two Dice values: the one that the film is likely to reach,
and the one between its outlines and another model's (`second_opinion`). Choosing only the most doubtful or the oddest
films would give outliers, which teach less than random films while few are corrected (Hacohen et al. 2022, ICML).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone

import numpy as np

from edge_seg.corrections.line import Correction
from edge_seg.record import AnyRecord, DoneRecord

MOST_A_DAY = 10
"""Films that a person is asked to look at per day; beyond that, people look less carefully."""

WORTH = ((5, 0.010), (10, 0.011), (20, 0.010), (40, 0.011))
"""Films learned from, and the gain in mean Dice of the visible lung on 41 test films of a hospital that the model had
never seen; measured by `edge_seg_lab.learning_curve`, see docs/how-to/adapt.md."""

_LEAST = 1e-3
_UNKNOWN = 0.5  # trust if no film's Dice is estimated
_LIKE = 0.5
_MOST_COMPARED = 2000  # newest films; comparing each with each takes 32 MB


@dataclass(frozen=True)
class Candidate:
    """A film that could be looked at.

    Attributes:
        film: stem of its file names.
        trust: Dice that it is likely to reach, see `DoneRecord.estimated_dice_bound`; `None` if none is estimated.
        looks: numbers that describe how it looks to the model, by name.
        agreement: mean Dice of its outlines with another model's, `None` if none was asked.
        patient: anything that identifies the patient, empty if nothing is known.
    """

    film: str
    trust: float | None
    looks: Mapping[str, float] = field(default_factory=dict)
    patient: str = ""
    agreement: float | None = None


@dataclass(frozen=True)
class Next:
    """A film to look at, and why, for a person to read."""

    film: str
    why: str


def next_films(
    records: Iterable[AnyRecord],
    corrections: Iterable[Correction],
    *,
    most: int = MOST_A_DAY,
    today: date | None = None,
    agreement: Callable[[DoneRecord], float | None] = lambda record: None,
) -> list[Next]:
    """The films of a folder of results to look at next, the most instructive first.

    Args:
        records: of the folder; the newest of a film counts.
        corrections: that were saved there.
        most: films per day, including those already corrected today.
        today: the day for that count; by default that of the machine's clock, in UTC.
        agreement: gives what is known of another model's opinion of a film.
    """
    day = today or datetime.now(timezone.utc).date()
    saved = list(corrections)
    judged = {one.film for one in saved}
    done_today = {one.film for one in saved if datetime.fromisoformat(one.when).date() == day}
    newest = {one.stem: one for one in records if isinstance(one, DoneRecord) and not one.rejected}
    corrected = [looks_of(newest[film]) for film in judged & newest.keys()]
    candidates = [candidate_of(one, agreement(one)) for film, one in newest.items() if film not in judged]
    return choose(candidates, corrected, max(0, most - len(done_today)))


def worth(corrections: Iterable[Correction]) -> str:
    """How many films there are to learn from, and what more of them may gain, as a sentence."""
    newest = {one.film: one for one in corrections}
    learned = sum(one.is_judged and one.split != "test" for one in newest.values())
    told = f"{learned} corrected film{'' if learned == 1 else 's'} to learn from"
    coming = next(((films, gain) for films, gain in WORTH if films > learned), None)
    if coming is None:
        return f"{told}; what more than {WORTH[-1][0]} gain was not measured"
    films, gain = coming
    return f"{told}; at a hospital that was new to the model, {films} gained {gain:.3f} Dice"


def candidate_of(record: DoneRecord, agreement: float | None = None) -> Candidate:
    """A candidate from a film's record and another model's agreement."""
    trust = record.estimated_dice if record.estimated_dice_bound is None else record.estimated_dice_bound
    patient = record.patient.id if record.patient else record.dicom.study if record.dicom else ""
    return Candidate(record.stem, trust, looks_of(record), patient, agreement)


def looks_of(record: DoneRecord) -> dict[str, float]:
    """Numbers that describe how a film looks to the model: estimates, shares of the film, ratios."""
    pixels = float(record.film.height * record.film.width) or 1.0
    found = {f"{name} estimate": _logit(one.dice) for name, one in record.estimates.items()}
    found |= {f"{name} share": float(np.log(one.pixels / pixels + _LEAST)) for name, one in record.areas.items()}
    return found | {name: value for name, value in record.ratios.items() if value is not None}


def choose(candidates: Sequence[Candidate], corrected: Sequence[Mapping[str, float]], most: int) -> list[Next]:
    """At most `most` candidates, the most instructive first.

    Args:
        candidates: films not judged yet.
        corrected: `Candidate.looks` of those already judged.
        most: how many to choose.
    """
    candidates = candidates[-_MOST_COMPARED:]
    places = _placed([one.looks for one in candidates], corrected)
    alike, covered = _alike(places, len(candidates))
    trust = _known([one.trust for one in candidates], _UNKNOWN)
    doubt = 1 - trust * _known([one.agreement for one in candidates], 1.0)
    left, chosen = list(range(len(candidates))), list[Next]()
    while left and len(chosen) < most:
        gains = np.maximum(alike[:, left] - covered[:, None], 0).T @ doubt
        best = left[int(np.argmax(gains))]
        stands_for = int(np.count_nonzero(alike[:, best] > np.maximum(covered, _LIKE))) - 1
        chosen.append(Next(candidates[best].film, _why(candidates[best], stands_for)))
        covered = np.maximum(covered, alike[:, best])
        patient = candidates[best].patient
        left = [i for i in left if i != best and not (patient and candidates[i].patient == patient)]
    return chosen


def _known(values: Sequence[float | None], otherwise: float) -> np.ndarray:
    """Values, with unknown ones replaced by the median of the known ones, so that they decide nothing."""
    found = np.array([np.nan if one is None else one for one in values], float)
    known = np.isfinite(found)
    middle = float(np.median(found[known])) if known.any() else otherwise
    filled: np.ndarray = np.where(known, found, middle)
    return filled


def _placed(looks: Sequence[Mapping[str, float]], corrected: Sequence[Mapping[str, float]]) -> np.ndarray:
    """A point for each film, `(films, numbers)`, in units of the films' spread; unknown numbers get the mean."""
    names = sorted({name for one in looks for name in one})
    table = np.array([[one.get(name, np.nan) for name in names] for one in (*looks, *corrected)], float)
    table = table.reshape(len(looks) + len(corrected), len(names))
    known = np.isfinite(table)
    counts = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, table, 0).sum(axis=0) / counts
    away = np.where(known, table - centre, 0)
    spread = np.sqrt((away**2).sum(axis=0) / counts)
    placed: np.ndarray = np.clip(away / np.where(spread > 0, spread, 1), -6, 6)
    return placed


def _alike(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How alike the first `count` films are, `(count, count)` from 0 to 1, and each to the nearest of the others.

    A Gaussian of their distance, scaled by the median distance of two films.
    """
    films, others = places[:count], places[count:]
    apart = np.stack([np.linalg.norm(films - one, axis=1) for one in places], axis=1) if count else np.zeros((0, 0))
    scale = np.median(apart[:, :count]) if count else 1.0
    alike = np.exp(-((apart / (scale or 1.0)) ** 2))
    return alike[:, :count], alike[:, count:].max(axis=1, initial=0.0) if len(others) else np.zeros(count)


def _why(candidate: Candidate, stands_for: int) -> str:
    reasons = [f"Dice perhaps {candidate.trust:.2f}" if candidate.trust is not None else "its Dice is not estimated"]
    if candidate.agreement is not None:
        reasons.append(f"another model agrees to {candidate.agreement:.2f}")
    if stands_for:
        reasons.append(f"like {stands_for} other film{'s' if stands_for > 1 else ''}")
    return ", ".join(reasons)


def _logit(dice: float) -> float:
    clipped = min(max(dice, _LEAST), 1 - _LEAST)
    return float(np.log(clipped / (1 - clipped)))
