"""The one-file model: what it includes, and that a damaged one is never opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_seg import Segmenter, model_file
from edge_seg.assessment.trust import Calibration
from edge_seg.errors import ModelError
from edge_seg.model_file import CARD_NAME, LICENCE_NAME, MANIFEST_NAME, Manifest, ModelFile
from edge_seg.runtime import TFLiteRuntime
from edge_seg.structures import CHEST
from hypothesis import given, settings
from hypothesis import strategies as st

FLATBUFFER = bytes(range(256)) * 40
MODEL = ModelFile(Manifest("m", "1", CHEST[:3], 64, 64, thresholds=(0.5, 0.5, 0.5)), FLATBUFFER, "# Card", "Licence")
WHOLE = MODEL.to_bytes()


def test_a_model_comes_back_as_it_went_in() -> None:
    back = ModelFile.from_bytes(WHOLE)
    assert back.flatbuffer == FLATBUFFER
    assert back.card == "# Card"
    assert back.manifest.structures == CHEST[:3]
    assert back.to_bytes() == WHOLE


def test_unzip_lists_what_rides_along(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(WHOLE)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [MANIFEST_NAME, CARD_NAME, LICENCE_NAME]
    if shutil.which("unzip"):
        listed = subprocess.run(["unzip", "-l", path], capture_output=True, text=True, check=True)
        assert MANIFEST_NAME in listed.stdout
        assert "warning" not in listed.stderr


def test_pictures_ride_along_and_are_kept_when_the_rest_is_written_anew(tmp_path: Path) -> None:
    picture = bytes(range(256)) * 9
    path = tmp_path / "model.tflite"
    path.write_bytes(replace(MODEL, associated={"failure-1.png": picture, "labels.txt": b"lung"}).to_bytes())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [MANIFEST_NAME, CARD_NAME, LICENCE_NAME, "failure-1.png", "labels.txt"]
    read = ModelFile.read(path)
    again = ModelFile.from_bytes(replace(read, card="# Another").to_bytes())
    assert (again.card, again.licence, again.flatbuffer) == ("# Another", "Licence", FLATBUFFER)
    assert again.associated == {"failure-1.png": picture, "labels.txt": b"lung"}
    assert again.manifest == read.manifest


def test_what_rides_along_does_not_change_the_checksum() -> None:
    with_picture = ModelFile.from_bytes(replace(MODEL, associated={"failure-1.png": b"picture"}).to_bytes())
    assert with_picture.manifest.flatbuffer_sha256 == ModelFile.from_bytes(WHOLE).manifest.flatbuffer_sha256


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ModelError):
        ModelFile.from_bytes(WHOLE[:length])


@given(st.integers(0, len(FLATBUFFER) * 8 - 1))
def test_a_flipped_bit_in_the_network_is_refused(bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ModelError, match="damaged"):
        ModelFile.from_bytes(bytes(damaged))


@pytest.mark.slow
def test_a_flipped_bit_behind_the_network_is_refused_or_changes_nothing_that_runs() -> None:
    # Every bit: a few in ten thousand make zipfile ask for a password or seek before the file.
    manifest = ModelFile.from_bytes(WHOLE).manifest
    for bit in range(len(FLATBUFFER) * 8, len(WHOLE) * 8):
        damaged = bytearray(WHOLE)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            back = ModelFile.from_bytes(bytes(damaged))
        except ModelError:
            continue
        assert (back.flatbuffer, back.manifest) == (FLATBUFFER, manifest), bit


def test_the_bytes_do_not_depend_on_the_process() -> None:
    script = """
import hashlib
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.runtime import TFLiteRuntime
from edge_seg.structures import CHEST
manifest = Manifest("m", "1", CHEST[:3], 64, 64, training={"b": 1, "a": [2]}, checks={"z": 0.5})
print(hashlib.sha256(ModelFile(manifest, b"x" * 999, "# Card", "Licence").to_bytes()).hexdigest())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(found) == 1


def test_an_interpreter_opens_the_whole_file(tiny_model: Path, lungs: ModelFile) -> None:
    assert lungs.path is not None
    for path in (tiny_model, lungs.path):
        whole, bare = TFLiteRuntime(path.read_bytes()), TFLiteRuntime(ModelFile.read(path).flatbuffer)
        tensor = np.random.default_rng(0).integers(-128, 128, whole.input.shape).astype(np.int8)
        np.testing.assert_array_equal(whole.run(tensor), bare.run(tensor))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40)
def test_the_shipped_model_cut_or_with_a_bit_flipped_is_refused(lungs: ModelFile, data: st.DataObject) -> None:
    whole = lungs.to_bytes()
    with pytest.raises(ModelError):
        ModelFile.from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    damaged = bytearray(whole)
    bit = data.draw(st.integers(0, len(lungs.flatbuffer) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ModelError):
        ModelFile.from_bytes(bytes(damaged))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "name": "x"}', "not json"])
def test_a_manifest_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        Manifest.from_json(text)
    assert "\n" not in str(caught.value)


def edited(**changes: object) -> str:
    return json.dumps({**json.loads(MODEL.manifest.to_json()), **changes})


STRUCTURE = {"name": "heart", "title": "heart", "colour": "#ff0000"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": 7}, "name"),
        ({"name": ""}, "name"),
        ({"structures": []}, "structures"),
        ({"structures": "lungs"}, "structures"),
        ({"structures": [STRUCTURE, STRUCTURE]}, "structures"),
        ({"structures": [{**STRUCTURE, "name": "heart/aorta"}]}, "structures"),
        ({"structures": [{**STRUCTURE, "name": ".."}]}, "structures"),
        ({"structures": [{**STRUCTURE, "colour": "red"}]}, "colour"),
        ({"structures": [{"name": "heart"}]}, r"structures\[0\].title is missing"),
        ({"structures": [{**STRUCTURE, "weight": 1}]}, r"structures\[0\].weight is unknown"),
        ({"input_height": "64"}, "input_height"),
        ({"input_height": 64.0}, "input_height"),
        ({"input_height": True}, "input_height"),
        ({"input_width": -64}, "input_width"),
        ({"input_width": 10**9}, "input_width"),
        ({"input_channels": 0}, "input_channels"),
        ({"std": 0}, "std"),
        ({"std": float("nan")}, "NaN"),
        ({"mean": float("inf")}, "Infinity"),
        ({"thresholds": [0.5]}, "thresholds"),
        ({"thresholds": [0.5, 2, 0.5]}, "thresholds"),
        ({"thresholds": None}, "thresholds"),
        ({"single_component": 1}, "single_component"),
        ({"expects": "../../etc/passwd"}, "expects"),
        ({"network": []}, "network"),
        ({"scores": [1]}, r"scores\[0\]"),
        ({"checks": {"dice": float("nan")}}, "NaN"),
        ({"flatbuffer_sha256": "abc"}, "flatbuffer_sha256"),
        ({"colour": "red"}, "colour is unknown"),
        ({"schema": [1]}, "schema"),
    ],
)
def test_a_manifest_with_a_value_that_makes_no_sense_is_refused_by_its_name(
    changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ModelError, match=named) as caught:
        Manifest.from_json(edited(**changes))
    assert "\n" not in str(caught.value)


def test_a_manifest_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ModelError, match="deeply"):
        Manifest.from_json('{"schema": 1, "network": ' + '{"a":' * 100_000 + "1" + "}" * 100_001)


@pytest.mark.slow
@given(st.data())
def test_any_value_in_any_field_of_a_manifest_is_read_or_refused(data: st.DataObject) -> None:
    fields = json.loads(MODEL.manifest.to_json())
    name = data.draw(st.sampled_from(sorted(fields)))
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
    try:
        manifest = Manifest.from_json(json.dumps({**fields, name: data.draw(json_values)}))
    except ModelError:
        return
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_files_that_unpack_to_gigabytes_are_refused_before_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "LARGEST_FILE", 1 << 20)
    packed = replace(MODEL, associated={"zeros.bin": bytes(2 << 20)}).to_bytes()
    with pytest.raises(ModelError, match="packs"):
        ModelFile.from_bytes(packed)


def test_a_calibration_that_makes_no_sense_is_refused_when_the_model_is_opened(tiny_model: Path) -> None:
    model = ModelFile.read(tiny_model)
    good = Calibration(("soft_dice",), (0.0,), (1.0,), (1.0,), 0.0, {}).to_json()
    Segmenter(replace(model, manifest=replace(model.manifest, trust=good)))
    changes: list[dict[str, object]] = [{"spread": [0.0]}, {"weights": []}, {"bias": "much"}, {"features": None}]
    for change in changes:
        broken = replace(model, manifest=replace(model.manifest, trust={**good, **change}))
        with pytest.raises(ModelError, match="trust"):
            Segmenter(broken)


def test_an_absent_model_names_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        ModelFile.read(tmp_path / "none.tflite")


def test_a_bare_tflite_file_says_how_to_get_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(FLATBUFFER)
    with pytest.raises(ModelError, match="not an edge-seg model"):
        ModelFile.read(path)
