"""What the gate does with films that it should let through, and with pictures that it should not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_seg import Film, Segmenter
from edge_seg.assessment.film_gate import REJECT, VERDICTS, Quality
from edge_seg.errors import InputError, UsageError
from edge_seg.film import Failure
from edge_seg.sources import open_source
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.scores import scored_films


def measure_gate(
    segmenter: Segmenter,
    datasets: Sequence[Dataset],
    split: str,
    limit: int | None,
    should_reject: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, Any] | None:
    """Verdicts before any outline is made; what the outlines tell (`cut-off-right-lung`, `low-trust`) is not in them.

    Args:
        segmenter: with its gate.
        datasets: films that should pass: those that are scored.
        split: of their films.
        limit: at most so many films of each, evenly spaced.
        should_reject: files, folders and globs of pictures that should not pass.
        say: told of progress.

    Returns:
        `datasets` (see `summarise_looks`) and `should_reject` (see `look_at_pictures`); `None` without a gate.

    Raises:
        InputError: a data set has no films to score, or nothing among `should_reject` can be opened.
        UsageError: there is something to reject, and no gate.
    """
    if not segmenter.gate:
        if should_reject:
            name = segmenter.manifest.name
            raise UsageError(f"{name} has no gate that could reject anything: leave --should-reject out")
        return None
    rejected = [look_at_pictures(segmenter, where) for where in should_reject]
    rows = []
    for dataset in datasets:
        films = scored_films(dataset, split, limit)
        found = [segmenter.look(film.load()[0]) for film in films]
        patients = len({film.patient for film in films})
        rows.append({"dataset": dataset.name, "split": split, "patients": patients, **summarise_looks(found)})
        say(f"{dataset.name}: the gate looked at {len(films)} films")
    return {"datasets": rows, "should_reject": rejected}


def summarise_looks(found: Sequence[Quality]) -> dict[str, Any]:
    """`films`, how many of them got each verdict, and `reasons`: how many had each finding, the gravest first."""
    verdicts = Counter(quality.verdict for quality in found)
    reasons = Counter((finding.verdict, finding.code) for quality in found for finding in quality.findings)
    ordered = sorted(reasons.items(), key=lambda item: (-VERDICTS.index(item[0][0]), -item[1], item[0][1]))
    return {
        "films": len(found),
        **{verdict: verdicts[verdict] for verdict in VERDICTS},
        "reasons": [{"code": code, "verdict": verdict, "films": count} for (verdict, code), count in ordered],
    }


def look_at_pictures(segmenter: Segmenter, where: str) -> dict[str, Any]:
    """What becomes of pictures that the gate should reject.

    Args:
        segmenter: with its gate.
        where: a file, a folder with all below it, or a glob; pictures, DICOM files and videos.

    Returns:
        `name` of the folder, what `summarise_looks` gives, `passed` (names and verdicts of those that are not
        rejected), and `unopened`: names of files that cannot be opened as a film and never come to the gate.

    Raises:
        InputError: nothing there can be opened.
    """
    found: list[tuple[Film, Quality]] = []
    failures: list[Failure] = []
    with closing(open_source((where,))) as source:
        for arrival in source:
            if arrival is None:
                continue
            if isinstance(arrival.content, Film):
                found.append((arrival.content, segmenter.look(arrival.content)))
            else:
                failures.append(arrival.content)
            arrival.settle(None)
    if not found:
        problem = str(failures[0].error) if failures else f"{where}: no pictures"
        raise InputError(f"nothing that the gate could reject: {problem}")
    return {
        "name": Path(where).name,
        **summarise_looks([quality for _, quality in found]),
        "passed": [
            {"name": film.name, "verdict": quality.verdict} for film, quality in found if quality.verdict != REJECT
        ],
        "unopened": [failure.name for failure in failures],
    }
