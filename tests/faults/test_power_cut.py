"""The power fails at any moment of a run: what the disk was not asked to flush is gone, or was written all the same.

The disk is a model: it is sure to hold a file's content at the file's last flush, and a folder's names at the folder's
last flush. Names and records may also be there before they are flushed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
from edge_seg.film import Arrival
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.journal import RECORDS_NAME
from edge_seg.phantom import phantom
from edge_seg.segmenter import Segmenter
from edge_seg.sources import open_source
from edge_seg.sources.source import Source
from edge_seg.station.session import run_session
from edge_seg.storage import Draft

FILMS = 12


class Disk:
    """What a power cut would leave of a folder, checked whenever the folder changes.

    Attributes:
        cuts: checks so far.
        most_at_once: most records that one flush has made durable.
        acknowledged: names of films whose source was told that they are done.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._flushed: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        self.cuts = self.most_at_once = 0
        self.acknowledged: set[str] = set()
        self.broken: list[str] = []
        patch.setattr(os, "fsync", partial(self._fsync, os.fsync))
        patch.setattr(os, "replace", partial(self._replace, os.replace))

    def _fsync(self, fsync: Callable[[int], None], descriptor: int) -> None:
        fsync(descriptor)
        facts = os.fstat(descriptor)
        with self._lock:
            before = len(self._records(self._content(self._names.get(RECORDS_NAME))))
            if stat.S_ISREG(facts.st_mode):
                self._flushed[facts.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()
            elif os.path.samestat(facts, self._folder.stat()):
                self._names = self._present()
            after = len(self._records(self._content(self._names.get(RECORDS_NAME))))
            self.most_at_once = max(self.most_at_once, after - before)
            self.look()
        # A disk is slow: films written meanwhile are flushed together.
        time.sleep(0.005)

    def _replace(self, replace: Callable[[Any, Any], None], source: Any, target: Any) -> None:
        with self._lock:
            replace(source, target)
            self.look()

    def _present(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self._folder.iterdir() if path.is_file()}

    def _content(self, inode: int | None) -> bytes:
        return self._flushed.get(inode or 0, b"")

    @staticmethod
    def _records(journal: bytes) -> list[dict[str, Any]]:
        return [json.loads(line) for line in journal.rpartition(b"\n")[0].splitlines()]

    def look(self) -> None:
        """Check what is left if the power fails now."""
        self.cuts += 1
        path = self._folder / RECORDS_NAME
        hasty = path.read_bytes() if path.exists() else b""
        for names in (self._names, self._present()):
            sure = self._content(names.get(RECORDS_NAME))
            done = {record["name"] for record in self._records(sure)}
            if not self.acknowledged <= done:
                self.broken.append(f"acknowledged and lost: {self.acknowledged - done}")
            for record in (*self._records(sure), *self._records(hasty)):
                for file in record["files"]:
                    if hashlib.sha256(self._content(names.get(file["name"]))).hexdigest() != file["sha256"]:
                        self.broken.append(f"{file['name']} is recorded and torn or absent")

    def left(self, place: Path) -> None:
        """Copy to `place` what is left if the power fails now and the disk wrote names early."""
        place.mkdir()
        for name, inode in self._present().items():
            (place / name).write_bytes(self._content(inode))


class Told(Source):
    """Tells the disk which films were settled with their source."""

    def __init__(self, inner: Source, disk: Disk) -> None:
        self.total = inner.total
        self._inner, self._disk = inner, disk

    def __iter__(self) -> Any:
        for arrival in self._inner:
            assert arrival is not None
            yield Arrival(arrival.content, partial(self._settled, arrival))

    def _settled(self, arrival: Arrival, record: Any) -> None:
        self._disk.acknowledged.add(record.name)
        self._disk.look()
        arrival.settle(record)

    def close(self) -> None:
        """See `Source.close`."""
        self._inner.close()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for seed in range(FILMS):
        cv2.imwrite(str(folder / f"film-{seed:02d}.png"), phantom(64, 72, seed=seed).film.pixels)
    return folder


@pytest.fixture
def segmenter(tiny_model: Path) -> Segmenter:
    return Segmenter.load(tiny_model, gate=False, threads=2)


def run(films: Path, segmenter: Segmenter, out: Path, disk: Disk) -> None:
    assert run_session(Told(open_source([str(films)]), disk), segmenter, OutputFolder(out)).done == FILMS


def test_no_moment_is_a_bad_one(
    films: Path, segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "out", monkeypatch)
    run(films, segmenter, tmp_path / "out", disk)
    assert disk.broken == []
    assert disk.cuts > FILMS * 2
    assert len(disk.acknowledged) == FILMS
    # Otherwise this would not test films that are flushed together.
    assert disk.most_at_once > 1


@pytest.mark.parametrize("unflushed", ["files", "folder"])
def test_a_flush_that_is_left_out_is_found(
    films: Path, segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unflushed: str
) -> None:
    disk = Disk(tmp_path / "out", monkeypatch)
    if unflushed == "files":
        monkeypatch.setattr(Draft, "flush", lambda draft: None)
    else:
        monkeypatch.setattr("edge_seg.outputs.folder.flush_folder", lambda folder: None)
    run(films, segmenter, tmp_path / "out", disk)
    assert disk.broken


def test_after_a_cut_within_a_group_the_next_run_does_the_rest(
    films: Path, segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, after = tmp_path / "out", tmp_path / "after"
    with monkeypatch.context() as patched:
        disk = Disk(out, patched)
        put, placed = Draft.put_in_place, []

        def cut(draft: Draft) -> None:
            put(draft)
            placed.append(draft)
            # Later films of a group, and some of one film's files, still lack their names.
            if len(placed) == FILMS * 2 + 1:
                disk.left(after)

        patched.setattr(Draft, "put_in_place", cut)
        run(films, segmenter, out, disk)
    assert 0 < len((after / RECORDS_NAME).read_bytes().splitlines()) < FILMS
    summary = run_session(open_source([str(films)]), segmenter, OutputFolder(after))
    assert summary.done + summary.skipped == FILMS
    assert summary.skipped > 0
    records = [json.loads(line) for line in (after / RECORDS_NAME).read_text().splitlines()]
    assert len({record["source"] for record in records}) == len(records) == FILMS
    for record in records:
        for file in record["files"]:
            assert hashlib.sha256((after / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert not list(after.glob(".*.draft"))
