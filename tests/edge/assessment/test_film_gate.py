"""The film gate: chest films pass, turned and inverted ones are recognised, everything else is rejected."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Film, InputError, Segmenter, pixels
from edge_seg.assessment.appearance import SIDE, load_appearance, thumbnail
from edge_seg.assessment.film_gate import ACCEPT, REJECT, WARN, Quality, look_at_film, look_at_masks
from edge_seg.model_file import ModelFile
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.sources.files import read_film
from edge_seg.sources.image import colour_of
from edge_seg.station.session import run_session
from edge_seg_data import open_dataset

INPUT = (224, 224)


def look(film: Film) -> Quality:
    grey, letterbox = pixels.to_input(film, INPUT)
    return look_at_film(film, grey[letterbox.content], load_appearance("chest"))


def codes(quality: Quality) -> set[str]:
    return {finding.code for finding in quality.findings}


def turned(film: Film, quarter_turns: int) -> Film:
    return replace(film, pixels=np.ascontiguousarray(np.rot90(film.pixels, quarter_turns)))


def negative(film: Film) -> Film:
    return replace(film, pixels=np.iinfo(film.pixels.dtype).max - film.pixels)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("seed", range(6))
def test_a_chest_film_is_accepted(seed: int, bits: int) -> None:
    quality = look(phantom(600, 540, seed=seed, bits=bits).film)
    assert quality.verdict == ACCEPT, quality


@pytest.mark.parametrize(
    ("turns", "way"), [(1, "a quarter turn clockwise"), (2, "half a turn"), (3, "a quarter turn anticlockwise")]
)
def test_a_turned_film_is_rejected_with_the_turn_that_rights_it(turns: int, way: str) -> None:
    film = phantom(600, 540, seed=1).film
    quality = look(turned(film, turns))
    assert (quality.verdict, codes(quality)) == (REJECT, {"turned"})
    assert quality.findings[0].text.endswith(way)
    (said,) = look(replace(turned(film, turns), orientation_known=True)).findings
    assert "against what its header says" in said.text


def test_wrong_polarity_is_corrected_and_said(segmenter: Segmenter) -> None:
    film = phantom(600, 540, seed=2, bits=16).film
    good, bad = segmenter(film), segmenter(negative(film))
    assert bad.quality.verdict == WARN
    assert "inverted" in codes(bad.quality)
    assert any("bone was black" in warning for warning in bad.warnings)
    np.testing.assert_array_equal(bad.film.pixels, film.pixels)
    np.testing.assert_array_equal(bad.masks["right_lung"], good.masks["right_lung"])


def test_a_header_that_tells_black_from_white_is_believed_unless_the_picture_is_surely_a_negative() -> None:
    film = replace(negative(phantom(600, 540, seed=2).film), polarity_known=True)
    (finding,) = look(film).findings
    assert (finding.code, finding.verdict) == ("inverted", WARN)
    assert "against what its header says" in finding.text
    # This resembles a negative of a chest as much as a hip does.
    odd = replace(film, pixels=cv2.GaussianBlur(film.pixels[:, 150:], (0, 0), 3))
    assert codes(look(replace(odd, polarity_known=False))) == {"inverted"}
    assert codes(look(odd)) == {"not-a-chest-film"}


def test_a_rejected_film_has_empty_masks_of_its_size_and_no_numbers(segmenter: Segmenter) -> None:
    result = segmenter(np.zeros((200, 160), np.uint16))
    assert result.quality.verdict == REJECT
    assert all(mask.shape == (200, 160) and not mask.any() for mask in result.masks.values())
    assert result.areas["whole_lung"].pixels == 0
    assert result.measurements.ratios == {}
    assert result.trust is None


def noise(dtype: type, rng: np.random.Generator) -> Film:
    return Film(rng.integers(0, np.iinfo(dtype).max, (500, 400)).astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_no_film_is_rejected(dtype: type) -> None:
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    page: np.ndarray = np.full((700, 500), 255, np.uint8)
    for line in range(20):
        text = "The quick brown fox jumps over the dog"
        cv2.putText(page, text, (20, 40 + 33 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 2)
    ramp: np.ndarray = np.linspace(0, top, 400).astype(dtype)[None].repeat(300, axis=0)
    for picture, code in (
        (np.zeros((300, 300), dtype), "blank"),
        (np.full((300, 300), top, dtype), "blank"),
        (ramp, "no-detail"),
        (noise(dtype, rng).pixels, "noise-or-print"),
        (page.astype(dtype) * (top // 255), "few-levels"),
        (phantom(60, 54, seed=0).film.pixels.astype(dtype), "too-small"),
    ):
        quality = look(Film(picture))
        assert quality.verdict == REJECT, code
        assert code in codes(quality)


def masks_of_a_chest() -> list[np.ndarray]:
    """Masks as saved in practice: two levels, three, small numbers, enlarged, in JPEG."""
    made = phantom(400, 360, seed=4).masks
    lungs = np.where(made["right_lung"] | made["left_lung"], np.uint8(255), np.uint8(0))
    three = np.where(made["cardiomediastinum"], np.uint8(127), lungs)
    _, jpeg = cv2.imencode(".jpg", lungs, [cv2.IMWRITE_JPEG_QUALITY, 60])
    numbers = (lungs // 255 * 3 + (three == 127) * 7).astype(np.uint8)
    return [lungs, three, numbers, cv2.resize(lungs, (720, 800)), cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), 255 - lungs]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_is_no_film(number: int, dtype: type) -> None:
    quality = look(Film(masks_of_a_chest()[number].astype(dtype) * dtype(np.iinfo(dtype).max // 255)))
    assert (quality.verdict, codes(quality)) == (REJECT, {"few-levels"})


def test_one_bright_pixel_makes_no_mask_of_a_film() -> None:
    film = phantom(600, 540, seed=3, bits=16).film
    film.pixels[5, 5] = 65535
    assert look(film).verdict == ACCEPT


def test_what_should_be_known_of_a_film_is_warned_of() -> None:
    film = phantom(600, 540, seed=3).film
    small = phantom(150, 130, seed=3).film
    flat = Film((100 + film.pixels.astype(int) // 5).astype(np.uint8))
    black = replace(film, window=(150.0, 255.0))
    white = replace(film, window=(0.0, 60.0))
    for changed, code in (
        (small, "small"),
        (flat, "little-contrast"),
        (black, "over-exposed"),
        (white, "under-exposed"),
        (replace(film, colour=0.1), "tinted"),
    ):
        quality = look(changed)
        assert code in codes(quality)
        assert all(f.verdict == WARN for f in quality.findings if f.code == code)
    assert "photograph" in codes(look(replace(film, colour=0.4)))


def test_lungs_that_are_missing_or_cut_off_are_named() -> None:
    masks = {name: np.zeros((100, 100), bool) for name in ("right_lung", "left_lung")}
    masks["right_lung"][20:60, 0:40] = True
    found = look_at_masks(masks)
    assert codes(found) == {"cut-off-right-lung", "no-left-lung"}
    assert "right lung cut off at the left edge" in [f.text for f in found.findings]
    masks["right_lung"][:, :5] = False
    masks["left_lung"][90:, 60:80] = True
    assert [f.text for f in look_at_masks(masks).findings] == ["left lung cut off at the lower edge"]


def test_colour_is_measured() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (300, 200, 1), dtype=np.uint8).repeat(3, axis=2)
    assert colour_of(grey) == colour_of(grey[:, :, 0]) == 0
    red = grey.copy()
    red[:, :, :2] = 0
    assert colour_of(red) == pytest.approx(red[:, :, 2].mean() / 255, abs=0.01)


def test_a_thumbnail_forgets_exposure() -> None:
    grey = phantom(300, 260, seed=0).film.pixels
    assert thumbnail(grey).shape == (SIDE * SIDE,)
    darker = (grey.astype(float) * 0.5 + 20).astype(np.uint8)
    assert np.corrcoef(thumbnail(grey), thumbnail(darker))[0, 1] > 0.999


@pytest.fixture(scope="module")
def segmenter(lungs: ModelFile) -> Segmenter:
    """The shipped model with the gate."""
    return Segmenter(ModelFile(replace(lungs.manifest, expects="chest"), lungs.flatbuffer))


def test_a_look_alone_finds_what_segmenting_finds_before_the_masks(segmenter: Segmenter) -> None:
    film = phantom(600, 540, seed=2, bits=16).film
    for seen in (film, turned(film, 1), negative(film)):
        assert set(segmenter.look(seen).findings) <= set(segmenter(seen).quality.findings)
    assert segmenter.look(turned(film, 1)).verdict == REJECT
    assert codes(segmenter.look(negative(film))) == {"inverted"}
    ungated = Segmenter(ModelFile(segmenter.manifest, b""), segmenter.runtime, gate=False)
    assert ungated.look(turned(film, 1)) == Quality()


def test_a_rejected_film_leaves_its_reasons_and_no_masks(
    segmenter: Segmenter, lungs: ModelFile, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    cv2.imwrite(str(folder / "good.png"), phantom(400, 360, seed=0).film.pixels)
    cv2.imwrite(str(folder / "side.png"), np.rot90(phantom(400, 360, seed=0).film.pixels))
    from edge_seg.sources import open_source

    def session(gated: Segmenter) -> tuple[int, int, list[str], int]:
        output = OutputFolder(tmp_path / "out")
        summary = run_session(open_source((str(folder),)), gated, output)
        return summary.done, summary.skipped, summary.problems, summary.exit_code

    done, skipped, rejected, code = session(segmenter)
    assert (done, skipped, code) == (1, 0, InputError.exit_code)
    assert len(rejected) == 1
    assert "side.png: rejected: it does not stand upright" in rejected[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"good.right_lung.png", "side.overlay.jpg"} <= names
    assert "side.right_lung.png" not in names
    assert session(segmenter) == (0, 2, [], 0)
    ungated = Segmenter(ModelFile(segmenter.manifest, lungs.flatbuffer), segmenter.runtime, gate=False)
    assert session(ungated)[:3] == (2, 0, [])
    assert (tmp_path / "out" / "side.right_lung.png").exists()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    [("paediatric", 0.99), ("adult", 1.0), ("visible-lung", 1.0)],
    ids=["children", "adults", "others"],
)
def test_films_that_the_fit_never_saw_pass(films_folder: Path, name: str, least: float) -> None:
    films = [labelled.load()[0] for labelled in open_dataset(films_folder / name).split("test")]
    verdicts = Counter(look(film).verdict for film in films)
    assert 1 - verdicts[REJECT] / len(films) >= least
    assert verdicts[ACCEPT] / len(films) >= 0.9
    for code, change in (("turned", lambda film: turned(film, 2)), ("inverted", negative)):
        known = [code in codes(look(change(film))) for film in films[::8]]
        assert np.mean(known) >= 0.9, code


@pytest.mark.data
@pytest.mark.parametrize("name", ["RG2_JPLL.dcm", "RG3_J2KR.dcm", "RG3_JLSL.dcm", "RG3_JPLL.dcm", "RG3_RLE.dcm"])
def test_hip_and_extremity_are_rejected(films_folder: Path, name: str) -> None:
    film = read_film(films_folder / "dicom" / name)
    assert look(film).verdict == REJECT
    for chest in ("RG1_J2KI.dcm", "RG1_JLSN.dcm"):
        assert look(read_film(films_folder / "dicom" / chest)).verdict != REJECT


@pytest.mark.data
def test_dicom_files_of_many_kinds_are_taken_or_refused_as_they_should(lungs: ModelFile, films_folder: Path) -> None:
    segmenter = Segmenter(lungs)
    folder = films_folder / "dicom-more"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = {}
    for row in rows:
        try:
            quality = segmenter(read_film(folder / row["file"])).quality
            found = "refuse" if quality.verdict == REJECT else "inverted" if quality.has("inverted") else "chest"
        except InputError:
            found = "refuse"
        expected = row["expected"]
        if not (expected == "look" or found in re.split(r"\W+", expected)):
            wrong[row["file"]] = (expected, found)
    assert rows
    assert not wrong


def test_photographs_and_drawings_are_rejected() -> None:
    skimage = pytest.importorskip("skimage", reason="scikit-image brings the pictures: pip install scikit-image")
    folder = Path(skimage.__file__).parent / "data"
    pictures = [p for p in sorted(folder.iterdir()) if p.suffix in (".png", ".jpg") and p.stat().st_size > 2000]
    passed = [p.name for p in pictures if look(read_film(p)).verdict != REJECT]
    assert len(pictures) >= 20
    assert passed == []


def test_outlines_of_both_lungs_in_one_are_looked_at_as_well() -> None:
    mask = np.zeros((50, 40), bool)
    assert [f.code for f in look_at_masks({"whole_lung": mask, "cardiomediastinum": mask}).findings] == [
        "no-whole-lung"
    ]
    mask[:, :30] = True
    (cut,) = look_at_masks({"whole_lung": mask, "tumour": mask}).findings
    assert "whole lung cut off at the left and upper and lower edge" in cut.text
    assert look_at_masks({"tumour": mask}).findings == ()
