"""Data sets of films with outlines, for training and evaluation: one reader per folder layout.

>>> from edge_seg_data import open_dataset
>>> films = open_dataset("path/to/adult").split("test")  # doctest: +SKIP
"""

from edge_seg_data.dataset import Dataset, LabelledFilm, Outlines, evenly_spaced, truth_regions
from edge_seg_data.layouts import LAYOUTS, inspect_dataset, open_dataset, split_name
from edge_seg_data.reading import Options

__all__ = [
    "LAYOUTS",
    "Dataset",
    "LabelledFilm",
    "Options",
    "Outlines",
    "evenly_spaced",
    "inspect_dataset",
    "open_dataset",
    "split_name",
    "truth_regions",
]
