"""What an inbox keeps, also on a disk that fails."""

from __future__ import annotations

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
