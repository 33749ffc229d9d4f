"""Which reader reads which folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import InputError

from edge_seg_data import chest, montgomery, pairs, tumour
from edge_seg_data.dataset import Dataset


@dataclass(frozen=True)
class Layout:
    """How a kind of data set lies on disk."""

    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Dataset]


LAYOUTS: dict[str, Layout] = {
    "chest": Layout("right_lung/, left_lung/ and cardiomediastinum/ beside images/", chest.recognises, chest.read),
    "whole-lung": Layout(
        "index.csv with match_score, images/, masks/ of whole lungs", chest.recognises_whole, chest.read_whole
    ),
    "visible-lung": Layout(
        "a folder called visible-lung: images/, masks/ without the heart",
        chest.recognises_visible,
        chest.read_visible,
    ),
    "montgomery": Layout(
        "CXR_png/, ManualMask/leftMask/, ManualMask/rightMask/", montgomery.recognises, montgomery.read
    ),
    "brain-tumour": Layout("MATLAB files with cjdata (figshare 1512427)", tumour.recognises, tumour.read),
    "pairs": Layout(
        "images/ and masks/, file names alike or with a suffix such as _mask", pairs.recognises, pairs.read
    ),
}
"""Known layouts, asked in this order."""


def open_dataset(path: str | Path, layout: str | None = None) -> Dataset:
    """The data set in a folder; the layout is recognised, or named as `layout` or `LAYOUT=PATH`.

    Raises:
        InputError: no such folder, or nothing that a reader recognises, or no films.
    """
    text = str(path)
    if layout is None and text.partition("=")[0] in LAYOUTS:
        layout, _, text = text.partition("=")
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder: give the folder of a data set")
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"{folder}: no layout is called {layout}: choose from {', '.join(LAYOUTS)}")
    chosen = layout or next((name for name, kind in LAYOUTS.items() if kind.recognises(folder)), None)
    if chosen is None:
        known = "; ".join(kind.title for kind in LAYOUTS.values())
        raise InputError(f"{folder}: no layout fits: lay it out as one of: {known}")
    dataset = LAYOUTS[chosen].read(folder)
    if not dataset.films:
        raise InputError(f"{folder}: no films with outlines were found: check the folder against `{chosen}`")
    return dataset
