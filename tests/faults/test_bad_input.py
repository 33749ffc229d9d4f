"""Bad films: one clear line each, and every other film is done."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.phantom import phantom, write_dicom


def huge_png() -> bytes:
    """A PNG that claims 20,000 x 20,000 pixels, valid and small because it is empty."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * 20_001 * 20_000, 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def spoil(folder: Path) -> dict[str, str]:
    """Write bad films of every kind; returns a word that the line about each must have."""
    whole = cv2.imencode(".png", phantom(400, 300).film.pixels)[1].tobytes()
    write_dicom(phantom(128, 128, bits=16), folder / "whole.dcm")
    dicom = (folder / "whole.dcm").read_bytes()
    (folder / "whole.dcm").unlink()
    write_dicom(phantom(64, 64), folder / "slice.dcm", modality="CT")
    write_dicom(phantom(64, 64), folder / "angiogram.dcm", modality="XA")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.dcm").write_bytes(dicom[: len(dicom) // 2])
    (folder / "text.png").write_text("this is no picture\n")
    no_size = bytearray(whole)
    no_size[16:24] = bytes(8)
    (folder / "zero.png").write_bytes(bytes(no_size))
    cv2.imwrite(str(folder / "dot.png"), np.zeros((1, 1), np.uint8))
    (folder / "huge.png").write_bytes(huge_png())
    return {
        "slice.dcm": "modality is CT",
        "angiogram.dcm": "modality is XA",
        "empty.png": "empty",
        "cut.png": "cut off",
        "cut.dcm": "",
        "text.png": "not a picture",
        "zero.png": "too small",
        "dot.png": "too small",
        "huge.png": "too large",
    }


def run(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli.main", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def test_each_bad_film_has_its_line_and_the_good_ones_are_done(tmp_path: Path, tiny_model: Path) -> None:
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    words = spoil(folder)
    for name in ("a.png", "z.png"):
        cv2.imwrite(str(folder / name), phantom(200, 180).film.pixels)
    done = run(folder, folder / "absent.png", "--model", tiny_model, "--out", out)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    records = {r["name"]: r for r in map(json.loads, (out / "records.jsonl").read_text().splitlines())}
    for name, word in {**words, "absent.png": "there is no such file"}.items():
        assert records[name]["status"] == "failed", name
        assert word in records[name]["error"], records[name]["error"]
        assert "\n" not in records[name]["error"]
        assert sum(name in line for line in done.stderr.splitlines()) == 1, name
    assert {name for name, r in records.items() if r["status"] == "done"} == {"a.png", "z.png"}


@pytest.mark.data
def test_a_film_in_jpeg_extended_is_decoded(tmp_path: Path, tiny_model: Path, films_folder: Path) -> None:
    done = run(films_folder / "dicom" / "RG3_JPLY.dcm", "--model", tiny_model, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "RG3_JPLY.right_lung.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--camera", "-1"), 2),
        (("--camera", "97"), 5),
        (("--camera", "http://127.0.0.1:9/none"), 5),
        (("--camera", "rtsp://127.0.0.1:9/none"), 5),
        ((), 2),
    ],
)
def test_cameras_that_are_not_there(tmp_path: Path, tiny_model: Path, arguments: tuple[str, ...], code: int) -> None:
    done = run(*arguments, "--model", tiny_model, "--out", tmp_path / "out")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "absent"])
def test_damaged_models_are_refused(tmp_path: Path, tiny_model: Path, damage: str) -> None:
    data, path = bytearray(tiny_model.read_bytes()), tmp_path / "model.tflite"
    if damage == "flip":
        data[len(data) // 4] ^= 8
    if damage != "absent":
        path.write_bytes({"cut": bytes(data[:500]), "flip": bytes(data), "text": b"no model"}[damage])
    done = run("--camera", "demo", "--frames", 1, "--model", path, "--out", tmp_path / "out")
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_standard_error_that_takes_nothing_ends_nothing(tmp_path: Path, tiny_model: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), phantom(200, 180).film.pixels)
    (folder / "bad.png").write_text("this is no picture\n")
    command = [sys.executable, "-m", "edge_seg.cli.main", "run", str(folder), "--model", str(tiny_model)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*command, "--out", str(out), "-v", "--log-level", "debug"], stderr=full, timeout=300)
    assert done.returncode == 3
    assert len((out / "records.jsonl").read_text().splitlines()) == 3
