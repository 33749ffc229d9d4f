"""A second opinion: how far another shipped model agrees with the outlines of a film.

Where two separately trained networks disagree, one of them is wrong. On 104 films of a hospital that neither had seen,
Spearman's correlation of the first one's true Dice was 0.77 with the bound of its estimate, 0.72 with the agreement,
and 0.80 with the product of both (`lungs` and `lungs-nano` of version 0.1.0, `wingspan` train and val).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_seg.boundary import film_boundary
from edge_seg.errors import InputError
from edge_seg.film import Failure, Film
from edge_seg.record import DoneRecord
from edge_seg.segmenter import Segmentation, Segmenter

MODEL, OTHER = "lungs-nano", "lungs"
"""The model that is asked, by far the fastest, and the one that is asked about the first one's own outlines."""

AT_ONCE = 4
"""Films compared while a person waits for an answer: one second on the slowest board, including reading them."""

_MOST_KNOWN = 2000

_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Drawn:
    """A film as the film gate corrected it, and a model's outlines on it: bool arrays of its size, by structure."""

    film: Film
    masks: Mapping[str, np.ndarray]


class SecondOpinions:
    """Asks another model once per film and remembers the result. Thread-safe.

    Args:
        drawn: gives a film and its outlines for a record, `None` if the film no longer exists; may raise `InputError`.
    """

    def __init__(self, drawn: Callable[[DoneRecord], Drawn | None]) -> None:
        self._drawn = drawn
        self._known: dict[_Key, float | None] = {}
        self._segmenters: dict[tuple[str, str], Segmenter] = {}
        self._asking = threading.Lock()

    def known(self, record: DoneRecord) -> float | None:
        """Mean Dice of both models' outlines of a film; `None` if it was not asked for or there is no answer."""
        return self._known.get(_key(record))

    def ask(self, records: Iterable[DoneRecord]) -> bool:
        """Compare the first `AT_ONCE` films not compared yet; returns whether there were any.

        Does nothing while another thread asks.
        """
        new = [record for record in records if _key(record) not in self._known][:AT_ONCE]
        if not new or not self._asking.acquire(blocking=False):
            return False
        try:
            for record in new:
                self._known[_key(record)] = self._opinion(record)
                if len(self._known) > _MOST_KNOWN:
                    del self._known[next(iter(self._known))]
        finally:
            self._asking.release()
        return True

    def _opinion(self, record: DoneRecord) -> float | None:
        if record.lung not in ("whole", "visible"):
            return None

        def compare() -> float | None:
            drawn = self._drawn(record)
            if drawn is None:
                raise InputError(f"{record.name}: is not there any more")
            return agreement(record, drawn.masks, self._segmenter(record)(drawn.film))

        found = film_boundary(record.name, record.source, compare)
        return None if isinstance(found, Failure) else found

    def _segmenter(self, record: DoneRecord) -> Segmenter:
        """Runs on one CPU core, beside the session's own; the film gate has already judged the film."""
        kind = OTHER if record.model.name == MODEL else MODEL, record.lung or ""
        if kind not in self._segmenters:
            self._segmenters[kind] = Segmenter.load(kind[0], threads=1, lung=kind[1], gate=False, delegate="cpu")
        return self._segmenters[kind]


def agreement(record: DoneRecord, masks: Mapping[str, np.ndarray], second: Segmentation) -> float | None:
    """Mean Dice of two outlines of each structure; `None` if they share no structure with the same definition."""
    same = [s.name for s in second.structures if s.name in masks and record.structures.get(s.name) == s.definition]
    return float(np.mean([_dice(masks[name], second.masks[name]) for name in same])) if same else None


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    sizes = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * float(np.count_nonzero(one & other)) / sizes if sizes else 1.0


def _key(record: DoneRecord) -> _Key:
    return record.stem, record.film.sha256 or record.recorded_at, record.model.sha256
