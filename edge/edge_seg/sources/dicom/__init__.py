"""Films from DICOM files: CR and DX, in every encoding that the installed codecs decode; one module per topic."""

from __future__ import annotations

from edge_seg.sources.dicom.codecs import decodable_syntaxes
from edge_seg.sources.dicom.kind import refuse_other_than_films
from edge_seg.sources.dicom.read import decode_dicom, inflate, is_dicom, may_be_dataset, refuse_unusable

__all__ = [
    "decodable_syntaxes",
    "decode_dicom",
    "inflate",
    "is_dicom",
    "may_be_dataset",
    "refuse_other_than_films",
    "refuse_unusable",
]
