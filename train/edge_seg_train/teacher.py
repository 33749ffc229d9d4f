"""Labels from another model for structures without an outline, only where that model is confident.

37 of some 3,800 films have heart outlines; a model trained on those outlines hearts on the others well enough to teach
a smaller one (pseudo-labels, Lee 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from edge_seg import Segmenter, pixels
from edge_seg.film import Film

SURE = 0.9
"""Probability from which a structure counts as present; below its complement it is absent, in between ignored."""


class Teacher:
    """A model that outlines films for others to learn from; thread-safe.

    Args:
        model: name of a shipped model, or path of a model file.

    Raises:
        ModelError: it cannot be read.
    """

    def __init__(self, model: str) -> None:
        # One thread: the films are already read by several.
        self._segmenter = Segmenter.load(model, threads=1, gate=False)
        self._one_at_a_time = Lock()

    def __call__(self, film: Film, structures: Sequence[str]) -> dict[str, np.ndarray]:
        """The labels the teacher is confident of.

        Args:
            film: to outline.
            structures: names; those the model does not have are skipped.

        Returns:
            Per structure, `(film height, film width)` uint8 of 0, 1 and `IGNORE`.
        """
        manifest = self._segmenter.manifest
        known = [structure.name for structure in manifest.structures]
        wanted = [name for name in structures if name in known]
        if not wanted:
            return {}
        tensor, letterbox = self._segmenter.prepare(film)
        with self._one_at_a_time:
            logits = self._segmenter.logits(self._segmenter.runtime.run(tensor).copy())
        logits = logits[:, :, [known.index(name) for name in wanted]]
        there = pixels.to_masks(logits, letterbox, (SURE,) * len(wanted), manifest.single_component)
        may_be = pixels.to_masks(logits, letterbox, (1 - SURE,) * len(wanted))
        labels = np.where(there, 1, np.where(may_be, pixels.IGNORE, 0)).astype(np.uint8)
        return dict(zip(wanted, labels, strict=True))
