"""A board whose clock starts in another month: results keep the age that can be verified."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from edge_seg.phantom import phantom

LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
PREPARE = f"""
mount --bind "$1" /proc/sys/kernel/random/boot_id && mount -t tmpfs none /run || exit 75
if [ "$2" = trusted ]; then mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized; fi
FAKETIME=$3 LD_PRELOAD=$(echo {LIBRARY}); export FAKETIME LD_PRELOAD; shift 3; exec "$@"
"""


class Board:
    """Boots that each segment two more films into one folder, from which results older than 30 days are removed."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model, self.boots = folder, model, 0

    def boot(self, shift: str, clock: str = "untrusted") -> str:
        """Run with the clock shifted and return its standard error."""
        self.boots += 1
        films = self.folder / str(self.boots)
        films.mkdir()
        for seed in (2 * self.boots, 2 * self.boots + 1):
            cv2.imwrite(str(films / f"{seed}.png"), phantom(64, 64, seed=seed).film.pixels)
        boot_id = self.folder / f"boot-{self.boots}"
        boot_id.write_text(f"00000000-0000-4000-8000-{self.boots:012d}\n")
        run = [sys.executable, "-m", "edge_seg.cli.main", "run", str(films), "--out", str(self.folder / "out")]
        run += ["--model", str(self.model), "--keep-days", "30", "--no-gate"]
        words = ["unshare", "--mount", "sh", "-c", PREPARE, "sh", str(boot_id), clock, shift, *run]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 75:
            pytest.skip(f"a boot cannot be feigned here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return done.stderr

    @property
    def films(self) -> set[int]:
        """Films that have results."""
        return {int(path.name.partition(".")[0]) for path in (self.folder / "out").glob("*.right_lung.png")}


@pytest.fixture
def board(tmp_path: Path, tiny_model: Path) -> Board:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("faketime") is None:
        pytest.skip("boots are feigned by root with unshare (util-linux) and libfaketime (Debian faketime)")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace may be had here")
    return Board(tmp_path, tiny_model)


@pytest.mark.slow
def test_a_clock_that_jumps_deletes_nothing_and_is_told(board: Board) -> None:
    board.boot("+0d")
    assert "jumped ahead by 40.0 days" in board.boot("+40d")
    assert "jumped back by 80.0 days" in board.boot("-40d")
    board.boot("+0d")
    assert board.films == set(range(2, 10))


@pytest.mark.slow
def test_a_clock_that_was_set_before_and_after_is_believed(board: Board) -> None:
    board.boot("+0d", "trusted")
    board.boot("+20d", "trusted")
    board.boot("+40d", "trusted")
    assert board.films == {4, 5, 6, 7}
