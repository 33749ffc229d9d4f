"""Losses on logits with partial labels: structures without an outline and ignored pixels do not count.

Written in `keras.ops`, so that they train on every backend and, on TensorFlow, under legacy Keras too.
Labels are `(batch, height, width, structures)` of 0, 1 and 127 (ignore). Logits have the same shape, one sigmoid each,
or one more channel: then they are a softmax, background first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edge_seg.pixels import IGNORE
from edge_seg.structures import DERIVED
from keras import ops

Parts = tuple[tuple[int, ...], tuple[int, ...]]
"""A derived region as channels: the ones whose union it is, and the ones excluded from it."""

_LEAST = 1e-7  # probability whose logarithm stays finite
_SMOOTH = 1.0  # pixels; defines the loss of a structure that is absent from truth and prediction


def split_labels(labels: Any) -> tuple[Any, Any]:
    """Truth and weight, both float32 of the labels' shape: weight 0 where a pixel is ignored."""
    valid = ops.cast(ops.not_equal(ops.cast(labels, "int32"), IGNORE), "float32")
    return ops.cast(labels, "float32") * valid, valid


def structure_logits(labels: Any, logits: Any) -> Any:
    """The logit of each structure's probability, float32 of the labels' shape.

    For a softmax this is the log odds: the class's own score minus the log-sum-exp of the others.
    """
    x = ops.cast(logits, "float32")
    classes = x.shape[-1]
    if classes == labels.shape[-1]:
        return x
    others = [ops.concatenate([x[..., :k], x[..., k + 1 :]], axis=-1) for k in range(1, classes)]
    return ops.stack([x[..., k] - ops.logsumexp(o, axis=-1) for k, o in enumerate(others, 1)], axis=-1)


def region_parts(structures: Sequence[str], regions: Sequence[str]) -> tuple[Parts, ...]:
    """The parts of each region, as channels of the structures."""
    found = {region.name: region for region in DERIVED}
    at = {name: channel for channel, name in enumerate(structures)}
    return tuple(
        (tuple(at[name] for name in found[one].of), tuple(at[name] for name in (found[one].without,) if name))
        for one in regions
    )


def with_regions(logits: Any, parts: Sequence[Parts]) -> Any:
    """The structures' logits, followed by those of the derived regions' probabilities.

    Assumes that a pixel belongs to each structure independently of the others: a region's probability is
    `(1 - product of (1 - p) of its structures) x product of (1 - p) of the excluded ones`.
    """
    if not parts:
        return logits
    p = ops.sigmoid(logits)
    found = []
    for made_of, without in parts:
        outside = 1.0
        for k in made_of:
            outside = outside * (1 - p[..., k])
        inside = 1 - outside
        for k in without:
            inside = inside * (1 - p[..., k])
        found.append(inside)
    q = ops.stack(found, axis=-1)
    return ops.concatenate([logits, ops.log(q + _LEAST) - ops.log(1 - q + _LEAST)], axis=-1)


def training_loss(
    name: str, structures: Sequence[str], regions: Sequence[str], distill_weight: float = 1.0
) -> Callable[[Any, Any], Any]:
    """The named loss on labels of structures, followed by those of regions derived from them.

    If the labels are followed by probabilities of each structure, as from `distillation`, their loss is added.

    Args:
        name: in `LOSSES`.
        structures: the network's outputs.
        regions: names in `structures.DERIVED` that have label planes.
        distill_weight: of the probabilities' loss relative to that of the labels.
    """
    loss, parts = LOSSES[name], region_parts(structures, regions)
    outlined = len(structures) + len(parts)

    def on_all(labels: Any, logits: Any) -> Any:
        found = structure_logits(labels[..., : len(structures)], logits)
        total = loss(labels[..., :outlined], with_regions(found, parts))
        if labels.shape[-1] == outlined:
            return total
        return total + distill_weight * distillation_loss(labels[..., outlined:], found)

    on_all.__name__ = loss.__name__
    return on_all


def distillation_loss(probabilities: Any, logits: Any) -> Any:
    """Binary cross-entropy against probabilities plus half the soft Dice loss. `(batch,)` float32.

    Args:
        probabilities: `(batch, height, width, structures)` uint8 of 0 to 255.
        logits: of the same shape, one sigmoid each.
    """
    truth, x = ops.cast(probabilities, "float32") / 255, ops.cast(logits, "float32")
    cost = ops.maximum(x, 0.0) - x * truth + ops.log1p(ops.exp(-ops.abs(x)))
    p = ops.sigmoid(x)
    both = ops.sum(truth * p, axis=(1, 2))
    sizes = ops.sum(truth, axis=(1, 2)) + ops.sum(p, axis=(1, 2))
    apart = 1 - (2 * both + _SMOOTH) / (sizes + _SMOOTH)
    return ops.mean(cost, axis=(1, 2, 3)) + ops.mean(apart, axis=-1) / 2


def dice_loss(labels: Any, logits: Any) -> Any:
    """One minus soft Dice (Milletari et al. 2016, without squares), mean over the labelled structures of each film.

    Returns:
        `(batch,)` float32.
    """
    truth, valid = split_labels(labels)
    probability = ops.sigmoid(structure_logits(labels, logits)) * valid
    both = ops.sum(truth * probability, axis=(1, 2))
    sizes = ops.sum(truth, axis=(1, 2)) + ops.sum(probability, axis=(1, 2))
    labelled = ops.cast(ops.sum(valid, axis=(1, 2)) > 0, "float32")
    loss = (1 - (2 * both + _SMOOTH) / (sizes + _SMOOTH)) * labelled
    return ops.sum(loss, axis=-1) / ops.maximum(ops.sum(labelled, axis=-1), 1.0)


def bce_loss(labels: Any, logits: Any) -> Any:
    """Binary cross-entropy, mean over the valid pixels of each film. `(batch,)` float32."""
    truth, valid = split_labels(labels)
    x = structure_logits(labels, logits)
    cost = ops.maximum(x, 0.0) - x * truth + ops.log1p(ops.exp(-ops.abs(x)))
    return ops.sum(cost * valid, axis=(1, 2, 3)) / ops.maximum(ops.sum(valid, axis=(1, 2, 3)), 1.0)


def bce_dice_loss(labels: Any, logits: Any) -> Any:
    """Sum of `bce_loss` and `dice_loss`. `(batch,)` float32."""
    return bce_loss(labels, logits) + dice_loss(labels, logits)


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "dice": dice_loss,
    "bce": bce_loss,
    "bce+dice": bce_dice_loss,
}
