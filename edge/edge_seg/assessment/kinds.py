"""What kind of picture the network saw: a multinomial logistic regression on its coarsest level's pooled features.

The weights are fitted on training films, on variants of them (turned, inverted, cut, outlines, pages) and on pictures
of other kinds (`edge_seg_quantize.gate`), and stored in the manifest. For a model without them the film's thumbnail
decides, see `appearance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from edge_seg.assessment.film_gate import REJECT, WARN, Finding
from edge_seg.typed_json import read_fields

INVERTED, TURNED = "inverted", "turned"
"""Kinds that are nevertheless films of the right body part."""

_NOT_A_CHEST = "not-a-chest-film"
_TEXTS = {
    "lateral": "a lateral chest film: send the frontal one",
    "bone": "a film of bones: send a frontal chest film",
    "CT": "a slice of CT or MRI: send a frontal chest film",
    "mammogram": "a mammogram: send a frontal chest film",
    "photograph": "a photograph: send the film itself",
    "mask": "an outline, no film: send the film itself",
    "page": "a page or a screen: send the film itself",
    "part": "a part of a film: send all of it",
    TURNED: "a chest film that does not stand upright: turn it, if it is a chest film",
    INVERTED: "a chest film with bone black: send it with bone white",
}
_LIMIT = 8.0  # spreads from the centre; beyond that a linear model may predict anything


@dataclass(frozen=True)
class Sight:
    """What the network took a picture for.

    Attributes:
        kind: the likeliest kind other than the expected one.
        odds: logarithm of the odds that it is of the expected kind.
    """

    kind: str
    odds: float


@dataclass(frozen=True)
class Kinds:
    """A fitted classifier.

    Attributes:
        names: of the kinds, the expected one first.
        centre, spread: of each feature on films of the expected kind.
        weights: per kind, of the standardised features.
        bias: per kind.
        strange: log odds below which a picture is refused.
        doubtful: log odds below which a film is unusual.
        facts: what it was fitted on and how well it does on held-out pictures.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    strange: float
    doubtful: float
    facts: dict[str, Any] = field(default_factory=dict)

    def sight(self, pooled: np.ndarray) -> Sight:
        """What a picture is taken for, by its pooled features `(features,)`."""
        centre, spread, weights, bias = self._arrays
        scores = weights @ np.clip((pooled - centre) / spread, -_LIMIT, _LIMIT) + bias
        others = scores[1:]
        return Sight(self.names[1 + int(others.argmax())], float(scores[0] - np.logaddexp.reduce(others)))

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self.centre), np.array(self.spread), np.array(self.weights), np.array(self.bias)

    def finding(self, sight: Sight) -> Finding | None:
        """The finding for a picture, `None` if it is a film as expected."""
        if sight.odds < self.strange:
            text = _TEXTS.get(sight.kind, f"{sight.kind}: send a frontal chest film")
            return Finding(sight.kind if sight.kind == TURNED else _NOT_A_CHEST, REJECT, f"it looks like {text}")
        if sight.odds < self.doubtful:
            return Finding("unusual", WARN, "an unusual chest film: check the outlines with care")
        return None

    def to_json(self) -> dict[str, Any]:
        """As stored in a manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Kinds:
        """Read the output of `to_json`.

        Raises:
            ValueError: a field is missing or of another type, or lists differ in length.
        """
        made = read_fields(cls, raw, "gate")
        features = {len(values) for values in (made.centre, made.spread, *made.weights)}
        kinds = {len(values) for values in (made.names, made.weights, made.bias)}
        if len(features) != 1 or len(kinds) != 1 or len(made.names) < 2 or not all(value > 0 for value in made.spread):
            raise ValueError("gate: each kind has a weight for each feature, and each feature a positive spread")
        return made
