"""Overlap metrics on logits with partial labels, averaged over films and their labelled structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from edge_seg import pixels
from keras import ops

from edge_seg_train.config import TrainConfig
from edge_seg_train.losses import Parts, region_parts, split_labels, structure_logits

_FORMULAS = {
    "dice": lambda both, truth, found: (2 * both, truth + found),
    "iou": lambda both, truth, found: (both, truth + found - both),
    "recall": lambda both, truth, found: (both, truth),
    "precision": lambda both, truth, found: (both, found),
}


class Overlap(keras.metrics.Metric):
    """Dice, IoU, recall or precision of masks thresholded at probability 0.5.

    A structure that is labelled but absent scores 1 if nothing is predicted and 0 otherwise.

    Args:
        kind: `dice`, `iou`, `recall` or `precision`.
        regions: parts of the derived regions whose labels follow those of the structures.
        outlines: number of label planes that are outlines; 0 is all.
    """

    def __init__(
        self, kind: str, name: str | None = None, regions: Sequence[Parts] = (), outlines: int = 0, **options: Any
    ) -> None:
        super().__init__(name=name or kind, **options)
        self.kind, self.regions, self.outlines = kind, regions, outlines
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch: labels `(batch, height, width, structures)` and their logits, or those of a softmax."""
        y_true = y_true[..., : self.outlines or None]
        truth, valid = split_labels(y_true)
        structures = y_true[..., : y_true.shape[-1] - len(self.regions)]
        found = _with_region_masks(structure_logits(structures, y_pred), self.regions) * valid
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
        """The arguments to rebuild the metric from."""
        return {**super().get_config(), "kind": self.kind, "regions": self.regions, "outlines": self.outlines}


def overlap_metrics(regions: Sequence[Parts] = (), outlines: int = 0) -> list[Overlap]:
    """One metric of each kind."""
    return [Overlap(kind, regions=regions, outlines=outlines) for kind in _FORMULAS]


def masks_of(logits: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Masks of what the labels outline: `(films, height, width, config.outlined)` bool.

    Args:
        logits: `(films, height, width, config.outputs)` float, the network's.
        config: of the run.
    """
    found = pixels.structure_logits(logits, config.output)
    return np.asarray(_with_region_masks(found, region_parts(config.structures, config.regions))) > 0


def _with_region_masks(logits: Any, regions: Sequence[Parts]) -> Any:
    """Masks of the structures, followed by those of the regions derived from them, float32 of 0 and 1."""
    masks = ops.cast(logits > 0, "float32")
    planes = [masks]
    for made_of, without in regions:
        inside = ops.max(ops.stack([masks[..., k] for k in made_of], axis=-1), axis=-1)
        for k in without:
            inside = inside * (1 - masks[..., k])
        planes.append(inside[..., None])
    return ops.concatenate(planes, axis=-1)
