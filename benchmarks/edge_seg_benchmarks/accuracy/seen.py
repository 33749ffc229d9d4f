"""Scored films that a model has seen: those of patients in its training and validation splits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_seg.model_file import ModelFile
from edge_seg_data.splits import anonymous, splits_of_model

from edge_seg_benchmarks.accuracy.scores import FilmScore


@dataclass(frozen=True)
class SeenFilms:
    """Scored films of one data set that were used in training: their Dice says little about new films.

    Attributes:
        films: number scored.
        trained, validated: those of patients in the model's training split and in its validation split.
    """

    dataset: str
    split: str
    films: int
    trained: int
    validated: int

    @property
    def counts(self) -> str:
        """The films seen, in words: `2 in training and 1 in validation`."""
        counted = (self.trained, "training"), (self.validated, "validation")
        return " and ".join(f"{count} in {split}" for count, split in counted if count)


def seen_films(model: ModelFile, scores: Iterable[FilmScore]) -> list[SeenFilms]:
    """Films that a model has seen, per data set; only sets with any.

    Patients are identified by name if the data set names them, otherwise by the film's content.

    Raises:
        ModelError: the splits in the model cannot be read.
    """
    splits = splits_of_model(model)
    films: dict[tuple[str, str], dict[str, str]] = {}
    for score in scores:
        films.setdefault((score.dataset, score.split), {})[score.film] = splits.get(anonymous(score.patient), "")
    counted = [
        SeenFilms(*key, len(found), *(sum(split == one for split in found.values()) for one in ("train", "val")))
        for key, found in films.items()
    ]
    return [one for one in counted if one.trained or one.validated]
