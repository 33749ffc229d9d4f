"""Scores of every model on every film, cached as they are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from edge_seg import Segmenter
from edge_seg.hardware import usable_cores
from edge_seg_data import Dataset, LabelledFilm, truth_regions

from edge_seg_benchmarks.accuracy.score_cache import ScoreCache, cache_key
from edge_seg_benchmarks.accuracy.scores import FilmScore, score_result, scored_films

_SAY_EVERY = 50


def score_all(
    segmenters: Sequence[Segmenter],
    datasets: Sequence[Dataset],
    split: str,
    limit: int | None,
    cache: ScoreCache | None,
    say: Callable[[str], None],
) -> list[list[FilmScore]]:
    """Scores of each model on all films, in the order of the films.

    Args:
        segmenters: without film gate, so that every film is scored.
        datasets: to score on.
        split: of their films.
        limit: at most this many films of each.
        cache: read before scoring, and filled.
        say: receives progress messages.

    Raises:
        InputError: a data set has no films to score.
    """
    scores: list[list[FilmScore]] = [[] for _ in segmenters]
    if not segmenters:
        return scores
    # An interpreter runs one film at a time; different models run side by side.
    with ThreadPoolExecutor(min(len(segmenters), usable_cores())) as pool:
        for dataset in datasets:
            films = scored_films(dataset, split, limit)
            for index, film in enumerate(films, 1):
                for found, of_film in zip(scores, _score(segmenters, dataset, film, cache, pool), strict=True):
                    found += of_film
                if index == len(films) or index % _SAY_EVERY == 0:
                    say(f"{dataset.name}: {index} of {len(films)} films scored")
    return scores


def _score(
    segmenters: Sequence[Segmenter],
    dataset: Dataset,
    film: LabelledFilm,
    cache: ScoreCache | None,
    pool: ThreadPoolExecutor,
) -> list[list[FilmScore]]:
    keys = [cache_key(segmenter, dataset, film) for segmenter in segmenters]
    known: list[Any] = [cache.get(key) if cache is not None else None for key in keys]
    if None in known:
        picture, outlines = film.load()
        truths = truth_regions(outlines)

        def missing(segmenter: Segmenter, stored: object) -> list[FilmScore] | None:
            if stored is not None:
                return None
            return score_result(segmenter(picture), dataset.name, film, truths)

        made = list(pool.map(missing, segmenters, known))
    else:
        made = [None] * len(known)
    result = []
    for key, stored, fresh in zip(keys, known, made, strict=True):
        if fresh is not None and cache is not None:
            cache.put(key, [asdict(score) for score in fresh])
        result.append(fresh if fresh is not None else [FilmScore(**score) for score in stored])
    return result
