"""A bad entry fails alone: pipes, sockets, devices, links and odd names are reported once, the films beside taken."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from edge_seg import Film, InputError
from edge_seg.film import Failure
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import open_source, read_film, regular, watch
from edge_seg.sources.listing import Listing
from edge_seg.sources.regular import read_regular


def png(path: Path) -> Path:
    cv2.imwrite(str(path), phantom(64, 80).film.pixels)
    return path


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """A folder of everything that is not a film, with two films in it and one below."""
    folder = tmp_path / "inbox"
    (folder / "below").mkdir(parents=True)
    png(folder / "a.png")
    write_dicom(phantom(64, 80), folder / "IM0001")
    png(folder / "below" / "c.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "out.png").symlink_to(png(tmp_path / "outside.png"))
    (folder / "dangling.png").symlink_to(tmp_path / "nowhere")
    png(folder / "elsewhere.png").rename(folder / "records.jsonl")
    Path(os.fsdecode(os.fsencode(folder) + b"/M\xfcller.png")).write_bytes((folder / "a.png").read_bytes())
    (folder / "notes.txt").write_text("no film")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)
        server.bind("talk.png")
        os.chdir(here)
        yield folder


def test_each_oddity_is_told_once_and_the_films_are_found(odd: Path) -> None:
    listing = Listing(odd, links_out=False)
    looked = listing.look()
    assert [path.name for path in looked.films] == ["IM0001", "a.png", "c.png"]
    said = {problem.name: str(problem.error) for problem in looked.problems}
    assert said.keys() == {
        "pipe.png",
        "zero.png",
        "out.png",
        "dangling.png",
        "records.jsonl",
        "M\\xfcller.png",
        "talk.png",
    }
    assert "a pipe" in said["pipe.png"]
    assert "a device" in said["zero.png"]
    assert "out of the folder" in said["out.png"]
    assert "a socket" in said["talk.png"]
    assert all("\n" not in text for text in said.values())
    again = listing.look()
    assert again.problems == []
    assert again.films == looked.films
    # An engineer's folder of links is a folder of films.
    assert "out.png" in [path.name for path in Listing(odd).look().films]


def test_a_watched_folder_goes_on_beside_them(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watch, "SETTLED_S", 0.1)
    monkeypatch.setattr(watch, "PATIENCE_S", 0.5)
    found: list[Film | Failure] = []
    end = time.monotonic() + 120
    for arrival in open_source(watched=[odd]):
        if arrival is not None:
            found.append(arrival.content)
            arrival.settle(None)
        if sum(isinstance(one, Film) for one in found) == 3:
            break
        assert time.monotonic() < end, found
    assert sum(isinstance(one, Failure) for one in found) == 7


def test_a_folder_of_films_given_to_run_has_a_failure_for_each(odd: Path) -> None:
    contents = [arrival.content for arrival in open_source([str(odd)]) if arrival is not None]
    assert sum(isinstance(one, Film) for one in contents) == 4
    assert sum(isinstance(one, Failure) for one in contents) == 6


def test_a_folder_below_that_cannot_be_listed_is_one_problem(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("edge_seg.sources.listing.os.scandir", refuse)
    listing = Listing(odd, links_out=False)
    looked = listing.look()
    assert [path.name for path in looked.films] == ["IM0001", "a.png"]
    assert not looked.gone
    assert sum("cannot be listed" in str(problem.error) for problem in looked.problems) == 1
    assert listing.look().problems == []


def test_an_unreadable_file_without_an_extension_is_a_film_until_reading_it_says_why(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, most: int | None = None) -> bytes:
        if path.name == "IM0002":
            raise InputError(f"{path}: cannot be read (Permission denied)")
        return read_regular(path, most)

    before = Listing(odd).look()
    monkeypatch.setattr("edge_seg.sources.listing.read_regular", refuse)
    (odd / "IM0002").touch()
    looked = Listing(odd).look()
    assert {path.name for path in looked.films} == {path.name for path in before.films} | {"IM0002"}
    assert looked.others == before.others


def test_a_link_to_a_folder_elsewhere_is_one_problem(tmp_path: Path) -> None:
    inbox, elsewhere = tmp_path / "inbox", tmp_path / "elsewhere"
    for folder in (inbox / "below", elsewhere):
        folder.mkdir(parents=True)
        png(folder / "a.png")
    (inbox / "latest").symlink_to(inbox / "below")
    (inbox / "more").symlink_to(elsewhere)
    listing = Listing(inbox)
    looked = listing.look()
    assert looked.films == [inbox / "below" / "a.png"]
    (problem,) = looked.problems
    assert "more: leads to a folder, which is not followed: give that folder itself" in str(problem.error)
    assert listing.look().problems == []


def test_what_comes_and_goes_is_seen(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    assert listing.look().films == []
    png(tmp_path / "one.png")
    assert [path.name for path in listing.look().films] == ["one.png"]
    (tmp_path / "below").mkdir()
    png(tmp_path / "below" / "two.png")
    assert [path.name for path in listing.look().films] == ["one.png", "two.png"]
    (tmp_path / "one.png").unlink()
    assert [path.name for path in listing.look().films] == ["two.png"]


def test_many_other_files_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2000):
        (tmp_path / f"note{number}.txt").touch()
    png(tmp_path / "film.png")
    past = time.time() - 60
    os.utime(tmp_path, (past, past))
    listing = Listing(tmp_path)
    assert len(listing.look().films) == 1

    def listed(path: Path) -> None:
        raise AssertionError("listed again")

    monkeypatch.setattr("edge_seg.sources.listing.os.scandir", listed)
    for _ in range(100):
        assert len(listing.look().films) == 1


@pytest.mark.parametrize("name", ["pipe", "zero", "folder"])
def test_a_path_that_is_no_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="not a film"):
        read_film(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(regular.LARGEST_FILE + 1)
    with pytest.raises(InputError, match="too many for a film"):
        read_regular(path)
    assert len(read_regular(path, 132)) == 132
