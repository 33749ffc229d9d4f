"""Pictures of known failures, on the phantom's films, which contain no patient."""

from __future__ import annotations

import io

import cv2
import numpy as np
from edge_seg import RESEARCH_USE, Segmenter, pixels
from edge_seg_data import Dataset, truth_regions
from edge_seg_data.corruptions import CORRUPTIONS
from PIL import Image, PngImagePlugin

from edge_seg_benchmarks.accuracy.failures import REGION, KnownFailure
from edge_seg_benchmarks.report.pictures import FOUND, TRUTH, outlines_of

_HEIGHT = 168  # pixels: the pictures must add little to a model file
_GREYS = 14  # with two colours 16, four bits per pixel


def draw_failure(segmenter: Segmenter, phantoms: Dataset, failure: KnownFailure) -> bytes:
    """PNG of 16 colours, at most 15 kB: the corrupted film with truth (green) and prediction (orange).

    Args:
        segmenter: the model, without film gate.
        phantoms: the data set the failure was observed on.
        failure: of this model.
    """
    labelled = next(film for film in phantoms.films if film.name == failure.film)
    corruption = next(corruption for corruption in CORRUPTIONS if corruption.name == failure.corruption)
    film, outlines = corruption(*labelled.load(), failure.severity)
    truth, found = truth_regions(outlines)[REGION][0], segmenter(film).regions[REGION]
    size = max(1, round(_HEIGHT * film.shape[1] / film.shape[0])), _HEIGHT
    grey = cv2.resize(pixels.to_grey8(film), size, interpolation=cv2.INTER_AREA)
    panel = np.rint(grey / 255 * (_GREYS - 1)).astype(np.uint8)
    for mask, entry in ((truth, _GREYS), (found, _GREYS + 1)):
        cv2.drawContours(panel, outlines_of(mask, size), -1, entry, 1)
    levels = np.linspace(0, 255, _GREYS).round().astype(np.uint8)
    picture = Image.frombytes("P", size, panel.tobytes())
    # OpenCV's colours are blue, green, red.
    picture.putpalette([*levels.repeat(3).tolist(), *TRUTH[::-1], *FOUND[::-1]])
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", f"synthetic film; {RESEARCH_USE}")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True, pnginfo=text)
    return buffer.getvalue()
