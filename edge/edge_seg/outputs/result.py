"""What products are made from."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from edge_seg.assessment.film_gate import REJECT
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.segmenter import Segmentation


class Result:
    """A film's segmentation and what several products derive from it.

    Attributes:
        segmentation: of the film.
        overlay_kind: file extension of the overlay, one of `OVERLAY_KINDS`.
        notes: what could not be made, and why; products add to it, and the record lists it among its warnings.

    Args:
        segmentation: of the film.
        names: whether data that identifies a patient's films may be written.
        overlay_kind: see the attribute.
    """

    def __init__(self, segmentation: Segmentation, names: bool = False, overlay_kind: str = "jpg") -> None:
        self.segmentation = segmentation
        self.overlay_kind = overlay_kind
        self.notes: list[str] = []
        self._names = names

    @property
    def segmented(self) -> bool:
        """Whether the film was segmented; empty masks of one that the film gate rejected would look like a finding."""
        return self.segmentation.quality.verdict != REJECT

    @cached_property
    def overlay(self) -> np.ndarray:
        """See `draw_overlay`."""
        return draw_overlay(self.segmentation, names=self._names)
