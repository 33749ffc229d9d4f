"""A film's outlines as corrected by a person, as a DICOM segmentation in its own series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from edge_seg.film import Film
from edge_seg.notice import RESEARCH_USE
from edge_seg.outputs.dicom import origin
from edge_seg.outputs.dicom.header import study_header
from edge_seg.outputs.dicom.segmentation import SegmentationFacts, binary_segmentation, rgb
from edge_seg.outputs.dicom.stream import to_bytes
from edge_seg.quiet import warnings_ignored
from edge_seg.structures import Structure

_NO_PERSON_NAME = re.compile(r"[\x00-\x1f\x7f\\^=]")


@dataclass(frozen=True, kw_only=True)
class CorrectedOutlines:
    """Content of the object.

    Attributes:
        number: of the version.
        structures: in the order of the segments.
        masks: bool arrays of the film's size, by structure.
        drawn: structures drawn from scratch, without an outline from the model.
        who: the name that the person chose.
        when: ISO 8601.
        model, model_version, model_sha256: the model whose outlines the person looked at.
    """

    number: int
    structures: tuple[Structure, ...]
    masks: Mapping[str, np.ndarray]
    drawn: tuple[str, ...]
    who: str
    when: str
    model: str
    model_version: str
    model_sha256: str


def correction_object(film: Film, outlines: CorrectedOutlines) -> bytes:
    """A binary segmentation, one segment per structure (PS3.3 A.51), as a complete file.

    Segments are marked SEMIAUTOMATIC if the person started from the model's outline, or MANUAL if there was none.

    Raises:
        InputError: the film came without a DICOM header.
    """
    from pydicom.uid import generate_uid
    from pydicom.valuerep import DA, TM

    dataset = study_header(film).dataset
    sources = [dataset.SOPInstanceUID, film.checksum or "", str(outlines.number), outlines.who, outlines.when]
    facts = SegmentationFacts(
        series_uid=str(generate_uid(entropy_srcs=[*sources, "series"])),
        series_number=origin.CORRECTION_SERIES,
        series=f"edge-seg outlines put right: {RESEARCH_USE}",
        uid=str(generate_uid(entropy_srcs=sources)),
        label="CORRECTED",
        model=outlines.model,
        model_sha256=outlines.model_sha256,
        creator=_NO_PERSON_NAME.sub(" ", outlines.who)[:64].strip() or None,
    )
    masks = [outlines.masks[one.name] for one in outlines.structures]
    with warnings_ignored():
        # highdicom warns about names without a caret and the like.
        made = binary_segmentation(dataset, masks, _descriptions(outlines), facts)
    when = datetime.fromisoformat(outlines.when)
    made.ContentDate = DA(when.date())
    made.ContentTime = TM(when.time())
    return to_bytes(made)


def _descriptions(outlines: CorrectedOutlines) -> list[Any]:
    import highdicom
    from pydicom.sr.coding import Code

    kinds = highdicom.seg.SegmentAlgorithmTypeValues
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=f"edge-seg {outlines.model}"[:64],
        family=Code(*origin.ARTIFICIAL_INTELLIGENCE),
        version=f"{outlines.model_version} {outlines.model_sha256[:12]}"[:64],
        source=origin.SOURCE,
        parameters={"put right": "by a person", "notice": RESEARCH_USE},
    )
    descriptions = []
    for number, structure in enumerate(outlines.structures, 1):
        manual = structure.name in outlines.drawn
        description = highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=structure.title[:64],
            segmented_property_category=Code(*origin.ANATOMICAL_STRUCTURE),
            segmented_property_type=origin.structure_code(structure),
            algorithm_type=kinds.MANUAL if manual else kinds.SEMIAUTOMATIC,
            algorithm_identification=None if manual else algorithm,
            display_color=highdicom.color.CIELabColor.from_rgb(*rgb(structure.colour)),
        )
        description.SegmentDescription = structure.definition
        descriptions.append(description)
    return descriptions
