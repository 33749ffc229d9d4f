"""The data sets of a run, with the splits stored in the run, which stay as the sets grow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset, Options, open_dataset
from edge_seg_data.check import with_judged_outlines
from edge_seg_data.progress import ProgressLine
from edge_seg_data.splits import SPLITS_NAME, anonymous, equal_films_across, held_out, splits_of

from edge_seg_train.config import TrainConfig


def open_run_datasets(
    paths: Sequence[str],
    run: Path,
    start: str = "",
    skip_bad: bool = False,
    quiet: bool = True,
    hold_out: tuple[int, int] | None = None,
) -> list[Dataset]:
    """The data sets of a run.

    Args:
        paths: folders, each as `PATH` or `LAYOUT=PATH`.
        run: folder of the run; splits stored in it stay.
        start: run that this one starts from: its training films are never held out here, nor the other way round.
        skip_bad: leave out films that cannot be read.
        quiet: show no progress.
        hold_out: part of the training patients to validate on, and number of parts; see `splits.held_out`.

    Raises:
        InputError: a data set cannot be read, or training on it would be wrong.
    """
    stored = read_splits(run)
    known = stored or (read_splits(Path(start)) if start else {})
    options = Options(skip_bad, known) if quiet else Options(skip_bad, known, ProgressLine())
    datasets = []
    for path in paths:
        dataset = open_dataset(path, options=options)
        if not stored:
            dataset = with_judged_outlines(dataset, options)
        if hold_out is not None:
            dataset = held_out(dataset, *hold_out)
        datasets.append(dataset)
        # A patient in several sets is in the same split in all of them.
        options = replace(options, known={**splits_of([dataset]), **options.known})
    problem = equal_films_across(datasets)
    if problem is not None:
        raise InputError(problem.text)
    return datasets


def datasets_of(config: TrainConfig, run: Path, quiet: bool = True) -> list[Dataset]:
    """The data sets of a run with this configuration.

    Raises:
        InputError: see `open_run_datasets`.
    """
    return open_run_datasets(config.datasets, run, config.start, config.skip_bad, quiet, config.hold_out)


def read_splits(run: Path) -> dict[str, str]:
    """Split by patient as stored in a run; empty if it has none.

    Raises:
        InputError: the file is damaged.
    """
    path = run / SPLITS_NAME
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text())["patients"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: the splits of the run cannot be read ({error}): restore the file") from error


def store_splits(run: Path, datasets: Sequence[Dataset]) -> None:
    """Write each patient's split; patients whose films are gone keep theirs.

    Raises:
        OutputError: the file cannot be written.
    """
    patients = read_splits(run) | splits_of(datasets)
    text = json.dumps({"patients": dict(sorted(patients.items()))}, indent=1)
    write_atomically(run / SPLITS_NAME, text.encode())


def anonymous_splits(run: Path) -> bytes:
    """The splits of a run for a model file, which gets shared: patients by a hash of their identifier."""
    hashed = {anonymous(patient): split for patient, split in read_splits(run).items()}
    return json.dumps({"patients_sha256": dict(sorted(hashed.items()))}, separators=(",", ":")).encode()
