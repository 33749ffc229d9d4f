"""A shipped model in all its quantisations: what the command writes, and that the five are one network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow_model_optimization")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
from edge_seg import Segmenter
from edge_seg.errors import InputError, OutputError
from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.phantom import phantom
from edge_seg_benchmarks.models import float_twin
from edge_seg_data import open_dataset
from edge_seg_data.scores import dice
from edge_seg_quantize.representative import REPRESENTATIVE_FILMS, evenly_of_each, phantoms, representative_films
from edge_seg_quantize.variants import main
from edge_seg_train.pretrained import read_pretrained, shipped_weights

pytestmark = [pytest.mark.training, pytest.mark.slow]

NAME = "lungs-nano"
KINDS = {".float32": "float32", ".float16": "float16", ".dynamic": "dynamic", ".ptq": "int8-ptq", "": "int8-qat"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFile]:
    """The five models that the command writes, by quantisation."""
    out = tmp_path_factory.mktemp("variants") / "new"
    done = CliRunner().invoke(main, [NAME, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {f"{NAME}{kind}.tflite" for kind in KINDS}
    return {quantisation: ModelFile.read(out / f"{NAME}{kind}.tflite") for kind, quantisation in KINDS.items()}


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten phantom films as a data set, split 8:1:1."""
    folder = tmp_path_factory.mktemp("data") / "chests"
    for seed in range(10):
        drawn = phantom(64, 60, seed=seed)
        for name, picture in {"images": drawn.film.pixels, **drawn.masks}.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{seed}.png"), picture if name == "images" else picture * np.uint8(255))
    rows = [f"{seed},{'val' if seed == 8 else 'test' if seed == 9 else 'train'}" for seed in range(10)]
    (folder / "index.csv").write_text("\n".join(["stem,split", *rows]) + "\n")
    return folder


def test_all_five_are_one_network_in_other_numbers(made: dict[str, ModelFile]) -> None:
    facts = {kind: inspect_model(file) for kind, file in made.items()}
    assert len({one.macs for one in facts.values()}) == 1
    assert len({one.parameters for one in facts.values()}) == 1
    assert facts["float32"].macs > 0
    assert facts["float16"].weight_bytes * 2 == facts["float32"].weight_bytes == 4 * facts["float32"].parameters
    # Only the shipped file has cards and pictures, so the networks are compared.
    sizes = {kind: one.flatbuffer_bytes for kind, one in facts.items()}
    assert sizes["float32"] > sizes["float16"] > max(sizes["dynamic"], sizes["int8-ptq"], sizes["int8-qat"])
    assert facts["int8-ptq"].violations == facts["int8-qat"].violations == ()


@pytest.mark.parametrize(("kind", "dtype", "least"), [
    ("float16", "float32", 0.99), ("dynamic", "float32", 0.99), ("int8-ptq", "int8", 0.98), ("int8-qat", "int8", 0.97),
])  # fmt: skip
def test_masks_are_those_of_float32(made: dict[str, ModelFile], kind: str, dtype: str, least: float) -> None:
    real, other = Segmenter(made["float32"], gate=False), Segmenter(made[kind], gate=False)
    assert (other.runtime.input.dtype, other.runtime.output.dtype) == (dtype, dtype)
    for seed in range(3):
        film = phantom(400, 360, seed=seed).film
        expected, found = real(film).masks, other(film).masks
        for name, mask in expected.items():
            assert mask.any()
            assert dice(mask, found[name]) > least, (name, seed)


@pytest.mark.parametrize("kind", KINDS.values())
def test_no_gate_refuses_a_film_for_features_it_was_not_fitted_to(made: dict[str, ModelFile], kind: str) -> None:
    subject = Segmenter(made[kind])
    for seed in range(3):
        assert subject(phantom(400, 360, seed=seed).film).quality.findings == ()


def test_manifests_are_the_shipped_ones_and_say_what_the_models_were_made_from(made: dict[str, ModelFile]) -> None:
    shipped = ModelFile.read(NAME)
    for kind, file in made.items():
        manifest = file.manifest
        assert manifest.quantisation == kind
        same = ("name", "version", "structures", "thresholds", "single_component", "expects", "network")
        assert all(getattr(manifest, field) == getattr(shipped.manifest, field) for field in same)
        assert file.licence == shipped.licence
        if kind == "int8-qat":
            continue
        assert (manifest.scores, manifest.checks, manifest.edge_tpu, file.card) == ((), {}, None, "")
        assert (manifest.trust, manifest.gate) == (None, None)
        assert manifest.training["data"] == shipped.manifest.training["data"]
        assert "float16" in manifest.training["made_from"]["weights"]
        assert manifest.training["made_from"]["shipped_flatbuffer_sha256"] == shipped.manifest.flatbuffer_sha256
        assert ("representative" in manifest.training) == (kind == "int8-ptq")
    assert made["int8-ptq"].manifest.training["representative"] == [
        {"name": "phantom", "layout": "phantom", "films": len(phantoms().films)}
    ]


def test_the_qat_model_is_the_shipped_file(made: dict[str, ModelFile]) -> None:
    path = made["int8-qat"].path
    assert path is not None
    assert path.read_bytes() == shipped_models()[NAME].read_bytes()


def test_the_benchmark_compares_each_with_float32(made: dict[str, ModelFile]) -> None:
    files = list(made.values())
    assert [float_twin(file, files) for file in files] == [None, 0, 0, 0, 0]


def test_ranges_come_from_the_training_films_of_a_data_set_where_one_is_given(chests: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, [NAME, "--out", str(tmp_path), "--data", str(chests), "--data", f"chest={chests}"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    manifest = ModelFile.read(tmp_path / f"{NAME}.ptq.tflite").manifest
    assert manifest.training["representative"] == [{"name": "chests", "layout": "chest", "films": 8}] * 2


def test_representative_films_are_training_films_as_the_network_sees_them(chests: Path) -> None:
    dataset = open_dataset(chests)
    grey, facts = representative_films([dataset], (32, 48))
    assert (grey.shape, grey.dtype) == ((8, 32, 48), np.uint8)
    assert facts == [{"name": "chests", "layout": "chest", "films": 8}]
    with pytest.raises(InputError, match="films to train on"):
        representative_films([], (32, 48))


def test_as_many_films_of_each_data_set_evenly_spaced() -> None:
    origin = np.repeat([0, 1, 3], [1000, 10, 200])
    chosen = evenly_of_each(origin)
    share = REPRESENTATIVE_FILMS // 3
    assert np.bincount(origin[chosen]).tolist() == [share, 10, 0, share]
    assert (chosen[0], chosen[share - 1]) == (0, 999)
    assert len(set(chosen.tolist())) == len(chosen)
    assert len(evenly_of_each(np.zeros(0, np.int64))) == 0


def test_every_shipped_model_has_the_weights_of_its_own_network() -> None:
    assert set(shipped_models()) == set(shipped_weights())
    for name in shipped_models():
        found, manifest = read_pretrained(name, weights=False), ModelFile.read(name).manifest
        assert asdict(found.network) == manifest.network
        assert found.outputs == tuple(structure.name for structure in manifest.structures)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["lung"], 2, "lung: no shipped model with float weights is called that: choose from lungs-large, lungs-nano"),
        (["lungs", "--data", "nowhere"], 3, "nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "edge_seg_quantize.variants", *words, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not out.exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(main, [NAME, "--out", str(tmp_path / "file" / "more")])
    assert isinstance(done.exception, OutputError)
