"""A watched folder: films appear in every way that files do, and each is taken once, when it is complete."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg import Film, InputError
from edge_seg.film import Failure
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import WatchedFolder, open_source, watch


class Watcher:
    """A watched folder in a thread, and what it has delivered so far."""

    def __init__(self, folder: Path) -> None:
        self._source = WatchedFolder(folder)
        self.arrivals: list[Film | Failure] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        for arrival in self._source:
            if arrival is not None:
                self.arrivals.append(arrival.content)
                arrival.settle(None)

    def wait_for(self, count: int) -> list[Film | Failure]:
        deadline = time.monotonic() + 300
        while len(self.arrivals) < count:
            assert time.monotonic() < deadline, self.arrivals
            time.sleep(0.02)
        return self.arrivals

    def looks_again(self) -> list[Film | Failure]:
        """What has arrived by the time that every settled file must have been taken."""
        time.sleep(8 * watch.LOOK_EVERY_S + watch.SETTLED_S + watch.PATIENCE_S)
        return self.arrivals

    def stop(self) -> None:
        self._source.close()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watch, "SETTLED_S", 0.1)
    monkeypatch.setattr(watch, "PATIENCE_S", 0.5)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def watcher(inbox: Path) -> Iterator[Watcher]:
    watching = Watcher(inbox)
    yield watching
    watching.stop()


def png(seed: int = 0) -> bytes:
    return cv2.imencode(".png", phantom(64, 80, seed=seed).film.pixels)[1].tobytes()


def names(arrivals: list[Film | Failure]) -> list[str]:
    return [arrival.name for arrival in arrivals]


def test_films_that_are_there_and_films_that_appear(inbox: Path, tmp_path: Path) -> None:
    (inbox / "early.png").write_bytes(png(0))
    watching = Watcher(inbox)
    try:
        assert names(watching.wait_for(1)) == ["early.png"]
        (inbox / "late.png").write_bytes(png(1))
        watching.wait_for(2)
        # By rename, as careful senders do, and in a new folder.
        (tmp_path / "elsewhere.png").write_bytes(png(2))
        (inbox / "today").mkdir()
        (tmp_path / "elsewhere.png").rename(inbox / "today" / "moved.png")
        watching.wait_for(3)
        write_dicom(phantom(64, 80), inbox / "scan")
        watching.wait_for(4)
        assert names(watching.looks_again()) == ["early.png", "late.png", "moved.png", "scan"]
        assert all(isinstance(arrival, Film) and arrival.checksum for arrival in watching.arrivals)
    finally:
        watching.stop()


def test_a_film_that_grows_is_taken_whole_and_once(inbox: Path, watcher: Watcher) -> None:
    data = png()
    with (inbox / "slow.png").open("wb") as file:
        for start in range(0, len(data), len(data) // 6 + 1):
            file.write(data[start : start + len(data) // 6 + 1])
            file.flush()
            # Longer than the settling time: a sender that pauses.
            time.sleep(0.2)
    (film,) = watcher.wait_for(1)
    assert isinstance(film, Film)
    np.testing.assert_array_equal(film.pixels, phantom(64, 80).film.pixels)
    assert len(watcher.looks_again()) == 1


def test_what_stays_broken_fails_once_and_the_next_goes_on(inbox: Path, watcher: Watcher) -> None:
    (inbox / "broken.png").write_bytes(png()[:200])
    (failure,) = watcher.wait_for(1)
    assert isinstance(failure, Failure)
    (inbox / "good.png").write_bytes(png())
    watcher.wait_for(2)
    assert names(watcher.looks_again()) == ["broken.png", "good.png"]
    # Sent again, whole this time.
    (inbox / "broken.png").write_bytes(png(3))
    assert isinstance(watcher.wait_for(3)[2], Film)


def test_another_film_under_the_same_name_is_taken_too(inbox: Path, watcher: Watcher) -> None:
    (inbox / "film.png").write_bytes(png(0))
    first = watcher.wait_for(1)[0]
    (inbox / "film.png").write_bytes(png(1))
    second = watcher.wait_for(2)[1]
    assert isinstance(first, Film)
    assert isinstance(second, Film)
    assert first.checksum != second.checksum


def test_a_folder_that_goes_away_is_reported_once_and_waited_for(inbox: Path, watcher: Watcher) -> None:
    (inbox / "one.png").write_bytes(png(0))
    watcher.wait_for(1)
    aside = inbox.with_name("aside")
    inbox.rename(aside)
    gone = watcher.wait_for(2)[1]
    assert isinstance(gone, Failure)
    assert "cannot be listed" in str(gone.error)
    assert len(watcher.looks_again()) == 2
    aside.rename(inbox)
    (inbox / "two.png").write_bytes(png(1))
    # The film from before the folder went is not taken again.
    assert names(watcher.wait_for(3))[2:] == ["two.png"]
    assert len(watcher.looks_again()) == 3


def test_our_own_results_hidden_files_and_videos_are_no_films(inbox: Path, watcher: Watcher) -> None:
    (inbox / "results").mkdir()
    (inbox / "results" / "records.jsonl").write_text("")
    (inbox / "results" / "film.overlay.png").write_bytes(png())
    (inbox / ".film.png.part").write_bytes(png())
    (inbox / ".film.png").write_bytes(png())
    (inbox / "clip.mp4").write_bytes(b"no video")
    (inbox / "notes.txt").write_text("no film")
    assert watcher.looks_again() == []


def test_at_most_so_many(inbox: Path) -> None:
    for number in range(3):
        (inbox / f"{number}.png").write_bytes(png(number))
    assert names([a.content for a in open_source(watched=[inbox], frames=2) if a is not None]) == ["0.png", "1.png"]


def test_what_cannot_be_watched(inbox: Path) -> None:
    for absent in ("absent", "x" * 300):
        with pytest.raises(InputError, match="no such folder"):
            open_source(watched=[inbox / absent])
    shutil.rmtree(inbox)
