"""Doubt: a film's estimated Dice, per structure, without ground truth.

Each structure and region has a linear model (`trust.Calibration`) on two kinds of signals: how sure the network is of
the outline and what shape it has, and what the film looked like to it (pooled features of its coarsest level). An
estimate comes with a lower bound, which nine of ten films reach. The weights are fitted by `edge_seg_quantize.doubt`
and stored in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_seg.assessment.trust import LOW_TRUST, Calibration, lung_features, outline_length, share_outside, to_logit
from edge_seg.structures import DERIVED
from edge_seg.typed_json import read_fields

LOW_BOUND = 0.9
"""A person must check films whose lungs may have a lower Dice; models without a bound use `LOW_TRUST`."""

LUNGS = "lungs"
"""Name under which models before 2.0 have one calibration, for both lungs together."""

REGIONS = ("whole_lung", "visible_lung")
"""Regions that are estimated in addition to the structures, if they can be derived from these."""

_SURE = 0.9  # probability from which a pixel counts as sure, or up to 1 minus it
_STEP = 2  # shapes do not need every pixel, and a quarter of the pixels takes a quarter of the time


@dataclass(frozen=True)
class Estimate:
    """Estimated Dice of a structure or region, and the bound that nine of ten films reach; `None` if not known."""

    dice: float
    bound: float | None


@dataclass(frozen=True)
class Doubt:
    """The calibrations of a model.

    Attributes:
        regions: by structure or derived region; in models before 2.0 only `LUNGS`.
        low: bound below which a film is flagged, or estimate if there is no bound.
        facts: what they were fitted on.
    """

    regions: dict[str, Calibration]
    low: float
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def of_lungs_alone(self) -> bool:
        """Whether the model is from before 2.0."""
        return LUNGS in self.regions

    def estimates(self, signals: Mapping[str, Mapping[str, float]]) -> dict[str, Estimate]:
        """Estimates of all regions that have signals."""
        known = {name: found for name, found in self.regions.items() if name in signals}
        return {name: Estimate(*found.estimate_and_bound(signals[name])) for name, found in known.items()}

    def to_json(self) -> dict[str, Any]:
        """As stored in a manifest."""
        return {
            "regions": {k: found.to_json() for k, found in self.regions.items()},
            "low": self.low,
            "facts": self.facts,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Doubt:
        """Read the output of `to_json`, or the single calibration of a model before 2.0.

        Raises:
            ValueError: a field is missing or of another type, or lists differ in length.
        """
        if "regions" not in raw:
            return cls({LUNGS: Calibration.from_json(raw)}, LOW_TRUST)
        made = read_fields(cls, {**raw, "regions": {}}, "trust")
        if not isinstance(raw["regions"], Mapping) or not all(isinstance(v, Mapping) for v in raw["regions"].values()):
            raise ValueError("trust.regions: an object of calibrations is expected")
        return cls({name: Calibration.from_json(one) for name, one in raw["regions"].items()}, made.low, made.facts)


def signals(logits: np.ndarray, names: Sequence[str], pooled: np.ndarray | None) -> dict[str, dict[str, float]]:
    """Signals of how good each outline is, by structure and derived region.

    Args:
        logits: `(height, width, structures)` float32, only the film's rectangle.
        names: of the structures.
        pooled: `(features,)` of the network's coarsest level, `None` if the network gives none.
    """
    probability = 1 / (1 + np.exp(-np.clip(logits[::_STEP, ::_STEP], -30, 30)))
    planes = {name: probability[:, :, k] for k, name in enumerate(names)}
    planes |= _derived(planes)
    seen = {} if pooled is None else {f"pooled_{i}": value for i, value in enumerate(pooled.tolist())}
    return {name: {**_of_plane(plane), **seen} for name, plane in planes.items()}


def lung_signals(logits: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The signals for models before 2.0, of both lungs together. Arguments as for `signals`."""
    if not {"right_lung", "left_lung"} <= set(names):
        return {}
    return {LUNGS: lung_features(logits[:, :, [names.index("right_lung"), names.index("left_lung")]])}


def _derived(planes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for region in DERIVED:
        if region.name in REGIONS and region.known_from(planes):
            nowhere = np.prod([1 - planes[name] for name in region.of], axis=0)
            found[region.name] = (1 - nowhere) * (1 - planes[region.without] if region.without else 1)
    return found


def _of_plane(probability: np.ndarray) -> dict[str, float]:
    """Signals of one outline: `(height, width)` probabilities."""
    inside = probability > 0.5
    size, total = float(np.count_nonzero(inside)), float(probability.sum())
    within = float(probability[inside].sum())
    unsure = np.count_nonzero((probability > 1 - _SURE) & (probability < _SURE))
    unsure_within = size - np.count_nonzero(probability > _SURE)
    length = outline_length(inside)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    height, width = inside.shape
    edges = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    return {
        # The Dice with the truth if the probabilities were true.
        "soft_dice": to_logit(2 * within / max(total + size, 1.0)),
        "unsure_width": float(np.log1p(unsure / max(length, 1.0))),
        "coverage": float(np.log(size / inside.size + 1e-3)),
        "fragments": share_outside(inside),
        "raggedness": float(np.log(max(length, 1.0) / np.sqrt(max(size, 1.0)))),
        "unsure_within": float(unsure_within / size) if size else 1.0,
        "outside": float(np.log((total - within) / max(size, 1.0) + 1e-3)),
        "at_edges": float(edges.mean()),
        "top": float(rows[0] / height) if size else 0.0,
        "bottom": float(rows[-1] / height) if size else 0.0,
        "left": float(columns[0] / width) if size else 0.0,
        "right": float(columns[-1] / width) if size else 0.0,
    }
