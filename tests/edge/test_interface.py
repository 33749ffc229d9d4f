"""The Python interface: it takes a film in any form, and results show, save and describe themselves."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg import Failure, Film, InputError, Segmentation, Segmenter, UsageError, read_film
from edge_seg.phantom import phantom, write_dicom
from edge_seg.record import DoneRecord, record_from_json

PIXELS = phantom(240, 220, seed=1).film.pixels


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("lungs-nano", threads=1)


@pytest.fixture(scope="module")
def result(segmenter: Segmenter) -> Segmentation:
    return segmenter(Film(PIXELS, name="a<b>.png"))


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    path = tmp_path / "chest.png"
    cv2.imwrite(str(path), PIXELS)
    return path


def test_a_film_is_a_path_bytes_an_array_a_pillow_image_or_a_film(segmenter: Segmenter, chest: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(chest) as opened:
        given = [chest, str(chest), chest.read_bytes(), PIXELS, read_film(chest), opened, opened.convert("RGB")]
        results = [segmenter(one) for one in given]
    for one in results:
        np.testing.assert_array_equal(one.film.pixels, PIXELS)
        np.testing.assert_array_equal(one.masks["right_lung"], results[0].masks["right_lung"])


def test_dicom_is_read_by_path_and_by_bytes(segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "chest.dcm"
    write_dicom(phantom(240, 220, seed=1, bits=16), path)
    by_path, by_bytes = segmenter(path), segmenter(path.read_bytes())
    assert by_path.film.spacing_mm == by_bytes.film.spacing_mm
    assert by_path.areas == by_bytes.areas


def test_pillow_images_of_other_kinds() -> None:
    image = pytest.importorskip("PIL.Image")
    from edge_seg.sources.given import film_of

    deep = PIXELS.astype(np.uint16) * 200
    for made in (image.fromarray(deep), image.fromarray(deep.astype(np.int32))):
        np.testing.assert_array_equal(film_of(made).pixels, deep)
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 200
    np.testing.assert_array_equal(film_of(image.fromarray(red)).pixels, cv2.cvtColor(red, cv2.COLOR_RGB2GRAY))
    turned = image.fromarray(PIXELS)
    turned.getexif()[0x0112] = 3
    np.testing.assert_array_equal(film_of(turned).pixels, PIXELS[::-1, ::-1])
    for wrong in (image.fromarray(PIXELS).convert("1"), image.fromarray(PIXELS.astype(np.float32) + 0.5)):
        with pytest.raises(InputError):
            film_of(wrong)


@pytest.mark.parametrize("wrong", [None, 3, b"no picture", "absent.png", np.zeros((3, 40, 40), np.uint8)])
def test_what_is_no_film_is_refused_in_one_line(segmenter: Segmenter, wrong: Any) -> None:
    with pytest.raises(InputError) as refused:
        segmenter(wrong)
    assert "\n" not in str(refused.value)


def test_a_result_shows_itself(result: Segmentation) -> None:
    overlay = result.overlay()
    assert (overlay.dtype, overlay.shape[2]) == (np.uint8, 3)
    # The right lung's outline is orange: red first.
    decoded = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    np.testing.assert_array_equal(overlay, decoded[:, :, ::-1])
    assert len(repr(result)) < 250
    assert repr(result).startswith("<Segmentation of a<b>.png: right lung ")
    page = result._repr_html_()
    assert "a&lt;b&gt;.png" in page
    assert "<b>" not in page
    assert "data:image/jpeg;base64," in page


def test_a_result_is_drawn_on_axes(result: Segmentation) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = result.plot()
    assert axes.get_title() == "a<b>.png"
    assert result.plot(axes) is axes


def test_a_result_is_saved_and_described_as_run_does(result: Segmentation, tmp_path: Path) -> None:
    record = result.save(tmp_path / "out")
    assert {file.name for file in record.files} == {path.name for path in (tmp_path / "out").glob("a_b_.*")}
    plain = json.loads(json.dumps(result.to_dict()))
    described = record_from_json(plain)
    assert isinstance(described, DoneRecord)
    assert (described.areas, described.ratios) == (record.areas, record.ratios)
    assert result.save(str(tmp_path / "few"), ["overlay"]).files[0].name.endswith(".overlay.jpg")


@pytest.mark.parametrize("given", [{"names": True}, {"products": ("dicom", "overlay")}])
def test_a_result_that_names_a_patient_is_saved_for_its_user_alone(
    segmenter: Segmenter, tmp_path: Path, given: dict[str, Any]
) -> None:
    pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
    write_dicom(phantom(240, 220, seed=1), tmp_path / "chest.dcm")
    found, out = segmenter(tmp_path / "chest.dcm"), tmp_path / "out"
    before = os.umask(0o022)
    try:
        found.save(out, ("record",))
        assert stat.S_IMODE((out / "records.jsonl").stat().st_mode) == 0o644
        found.save(out, **given)
    finally:
        os.umask(before)
    files = [path for path in out.iterdir() if path.is_file()]
    assert len(files) > 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_many_films_keep_their_order_and_one_bad_film_stops_none(segmenter: Segmenter, chest: Path) -> None:
    films = [phantom(160, 150, seed=seed).film for seed in range(5)]
    given: list[Film | Path] = [*films[:2], chest.parent / "absent.png", *films[2:]]
    alone = list(segmenter.map(given))
    together = list(segmenter.map(iter(given), workers=3))
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, Failure):
            assert isinstance(other, Failure)
            assert "absent.png" in str(other.error)
        else:
            assert isinstance(other, Segmentation)
            np.testing.assert_array_equal(one.masks["right_lung"], other.masks["right_lung"])
    assert [isinstance(one, Failure) for one in together] == [False, False, True, False, False, False]
    with pytest.raises(UsageError):
        segmenter.map(films, workers=0)


def test_films_are_taken_as_results_are(segmenter: Segmenter) -> None:
    taken = []

    def endless():  # type: ignore[no-untyped-def]
        while True:
            taken.append(1)
            yield PIXELS

    results = segmenter.map(endless(), workers=2)
    for _ in range(3):
        assert isinstance(next(results), Segmentation)
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 3 + 2 * 2


def test_nothing_is_printed(chest: Path) -> None:
    code = "import sys; from edge_seg import Segmenter; Segmenter.load('lungs-nano')(sys.argv[1])"
    seen = subprocess.run([sys.executable, "-c", code, str(chest)], capture_output=True, text=True, timeout=120)
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "", "")
