"""Every film of the data sets through every model, kept as it goes, so that a run that was stopped goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from edge_seg import Segmenter
from edge_seg.hardware import usable_cores
from edge_seg_data import Dataset, LabelledFilm, truth_regions

from edge_seg_benchmarks.accuracy.score_cache import Journal
from edge_seg_benchmarks.accuracy.scores import FilmScore, score_outlines, scored_films


def score_all(
    segmenters: Sequence[Segmenter],
    datasets: Sequence[Dataset],
    split: str,
    limit: int | None,
    journal: Journal | None,
    say: Callable[[str], None],
) -> list[list[FilmScore]]:
    """Scores of each model on all films, in the order of the films.

    Args:
        segmenters: without gate: scores are the network's, a film that the gate would turn away is scored like others.
        datasets: to score on.
        split: of their films.
        limit: at most so many films of each.
        journal: where given, scores that stand there are taken from it, others are put there.
        say: told of progress.

    Raises:
        InputError: a data set has no films to score.
    """
    scores: list[list[FilmScore]] = [[] for _ in segmenters]
    if not segmenters:
        return scores
    # Films of one model must come one after another through its interpreter; different models need not wait.
    with ThreadPoolExecutor(min(len(segmenters), usable_cores())) as pool:
        for dataset in datasets:
            films = scored_films(dataset, split, limit)
            for index, film in enumerate(films, 1):
                for found, of_film in zip(scores, _score(segmenters, dataset.name, film, journal, pool), strict=True):
                    found += of_film
                if index == len(films) or index % 50 == 0:
                    say(f"{dataset.name}: {index} of {len(films)} films scored")
    return scores


def _score(
    segmenters: Sequence[Segmenter],
    dataset: str,
    film: LabelledFilm,
    journal: Journal | None,
    pool: ThreadPoolExecutor,
) -> list[list[FilmScore]]:
    keys = [[s.manifest.flatbuffer_sha256, s.runtime.name, dataset, film.split, film.name] for s in segmenters]
    known: list[Any] = [journal.get(key) if journal is not None else None for key in keys]
    if None in known:
        picture, outlines = film.load()
        truths = truth_regions(outlines)

        def missing(segmenter: Segmenter, stored: object) -> list[FilmScore] | None:
            return score_outlines(segmenter, dataset, film, picture, truths) if stored is None else None

        made = list(pool.map(missing, segmenters, known))
    else:
        made = [None] * len(known)
    result = []
    for key, stored, fresh in zip(keys, known, made, strict=True):
        if fresh is not None and journal is not None:
            journal.put(key, [asdict(score) for score in fresh])
        result.append(fresh if fresh is not None else [FilmScore(**score) for score in stored])
    return result
