"""The parts of a station, as its configuration asks for them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from edge_seg import StationConfig, UsageError
from edge_seg.phantom import phantom, write_dicom
from edge_seg.station.config import InputsConfig, ResultsConfig
from edge_seg.station.wiring import open_output, open_sources


def inputs(way: str, folder: Path) -> InputsConfig:
    return InputsConfig(watch=(folder,)) if way == "watch" else InputsConfig(files=(str(folder),))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_dicom(phantom(64, 60), folder / "film.dcm")
    return folder


@pytest.mark.parametrize("way", ["watch", "given"])
def test_results_in_the_folder_of_the_films_are_refused(films: Path, way: str) -> None:
    link = films.parent / "link"
    link.symlink_to(films)
    for out in (films, films / ".." / "films", link):
        with pytest.raises(UsageError, match=r"--out .*: films are taken from there: choose another folder"):
            open_output(StationConfig(inputs=inputs(way, films), results=ResultsConfig(out)))
    assert [path.name for path in films.iterdir()] == ["film.dcm"]


@pytest.mark.parametrize("way", ["watch", "given"])
def test_results_beside_inside_and_around_the_folder_of_the_films_are_allowed(films: Path, way: str) -> None:
    for out in (films.parent / "out", films / "out", films.parent):
        config = StationConfig(inputs=inputs(way, films), results=ResultsConfig(out))
        with closing(open_output(config)), closing(open_sources(config)):
            pass


def test_results_of_an_earlier_run_among_the_names_that_a_shell_gives_are_no_reason_to_refuse(films: Path) -> None:
    out = films.parent / "out"
    out.mkdir()
    (out / "records.jsonl").touch()
    config = StationConfig(inputs=InputsConfig(files=(str(films), str(out))), results=ResultsConfig(out))
    with closing(open_output(config)):
        pass
