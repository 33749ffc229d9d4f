"""Films from files, folders, globs, DICOM, video and cameras."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from edge_seg import DeviceError, Film, InputError, UsageError
from edge_seg.film import Failure
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import SOURCES, Arrival, Files, Source, open_source, read_film
from edge_seg.sources.given import film_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


def films(*inputs: Path | str, **options) -> list[Film | Failure]:
    return [a.content for a in open_source([str(i) for i in inputs], **options) if a is not None]


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(lambda t: arrays.arrays(t, st.tuples(*[st.integers(16, 40)] * 2)))
)
@settings(max_examples=30)
def test_grey_pixels_come_through_untouched(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("grey")
    for suffix in ("png", "tif"):
        path = folder / f"film.{suffix}"
        cv2.imwrite(str(path), pixels)
        film = read_film(path)
        np.testing.assert_array_equal(film.pixels, pixels)
        assert film.pixels.dtype == pixels.dtype
        assert film.checksum is not None


def test_colour_alpha_and_depth_all_become_grey(tmp_path: Path) -> None:
    grey = phantom(64, 80).film.pixels
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    pictures = {
        "colour.png": colour,
        "alpha.png": np.dstack([colour, np.full(grey.shape, 255, np.uint8)]),
        "deep.png": colour.astype(np.uint16) * 257,
        "deep.tif": grey.astype(np.uint16) * 257,
        "photo.jpg": colour,
    }
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / name), picture)
    for film in films(tmp_path):
        assert isinstance(film, Film)
        top = np.iinfo(film.pixels.dtype).max
        difference = np.abs(film.pixels / top - grey / 255)
        assert difference.mean() < 0.01, film.name


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    picture = np.full((40, 40, 4), 200, np.uint8)
    picture[:, :20, 3] = 0
    picture[:, 20:, 3] = 255
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    film = read_film(tmp_path / "a.png")
    assert film.pixels[0, 0] == 0
    assert film.pixels[0, 39] == 200


def test_folders_and_globs_give_each_film_once_and_in_order(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    for path in (tmp_path / "b.png", tmp_path / "a.png", below / "c.png", tmp_path / ".hidden.png"):
        cv2.imwrite(str(path), phantom(40, 40).film.pixels)
    (tmp_path / "notes.txt").write_text("no film")
    found = films(tmp_path, tmp_path / "*.png", below / "c.png")
    assert [film.name for film in found] == ["a.png", "b.png", "c.png"]


def test_our_own_results_are_not_segmented_again(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), phantom(40, 40).film.pixels)
    results = tmp_path / "results"
    results.mkdir()
    (results / "records.jsonl").write_text("{}\n")
    cv2.imwrite(str(results / "a.overlay.png"), phantom(40, 40).film.pixels)
    assert [film.name for film in films(tmp_path)] == ["a.png"]


def test_polarity_and_window_are_resolved(tmp_path: Path) -> None:
    made = phantom(100, 90, bits=16)
    write_dicom(made, tmp_path / "one.dcm", monochrome1=True)
    write_dicom(made, tmp_path / "two.dcm")
    one, two = (read_film(tmp_path / f"{n}.dcm") for n in ("one", "two"))
    lungs = made.masks["right_lung"] | made.masks["left_lung"]
    assert one.pixels[lungs].mean() < one.pixels[~lungs].mean()
    shown = []
    for film in (one, two):
        assert film.window is not None
        shown.append((film.pixels.astype(float) - film.window[0]) / (film.window[1] - film.window[0]))
    np.testing.assert_allclose(shown[0], shown[1], atol=2e-3)


@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("bits", [12, 16])
def test_grey_value_tables_are_applied(sequence: str, bits: int, tmp_path: Path) -> None:
    made = phantom(64, 64, bits=16)
    write_dicom(made, tmp_path / "film.dcm")
    dataset = pydicom.dcmread(tmp_path / "film.dcm")
    table = pydicom.Dataset()
    table.LUTDescriptor = [4096, 0, bits]
    table.ModalityLUTType = "US"
    # Inverted, so that an ignored table would show.
    table.LUTData = np.linspace(2**bits - 1, 0, 4096).astype(np.uint16).tolist()
    setattr(dataset, sequence, [table])
    table["LUTData"].VR = "US"
    del dataset.WindowCenter, dataset.WindowWidth
    dataset.save_as(tmp_path / "film.dcm")
    shown = read_film(tmp_path / "film.dcm").pixels.astype(float)
    assert np.corrcoef(shown.ravel(), made.film.pixels.ravel())[0, 1] < -0.999


def test_a_damaged_grey_value_table_is_one_line(tmp_path: Path) -> None:
    write_dicom(phantom(64, 64), tmp_path / "film.dcm")
    dataset = pydicom.dcmread(tmp_path / "film.dcm")
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 7]
    table.LUTData = [1, 2, 3]
    table["LUTData"].VR = "US"
    dataset.VOILUTSequence = [table]
    dataset.save_as(tmp_path / "film.dcm")
    # The display range may then come from the picture; what the values mean may not.
    assert any("VOI table in the header shows nothing" in said for said in read_film(tmp_path / "film.dcm").warnings)
    dataset.ModalityLUTSequence = [table]
    dataset.save_as(tmp_path / "film.dcm")
    with pytest.raises(InputError, match="grey-value table is damaged"):
        read_film(tmp_path / "film.dcm")


def test_a_file_without_its_mark_is_read_by_its_name(tmp_path: Path) -> None:
    write_dicom(phantom(64, 64), tmp_path / "film.dcm")
    assert read_film(tmp_path / "film.dcm").shape == (64, 64)
    (tmp_path / "film.dcm").rename(tmp_path / "IM0001")
    assert films(tmp_path)[0].name == "IM0001"


@pytest.mark.parametrize(("part", "noted"), [("HIP", True), ("CHEST", False), ("TORAX", False), ("THORACIC", False)])
def test_body_parts_other_than_the_chest_are_noted(part: str, noted: bool, tmp_path: Path) -> None:
    write_dicom(phantom(64, 64), tmp_path / "film.dcm")
    dataset = pydicom.dcmread(tmp_path / "film.dcm")
    dataset.BodyPartExamined = part
    dataset.save_as(tmp_path / "film.dcm")
    assert any(part in warning for warning in read_film(tmp_path / "film.dcm").warnings) == noted


@pytest.mark.data
def test_every_real_dicom_film_is_read_or_refused_for_its_reason(films_folder: Path) -> None:
    for arrival in films(films_folder / "dicom"):
        if arrival.name.startswith("XA1"):
            assert isinstance(arrival, Failure)
            assert "modality is XA" in str(arrival.error)
        else:
            assert isinstance(arrival, Film), arrival
            assert arrival.pixels.max() > 255


def test_a_video_gives_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "breath.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (96, 80))
    for i in range(6):
        writer.write(cv2.cvtColor(phantom(80, 96, phase=i / 6).film.pixels, cv2.COLOR_GRAY2BGR))
    writer.release()
    assert len(films(path)) == 6
    assert [film.name for film in films(path, frames=2)] == ["breath-000001.png", "breath-000002.png"]


def test_the_demonstration_breathes() -> None:
    first, second = (a.content for a in open_source(cameras=["demo"], frames=2) if a is not None)
    assert isinstance(first, Film)
    assert isinstance(second, Film)
    assert first.shape == second.shape
    assert not np.array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("camera", ["-1", "lamp"])
def test_what_is_no_camera_is_refused_before_opencv_sees_it(camera: str) -> None:
    with pytest.raises(UsageError):
        open_source(cameras=[camera])


def test_an_absent_camera_and_a_silent_address_are_given_up_in_seconds() -> None:
    for camera in ("97", "http://127.0.0.1:9/none"):
        start = time.monotonic()
        with pytest.raises(DeviceError):
            open_source(cameras=[camera])
        assert time.monotonic() - start < 60


def test_no_source_is_refused() -> None:
    with pytest.raises(UsageError, match="--listen"):
        open_source()
    with pytest.raises(UsageError, match="state"):
        open_source(listen="0")


def test_an_absent_file_is_a_failure_not_an_end(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), phantom(40, 40).film.pixels)
    gone, here = films(tmp_path / "gone.png", tmp_path / "a.png")
    assert isinstance(gone, Failure)
    assert isinstance(gone.error, InputError)
    assert isinstance(here, Film)


def test_a_file_whose_name_begins_with_a_tilde_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "~b.png"):
        cv2.imwrite(name, phantom(40, 40).film.pixels)
    *found, absent = films("a.png", "~b.png", "~nobody-of-this-name/c.png")
    assert [film.name for film in found if isinstance(film, Film)] == ["a.png", "~b.png"]
    assert isinstance(absent, Failure)
    assert film_of("~b.png").shape == (40, 40)


def test_a_name_too_long_for_a_file_is_one_failure(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), phantom(40, 40).film.pixels)
    here, absent = films(tmp_path / "a.png", "x" * 300)
    assert isinstance(here, Film)
    assert isinstance(absent, Failure)
    assert "no such file" in str(absent.error)


def test_a_path_in_a_folder_that_cannot_be_entered_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def refuse(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.parent.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)
    cv2.imwrite(str(tmp_path / "a.png"), phantom(40, 40).film.pixels)
    closed, here = films(tmp_path / "closed" / "b.png", tmp_path / "a.png")
    assert isinstance(closed, Failure)
    assert "Permission denied" in str(closed.error)
    assert isinstance(here, Film)
    with pytest.raises(InputError, match="Permission denied"):
        open_source(watched=[tmp_path / "closed" / "inbox"])


class Blank(Source):
    """One black film."""

    total = 1

    def __iter__(self) -> Iterator[Arrival]:
        yield Arrival(Film(np.zeros((64, 64), np.uint8), name="blank.png"))


def test_a_kind_of_source_is_registered_by_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int | None]] = []

    def open_blank(address: str, frames: int | None) -> Source:
        asked.append((address, frames))
        return Blank()

    monkeypatch.setitem(SOURCES, "blank", open_blank)
    cv2.imwrite(str(tmp_path / "a.png"), phantom(64, 64).film.pixels)
    source = open_source(["blank://5", str(tmp_path)], cameras=["blank"], frames=2)
    assert {arrival.content.name for arrival in source if arrival} == {"blank.png", "a.png"}
    source.close()
    assert asked == [("blank://5", 2), ("blank", 2)]


def test_a_file_may_be_called_like_a_kind_of_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("demo.png", phantom(64, 64).film.pixels)
    Path("demo.png").rename("demo")
    source = open_source(["demo"])
    assert isinstance(source, Files)
    source.close()
