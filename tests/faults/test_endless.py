"""Ten thousand frames in a row, and the listener in a small memory: nothing grows."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

FRAMES = int(os.environ.get("EDGE_SEG_FRAMES", "2000"))
psutil = pytest.importorskip("psutil")


@pytest.fixture
def camera() -> Iterator[str]:
    """An MJPEG camera on loopback, as fast as it is read."""
    chance = np.random.default_rng(0)
    frames = [cv2.imencode(".jpg", chance.integers(0, 255, (64, 64), np.uint8))[1].tobytes() for _ in range(7)]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            number = 0
            while True:
                jpeg = frames[number % len(frames)]
                number += 1
                try:
                    self.wfile.write(b"--frame\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg))
                except OSError:
                    return
                time.sleep(0.002)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


@pytest.mark.slow
def test_memory_is_flat_over_thousands_of_frames(tmp_path: Path, tiny_model: Path, camera: str) -> None:
    words = ["--camera", camera, "--model", tiny_model, "--out", tmp_path / "out", "--save", "record", "--view", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_seg.cli.main", "run", *map(str, words), "--quiet", "--no-gate"],
        stderr=subprocess.PIPE,
        text=True,
    )
    records = tmp_path / "out" / "records.jsonl"
    first = FRAMES // 10
    resident = {}
    deadline = time.monotonic() + 800
    for goal in (first, FRAMES):
        while not records.exists() or records.read_bytes().count(b"\n") < goal:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        resident[goal] = psutil.Process(process.pid).memory_info().rss / 1e6
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    print(", ".join(f"{frames} frames: {megabytes:.1f} MB" for frames, megabytes in resident.items()))
    assert resident[FRAMES] < resident[first] + 10
    last = json.loads(records.read_text().splitlines()[-1])
    assert last["film"]["age_s"] < 5
    assert last["status"] == "done"
