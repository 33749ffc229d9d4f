"""What the film gate does with films that should pass, and with pictures that should not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_seg import Film, Segmenter
from edge_seg.assessment.film_gate import ACCEPT, REJECT, VERDICTS, WARN, Quality
from edge_seg.errors import InputError, UsageError
from edge_seg.film import Failure
from edge_seg.sources import open_source
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.scores import scored_films


@dataclass(frozen=True)
class FindingCount:
    """Number of films on which the gate had a finding (`code`), and the verdict that it leads to."""

    code: str
    verdict: str
    films: int


@dataclass(frozen=True)
class Verdicts:
    """How many films got each verdict, and `reasons`: the findings, the most serious first."""

    films: int
    accept: int
    warn: int
    reject: int
    reasons: tuple[FindingCount, ...]


@dataclass(frozen=True)
class FilmVerdicts(Verdicts):
    """Verdicts on the films of a data set, which should pass."""

    dataset: str
    split: str
    patients: int


@dataclass(frozen=True)
class Passed:
    """A picture that was not rejected."""

    name: str
    verdict: str


@dataclass(frozen=True)
class PictureVerdicts(Verdicts):
    """Verdicts on pictures that should not pass.

    Attributes:
        name: of the folder, file or glob.
        passed: the pictures that were not rejected.
        unopened: names of files that cannot be opened as a film and never reach the gate.
    """

    name: str
    passed: tuple[Passed, ...]
    unopened: tuple[str, ...]


@dataclass(frozen=True)
class FilmGateFigures:
    """What a model's film gate does."""

    datasets: tuple[FilmVerdicts, ...]
    should_reject: tuple[PictureVerdicts, ...]


def measure_film_gate(
    segmenter: Segmenter,
    datasets: Sequence[Dataset],
    split: str,
    limit: int | None,
    should_reject: Sequence[str],
    say: Callable[[str], None],
) -> FilmGateFigures | None:
    """Count the verdicts of the gate; findings about masks (`cut-off-right-lung`, `low-trust`) are not counted.

    Args:
        segmenter: with its film gate.
        datasets: films that should pass: those that are scored.
        split: of their films.
        limit: at most this many films of each, evenly spaced.
        should_reject: files, folders and globs of pictures that should not pass.
        say: receives progress messages.

    Returns:
        `None` for a model without a film gate.

    Raises:
        InputError: a data set has no films to score, or nothing among `should_reject` can be opened.
        UsageError: there are pictures to reject, but the model has no film gate.
    """
    if not segmenter.gate:
        if should_reject:
            name = segmenter.manifest.name
            raise UsageError(f"{name} has no film gate that could reject pictures: remove --should-reject")
        return None
    pictures = [look_at_pictures(segmenter, where) for where in should_reject]
    rows = []
    for dataset in datasets:
        films = scored_films(dataset, split, limit)
        verdicts = count_verdicts([segmenter.look(film.load()[0]) for film in films])
        patients = len({film.patient for film in films})
        rows.append(FilmVerdicts(**vars(verdicts), dataset=dataset.name, split=split, patients=patients))
        say(f"{dataset.name}: the film gate looked at {len(films)} films")
    return FilmGateFigures(tuple(rows), tuple(pictures))


def count_verdicts(found: Sequence[Quality]) -> Verdicts:
    """How many films got each verdict and had each finding."""
    verdicts = Counter(quality.verdict for quality in found)
    reasons = Counter((finding.verdict, finding.code) for quality in found for finding in quality.findings)
    ordered = sorted(reasons.items(), key=lambda item: (-VERDICTS.index(item[0][0]), -item[1], item[0][1]))
    return Verdicts(
        len(found),
        verdicts[ACCEPT],
        verdicts[WARN],
        verdicts[REJECT],
        tuple(FindingCount(code, verdict, count) for (verdict, code), count in ordered),
    )


def look_at_pictures(segmenter: Segmenter, where: str) -> PictureVerdicts:
    """Verdicts on pictures that the film gate should reject.

    Args:
        segmenter: with its film gate.
        where: a file, a folder (searched recursively) or a glob: pictures, DICOM files and videos.

    Raises:
        InputError: nothing there can be opened.
    """
    found: list[tuple[Film, Quality]] = []
    failures: list[Failure] = []
    try:
        opened = open_source((where,))
    except InputError as error:
        raise InputError(f"no pictures for the film gate to reject: {error}") from error
    with closing(opened) as source:
        for arrival in source:
            if arrival is None:
                continue
            if isinstance(arrival.content, Film):
                found.append((arrival.content, segmenter.look(arrival.content)))
            else:
                failures.append(arrival.content)
            arrival.settle(None)
    if not found:
        problem = str(failures[0].error) if failures else f"{where}: nothing can be opened"
        raise InputError(f"no pictures for the film gate to reject: {problem}")
    return PictureVerdicts(
        **vars(count_verdicts([quality for _, quality in found])),
        name=Path(where).name,
        passed=tuple(Passed(film.name, quality.verdict) for film, quality in found if quality.verdict != REJECT),
        unopened=tuple(failure.name for failure in failures),
    )
