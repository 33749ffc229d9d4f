"""The training loss in numpy: binary cross-entropy and soft Dice over what is outlined, with its gradient.

The same definition as `edge_seg_train.losses.bce_dice_loss`, for one film: regions derived from structures (the
visible lung) are judged by the probability that the structures give them, and what is not outlined costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_seg.errors import InputError
from edge_seg.pixels import IGNORE
from edge_seg.structures import DERIVED

_LEAST = 1e-6  # probability; its logarithm stays finite in float32
_SMOOTH = 1.0  # of pixels: defines the loss of a structure that is absent in truth and prediction


@dataclass(frozen=True)
class Plane:
    """What one plane of labels shows, as channels of the network.

    Attributes:
        of: structures whose union it shows.
        without: structures excluded from it.
    """

    of: tuple[int, ...]
    without: tuple[int, ...] = ()


def planes_of(names: Sequence[str], structures: Sequence[str]) -> tuple[Plane, ...]:
    """The planes for these names.

    Raises:
        InputError: one of them cannot be derived from the network's structures.
    """
    at = {name: channel for channel, name in enumerate(structures)}
    regions = {region.name: region for region in DERIVED}
    found = []
    for name in names:
        if name in at:
            found.append(Plane((at[name],)))
        elif name in regions and regions[name].known_from(structures):
            region = regions[name]
            left_out = (at[region.without],) if region.without else ()
            found.append(Plane(tuple(at[part] for part in region.of), left_out))
        else:
            raise InputError(f"{name}: the model outlines {', '.join(structures)}: leave {name} out")
    return tuple(found)


def loss_and_slope(logits: np.ndarray, labels: np.ndarray, planes: Sequence[Plane]) -> tuple[float, np.ndarray]:
    """The loss of one film, and its gradient with respect to the logits.

    Args:
        logits: `(height, width, structures)` float32.
        labels: `(height, width, planes)` uint8 of 0, 1 and `IGNORE`.
        planes: what they show.
    """
    p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    valid = labels != IGNORE
    counted = max(int(np.count_nonzero(valid)), 1)
    shown = [k for k in range(len(planes)) if valid[:, :, k].any()]
    total, along = 0.0, np.zeros_like(p)
    for k in shown:
        truth, mask = (labels[:, :, k] == 1).astype(np.float32), valid[:, :, k]
        q, outside, inside = _probability(p, planes[k])
        cost, slope = _of_plane(q, truth, mask, counted, len(shown))
        total += cost
        for channel in planes[k].of:
            others = outside / np.maximum(1 - p[:, :, channel], _LEAST)
            along[:, :, channel] += slope * others * inside
        for channel in planes[k].without:
            along[:, :, channel] -= slope * (1 - outside) * inside / np.maximum(1 - p[:, :, channel], _LEAST)
    return total, along * p * (1 - p)


def _probability(p: np.ndarray, plane: Plane) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plane's probability, that of being in none of its structures, and that of being in no excluded one."""
    outside = np.prod([1 - p[:, :, k] for k in plane.of], axis=0)
    inside = np.prod([1 - p[:, :, k] for k in plane.without], axis=0) if plane.without else np.ones_like(outside)
    return (1 - outside) * inside, outside, inside


def _of_plane(
    q: np.ndarray, truth: np.ndarray, mask: np.ndarray, counted: int, planes: int
) -> tuple[float, np.ndarray]:
    """Cost of a plane, and its gradient with respect to the plane's probability."""
    safe = np.clip(q, _LEAST, 1 - _LEAST)
    cross = -(truth * np.log(safe) + (1 - truth) * np.log(1 - safe))
    slope = (safe - truth) / (safe * (1 - safe)) / counted
    known = q * mask
    both, sizes = float((truth * known).sum()), float((truth * mask).sum() + known.sum())
    apart = 1 - (2 * both + _SMOOTH) / (sizes + _SMOOTH)
    slope += ((2 * both + _SMOOTH) / (sizes + _SMOOTH) ** 2 - 2 * truth / (sizes + _SMOOTH)) / planes
    return float((cross * mask).sum()) / counted + apart / planes, slope * mask
