"""Scores of uncorrupted and corrupted films, joined."""

from __future__ import annotations

from edge_seg_benchmarks.accuracy.reliability import measure_reliability
from edge_seg_benchmarks.accuracy.robustness import CorruptedScore, as_they_are
from edge_seg_benchmarks.accuracy.scores import FilmScore


def test_films_of_all_splits_are_joined_with_their_corrupted_selves() -> None:
    films = [
        FilmScore("d", split, split, split, "whole_lung", 0.9, 0.8, 1, 1, estimate=0.9) for split in ("train", "test")
    ]
    corrupted = [
        CorruptedScore("d", "all", film.film, film.patient, "whole_lung", "blur", 1, 0.1, 0.7, 0.8) for film in films
    ]
    found = measure_reliability([*as_they_are(films, "all"), *corrupted])
    assert found is not None
    (row,), (uncorrupted,) = found.datasets, found.uncorrupted
    assert (row.split, row.films, row.with_corruptions) == ("all", 2, 4)
    assert (uncorrupted.films, uncorrupted.with_corruptions) == (2, 2)
