"""The desk: what the editor starts with, what it may send, and where the film comes from."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg import InputError, OutputError, Segmenter
from edge_seg.corrections import CANNOT_JUDGE, CORRECTED, RIGHT, second_opinion
from edge_seg.corrections import desk as desk_module
from edge_seg.corrections.desk import Desk, Overtaken
from edge_seg.film import Film
from edge_seg.orientation import Orientation
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom, write_dicom
from edge_seg.pixels import to_grey8
from edge_seg.record import DoneRecord
from edge_seg.segmenter import Segmentation
from edge_seg.sources import read_film
from edge_seg.station.config import StationConfig
from edge_seg.station.wiring import open_desk, open_output

SQUARE = [[[60, 80], [140, 80], [140, 200], [60, 200]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DoneRecord]:
    """A results folder with a DICOM film."""
    folder = tmp_path_factory.mktemp("results")
    write_dicom(phantom(400, 360, seed=1), folder / "film.dcm")
    output = OutputFolder(folder / "out")
    record = output.write(Segmenter.load("lungs-nano", threads=1)(read_film(folder / "film.dcm")))
    output.close()
    return folder, record


@pytest.fixture
def desk(results: tuple[Path, DoneRecord], tmp_path: Path) -> Desk:
    shutil.copytree(results[0] / "out", tmp_path / "out")
    return Desk(tmp_path / "out", who="A. Reader", with_dicom=True)


def said(**changes: Any) -> bytes:
    plain = {"base": 0, "who": "A. Reader", "verdict": CORRECTED, "outlines": {"right_lung": SQUARE}}
    return json.dumps({**plain, **changes}).encode()


def test_what_is_drawn_is_kept_and_the_rest_stays_the_models(desk: Desk, results: tuple[Path, DoneRecord]) -> None:
    record = results[1]
    sheet = desk.sheet(record)
    assert (sheet.width, sheet.height, sheet.base, sheet.verdict) == (360, 400, 0, None)
    assert [one.name for one in sheet.structures] == list(record.structures)
    assert all(one.model and one.now is None for one in sheet.structures)
    line = desk.save(record, said(absent=["heart"], seconds=3.25, actions=4))
    assert (line.changed, line.absent, line.drawn) == (("right_lung", "heart"), ("heart",), ())
    assert (line.who, line.model.name, line.seconds, line.actions) == ("A. Reader", "lungs-nano", 3.2, 4)
    masks = desk.store.masks_of(line)
    assert masks["right_lung"].sum() == 80 * 120
    model = cv2.imread(str(desk.store.folder.parent / "film.left_lung.png"), cv2.IMREAD_GRAYSCALE)
    assert model is not None
    assert np.array_equal(masks["left_lung"], model > 0)
    assert not masks["heart"].any()
    again = desk.sheet(record)
    assert (again.base, again.absent) == (1, ("heart",))
    now = {one.name: one.now for one in again.structures}
    assert now["right_lung"] and now["left_lung"] is None and now["heart"] == ()  # noqa: PT018


def test_a_version_of_a_dicom_film_is_a_segmentation_of_its_own(desk: Desk, results: tuple[Path, DoneRecord]) -> None:
    highdicom = pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
    folder, record = results
    desk.save(record, said(absent=["heart"]))
    line = desk.save(record, said(base=1, outlines={"heart": SQUARE}))
    path = desk.store.folder / line.files[-1].name
    found = highdicom.seg.segread(path)
    film = read_film(folder / "film.dcm").header
    masks = found.get_pixels_by_source_instance([film.SOPInstanceUID])[0]
    assert np.array_equal(masks[:, :, 3] > 0, desk.store.masks_of(line)["heart"])
    kinds = [one.SegmentAlgorithmType for one in found.SegmentSequence]
    assert kinds == ["SEMIAUTOMATIC", "SEMIAUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
    assert (found.StudyInstanceUID, str(found.ContentCreatorName)) == (film.StudyInstanceUID, "A. Reader")
    first = highdicom.seg.segread(desk.store.folder / desk.store.of(record.stem)[0].files[-1].name)
    assert first.number_of_segments == 3
    assert first.SeriesInstanceUID != found.SeriesInstanceUID
    if shutil.which("dciodvfy"):
        told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True).stderr
        assert "Error" not in told, told


def test_right_as_it_is_and_cannot_be_judged(desk: Desk, results: tuple[Path, DoneRecord]) -> None:
    record = results[1]
    desk.save(record, said())
    line = desk.save(record, said(base=1, verdict=RIGHT, outlines={}))
    assert line.changed == ("right_lung",)
    assert all(one.now is None for one in desk.sheet(record).structures)
    assert desk.save(record, said(base=2, verdict=CANNOT_JUDGE, outlines={})).structures == ()
    assert desk.sheet(record).verdict == CANNOT_JUDGE
    assert desk.store.films() == ()


def test_a_version_that_somebody_else_saved_meanwhile_is_not_passed_over(
    desk: Desk, results: tuple[Path, DoneRecord]
) -> None:
    desk.save(results[1], said())
    with pytest.raises(Overtaken):
        desk.save(results[1], said())


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        said(who=" "),
        said(who="a\0b"),
        said(who="a" * 81),
        said(verdict="fine"),
        said(outlines={"spleen": SQUARE}),
        said(outlines={"right_lung": [[[1, 1], [2, 2]]]}),
        said(outlines={"right_lung": [[[1, 1], [2, 2], [3]]]}),
        said(outlines={"right_lung": SQUARE * 65}),
        said(outlines={"right_lung": [[[500, 500], [600, 500], [600, 600]]]}),
        said(absent=["right_lung"]),
        said(seconds=-1),
        said(more=1),
        said().replace(b"140", b"1e999"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_kept(
    desk: Desk, results: tuple[Path, DoneRecord], wrong: bytes
) -> None:
    with pytest.raises(InputError) as caught:
        desk.save(results[1], wrong)
    assert "\n" not in str(caught.value)
    assert list(desk.store) == []


def test_a_film_is_found_where_it_was_moved_and_after_that_among_the_corrections(
    desk: Desk, results: tuple[Path, DoneRecord], tmp_path: Path
) -> None:
    record, moved = results[1], tmp_path / "moved"
    moved.mkdir()
    shutil.copy(results[0] / "film.dcm", moved)
    out = desk.store.folder.parent
    gone = DoneRecord(**{**record.__dict__, "source": "nowhere/film.dcm"})
    with pytest.raises(InputError, match="--films"):
        Desk(out).picture(gone, 2048)
    there = Desk(out, films=moved)
    assert there.picture(gone, 100)[:2] == b"\xff\xd8"
    there.save(gone, said())
    assert Desk(out).save(gone, said(base=1)).number == 2
    (moved / "film.dcm").write_bytes(b"another film")
    assert Desk(out, films=moved).picture(gone, 2048)


def test_no_log_names_a_film_that_is_corrected(
    desk: Desk,
    results: tuple[Path, DoneRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> bytes:
        raise ValueError("DOE^John cannot be encoded")

    path = tmp_path / "DOE_John.dcm"
    record = replace(results[1], name=path.name, source=str(path))
    caplog.set_level(logging.DEBUG, "edge_seg")
    path.write_bytes(b"DOE^John")
    with pytest.raises(InputError, match="DOE_John"):
        desk.picture(record, 2048)
    shutil.copy(results[0] / "film.dcm", path)
    monkeypatch.setattr("edge_seg.outputs.dicom.correction_object", fails)
    desk.save(record, said())
    assert [one.getMessage() for one in caplog.records] == [
        "a film to be corrected cannot be read (InputError)",
        "correction 1: no DICOM segmentation (ValueError)",
    ]


def test_visible_lungs_are_kept_under_names_that_say_so(results: tuple[Path, DoneRecord], tmp_path: Path) -> None:
    film = read_film(results[0] / "film.dcm")
    output = OutputFolder(tmp_path / "out")
    record = output.write(Segmenter.load("lungs-nano", threads=1, lung="visible")(film))
    output.close()
    desk = Desk(tmp_path / "out", with_dicom=True)
    line = desk.save(record, said(absent=["left_lung"]))
    assert line.structures == ("visible_right_lung", "visible_left_lung", "cardiomediastinum", "heart")
    assert (line.absent, line.changed) == (("visible_left_lung",), ("visible_right_lung", "visible_left_lung"))
    sheet = desk.sheet(record)
    assert sheet.absent == ("left_lung",)
    assert [one.name for one in sheet.structures if one.now is not None] == ["right_lung", "left_lung"]
    again = desk.save(record, said(base=1, outlines={"heart": SQUARE}))
    assert (again.changed, again.drawn) == (("heart",), ())
    assert desk.store.masks_of(again)["visible_right_lung"].sum() == 80 * 120


def test_nothing_is_kept_where_the_disk_has_no_room(
    desk: Desk, results: tuple[Path, DoneRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "LITTLE_SPACE_BYTES", 1 << 62)
    with pytest.raises(OutputError, match="make room"):
        desk.save(results[1], said())
    assert list(desk.store) == []


@pytest.mark.parametrize("orientation", [Orientation(True, False, True), Orientation(columns_reversed=True)])
def test_a_film_that_lies_on_its_side_is_learned_from_upright(tmp_path: Path, orientation: Orientation) -> None:
    drawn = phantom(400, 360, seed=1).film
    own = np.zeros((360, 400) if orientation.transposed else (400, 360), np.uint8)
    orientation.upright(own)[...] = drawn.pixels
    film = replace(drawn, pixels=own, source="film", checksum="0" * 64, orientation=orientation)
    output = OutputFolder(tmp_path)
    record = output.write(Segmenter.load("lungs-nano", threads=1)(film))
    output.close()
    desk, jpeg = Desk(tmp_path), cv2.imencode(".png", to_grey8(film))[1].tobytes()
    line = desk.save(record, said(), jpeg)
    assert (line.height, line.width) == (400, 360)
    (kept,) = desk.store.films()
    assert np.array_equal(kept.image(), to_grey8(drawn))
    square = np.zeros(own.shape, bool)
    square[80:200, 60:140] = True
    assert np.array_equal(kept.masks()["right_lung"], orientation.upright(square))
    again = Desk(tmp_path).save(record, said(base=1, outlines={"heart": SQUARE}))
    assert again.changed == ("heart",)
    assert np.array_equal(desk.store.masks_of(again)["right_lung"], orientation.upright(square))
    assert desk.sheet(record).width == own.shape[1]


def test_the_queue_asks_another_model_once_for_each_film(
    desk: Desk, results: tuple[Path, DoneRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, asked = results[1], list[str]()
    whole = second_opinion.Segmenter.__call__

    def counted(self: Segmenter, film: Film) -> Segmentation:
        asked.append(self.manifest.name)
        return whole(self, film)

    monkeypatch.setattr(second_opinion.Segmenter, "__call__", counted)
    monkeypatch.setattr(second_opinion, "AT_ONCE", 1)
    gone = replace(record, stem="gone", name="gone.dcm", source="/nowhere/gone.dcm", dicom=None)
    whys = {}
    for _ in range(3):
        whys = {one.film: one.why for one in desk.following([record, gone])}
    assert asked == ["lungs"]
    assert "another model agrees to 0.9" in whys["film"]
    assert "agrees" not in whys["gone"]


def test_models_of_other_structures_have_no_opinion(results: tuple[Path, DoneRecord]) -> None:
    record = results[1]
    found = Segmenter.load("lungs-nano", threads=1)(read_film(results[0] / "film.dcm"))
    assert second_opinion.agreement(record, found.masks, found) == 1.0
    assert second_opinion.agreement(replace(record, structures={"tumour": "own"}), found.masks, found) is None
    opinions = second_opinion.SecondOpinions(lambda one: None)
    assert opinions.ask([replace(record, lung=None)])
    assert opinions.known(replace(record, lung=None)) is None


def test_who_is_notified_of_records_is_told_of_corrections(results: tuple[Path, DoneRecord], tmp_path: Path) -> None:
    shutil.copytree(results[0] / "out", tmp_path / "out")
    given: dict[str, dict[str, object]] = {
        "results": {"folder": tmp_path / "out"},
        "notify": {"address": "http://127.0.0.1:1/films"},
    }
    with closing(open_output(StationConfig.load(None, given))) as output:
        line = open_desk(output).save(results[1], said())
        told = [json.loads(path.read_text()) for path in (tmp_path / "out" / "notices").glob("*.json")]
    assert told == [json.loads(json.dumps(line.to_json()))]
