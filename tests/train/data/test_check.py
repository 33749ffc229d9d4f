"""`edge-seg check`: its output, files and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom
from edge_seg_data import Options, open_dataset
from edge_seg_data.check import _is_hollow, check_dataset, with_judged_outlines
from edge_seg_data.command import check


def grey(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return np.asarray(picture)


def chests(folder: Path, count: int = 8, exchanged: bool = False) -> Path:
    for seed in range(count):
        made = phantom(80, 72, seed=seed)
        names = {"right_lung": "left_lung", "left_lung": "right_lung"} if exchanged else {}
        pictures = {"images": made.film.pixels, **{names.get(n, n): m * np.uint8(255) for n, m in made.masks.items()}}
        for name, picture in pictures.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{seed}.png"), picture)
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(check, [*map(str, words), "-q"], catch_exceptions=False, standalone_mode=False)


def test_a_good_set_is_described_and_exits_with_0(tmp_path: Path) -> None:
    done = run(chests(tmp_path / "films"), "--out", tmp_path / "report")
    assert done.return_value == 0
    assert "films       8, patients are not named" in done.output
    assert "sizes       72 x 80 (8)" in done.output
    assert "right_lung: 8 films, covers" in done.output
    sheet = cv2.imread(str(tmp_path / "report" / "contact-sheet-1.png"))
    assert sheet is not None
    coloured = (sheet.max(axis=2).astype(int) - sheet.min(axis=2)) > 60
    assert coloured.sum() > 8 * 100
    assert "It can be trained on." in (tmp_path / "report" / "report.html").read_text()


def test_the_report_as_json(tmp_path: Path) -> None:
    done = run(chests(tmp_path / "films"), "--json")
    (report,) = json.loads(done.output)
    assert (report["films"], report["ok"], report["sizes"]) == (8, True, {"72 x 80": 8})
    assert sum(report["splits"].values()) == 8
    facts = {one["name"]: one for one in report["structures"]}
    truth = np.mean([phantom(80, 72, seed=seed).masks["left_lung"].mean() for seed in range(8)])
    assert facts["left_lung"]["mean"] == pytest.approx(truth)


def damage(folder: Path, kind: str) -> None:
    masks = sorted((folder / "left_lung").iterdir())
    if kind == "unreadable-films":
        for path in sorted((folder / "images").iterdir())[:3]:
            path.write_bytes(path.read_bytes()[:200])
    elif kind == "unreadable-masks":
        cv2.imwrite(str(masks[2]), np.zeros((72, 80), np.uint8))
    elif kind == "inside-out":
        for path in masks:
            cv2.imwrite(str(path), 255 - grey(path))
    elif kind == "mask-sizes":
        cv2.imwrite(str(masks[0]), cv2.resize(grey(masks[0]), (36, 40), interpolation=cv2.INTER_NEAREST))
    elif kind == "empty-masks":
        for path in folder.glob("*/0.png"):
            if path.parent.name != "images":
                cv2.imwrite(str(path), np.zeros((80, 72), np.uint8))
    elif kind == "hollow-masks":
        for path in masks:
            cv2.imwrite(str(path), cv2.morphologyEx(grey(path), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    elif kind == "blank-films":
        cv2.imwrite(str(folder / "images" / "0.png"), np.full((80, 72), 90, np.uint8))
    elif kind == "structures-nowhere":
        for path in masks:
            cv2.imwrite(str(path), np.zeros((80, 72), np.uint8))


@pytest.mark.parametrize(
    ("kind", "severity", "files"),
    [
        ("unreadable-films", "error", 3),
        ("unreadable-masks", "error", 1),
        ("inside-out", "error", 8),
        ("mask-sizes", "warning", 1),
        ("empty-masks", "warning", 1),
        ("hollow-masks", "error", 8),
        ("blank-films", "warning", 1),
        ("structures-nowhere", "error", 0),
    ],
)
def test_what_is_wrong_is_found_with_its_files(tmp_path: Path, kind: str, severity: str, files: int) -> None:
    folder = chests(tmp_path / "films")
    damage(folder, kind)
    done = run(folder, "--json")
    found = {problem["kind"]: problem for problem in json.loads(done.output)[0]["problems"]}
    assert (found[kind]["severity"], len(found[kind]["files"])) == (severity, files)
    assert done.return_value == (3 if severity == "error" else 0)
    if kind in ("inside-out", "hollow-masks"):
        with pytest.raises(InputError, match=r"among 8 films, 8 films with .*edge-seg check"):
            with_judged_outlines(open_dataset(folder), Options())


def test_thin_structures_that_cross_are_no_unfilled_outlines() -> None:
    vessels = np.zeros((200, 200), np.uint8)
    for place in range(20, 200, 30):
        vessels[place : place + 3] = vessels[:, place : place + 3] = 1
    ring = np.zeros((200, 200), np.uint8)
    cv2.circle(ring, (100, 100), 60, 1, 3)
    assert (_is_hollow(vessels), _is_hollow(ring), _is_hollow(np.zeros_like(ring))) == (False, True, False)


def test_one_of_several_structures_may_hold_all_corners(tmp_path: Path) -> None:
    folder = chests(tmp_path / "films", 3)
    for path in (folder / "left_lung").iterdir():
        (folder / "skin").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "skin" / path.name), 255 - grey(path))
    done = run(f"structures={folder}", "--json")
    assert "inside-out" not in {problem["kind"] for problem in json.loads(done.output)[0]["problems"]}


def test_exchanged_sides_are_found(tmp_path: Path) -> None:
    done = run(chests(tmp_path / "films", exchanged=True))
    assert done.return_value == 3
    assert "error: 8 films with the right lung on the picture's right" in done.output


def test_one_folder_that_is_none_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", chests(tmp_path / "films"), "--out", tmp_path / "report")
    assert done.return_value == 3
    assert "no layout fits" in done.output
    assert "films       8" in done.output


def test_equal_films_in_two_splits_of_two_sets_are_found(tmp_path: Path) -> None:
    for name, splits in (("a", ("train", "val", "train")), ("b", ("test", "test", "test"))):
        folder = chests(tmp_path / name)
        stems = sorted(path.stem for path in (folder / "images").iterdir())
        rows = [f"{stem},{split}" for stem, split in zip(stems, splits, strict=False)]
        (folder / "index.csv").write_text("\n".join(["stem,split", *rows]))
    done = run(tmp_path / "a", tmp_path / "b")
    assert done.return_value == 3
    assert "the same film as" in done.output


def test_a_patient_in_two_splits_of_two_sets_is_refused(tmp_path: Path) -> None:
    from edge_seg_train.data import open_run_datasets

    for name, rows in (("a", ["0,007,train", "1,b,val", "2,c,test"]), ("b", ["3,7,test", "4,b,val", "5,d,train"])):
        chests(tmp_path / name)
        for path in (tmp_path / name).glob("*/*.png"):
            if path.stem not in [row[0] for row in rows]:
                path.unlink()
        (tmp_path / name / "index.csv").write_text("\n".join(["stem,patient,split", *rows]))
    done = run(tmp_path / "a", tmp_path / "b")
    assert done.return_value == 3
    assert "3.png: of the patient 7, as is" in done.output
    assert "which is in train and this one in test (1 patient in all)" in done.output
    folders = [str(tmp_path / name) for name in "ab"]
    with pytest.raises(InputError, match=r"3\.png: of the patient 7"):
        open_run_datasets(folders, tmp_path / "run")
    assert run(tmp_path / "a", tmp_path / "a").return_value == 0


@pytest.mark.parametrize("tagged", [True, False])
def test_sides_are_judged_on_upright_films(tmp_path: Path, tagged: bool) -> None:
    for seed in range(3):
        made = phantom(80, 72, seed=seed)
        film = replace(made, film=Film(np.ascontiguousarray(made.film.pixels[:, ::-1])))
        path = tmp_path / "images" / f"{seed}.dcm"
        path.parent.mkdir(exist_ok=True)
        write_dicom(film, path)
        if tagged:
            dataset = pydicom.dcmread(path)
            dataset.PatientOrientation = ["R", "F"]
            dataset.save_as(path)
        for name in ("right_lung", "left_lung"):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{seed}.png"), made.masks[name][:, ::-1] * np.uint8(255))
    report, _ = check_dataset(open_dataset(tmp_path), Options())
    assert ("sides" in {one.kind for one in report.errors}) is not tagged
