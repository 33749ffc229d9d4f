"""Every engine yields each film of an archive once, with the masks of `edge-seg run`; after a kill too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg import read_film
from edge_seg.archive.contents import Archive, part_name
from edge_seg.archive.engines import run
from edge_seg.archive.guard import Guard
from edge_seg.archive.masks import decode_mask
from edge_seg.archive.state import status
from edge_seg.cli.main import main
from edge_seg.errors import DeviceError, UsageError
from pyarrow import dataset

FILMS, BROKEN = 5, 1


@pytest.fixture(scope="module")
def by_run(few_films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], np.ndarray]:
    """Masks that `edge-seg run` writes, by film and structure."""
    out = tmp_path_factory.mktemp("by_run")
    words = ["run", str(few_films), "--model", "lungs-nano", "--no-gate", "--save", "mask", "--out", str(out), "-q"]
    with pytest.raises(SystemExit):
        main(words)
    names = [path.name.split(".") for path in out.glob("*.png")]
    return {(stem, name): read_film(out / f"{stem}.{name}.png").pixels > 0 for stem, name, _ in names}


def rows_of(archive: Archive) -> list[dict[str, Any]]:
    table = dataset.dataset(Path(archive.address) / "records", exclude_invalid_files=True).to_table()
    return table.to_pylist(maps_as_pydicts="strict")


def check(archive: Archive, expected: dict[tuple[str, str], np.ndarray]) -> None:
    """Check that each film is present once, with these masks."""
    rows = rows_of(archive)
    assert sorted(row["number"] for row in rows) == list(range(FILMS + BROKEN))
    assert Counter(row["status"] for row in rows) == {"done": FILMS, "failed": BROKEN}
    found = {(Path(row["name"]).stem, name): decode_mask(mask) for row in rows for name, mask in row["masks"].items()}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


@pytest.mark.slow
def test_local_workers_give_what_run_gives(archive: Archive, by_run: dict[tuple[str, str], np.ndarray]) -> None:
    told: list[int] = []
    counts = run(archive.address, workers=2, told=lambda shard, counts: told.append(shard))
    check(archive, by_run)
    assert (told, counts.films, counts.failed, counts.exit_code) == ([0, 1, 2], FILMS + BROKEN, BROKEN, 3)
    assert len(counts.problems) == 1
    # Nothing is left, so nothing is started.
    assert run(archive.address).films == 0


@pytest.mark.slow
def test_shards_share_the_films(archive: Archive, by_run: dict[tuple[str, str], np.ndarray]) -> None:
    assert run(archive.address, workers=1, shard=(1, 2)).films == 2
    assert list(archive.parts()) == [1]
    assert run(archive.address, workers=1, shard=(0, 2)).films == 4
    check(archive, by_run)
    for wrong in ((2, 2), (0, 0)):
        with pytest.raises(UsageError, match="the first is 0/"):
            run(archive.address, shard=wrong)


@pytest.mark.slow
def test_dask_gives_what_run_gives(archive: Archive, by_run: dict[tuple[str, str], np.ndarray]) -> None:
    pytest.importorskip("distributed")
    assert run(archive.address, workers=2, dask="local").films == FILMS + BROKEN
    check(archive, by_run)


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_told_in_a_line(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    on_dask = pytest.importorskip("edge_seg.archive.on_dask")
    monkeypatch.setattr(on_dask, "_CONNECT_S", 0.5)
    with pytest.raises(DeviceError, match="no scheduler answers"):
        run(archive.address, dask="tcp://127.0.0.1:9")


# Killed while the second part is flushed, which leaves it as a draft.
KILLED = """
import os, signal, sys
from edge_seg.archive.engines import run
flush, calls = os.fsync, []
def fsync(descriptor):
    calls.append(descriptor)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(descriptor)
os.fsync = fsync
run(sys.argv[1], workers=1)
"""


@pytest.mark.slow
def test_after_a_kill_every_film_is_there_once(archive: Archive, by_run: dict[tuple[str, str], np.ndarray]) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, archive.address], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    records = Path(archive.address) / "records"
    (draft,) = records.glob(".*.draft")
    assert [path.name for path in records.glob("part-*")] == [part_name(0)]
    before = (records / part_name(0)).read_bytes()
    assert status(archive.address).shards_done == 1
    # A draft might still be in use by its writer.
    assert run(archive.address, workers=1).films == 4
    check(archive, by_run)
    assert (records / part_name(0)).read_bytes() == before
    assert draft.exists()
    os.utime(draft, (time.time() - 86400,) * 2)
    run(archive.address)
    assert not draft.exists()


def test_a_process_that_cannot_start_condemns_no_film(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_seg.archive.guard.CHILD", (sys.executable, "-S", "-c", "raise SystemExit('no LiteRT')"))
    with pytest.raises(DeviceError, match="no LiteRT"):
        run(archive.address, workers=2)
    assert archive.parts() == {}


@pytest.mark.slow
def test_films_that_end_or_hang_their_process_are_rows(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, signal, time
from edge_seg.archive import child
read = child._film
def film(source, *known):
    if source.endswith("1.png"): os.kill(os.getpid(), signal.SIGSEGV)
    if source.endswith("3.png"): time.sleep(60)
    return read(source, *known)
child._film = film
child.main()
"""
    monkeypatch.setattr("edge_seg.archive.guard.CHILD", (sys.executable, "-c", code))
    counts = run(archive.address, workers=2, timeout_s=3.0)
    assert (counts.films, counts.failed) == (FILMS + BROKEN, BROKEN + 2)
    reasons = {Path(row["source"]).name: row["error"] for row in rows_of(archive) if row["status"] == "failed"}
    assert "SIGSEGV" in reasons["1.png"]
    assert "longer than 3 s" in reasons["3.png"]


def test_what_a_worker_never_did_is_told(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    # As after the loss of a node: the engine finishes, and a part is missing.
    monkeypatch.setattr("edge_seg.archive.engines.run_locally", lambda *words: iter(()))
    with pytest.raises(DeviceError, match="3 shards are not done"):
        run(archive.address)


@pytest.mark.slow
def test_of_two_that_race_one_part_is_left(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    class Racing(Guard):
        def segment(self, film: Any, file: Path | None = None) -> dict[str, Any]:
            row = super().segment(film)
            # Another run finishes this shard, and all others, first.
            with monkeypatch.context() as patched:
                patched.setattr("edge_seg.archive.engines.Guard", Guard)
                raced.append(run(archive.address, workers=1).films)
            return row

    raced: list[int] = []
    monkeypatch.setattr("edge_seg.archive.engines.Guard", Racing)
    # The first shard was already under way, and perhaps the next one.
    assert run(archive.address, workers=1).films in (2, 4)
    assert (raced[0], sum(raced[1:])) == (FILMS + BROKEN, 0)
    assert sorted(row["number"] for row in rows_of(archive)) == list(range(FILMS + BROKEN))
    assert len(list((Path(archive.address) / "records").iterdir())) == 3
