"""`edge-seg run` under real faults: killed, interrupted, disk full, folder not writable, damaged films and models."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

PATIENCE_S = 300
"""How long to wait for an event on a busy machine."""
COMMAND = [sys.executable, "-m", "edge_seg.cli.main", "run"]


def start(*words):
    # A shell's background job inherits an ignored SIGINT; a terminal, which these tests stand for, does not.
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(*words):
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S)


def make_films(folder, count, shape=(300, 400)):
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(count):
        picture = chance.integers(0, 60, shape, np.uint8)
        picture[100:200, 100 + number : 250 + number] = 255
        cv2.imwrite(str(folder / f"film{number:02d}.png"), picture)
    return folder


def records(out):
    """Every record but a torn last one, and a check that no other is torn."""
    path = out / "records.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def check_results(out, count):
    """Check that every film has exactly one done record with whole files, and that nothing else is left."""
    done = [record for record in records(out) if record["status"] == "done"]
    assert len({record["source"] for record in done}) == len(done) == count
    named = {"records.jsonl"}
    for record in done:
        for file in record["files"]:
            named.add(file["name"])
            assert hashlib.sha256((out / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    # Attempts at a watched folder's films are kept only while the films are in hand.
    assert {path.name for path in out.iterdir() if path.name not in ("attempts", ".edge-seg")} == named
    assert not list(out.glob("attempts/*"))


def wait_for_records(process, out, count):
    deadline = time.monotonic() + PATIENCE_S
    while len(records(out)) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_and_run_again(tmp_path, tiny_model, seed):
    films, out = make_films(tmp_path / "films", 48), tmp_path / "out"
    chance = random.Random(seed)
    process = start(films, "--model", tiny_model, "--out", out)
    wait_for_records(process, out, chance.randint(1, 6))
    time.sleep(chance.random() * 0.03)
    process.kill()
    process.communicate()
    done = sum(record["status"] == "done" for record in records(out))
    assert done
    again = run(films, "--model", tiny_model, "--out", out)
    assert again.returncode == 0, again.stderr
    assert f"{48 - done} done, 0 failed, {done} done before" in again.stderr
    check_results(out, 48)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, tiny_model, how):
    films, out = make_films(tmp_path / "films", 60), tmp_path / "out"
    # A camera always has more to do, however late the signal comes.
    process = start(films, "--camera", "demo", "--model", tiny_model, "--out", out)
    wait_for_records(process, out, 2)
    process.send_signal(how)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert "stopped; results in" in said
    assert "Traceback" not in said
    assert not list(out.glob(".*.draft"))
    assert (out / "records.jsonl").read_text().endswith("\n")
    assert run(films, "--model", tiny_model, "--out", out).returncode == 0
    done = {record["source"] for record in records(out) if record["status"] == "done"}
    assert len([source for source in done if source.startswith(str(films))]) == 60


def test_a_watch_that_is_killed_goes_on_with_what_is_not_done(tmp_path, tiny_model):
    films, inbox, out = make_films(tmp_path / "films", 10), tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    arriving = sorted(films.iterdir())
    for film in arriving[:6]:
        film.rename(inbox / film.name)
    process = start("--watch", inbox, "--model", tiny_model, "--out", out)
    wait_for_records(process, out, 3)
    process.kill()
    process.communicate()
    # One film arrives while the program is down, the others while it runs.
    arriving[6].rename(inbox / arriving[6].name)
    process = start("--watch", inbox, "--model", tiny_model, "--out", out)
    wait_for_records(process, out, 7)
    for film in arriving[7:]:
        film.rename(inbox / film.name)
    wait_for_records(process, out, 10)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert "0 failed" in said
    check_results(out, 10)


def test_a_torn_record_is_done_again(tmp_path, tiny_model):
    films, out = make_films(tmp_path / "films", 2), tmp_path / "out"
    run(films, "--model", tiny_model, "--out", out)
    path = out / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert "1 done, 0 failed, 1 done before" in run(films, "--model", tiny_model, "--out", out).stderr
    check_results(out, 2)


def test_disk_full(tmp_path, tiny_model, small_disk):
    disk, resize = small_disk
    films = make_films(tmp_path / "films", 30)
    seen = run(films, "--model", tiny_model, "--out", disk / "out")
    assert seen.returncode == 6, seen.stderr
    assert "No space left on device" in seen.stderr
    assert "Traceback" not in seen.stderr
    done = records(disk / "out")
    assert 0 < len(done) < 30
    for record in done:
        for file in record["files"]:
            assert hashlib.sha256((disk / "out" / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert not list((disk / "out").glob(".*.draft"))
    resize("64m")
    assert run(films, "--model", tiny_model, "--out", disk / "out").returncode == 0
    check_results(disk / "out", 30)


def test_output_folder_that_cannot_be_written(tmp_path, tiny_model):
    films = make_films(tmp_path / "films", 1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    for out in (blocked, blocked / "sub"):
        seen = run(films, "--model", tiny_model, "--out", out)
        assert seen.returncode == 6
        assert seen.stderr.count("\n") == 1
        assert "choose another --out" in seen.stderr


def test_output_folder_without_permission(tmp_path, tiny_model):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    films, out = make_films(tmp_path / "films", 1), tmp_path / "out"
    out.mkdir(mode=0o500)
    seen = run(films, "--model", tiny_model, "--out", out)
    assert seen.returncode == 6
    assert seen.stderr.count("\n") == 1


def test_two_runs_into_one_folder(tmp_path, tiny_model):
    films, out = make_films(tmp_path / "films", 1), tmp_path / "out"
    first = start("--camera", "demo", "--model", tiny_model, "--out", out)
    wait_for_records(first, out, 1)
    second = run(films, "--model", tiny_model, "--out", out)
    assert second.returncode == 6
    assert "another run writes there" in second.stderr
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=PATIENCE_S)
    assert {record["source"] for record in records(out)} == {"camera demo"}


def test_bad_films_never_stop_the_others(tmp_path, tiny_model):
    films, out = make_films(tmp_path / "films", 2), tmp_path / "out"
    whole = (films / "film00.png").read_bytes()
    bad = {
        "empty.png": b"",
        "truncated.png": whole[: len(whole) // 2],
        "text.png": b"this is no picture\n",
        "truncated.dcm": b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0",
        "one.png": cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes(),
    }
    for name, data in bad.items():
        (films / name).write_bytes(data)
    seen = run(films, tmp_path / "absent.png", "--model", tiny_model, "--out", out)
    assert seen.returncode == 3, seen.stderr
    assert "2 done, 6 failed" in seen.stderr
    complaints = [line for line in seen.stderr.splitlines() if line.startswith("edge-seg: ")]
    assert len(complaints) == 6
    for name in (*bad, "absent.png"):
        assert sum(name in line for line in complaints) == 1
    assert sum(record["status"] == "failed" for record in records(out)) == 6


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_damaged_models_are_refused_before_any_film(tmp_path, tiny_model, damage):
    data = tiny_model.read_bytes()
    flipped = bytearray(data)
    flipped[150] ^= 4
    model = tmp_path / "damaged.tflite"
    model.write_bytes({"truncated": data[:500], "flipped": bytes(flipped), "empty": b"", "text": b"no model"}[damage])
    films, out = make_films(tmp_path / "films", 1), tmp_path / "out"
    seen = run(films, "--model", model, "--out", out)
    assert seen.returncode == 4
    assert seen.stderr.count("\n") == 1
    assert "damaged" in seen.stderr
    assert records(out) == []


def test_ctrl_c_on_an_endless_camera(tmp_path, tiny_model):
    out = tmp_path / "out"
    process = start("--camera", "demo", "--model", tiny_model, "--out", out)
    wait_for_records(process, out, 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "stopped; results in" in said
    assert "Traceback" not in said
    done = records(out)
    assert len(done) >= 2
    for record in done:
        for file in record["files"]:
            assert hashlib.sha256((out / file["name"]).read_bytes()).hexdigest() == file["sha256"]
