"""Runs sessions in which the n-th write, flush, rename or removal fails, for each n; prints what went wrong.

Run with `native/faults.c` preloaded: `python sweep.py MODEL FOLDER STEP START`.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import shutil
import sys
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.outputs.folder import OutputFolder
from edge_seg.segmenter import Segmenter
from edge_seg.sources import open_source
from edge_seg.station.session import run_session

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
shim = ctypes.CDLL(None)
shim.faults_met.restype = ctypes.c_long


def run(segmenter: Segmenter, films: Path, out: Path) -> bool:
    """Run a session; whether it came to its end."""
    try:
        output = OutputFolder(out)
        run_session(open_source([str(films)]), segmenter, output)
    except OutputError:
        return False
    return True


def check(films: Path, out: Path) -> None:
    """Check that after a run without faults every film is done once and the files in its record are whole."""
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    done = [record for record in lines if record["status"] == "done"]
    assert {record["name"] for record in done} == {path.name for path in films.iterdir()}
    last = {record["source"]: record for record in lines}
    assert all(record["status"] == "done" for record in last.values()), "a film failed for good"
    assert len(done) == len({record["source"] for record in done}), "a film is done twice"
    for record in last.values():
        for file in record["files"]:
            data = (out / file["name"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file["sha256"], f"{file['name']} is torn"
    left = [str(path.relative_to(out)) for path in out.rglob("*.draft")]
    assert not left, f"drafts are left: {left}"


def main(model: str, folder: str, step: int, start: int) -> None:
    """Sweep; exit code 1 if a promise was broken."""
    segmenter = Segmenter.load(model, threads=1, gate=False)
    films, root = Path(folder) / "films", Path(folder) / "out"
    faults = broken = 0
    for lasting in (0, 1):
        number = start
        while True:
            out = root / f"{lasting}-{number}"
            shim.faults_arm(str(out).encode(), number, ERRORS[number % len(ERRORS)], lasting)
            run(segmenter, films, out)
            met = shim.faults_met()
            shim.faults_arm(b"", 0, 0, 0)
            if met < number:
                break
            faults += 1
            try:
                assert run(segmenter, films, out), "the run after the fault did not end"
                check(films, out)
            except Exception as error:
                broken += 1
                print(f"call {number} ({'and all later' if lasting else 'alone'}): {error!r}")
            shutil.rmtree(out, ignore_errors=True)
            number += step
    print(f"{faults} faults, {broken} broken promises")
    sys.exit(1 if broken or not faults else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
