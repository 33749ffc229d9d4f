"""Splits by patient that stay stable while a data set grows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from edge_seg.errors import ModelError
from edge_seg.model_file import ModelFile

from edge_seg_data.dataset import Dataset, LabelledFilm
from edge_seg_data.index import same_patient
from edge_seg_data.report import ERROR, Problem, counted

SPLITS_NAME = "splits.json"
"""File in a run, and in a model, that records each patient's split."""

TEST_SHARE = 0.1
VAL_SHARE = 0.1
_FEWEST = 3  # patients; with fewer, all are trained on
_PARTS_SEED = 1  # not the splits' seed, under which the training patients are those with the higher hashes


def fraction_of(patient: str, seed: int = 0) -> float:
    """A number in [0, 1) that depends only on the patient and the seed."""
    digest = hashlib.sha256(f"{seed}/{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def anonymous(patient: str) -> str:
    """A patient's identifier for a model file, which gets shared: 16 hexadecimal digits of its hash."""
    return hashlib.sha256(patient.encode()).hexdigest()[:16]


def splits_of_model(model: ModelFile) -> dict[str, str]:
    """The split of every patient in a model's data sets, by `anonymous` identifier; empty if the model stores none.

    Raises:
        ModelError: the splits in it cannot be read.
    """
    stored = model.associated.get(SPLITS_NAME)
    if stored is None:
        return {}
    try:
        return dict(json.loads(stored)["patients_sha256"])
    except (ValueError, KeyError, TypeError) as error:
        name = model.manifest.name
        raise ModelError(f"{name}: {SPLITS_NAME} in it cannot be read ({error}): make it again") from error


def held_out(dataset: Dataset, part: int, of: int) -> Dataset:
    """The data set with one part of the training patients moved to the validation split, for cross-fitting.

    Over all parts, each patient is held out once, which gives held-out predictions for every training film. The part
    depends only on the patient, so it is the same in every data set.

    Args:
        dataset: with splits.
        part: which, from 0.
        of: number of parts.
    """
    films = tuple(
        replace(film, split="val")
        if film.split == "train" and int(fraction_of(film.patient, _PARTS_SEED) * of) == part
        else film
        for film in dataset.films
    )
    return replace(dataset, films=films)


def splits_of(datasets: Iterable[Dataset]) -> dict[str, str]:
    """The split of every patient."""
    return {film.patient: film.split for dataset in datasets for film in dataset.films}


def equal_films_across(datasets: Sequence[Dataset]) -> Problem | None:
    """Equal films in different splits of different data sets: they would be both trained and tested on."""
    pairs = _in_two_splits(datasets, lambda film: film.content)
    if not pairs:
        return None
    one, other = pairs[0]
    text = (
        f"{other.source}: the same film as {one.source}, which is in {one.split} and this one in {other.split} "
        f"({counted(len(pairs), 'film')} in all): put equal films into one split, or leave one data set out"
    )
    return Problem("duplicates-across-sets", ERROR, text, tuple(film.source for pair in pairs for film in pair))


def patients_across(datasets: Sequence[Dataset]) -> Problem | None:
    """Named patients in different splits of different data sets: they would be both trained and tested on."""
    pairs = _in_two_splits(datasets, lambda film: same_patient(film.patient) if film.patient != film.content else "")
    if not pairs:
        return None
    one, other = pairs[0]
    count = len({same_patient(film.patient) for _, film in pairs})
    text = (
        f"{other.source}: of the patient {other.patient}, as is {one.source}, which is in {one.split} and this one in "
        f"{other.split} ({counted(count, 'patient')} in all): put every patient into one split, or rename one of two "
        "people with one name"
    )
    return Problem("patients-across-sets", ERROR, text, tuple(film.source for pair in pairs for film in pair))


def _in_two_splits(
    datasets: Sequence[Dataset], key: Callable[[LabelledFilm], str]
) -> list[tuple[LabelledFilm, LabelledFilm]]:
    """Films in another split than the first film of the same key, after that film; an empty key is no key."""
    first: dict[str, LabelledFilm] = {}
    keyed = [(key(film), film) for dataset in datasets for film in dataset.films]
    return [(one, film) for name, film in keyed if name and (one := first.setdefault(name, film)).split != film.split]


def split_by_patient(
    films: Iterable[LabelledFilm], known: Mapping[str, str] | None = None, seed: int = 0, default: str = ""
) -> tuple[LabelledFilm, ...]:
    """Split films that have no split, about 80:10:10 by patient; no patient is in two splits.

    A patient's split depends on the patient's own hash, not on the others: below 0.1 is test, below 0.2 val. If that
    leaves test or val empty, the patients with the lowest hashes fill them. Once there are enough patients for that not
    to happen, no patient moves from train to another split when films are added. Films of a patient who already has a
    split (by name, or by `known`) follow it, also if a spreadsheet changed how the patient is written (`007`, `7`).

    Args:
        films: some or all without a split.
        known: split by patient from an earlier run, which stays.
        seed: of the hash.
        default: split of all other patients, in place of the hash.
    """
    films = tuple(films)
    fixed = _fixed(films, known or {})
    free = sorted({film.patient for film in films} - fixed.keys(), key=lambda patient: fraction_of(patient, seed))
    chosen = {**(dict.fromkeys(free, default) if default else _chosen(free, seed, bool(fixed))), **fixed}
    return tuple(film if film.split else replace(film, split=chosen[film.patient]) for film in films)


def _fixed(films: tuple[LabelledFilm, ...], known: Mapping[str, str]) -> dict[str, str]:
    named: dict[str, Counter[str]] = {}
    for film in films:
        if film.split:
            named.setdefault(film.patient, Counter())[film.split] += 1
    alike = {same_patient(patient): split for patient, split in known.items()}
    patients = {film.patient: same_patient(film.patient) for film in films}
    found = {
        patient: known.get(patient, alike.get(key, ""))
        for patient, key in patients.items()
        if patient in known or key in alike
    }
    return {**found, **{patient: counts.most_common(1)[0][0] for patient, counts in named.items()}}


def _chosen(patients: list[str], seed: int, others_split: bool) -> dict[str, str]:
    """Splits of patients in the order of their hashes."""
    if len(patients) < _FEWEST and not others_split:
        return dict.fromkeys(patients, "train")
    by_hash = {patient: fraction_of(patient, seed) for patient in patients}
    test = [patient for patient in patients if by_hash[patient] < TEST_SHARE]
    if not others_split and not test:
        test = patients[:1]
    rest = patients[len(test) :]
    val = [patient for patient in rest if by_hash[patient] < TEST_SHARE + VAL_SHARE]
    if not others_split and not val:
        val = rest[:1]
    chosen = dict.fromkeys(patients, "train") | dict.fromkeys(test, "test") | dict.fromkeys(val, "val")
    if not others_split and "train" not in chosen.values():
        # Three or four patients, all with low hashes: something must be trained on, and something held out.
        chosen[patients[-1]] = "train"
        if "val" not in chosen.values():
            chosen[patients[-2]] = "val"
    return chosen
