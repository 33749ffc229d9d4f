"""What an inbox keeps, also on a disk that fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from edge_seg.errors import OutputError
from edge_seg.sources import inbox as room
from edge_seg.sources.inbox import Inbox
from edge_seg.storage import write_atomically


def test_a_film_in_its_place_that_was_refused_waits_once_it_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(tmp_path)

    def fails_late(path: Path, *parts: bytes, **given: Any) -> None:
        write_atomically(path, *parts, **given)
        raise OutputError("the folder cannot be flushed")

    monkeypatch.setattr(room, "write_atomically", fails_late)
    with pytest.raises(OutputError):
        inbox.put("film", b"pixels")
    assert inbox.take() is None
    monkeypatch.undo()
    assert inbox.put("film", b"pixels")
    assert not inbox.put("film", b"pixels")
    path = inbox.take()
    assert path == tmp_path / "received" / "film.dcm"
    assert inbox.take() is None
    assert not inbox.put("film", b"pixels")
    inbox.settle(path, "done")
    assert not inbox.put("film", b"pixels")
    assert len(inbox) == 0


def test_a_film_that_failed_is_tried_again_once_it_is_sent_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("film", b"pixels")
    path = inbox.take()
    assert path is not None
    inbox.settle(path, "failed")
    # As after a restart: it is not tried again by itself.
    inbox = Inbox(tmp_path)
    assert inbox.take() is None
    assert inbox.put("film", b"pixels")
    assert not inbox.put("film", b"pixels")
    assert inbox.take() == path
    assert path.read_bytes() == b"pixels"
    assert inbox.take() is None
    assert not list((tmp_path / "failed").iterdir())


def test_a_film_that_is_sent_again_is_not_settled_with_the_attempt_before(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("film", b"pixels")
    path = inbox.take()
    assert path is not None
    inbox.settle(path, "failed")
    inbox.put("film", b"pixels")
    inbox.settle(path, "failed")
    assert inbox.take() == path
    assert path.is_file()


def test_a_kept_film_that_cannot_be_read_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("film", b"pixels")

    def fails(path: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(room, "_digest", fails)
    with pytest.raises(OutputError, match="Input/output error"):
        inbox.put("film", b"pixels")


def test_an_inbox_whose_folder_is_removed_takes_films_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    inbox.put("film", b"pixels")
    shutil.rmtree(tmp_path / "inbox")
    assert inbox.put("film", b"pixels")
    assert len(inbox) == 1
    path = inbox.take()
    assert path is not None
    assert path.read_bytes() == b"pixels"
    inbox.settle(path, "done")
    assert [file.name for file in (tmp_path / "inbox" / "done").iterdir()] == ["film.dcm"]
    assert inbox.take() is None
