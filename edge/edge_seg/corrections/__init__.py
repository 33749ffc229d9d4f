"""Outlines corrected by a person: every version is kept, and the newest form a data set to learn from."""

from edge_seg.corrections.dataset import CorrectedFilm
from edge_seg.corrections.line import CANNOT_JUDGE, CORRECTED, RIGHT, VERDICTS, Correction, ModelOfCorrection
from edge_seg.corrections.store import FOLDER, Corrections, Judgement

__all__ = [
    "CANNOT_JUDGE",
    "CORRECTED",
    "FOLDER",
    "RIGHT",
    "VERDICTS",
    "CorrectedFilm",
    "Correction",
    "Corrections",
    "Judgement",
    "ModelOfCorrection",
]
