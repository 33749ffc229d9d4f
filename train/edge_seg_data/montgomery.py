"""The Montgomery County set as the NLM publishes it (Jaeger et al. 2014)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edge_seg.film import Film

from edge_seg_data.dataset import (
    Dataset,
    LabelledFilm,
    Outlines,
    picture_files,
    read_film,
    read_mask,
    split_by_patient,
)

STRUCTURES = ("right_lung", "left_lung")


def recognises(folder: Path) -> bool:
    """Whether the folder has the set's own three folders."""
    return (folder / "CXR_png").is_dir() and (folder / "ManualMask" / "leftMask").is_dir()


def read(folder: Path) -> Dataset:
    """All films with both outlines; one film a patient, split 80:10:10.

    The set's outlines leave the heart out: they are visible lung, and the model's manifest should say so.
    """
    films = [
        LabelledFilm(path.stem, path.stem, "", partial(_read, folder, path.name), _finding(path.stem))
        for path in picture_files(folder / "CXR_png")
        if all((folder / "ManualMask" / side / path.name).is_file() for side in ("leftMask", "rightMask"))
    ]
    return Dataset(folder.name, "montgomery", STRUCTURES, split_by_patient(films), {"lung": "visible lung"})


def _finding(stem: str) -> dict[str, str]:
    """The last digit of a name such as MCUCXR_0001_0 says whether tuberculosis was found."""
    return {"finding": {"0": "normal", "1": "tuberculosis"}.get(stem.rpartition("_")[2], "unknown")}


def _read(folder: Path, name: str) -> tuple[Film, Outlines]:
    masks = folder / "ManualMask"
    return read_film(folder / "CXR_png" / name), {
        "right_lung": read_mask(masks / "rightMask" / name),
        "left_lung": read_mask(masks / "leftMask" / name),
    }
