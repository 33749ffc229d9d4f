"""What a quantised model sees on outlined films and corrupted copies of them, and its true Dice there.

Films come at the network's size, as training packs them: rereading them would take longer than everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from edge_seg import Film, Segmenter, pixels
from edge_seg.assessment.doubt import signals
from edge_seg.pixels import IGNORE
from edge_seg.structures import regions
from edge_seg_data import truth_regions
from edge_seg_data.corruptions import CORRUPTIONS, SEVERITIES
from edge_seg_data.scores import dice

COPIES_HELD_OUT, COPIES_TRAINED = 4, 0
"""Corrupted copies of each held-out film and of each training film."""

_AS_IT_IS = (0.0, 255.0)  # window: packed films are already stretched


@dataclass(frozen=True)
class PackedFilm:
    """A film at a network's size.

    Attributes:
        name, patient, dataset: of the film.
        held_out: whether it was held out of the network's training.
        grey: `(height, width)` uint8, without the letterbox's borders.
        outlines: `(height, width)` uint8 of 0, 1 and `IGNORE` by structure or region; only what is outlined.
    """

    name: str
    patient: str
    dataset: str
    held_out: bool
    grey: np.ndarray
    outlines: dict[str, np.ndarray]


@dataclass(frozen=True)
class Observation:
    """What the network saw on one film or copy.

    Attributes:
        film: the film, or the original of the copy.
        corrupted: whether it is a copy.
        crossed: whether a cross-fitted network, which held the film out of training, saw it in place of the model.
        signals: by region, see `doubt.signals`.
        pooled: `(features,)`.
        dice: true Dice by region.
    """

    film: PackedFilm
    corrupted: bool
    signals: dict[str, dict[str, float]]
    pooled: np.ndarray
    dice: dict[str, float]
    crossed: bool = False


def unpack(
    grey: np.ndarray, labels: np.ndarray, names: Sequence[str], name: str, patient: str, dataset: str, held_out: bool
) -> PackedFilm | None:
    """A film of `edge_seg_train.packing.PackedFilms`; `None` if nothing on it is outlined.

    Args:
        grey: `(height, width)` uint8.
        labels: `(height, width, structures and regions)` uint8 of 0, 1 and `IGNORE`.
        names: of the planes of `labels`.
        name, patient, dataset, held_out: see `PackedFilm`.
    """
    known = labels != IGNORE
    there = known.any(axis=2)
    if not there.any():
        return None
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    outlines = {plane: np.ascontiguousarray(labels[(*box, k)]) for k, plane in enumerate(names) if known[:, :, k].any()}
    return PackedFilm(name, patient, dataset, held_out, np.ascontiguousarray(grey[box]), outlines)


def observe(segmenter: Segmenter, films: Sequence[PackedFilm], eyes: Segmenter | None = None) -> list[Observation]:
    """Observe each film, and corrupted copies of it.

    Args:
        segmenter: with a model that outputs pooled features, without film gate.
        films: outlined.
        eyes: supplies the pooled features instead of the segmenter, since features of two networks are not comparable.
    """
    see = partial(_observed, segmenter, eyes or segmenter)
    found = []
    for index, packed in enumerate(films):
        film = Film(packed.grey, packed.name, window=_AS_IT_IS)
        found.append(see(packed, film, packed.outlines, corrupted=False))
        copies = COPIES_HELD_OUT if packed.held_out else COPIES_TRAINED
        for copy in range(copies):
            corruption = CORRUPTIONS[(index * copies + copy) % len(CORRUPTIONS)]
            severity = SEVERITIES[(index + copy) % len(SEVERITIES)]
            changed, outlines = corruption(film, packed.outlines, severity, seed=index)
            found.append(see(packed, changed, outlines, corrupted=True))
    return found


def pooled_features(segmenter: Segmenter, film: Film) -> np.ndarray:
    """Pooled features `(features,)` of a picture."""
    pooled = segmenter.observe(pixels.to_input(film, segmenter.manifest.input_shape)[0])[1]
    assert pooled is not None
    return pooled


def _observed(
    segmenter: Segmenter,
    eyes: Segmenter,
    packed: PackedFilm,
    film: Film,
    outlines: dict[str, np.ndarray],
    *,
    corrupted: bool,
) -> Observation:
    manifest = segmenter.manifest
    grey, letterbox = pixels.to_input(film, manifest.input_shape)
    logits, own = segmenter.observe(grey)
    pooled = own if eyes is segmenter else pooled_features(eyes, film)
    assert pooled is not None
    names = [structure.name for structure in manifest.structures]
    thresholds = manifest.thresholds or (0.5,) * len(names)
    masks = pixels.to_masks(logits, letterbox, thresholds, manifest.single_component)
    predicted = regions(dict(zip(names, masks, strict=True)))
    truth = truth_regions(outlines)
    return Observation(
        packed,
        corrupted,
        signals(logits[letterbox.content], names, pooled),
        pooled,
        {name: dice(mask, predicted[name], valid) for name, (mask, valid) in truth.items() if name in predicted},
        crossed=eyes is not segmenter,
    )
