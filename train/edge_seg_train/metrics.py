"""Overlap metrics on logits with partial labels, mean over films and their labelled structures."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from edge_seg_train.losses import split_labels, structure_logits

_FORMULAS = {
    "dice": lambda both, truth, found: (2 * both, truth + found),
    "iou": lambda both, truth, found: (both, truth + found - both),
    "recall": lambda both, truth, found: (both, truth),
    "precision": lambda both, truth, found: (both, found),
}


class Overlap(keras.metrics.Metric):
    """Dice, IoU, recall or precision of masks cut at probability 0.5.

    Args:
        kind: `dice`, `iou`, `recall` or `precision`.

    A structure that is labelled but absent scores 1 where nothing is predicted and 0 otherwise.
    """

    def __init__(self, kind: str, name: str | None = None, **options: Any) -> None:
        super().__init__(name=name or kind, **options)
        self.kind = kind
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch: labels `(batch, height, width, structures)` and logits of them, or of a softmax."""
        truth, valid = split_labels(y_true)
        found = ops.cast(structure_logits(y_true, y_pred) > 0, "float32") * valid
        above, below = _FORMULAS[self.kind](
            ops.sum(truth * found, axis=(1, 2)), ops.sum(truth, axis=(1, 2)), ops.sum(found, axis=(1, 2))
        )
        nothing_wrong = ops.ones_like(below)
        score = ops.where(below > 0, above / ops.maximum(below, 1.0), nothing_wrong)
        labelled = ops.cast(ops.sum(valid, axis=(1, 2)) > 0, "float32")
        self.total.assign_add(ops.sum(score * labelled))
        self.count.assign_add(ops.sum(labelled))

    def result(self) -> Any:
        """Mean over films and labelled structures so far."""
        return self.total / ops.maximum(self.count, 1.0)

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the metric."""
        return {**super().get_config(), "kind": self.kind}


def overlap_metrics() -> list[Overlap]:
    """One metric of each kind."""
    return [Overlap(kind) for kind in _FORMULAS]
