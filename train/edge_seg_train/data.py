"""The data sets of a run, with the splits stored in the run, which stay as the sets grow, and those it came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset, Options, open_dataset
from edge_seg_data.check import with_judged_outlines
from edge_seg_data.index import same_patient
from edge_seg_data.progress import ProgressLine
from edge_seg_data.splits import (
    SPLITS_NAME,
    anonymous,
    equal_films_across,
    held_out,
    patients_across,
    splits_of,
    splits_of_model,
)

from edge_seg_train.config import CONFIG_NAME, TrainConfig, read_config
from edge_seg_train.pretrained import shipped_weights


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
    known = stored or (read_splits(Path(start)) if is_run(start) else {})
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
    problem = equal_films_across(datasets) or patients_across(datasets)
    if problem is not None:
        raise InputError(problem.text)
    if not stored:
        refuse_learned(datasets, start)
    return datasets


def datasets_of(config: TrainConfig, run: Path, quiet: bool = True) -> list[Dataset]:
    """The data sets of a run with this configuration.

    Raises:
        InputError: see `open_run_datasets`.
    """
    return open_run_datasets(config.datasets, run, config.start, config.skip_bad, quiet, config.hold_out)


def is_run(start: str) -> bool:
    """Whether weights to start from are those of a run that is here, not a shipped model's."""
    return bool(start) and start not in shipped_weights() and (Path(start) / CONFIG_NAME).is_file()


def lineage(start: str) -> list[str]:
    """A run or shipped model, and what it started from, nearest first; a run that is gone ends the line."""
    found: list[str] = []
    # A run may have been moved to the place of the run that it started from.
    while start and start not in found:
        found.append(start)
        start = read_config(Path(start))[0].start if is_run(start) else ""
    return found


def patients_learned(start: str) -> set[str]:
    """The patients that a run, and the runs it started from, are known to be trained on."""
    runs = [Path(name) for name in lineage(start) if is_run(name)]
    return {patient for run in runs for patient, split in read_splits(run).items() if split == "train"}


def refuse_learned(datasets: Sequence[Dataset], start: str) -> None:
    """Refuse films to validate or test on that the weights of a run have seen: the results would be too good.

    Raises:
        InputError: a film that is not trained on is of a patient that the run was trained on.
    """
    learned = set(map(same_patient, patients_learned(start)))
    held = [film for dataset in datasets for film in dataset.films if film.split != "train"]
    seen = [film for film in held if same_patient(film.patient) in learned]
    if seen:
        raise InputError(
            f"{seen[0].source or seen[0].name}: is held out here, and the weights of {start} were trained on it: take "
            "the weights of a run with the same splits and --hold-out, or none"
        )


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


def store_splits(run: Path, datasets: Sequence[Dataset], learned: Iterable[str] = ()) -> None:
    """Write each patient's split; patients whose films are gone keep theirs.

    Args:
        run: folder of the run.
        datasets: of the run.
        learned: patients of other data sets that its weights were trained on.

    Raises:
        OutputError: the file cannot be written.
    """
    patients = read_splits(run) | dict.fromkeys(learned, "train") | splits_of(datasets)
    text = json.dumps({"patients": dict(sorted(patients.items()))}, indent=1)
    write_atomically(run / SPLITS_NAME, text.encode())


def anonymous_splits(run: Path) -> bytes:
    """The splits of a run for a model file, which gets shared: patients by a hash of their identifier.

    What it started from counts too: whoever was trained on anywhere is in `train`.

    Raises:
        InputError: the splits of a run are damaged.
    """
    hashed: dict[str, str] = {}
    for name in lineage(str(run.resolve())):
        theirs = _anonymous_splits_of(name)
        hashed = theirs | hashed | {patient: split for patient, split in theirs.items() if split == "train"}
    return json.dumps({"patients_sha256": dict(sorted(hashed.items()))}, separators=(",", ":")).encode()


def _anonymous_splits_of(name: str) -> dict[str, str]:
    """The splits of a run by its folder or of a shipped model by its name; none if it is gone."""
    if name in shipped_weights():
        return splits_of_model(ModelFile.read(shipped_models()[name]))
    return {anonymous(patient): split for patient, split in read_splits(Path(name)).items()}
