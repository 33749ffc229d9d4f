"""The film gate's figures: films that pass are counted with their findings, pictures that slip through are named."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Film, InputError, Segmenter, UsageError
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom, write_dicom
from edge_seg_benchmarks.accuracy.film_gate import FindingCount, Passed, look_at_pictures, measure_film_gate
from edge_seg_data import Dataset, LabelledFilm, Outlines


@pytest.fixture(scope="module")
def segmenter(tiny_model: Path) -> Segmenter:
    """A model with a gate."""
    file = ModelFile.read(tiny_model)
    return Segmenter(replace(file, manifest=replace(file.manifest, expects="chest")))


def dataset(films: dict[str, Film]) -> Dataset:
    def read(film: Film) -> tuple[Film, Outlines]:
        return film, {}

    labelled = (LabelledFilm(name, name[0], "test", partial(read, film)) for name, film in films.items())
    return Dataset("films", "chest", (), tuple(labelled))


def test_verdicts_and_findings_are_counted(segmenter: Segmenter) -> None:
    film = phantom(600, 540, seed=1).film
    films = dataset(
        {
            "a1": film,
            "a2": phantom(600, 540, seed=2).film,
            "b1": Film(255 - film.pixels),
            "c1": Film(np.ascontiguousarray(np.rot90(film.pixels))),
            "c2": Film(np.zeros((300, 300), np.uint8)),
        }
    )
    found = measure_film_gate(segmenter, [films], "test", None, (), lambda text: None)
    assert found is not None
    row = found.datasets[0]
    assert (row.films, row.patients) == (5, 3)
    assert (row.accept, row.warn, row.reject) == (2, 1, 2)
    assert row.reasons == (
        FindingCount("blank", "reject", 1),
        FindingCount("turned", "reject", 1),
        FindingCount("inverted", "warn", 1),
    )
    assert found.should_reject == ()


def test_pictures_that_slip_through_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    cv2.imwrite(str(folder / "noise.png"), np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8))
    cv2.imwrite(str(folder / "chest.png"), phantom(600, 540, seed=0).film.pixels)
    write_dicom(phantom(600, 540, seed=1, bits=16), folder / "chest.dcm")
    (folder / "broken.png").write_bytes(b"no picture")
    found = look_at_pictures(segmenter, str(folder))
    assert (found.name, found.films, found.reject) == ("others", 3, 1)
    assert found.passed == (Passed("chest.dcm", "accept"), Passed("chest.png", "accept"))
    assert found.unopened == ("broken.png",)
    assert [reason.code for reason in found.reasons] == ["noise-or-print"]


def test_a_folder_with_nothing_to_reject_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no pictures for the film gate to reject") as caught:
            look_at_pictures(segmenter, str(where))
        assert "\n" not in str(caught.value)


def test_without_a_gate_there_are_no_figures(tiny_model: Path) -> None:
    ungated = Segmenter.load(tiny_model)
    films = [dataset({"a": phantom(300, 300).film})]
    assert measure_film_gate(ungated, films, "test", None, (), lambda text: None) is None
    with pytest.raises(UsageError, match="no film gate"):
        measure_film_gate(ungated, films, "test", None, ("folder",), lambda text: None)
