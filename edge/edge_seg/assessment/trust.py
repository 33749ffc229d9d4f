"""The trust score: an estimate of a film's Dice without ground truth.

A linear model on features of the network's own output: how sure it is along the outlines, and whether the
outlines have the sizes and shapes of lungs. The weights are fitted on validation films and their corruptions
(`edge_seg_quantize.doubt`) and stored in the manifest, so a model without calibration has no score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from edge_seg.typed_json import read_fields

LOW_TRUST = 0.85
"""A person must check outlines whose estimated Dice is below this."""

_SURE = 2.2  # logit of 0.9


@dataclass(frozen=True)
class Calibration:
    """Weights of the linear model.

    Attributes:
        features: names, in order.
        centre, spread: of each feature on the films it was fitted on.
        weights, bias: of the standardised features; the sum is the logit of the estimated Dice.
        facts: what it was fitted on and how well it does there.
        margin: how far the bound is below the estimate, in logits; `None` if none was calibrated.
    """

    features: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    facts: dict[str, Any]
    margin: float | None = None

    def estimate(self, found: Mapping[str, float]) -> float:
        """Estimated Dice of a film's lungs, 0 to 1, from its features."""
        return self.estimate_and_bound(found)[0]

    def bound(self, found: Mapping[str, float]) -> float | None:
        """Dice that nine of ten films like this one reach, `None` if no margin was calibrated."""
        return self.estimate_and_bound(found)[1]

    def estimate_and_bound(self, found: Mapping[str, float]) -> tuple[float, float | None]:
        """Both at once."""
        logit = self.logit(found)
        bound = None if self.margin is None else round(_probability(logit - self.margin), 4)
        return round(_probability(logit), 4), bound

    def logit(self, found: Mapping[str, float]) -> float:
        """Logit of the estimate."""
        centre, spread, weights = self._arrays
        values = np.array([found[name] for name in self.features])
        # Far outside the calibration data, a linear model may predict anything.
        standard = np.clip((values - centre) / spread, -6, 6)
        return float(standard @ weights) + self.bias

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self.centre), np.array(self.spread), np.array(self.weights)

    def to_json(self) -> dict[str, Any]:
        """As stored in a manifest."""
        return {
            "features": list(self.features),
            "centre": list(self.centre),
            "spread": list(self.spread),
            "weights": list(self.weights),
            "bias": self.bias,
            "facts": self.facts,
            "margin": self.margin,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Calibration:
        """Read the output of `to_json`.

        Raises:
            ValueError: a field is missing or of another type, lists differ in length, or a spread is not positive.
        """
        made = read_fields(cls, raw, "trust")
        lengths = {len(values) for values in (made.features, made.centre, made.spread, made.weights)}
        if len(lengths) != 1 or not all(value > 0 for value in made.spread):
            raise ValueError("trust: each feature has one centre, one positive spread and one weight")
        return made


def lung_features(logits: np.ndarray) -> dict[str, float]:
    """Features that show how good the outlines of both lungs are.

    Args:
        logits: `(height, width, 2)` float32 of right and left lung, only the film's rectangle.
    """
    inside = logits > 0
    sizes = inside.sum(axis=(0, 1)).astype(np.float64)
    probability = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    # The Dice with the truth if the probabilities were true.
    soft = 2 * probability[inside].sum() / max(probability.sum() + sizes.sum(), 1.0)
    unsure = np.count_nonzero(np.abs(logits) < _SURE)
    outline = sum(outline_length(inside[:, :, k]) for k in range(2))
    pieces = [share_outside(inside[:, :, k]) for k in range(2)]
    share = sizes / logits[:, :, 0].size
    return {
        "soft_dice": to_logit(soft),
        "unsure_width": float(np.log1p(unsure / max(outline, 1.0))),
        "asymmetry": float(abs(np.log((sizes[0] + 1) / (sizes[1] + 1)))),
        "coverage": float(np.log(share.sum() + 1e-3)),
        "smaller_lung": float(np.log(share.min() + 1e-3)),
        "fragments": float(max(pieces)),
        "raggedness": float(np.log(max(outline, 1.0) / np.sqrt(max(sizes.sum(), 1.0)))),
    }


def _probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def to_logit(value: float) -> float:
    """Logit of a value between 0 and 1."""
    clipped = float(np.clip(value, 1e-4, 1 - 1e-4))
    return float(np.log(clipped / (1 - clipped)))


def outline_length(mask: np.ndarray) -> float:
    """Length of all outlines of a mask, in pixels."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return float(sum(cv2.arcLength(outline, True) for outline in outlines))


def share_outside(mask: np.ndarray) -> float:
    """Share of a mask that is outside its largest piece."""
    plane = mask.astype(np.uint8)
    x, y, width, height = cv2.boundingRect(plane)
    if not width:
        return 0.0
    count, _, stats, _ = cv2.connectedComponentsWithStats(plane[y : y + height, x : x + width], connectivity=4)
    if count <= 2:
        return 0.0
    areas = stats[1:, cv2.CC_STAT_AREA]
    return float(1 - areas.max() / areas.sum())
