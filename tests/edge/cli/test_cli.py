"""The command line: help that loads nothing, one line for each error, and every verb on a small model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from edge_seg import RESEARCH_USE, __version__
from edge_seg.cli.main import VERBS


def command(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "edge_seg.cli.main", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        picture = np.full((50, 70), number, np.uint8)
        picture[10:40, 20:60] = 255
        cv2.imwrite(str(folder / name), picture)
    return folder


def one_line(text):
    assert text.startswith("edge-seg: "), text
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_help_and_version_load_neither_numpy_nor_a_framework():
    for word in ("--help", "--version"):
        seen = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "edge_seg.cli.main", word],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert seen.returncode == 0
        loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in seen.stderr.splitlines()}
        assert "click" in loaded
        assert not loaded & {"numpy", "cv2", "tensorflow", "keras", "pydicom", "ai_edge_litert", "h5py", "matplotlib"}


@pytest.mark.parametrize("verb", ["run", "inspect", "doctor"])
def test_help_of_the_device_verbs_loads_no_framework_and_has_an_example(verb):
    code = f"import sys\nfrom edge_seg.cli.main import main\ntry: main(['{verb}', '--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "Example: edge-seg" in seen.stdout
    for name in ("tensorflow", "keras", "cv2", "pydicom"):
        assert f"'{name}'" not in seen.stderr


def test_help_lists_every_verb():
    seen = command("--help")
    assert all(f"  {verb} " in seen.stdout for verb in VERBS)
    assert command("--version").stdout.split()[-1] == __version__


def test_no_command_shows_help_and_is_wrong_usage():
    seen = command()
    assert seen.returncode == 2
    assert "Commands:" in seen.stderr


def test_no_source_explains_itself():
    seen = command("run")
    assert seen.returncode == 2
    assert "edge-seg run chest.png" in seen.stderr
    assert "--camera demo" in seen.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rnu"], 2, "did you mean `edge-seg run`?"),
        (["run", "--frobnicate"], 2, "see `edge-seg run --help`"),
        (["run", "--listen", "high"], 2, "give a port"),
        (["run", "absent.png", "nor-this/*.dcm"], 3, "absent.png: there is no such file: check the path (and 1 more)"),
        (["run", "a.png", "--save", "mask,film"], 2, "choose from mask, overlay, record"),
        (["run", "a.png", "--model", "absent.tflite"], 4, "absent.tflite"),
        (["run", "--camera", "-1"], 2, ""),
        (["inspect", "absent.tflite"], 4, "absent.tflite"),
        (["inspect"], 2, "Missing argument"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(words, code, said, tiny_model, tmp_path):
    if words[0] == "run" and "--model" not in words:
        words = [*words, "--model", tiny_model]
    seen = command(*words, cwd=tmp_path)
    assert seen.returncode == code, seen.stderr
    assert said in one_line(seen.stderr)
    assert not list(tmp_path.iterdir()), "what was mistyped leaves nothing behind"


def test_debug_shows_the_traceback(tmp_path):
    for words in (["--debug", "inspect", "absent.tflite"], ["inspect", "absent.tflite", "--debug"]):
        seen = command(*words, cwd=tmp_path)
        assert "Traceback" in seen.stderr
        assert seen.returncode != 0


def test_a_missing_framework_is_named_with_its_fix(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')"
    )
    (tmp_path / "run").mkdir()
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = ["quantize", tmp_path / "run", "--out", tmp_path / "m.tflite"]
    seen = command(*words, env={**os.environ, "PYTHONPATH": path})
    assert seen.returncode == 5, seen.stderr
    said = one_line(seen.stderr)
    assert re.search(r"tensorflow is not installed: (\S+ -m )?pip install ", said)
    assert "[train]" in said


@pytest.mark.slow
def test_run_then_run_again(films, tiny_model, tmp_path):
    out = tmp_path / "out"
    words = ["run", films, "--model", tiny_model, "--out", out]
    first = command(*words)
    assert first.returncode == 0, first.stderr
    assert "3 done, 0 failed" in first.stderr
    assert RESEARCH_USE in first.stderr
    assert first.stdout == ""
    assert len([*out.glob("*.png"), *out.glob("*.overlay.jpg")]) == 12

    (films / "d.png").write_bytes((films / "a.png").read_bytes())
    before = {path: path.stat().st_mtime_ns for path in out.glob("a.*")}
    second = command(*words, "-v")
    assert "1 done, 0 failed, 3 done before (--again repeats them)" in second.stderr
    assert "a.png: done before" in second.stderr
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("a.*")}
    assert "4 done" in command(*words, "--again").stderr


def test_json_is_one_record_a_line_and_nothing_else(films, tiny_model, tmp_path):
    (films / "broken.png").write_bytes(b"")
    seen = command("run", films, "--model", tiny_model, "--out", tmp_path / "out", "--json", "-q")
    records = [json.loads(line) for line in seen.stdout.splitlines()]
    assert [record["status"] for record in records] == ["done", "done", "failed", "done"]
    assert seen.returncode == 3
    assert "broken.png" in one_line(seen.stderr)
    assert [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()] == records


def test_inspect(tiny_model):
    seen = command("inspect", tiny_model)
    assert seen.returncode == 0, seen.stderr
    for words in ("int8        all through", "CONV_2D (version 3)", "holds (", "right lung", RESEARCH_USE):
        assert words in seen.stdout
    assert "Edge TPU    obeys its rules (predicted, the compiler was not run)" in seen.stdout
    facts = json.loads(command("inspect", tiny_model, "--json").stdout)
    assert facts["manifest"]["name"] == "tiny"
    assert facts["facts"]["violations"] == []
    assert facts["facts"]["edge_tpu"]["mapped"]
    assert command("inspect", tiny_model, "--card").stdout.strip() == "# Card"


def test_inspect_refuses_a_flipped_bit(tiny_model, tmp_path):
    data = bytearray(tiny_model.read_bytes())
    data[200] ^= 1
    (tmp_path / "flipped.tflite").write_bytes(data)
    seen = command("inspect", tmp_path / "flipped.tflite")
    assert seen.returncode == 4
    assert "damaged" in one_line(seen.stderr)


@pytest.mark.slow
def test_doctor():
    seen = command("doctor", "--json")
    findings = json.loads(seen.stdout)
    assert seen.returncode == (5 if any(f["state"] == "missing" for f in findings) else 0)
    by_subject = {f["subject"]: f for f in findings}
    assert (
        by_subject["Python"]["state"] == by_subject["numpy"]["state"] == by_subject["inference engine"]["state"] == "ok"
    )
    for subject in ("cameras", "Edge TPU library", "[train]", "machine", "disk"):
        assert subject in by_subject
    assert all(f["fix"] for f in findings if f["state"] != "ok")
    assert "inference engine" in command("doctor").stdout


def test_a_reader_that_goes_away_is_no_traceback(tiny_model):
    inspecting = f"{sys.executable} -m edge_seg.cli.main inspect {tiny_model} --json | true"
    seen = subprocess.run(inspecting, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in seen.stderr


def test_doctor_names_what_does_not_load_and_its_fix(tmp_path):
    for package in ("numpy", "ai_edge_litert"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('libfoo.so.1: cannot open')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    seen = command("doctor", env={**os.environ, "PYTHONPATH": path})
    assert seen.returncode == 5
    assert "Traceback" not in seen.stderr
    line = next(line for line in seen.stdout.splitlines() if line.startswith("MISSING numpy"))
    assert "libfoo.so.1" in line
    assert "pip install --force-reinstall numpy" in line


@pytest.mark.slow
def test_doctor_knows_that_tflite_runtime_needs_numpy_1(tmp_path):
    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip("numpy 1 is here")
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("raise ImportError('absent')")
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").write_text("")
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text("class Interpreter: pass")
    about = tmp_path / "tflite_runtime-2.14.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 2.14.0\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    seen = command("doctor", "--json", env={**os.environ, "PYTHONPATH": path})
    engine = next(f for f in json.loads(seen.stdout) if f["subject"] == "inference engine")
    assert engine["state"] == "missing"
    assert engine["fix"].endswith("pip install 'numpy<2'")
    assert seen.returncode == 5


def test_demo_camera(tiny_model, tmp_path):
    seen = command("run", "--camera", "demo", "--frames", "2", "--model", tiny_model, "--out", tmp_path / "out", "-v")
    assert seen.returncode == 0, seen.stderr
    assert "2 done, 0 failed" in seen.stderr
    assert "right lung" in seen.stderr
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert [record["film"]["age_s"] is not None for record in records] == [True, True]
    assert all("synthetic film" in record["warnings"] for record in records)
