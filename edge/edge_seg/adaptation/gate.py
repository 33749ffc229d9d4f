"""Whether an adapted model may replace the one that runs: better here, no worse elsewhere, int8 throughout.

"Better" is tested on held-out films, by a paired test of each patient's Dice: Fisher's randomisation test, which flips
the signs of the differences and counts how often their mean comes out as large by chance. It is exact, so it holds for
few patients too. The Dice must not stay low either: when only the test films are outlined wrongly, a model can come out
slightly better. "No worse" is tested on the phantoms that ship, which outlines that are wrong in the same way in
training and test films cannot affect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from edge_seg.adaptation.examples import Outlined
from edge_seg.inspection import purity_violations
from edge_seg.inspection.flatbuffer import read_graph
from edge_seg.model_file import ModelFile
from edge_seg.phantom import Phantom, phantom
from edge_seg.pixels import IGNORE
from edge_seg.segmenter import Segmenter
from edge_seg.structures import DERIVED, regions

LEVEL = 0.05
"""One-sided level of the paired test."""

FEWEST_PATIENTS = 5
"""Fewest patients with test films; with fewer, the smallest p that the test can give is above `LEVEL`."""

TOLERANCE = 0.02
"""Mean Dice that a structure may lose on the phantoms."""

LEAST = 0.85
"""Mean Dice over patients that a model must reach, however much better it is: with less, model or outlines are wrong.
With ten of forty films, all of them test films, outlined 8 % of the width to one side, it rose from 0.69 to 0.72."""

_EXACT_UP_TO = 14  # patients: 16,384 ways to flip signs
_FLIPS = 20_000
_PHANTOM_SEEDS = range(3000, 3012)  # not used to set any model's ranges or film gate
_PHANTOM_SIZE = 320


@dataclass(frozen=True)
class Judgement:
    """The measurements for accepting or refusing a model, and the decision.

    Attributes:
        accepted: whether the model may run.
        why: reason for the decision, one line.
        films, patients: numbers tested on.
        before, after: mean Dice over patients, of the model that runs and of the new one.
        p: of the paired test, one-sided; 1 if it was not run.
        phantoms: per structure, mean Dice on the phantoms, of the model that was adapted and of the new one.
    """

    accepted: bool
    why: str
    films: int = 0
    patients: int = 0
    before: float = 0.0
    after: float = 0.0
    p: float = 1.0
    phantoms: dict[str, tuple[float, float]] | None = None

    def to_json(self) -> dict[str, Any]:
        """As stored in a manifest."""
        return asdict(self)


def missing_patients(patients: Iterable[str]) -> int:
    """How many more patients need test films before a model can be judged, given those who have them."""
    return max(0, FEWEST_PATIENTS - len(set(patients)))


def judge(shipped: ModelFile, running: ModelFile, adapted: ModelFile, test: Collection[Outlined]) -> Judgement:
    """Decide on an adapted model.

    Args:
        shipped: the model that was adapted.
        running: the model that it would replace.
        adapted: the new one.
        test: held-out films of at least `FEWEST_PATIENTS` patients; iterated over twice.
    """
    wrong = purity_violations(adapted.flatbuffer)
    if not wrong and _operators(adapted) != _operators(shipped):
        wrong = ["its operators are others"]
    if wrong:
        return Judgement(False, f"the new model is not int8 all through: {'; '.join(wrong)}")
    old, new = score(running, test), score(adapted, test)
    differences = new - old
    p = randomisation_p(differences)
    phantoms = on_phantoms(shipped, adapted)
    lost = {name: before - after for name, (before, after) in phantoms.items()}
    worst = max(lost, key=lambda name: lost[name])
    text = (
        f"Dice {old.mean():.3f} before and {new.mean():.3f} after on test films of {len(new)} patients "
        f"(one-sided p {p:.2g})"
    )
    if lost[worst] > TOLERANCE:
        why = (
            f"the new model loses {lost[worst]:.3f} Dice of the {worst} on the reference phantoms: look at the outlines"
        )
    elif new.mean() < LEAST:
        why = f"the new model fits the films for testing too badly, look at their outlines: {text}"
    elif p > LEVEL:
        why = f"the new model is not shown to be better: {text}"
    else:
        why = f"the new model is better: {text}"
    accepted = lost[worst] <= TOLERANCE and new.mean() >= LEAST and p <= LEVEL
    return Judgement(accepted, why, len(test), len(new), float(old.mean()), float(new.mean()), p, phantoms)


def score(model: ModelFile, films: Iterable[Outlined]) -> np.ndarray:
    """Each patient's Dice: the mean over films and their outlines, at the films' own size."""
    segmenter = Segmenter(model, gate=False)
    by_patient: dict[str, list[float]] = {}
    for outlined in films:
        found = _with_regions(segmenter(outlined.film).masks)
        known = {name: found[name] for name in outlined.outlines if name in found}
        by_patient.setdefault(outlined.patient, []).extend(
            dice(outlined.outlines[name], mask) for name, mask in known.items()
        )
    return np.array([float(np.mean(scores)) for scores in by_patient.values() if scores])


def _with_regions(masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The masks and all regions derived from them, including the visible right and left lung."""
    found = dict(masks)
    for region in DERIVED:
        if region.known_from(masks):
            inside = np.any([masks[name] for name in region.of], axis=0)
            found[region.name] = inside & ~masks[region.without] if region.without else inside
    return found


def dice(truth: np.ndarray, found: np.ndarray) -> float:
    """Dice coefficient of a mask against an outline of 0, 1 and `IGNORE`; 1 if both are empty."""
    counted = truth != IGNORE
    inside, shown = (truth == 1) & counted, found & counted
    sizes = np.count_nonzero(inside) + np.count_nonzero(shown)
    return 2 * float(np.count_nonzero(inside & shown)) / sizes if sizes else 1.0


def randomisation_p(differences: np.ndarray) -> float:
    """Share of all sign flips whose mean is at least that of the differences (Fisher 1935), one-sided.

    For many differences, 20,000 flips are drawn, always the same ones.

    >>> float(randomisation_p(np.array([0.1, 0.2, 0.1, 0.3, 0.1])))
    0.03125
    """
    count, least = len(differences), differences.sum() - 1e-12
    if count <= _EXACT_UP_TO:
        flips = np.array(list(product((1.0, -1.0), repeat=count)))
        return float(np.mean(flips @ differences >= least))
    flips = np.random.default_rng(0).choice((1.0, -1.0), (_FLIPS, count))
    return float((1 + np.count_nonzero(flips @ differences >= least)) / (1 + _FLIPS))


def on_phantoms(shipped: ModelFile, adapted: ModelFile) -> dict[str, tuple[float, float]]:
    """Mean Dice of each structure and region on the reference phantoms, of one model and of the other."""
    before, after = (_phantom_scores(model) for model in (shipped, adapted))
    return {name: (before[name], after[name]) for name in before}


def _phantom_scores(model: ModelFile) -> dict[str, float]:
    segmenter = Segmenter(model, gate=False)
    found: dict[str, list[float]] = {}
    for one in _phantoms():
        shown, truth = segmenter(one.film).regions, regions(one.masks)
        for name in sorted(shown.keys() & truth.keys()):
            found.setdefault(name, []).append(dice(truth[name], shown[name]))
    return {name: float(np.mean(scores)) for name, scores in found.items()}


@cache
def _phantoms() -> tuple[Phantom, ...]:
    return tuple(phantom(_PHANTOM_SIZE, _PHANTOM_SIZE, seed=seed) for seed in _PHANTOM_SEEDS)


def _operators(model: ModelFile) -> list[str]:
    return [operator.name for operator in read_graph(model.flatbuffer).operators]
