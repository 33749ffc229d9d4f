"""Attempts at films on a disk that can no longer be written: the source goes on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from edge_seg import Film
from edge_seg.phantom import phantom
from edge_seg.sources import Attempts, WatchedFolder, watch

PNG = cv2.imencode(".png", phantom(64, 80).film.pixels)[1].tobytes()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Makes the disk read-only for files that are to be removed; names those."""
    paths: list[Path] = []

    def unlink(path: Path, missing_ok: bool = False) -> None:
        paths.append(path)
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink)
        yield paths


def test_a_film_that_grows_while_the_disk_is_read_only_arrives_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[Path]
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(watch, "SETTLED_S", 0.0)
    # Under load, a film that is cut off must not yet count as failed.
    monkeypatch.setattr(watch, "PATIENCE_S", 1e9)
    film = tmp_path / "inbox" / "film.png"
    film.parent.mkdir()
    film.write_bytes(PNG[:200])
    source = WatchedFolder(film.parent, attempts=Attempts(tmp_path / "attempts"))
    arrivals = iter(source)
    while not refused:
        assert next(arrivals) is None
    film.write_bytes(PNG)
    arrival = next(arrival for arrival in arrivals if arrival is not None)
    assert isinstance(arrival.content, Film)
    source.close()


def test_a_film_whose_note_could_not_be_removed_is_handed_out_again(tmp_path: Path, refused: list[Path]) -> None:
    attempts = Attempts(tmp_path / "attempts")
    assert list(attempts.hand_out("key", "film", "film", lambda: None)) == []
    arrival = next(attempts.hand_out("key", "film", "film", lambda: phantom(64, 80).film))
    assert len(refused) == 1
    assert arrival is not None
    assert isinstance(arrival.content, Film)


def test_what_stops_the_program_is_not_hidden_by_a_read_only_disk(tmp_path: Path, refused: list[Path]) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(Attempts(tmp_path / "attempts").hand_out("key", "film", "film", stopped))
    assert len(refused) == 1
