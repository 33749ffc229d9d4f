"""The corrections folder: versions stay, the data set follows, a killed process loses nothing that it saved.

`EDGE_SEG_KILLS` raises the number of kills.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_seg import InputError, OutputError
from edge_seg.corrections import (
    CANNOT_JUDGE,
    CORRECTED,
    RIGHT,
    Correction,
    Corrections,
    Judgement,
    ModelOfCorrection,
)
from edge_seg.corrections.dataset import Places
from edge_seg_data.layouts import inspect_dataset, open_dataset

MODEL = ModelOfCorrection("lungs", "2.1.0", "0" * 64)
SIZE = (60, 80)
KILLS = int(os.environ.get("EDGE_SEG_KILLS", "4"))


def block(top: int, left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def judgement(seed: int = 0, verdict: str = CORRECTED, patient: str = "") -> Judgement:
    image = np.random.default_rng(seed).integers(0, 255, SIZE, np.uint8)
    masks = {"right_lung": block(10, 5), "left_lung": block(12, 45 + seed % 10)}
    return Judgement(
        verdict=verdict,
        who="A. Reader",
        model=MODEL,
        image=image,
        masks={} if verdict == CANNOT_JUDGE else masks,
        before={"right_lung": block(10, 5), "left_lung": block(12, 40)},
        patient=patient or str(seed),
        seconds=12.34,
        actions=5,
    )


def test_a_version_is_kept_beside_those_before_it_and_the_data_set_has_the_newest(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    first = store.save("1.2.840", judgement(1))
    second = store.save("1.2.840", judgement(2))
    assert (first.number, second.number) == (1, 2)
    assert first.changed == ("left_lung",)
    assert first.drawn == ()
    assert first.seconds == 12.3
    assert store.of("1.2.840") == (first, second)
    assert np.array_equal(store.masks_of(first)["left_lung"], judgement(1).masks["left_lung"])
    (film,) = Corrections(tmp_path).films()
    assert film.correction == second
    assert np.array_equal(film.image(), judgement(1).image)
    assert all(np.array_equal(mask, judgement(2).masks[name]) for name, mask in film.masks().items())


def test_the_trainer_reads_the_folder_as_a_data_set(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    for seed in range(8):
        store.save(f"film {seed}.a", judgement(seed))
    store.save("film 3.a", judgement(13))
    dataset = open_dataset(store.folder)
    assert dataset.layout == "chest"
    assert set(dataset.structures) == {"right_lung", "left_lung"}
    assert {film.name: film.split for film in dataset.films} == {one.name: one.split for one in store.films()}
    assert {film.patient for film in dataset.films} == {one.correction.patient for one in store.films()}
    read = next(film for film in dataset.films if film.name == "film 3.a")
    _, outlines = read.read()
    assert np.array_equal(outlines["left_lung"] == 1, judgement(13).masks["left_lung"])


def test_films_of_a_patient_stay_in_one_split_and_name_nobody(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    store.folder.mkdir()
    (store.folder / ".key").write_bytes(b"0" * 64)
    films = [store.save(f"film{seed}", judgement(seed, patient=f"Mueller^Hans {seed // 2}")) for seed in range(24)]
    assert all(one.split == other.split for one, other in zip(films[::2], films[1::2], strict=True))
    assert {one.split for one in films} == {"train", "val", "test"}
    rows = list(csv.DictReader((store.folder / "index.csv").open()))
    assert len({row["patient"] for row in rows}) == 12
    assert all(b"Mueller" not in path.read_bytes() for path in store.folder.rglob("*") if path.is_file())


def test_the_key_that_patients_are_hashed_with_is_for_its_owner_alone_and_differs_elsewhere(tmp_path: Path) -> None:
    stores = [Corrections(tmp_path / name) for name in ("here", "there")]
    assert len({store.save("a", judgement(1)).patient for store in stores}) == 2
    assert all((store.folder / ".key").stat().st_mode & 0o077 == 0 for store in stores)


@pytest.mark.parametrize("left", [None, b"", b"0" * 10])
def test_without_its_key_no_patient_is_taken_for_another_one(tmp_path: Path, left: bytes | None) -> None:
    store = Corrections(tmp_path)
    store.save("a", judgement(1))
    key = store.folder / ".key"
    saved = key.read_bytes()
    if left is None:
        key.unlink()
    else:
        key.write_bytes(left)
    with pytest.raises(OutputError, match="put it back from a copy"):
        store.save("b", judgement(2))
    # The patient of a film with versions is already known.
    assert store.save("a", judgement(1)).number == 2
    key.write_bytes(saved)
    assert store.save("b", judgement(2)).number == 3


def test_a_film_that_nobody_can_judge_lies_in_no_data_set_and_can_come_back(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    store.save("a", judgement(1))
    store.save("b", judgement(2, RIGHT))
    store.save("a", judgement(1, CANNOT_JUDGE))
    assert [film.name for film in store.films()] == ["b"]
    assert [film.name for film in inspect_dataset(store.folder).films] == ["b"]
    assert not list(store.folder.glob("*_lung/a.png"))
    assert store.image_of("a") is not None
    store.save("a", judgement(1))
    assert sorted(film.name for film in inspect_dataset(store.folder).films) == ["a", "b"]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(judgement(), verdict="nice"),
        replace(judgement(), masks={}),
        replace(judgement(verdict=CANNOT_JUDGE), masks=judgement().masks),
        replace(judgement(), absent=("right_lung",)),
        replace(judgement(), masks={"../heart": block(1, 1)}),
        replace(judgement(), masks={"heart": np.zeros((3, 3), bool)}),
    ],
    ids=["verdict", "no outlines", "outlines", "absent", "name", "size"],
)
def test_a_judgement_that_contradicts_itself_is_refused(tmp_path: Path, wrong: Judgement) -> None:
    with pytest.raises(InputError):
        Corrections(tmp_path).save("film", wrong)
    assert not list(tmp_path.iterdir())


def test_damaged_lines_are_passed_over_and_their_numbers_are_not_given_again(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    store.save("a", judgement(1))
    store.save("b", judgement(2))
    lines = store.folder / "corrections.jsonl"
    first, second = lines.read_text().splitlines()
    strange = json.dumps({**json.loads(second), "film": "../a"})
    lines.write_text(f"{first}\n{strange}\n{second[:40]}")
    store = Corrections(tmp_path)
    assert [one.film for one in store] == ["a"]
    assert store.save("c", judgement(3)).number == 3
    # A line can be restored from a copy, and its files with it.
    assert (store.folder / "versions" / "b.2.left_lung.png").exists()


def test_a_file_that_is_gone_keeps_no_other_film_from_being_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Corrections(tmp_path)
    store.save("DOE_John", judgement(1))
    (store.folder / "versions" / "DOE_John.1.left_lung.png").unlink()
    assert store.save("b", judgement(2)).number == 2
    assert sorted(film.name for film in inspect_dataset(store.folder).films) == ["DOE_John", "b"]
    assert "correction 1: a file of it is gone" in caplog.text
    assert "DOE" not in caplog.text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OutputError("a.png: No space left")])
def test_a_correction_that_is_kept_is_not_called_lost_where_the_data_set_cannot_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(places: Places, newest: dict[str, Correction], last: Correction) -> None:
        if len(newest) > 1:
            raise error

    store = Corrections(tmp_path)
    store.save("a", judgement(1))
    monkeypatch.setattr("edge_seg.corrections.store.derive", full)
    assert store.save("b", judgement(2)).number == 2
    assert [one.film for one in Corrections(tmp_path)] == ["a", "b"]
    with pytest.raises(OutputError, match="No space left"):
        store.save("c", judgement(3))
    monkeypatch.undo()
    assert [film.name for film in inspect_dataset(Corrections(tmp_path).folder).films] == ["a", "b"]


SAVES = """
import sys
sys.path[:0] = {paths}
from test_store import judgement
from edge_seg.corrections import Corrections, CANNOT_JUDGE, CORRECTED
store, number = Corrections({results!r}), 0
while True:
    number += 1
    verdict = CANNOT_JUDGE if number % 7 == 0 else CORRECTED
    print(store.save(f"film{{number % 3}}", judgement(number, verdict)).number, flush=True)
"""


def killed_while_saving(results: Path, after_s: float) -> int:
    """The number of the last version that a process reported as saved before it was killed."""
    code = SAVES.format(paths=[str(Path(__file__).parent), *sys.path], results=str(results))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0]
    return int(([first, *(line for line in rest.splitlines(keepends=True) if line.endswith("\n"))])[-1])


def check_after_kill(results: Path, kept: int) -> None:
    store = Corrections(results)
    numbers = [one.number for one in store]
    assert numbers == list(range(1, len(numbers) + 1))
    assert kept <= len(numbers) <= kept + 1
    for one in store:
        for name, mask in store.masks_of(one).items():
            assert np.array_equal(mask, judgement(one.number).masks[name])
    versions = {path.name for path in (store.folder / "versions").iterdir()}
    assert not [name for name in versions if int(name.split(".")[1]) > len(numbers)]
    judged = {film.name: film for film in store.films()}
    dataset = {film.name: film for film in inspect_dataset(store.folder).films}
    assert dataset.keys() == judged.keys()
    for name, film in dataset.items():
        outlines = film.read()[1]
        assert all(np.array_equal(outlines[part] == 1, mask) for part, mask in judged[name].masks().items())
    assert not list(store.folder.rglob(".*.draft"))


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_correction_and_leaves_no_half_one(tmp_path: Path) -> None:
    random = np.random.default_rng(KILLS)
    for moment in range(KILLS):
        results = tmp_path / str(moment)
        results.mkdir()
        check_after_kill(results, killed_while_saving(results, random.uniform(0, 0.05)))
