"""Networks from other programs: whatever their tensor layout, the masks are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import ModelError, Segmenter
from edge_seg.cli.inspect import inspect
from edge_seg.cli.main import cli
from edge_seg.errors import UsageError
from edge_seg.inspection.flatbuffer import Graph, Operator, Tensor
from edge_seg.inspection.tensors import ends_in_probabilities, find_network
from edge_seg.model_file import Manifest, ModelFile, NoManifestError, OtherNetwork
from edge_seg.phantom import phantom
from edge_seg.runtime.adapted import AdaptedRuntime
from edge_seg.runtime.protocol import TensorSpec
from edge_seg.structures import structures_named

SIDE = 16
FILM = np.tile(np.repeat([0, 255], 40).astype(np.uint8), (80, 1))
"""Black on the left, white on the right."""


@dataclass
class Bright:
    """A network whose first structure is the bright pixels and whose second is the dark ones."""

    input: TensorSpec
    output: TensorSpec
    answer: Callable[[np.ndarray], np.ndarray]
    name: str = "fake"
    delegate: str = "cpu"
    threads: int = 1
    notes: tuple[str, ...] = ()

    def run(self, tensor: np.ndarray) -> np.ndarray:
        assert tensor.shape == self.input.shape
        assert tensor.dtype == self.input.dtype
        found = self.answer(tensor)
        assert found.shape == self.output.shape
        return found.astype(self.output.dtype)


def real(*shape: int) -> TensorSpec:
    return TensorSpec(shape, "float32", None, 0)


def manifest(output: str, structures: int = 2, channels: int = 1, **more: bool) -> Manifest:
    names = structures_named(("bright", "dark")[:structures])
    return Manifest(
        "other", "1", names, SIDE, SIDE, channels, output=output, thresholds=(0.5,) * structures,
        other=OtherNetwork(**more),
    )  # fmt: skip


def masks(found: Manifest, runtime: Bright, probabilities: bool) -> dict[str, np.ndarray]:
    adapted = AdaptedRuntime(runtime, found, probabilities)
    return Segmenter(ModelFile(replace(found, other=None), b""), adapted)(FILM).masks


def both(bright: np.ndarray) -> np.ndarray:
    return np.stack([bright, 1 - bright], axis=-1)


LAST, FIRST = real(1, SIDE, SIDE, 1), real(1, 1, SIDE, SIDE)
UINT8 = TensorSpec((1, SIDE, SIDE, 1), "uint8", 1 / 255, 0)
UNSCALED = TensorSpec((1, SIDE, SIDE, 1), "uint8", 0.0, 0)
OUTPUT = real(1, SIDE, SIDE, 2)
NETWORKS = {
    "sigmoid, channels last": ("sigmoid", Bright(LAST, OUTPUT, lambda x: both(x[..., 0])), True),
    "logits": ("sigmoid", Bright(LAST, OUTPUT, lambda x: 9 * both(x[..., 0]) - 4), False),
    "channels first": (
        "sigmoid",
        Bright(FIRST, real(1, 2, SIDE, SIDE), lambda x: np.stack([x[:, 0], 1 - x[:, 0]], 1)),
        True,
    ),
    "softmax": (
        "softmax",
        Bright(LAST, real(1, SIDE, SIDE, 3), lambda x: np.concatenate([0 * x + 0.1, 0.9 * x, 0.9 - 0.9 * x], 3)),
        True,
    ),
    "argmax": (
        "argmax",
        Bright(LAST, TensorSpec((1, SIDE, SIDE), "int32", 0.0, 0), lambda x: 2 - (x[..., 0] > 0.5)),
        False,
    ),
    "argmax, channels": (
        "argmax",
        Bright(LAST, TensorSpec((1, SIDE, SIDE, 1), "int64", 0.0, 0), lambda x: 2 - (x > 0.5)),
        False,
    ),
    "half the size": ("sigmoid", Bright(LAST, real(1, 8, 8, 2), lambda x: both(x[:, ::2, ::2, 0])), True),
    "uint8": (
        "sigmoid",
        Bright(
            UINT8,
            TensorSpec((1, SIDE, SIDE, 2), "uint8", 1 / 256, 0),
            lambda x: np.stack([x[..., 0], 255 - x[..., 0]], axis=-1),
        ),
        True,
    ),
    "grey values as they are": ("sigmoid", Bright(UNSCALED, OUTPUT, lambda x: both((x[..., 0] > 200) * 1.0)), True),
}


@pytest.mark.parametrize(("output", "runtime", "probabilities"), NETWORKS.values(), ids=NETWORKS)
def test_tensors_are_taken_and_given_as_they_are_laid(output: str, runtime: Bright, probabilities: bool) -> None:
    found = masks(manifest(output), runtime, probabilities)
    inside = slice(10, 30), slice(50, 70)
    edge = 8  # a structure's border may be off by as much as a pixel of the network's output
    assert (found["bright"][:, 40 + edge :]).all()
    assert not found["bright"][:, : 40 - edge].any()
    np.testing.assert_array_equal(found["dark"][:, : 40 - edge], ~found["bright"][:, : 40 - edge])
    assert found["bright"][inside].all()


@pytest.mark.parametrize("spec", [real(1, SIDE, SIDE, 3), real(1, SIDE, SIDE), real(4)])
def test_an_output_of_another_shape_than_the_manifest_says_is_refused(spec: TensorSpec) -> None:
    with pytest.raises(ModelError, match="the manifest says that the network gives"):
        AdaptedRuntime(Bright(LAST, spec, lambda x: x), manifest("sigmoid"), True)


def test_an_input_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match=r"takes \(1, 16, 16, 3\), it takes \(1, 16, 16, 1\)"):
        AdaptedRuntime(Bright(LAST, LAST, lambda x: x), manifest("sigmoid", 1, 3), True)


def graph(*operators: str) -> Graph:
    tensors = tuple(Tensor(f"t{i}", (1, 4, 4, 1), "float32", False, 0, 0, True) for i in range(len(operators) + 1))
    made = tuple(Operator(name, 1, (tensors[i],), (tensors[i + 1],)) for i, name in enumerate(operators))
    return Graph(made, tensors, tensors[:1], tensors[-1:])


def test_the_operator_that_makes_an_output_tells_whether_it_is_a_probability() -> None:
    assert ends_in_probabilities(graph("CONV_2D", "LOGISTIC"), 0)
    assert ends_in_probabilities(graph("CONV_2D", "SOFTMAX", "QUANTIZE"), 0)
    assert not ends_in_probabilities(graph("LOGISTIC", "CONV_2D"), 0)
    assert not ends_in_probabilities(graph("CONV_2D", "RESHAPE"), 0)


@pytest.fixture
def bare(tmp_path: Path, make_flatbuffer: Callable[..., bytes]) -> Path:
    """A network without a manifest: three logits of 64 x 64, brightness in each."""
    path = tmp_path / "unet.tflite"
    path.write_bytes(make_flatbuffer(dtype="float32"))
    return path


def test_a_network_without_a_manifest_is_inspected(bare: Path) -> None:
    seen = CliRunner().invoke(inspect, [str(bare), "--operators"], catch_exceptions=False)
    assert "another program's network, or its end is missing" in seen.output
    assert "film: 1 x 64 x 64 x 1 float32" in seen.output
    assert "no: 4 float tensors" in seen.output
    assert "CONV_2D" in seen.output
    told = json.loads(CliRunner().invoke(inspect, [str(bare), "--json"], catch_exceptions=False).stdout)
    assert told["manifest"] is None
    assert told["facts"]["parameters"] == 6


def test_a_network_runs_with_the_manifest_that_inspect_drafts(bare: Path) -> None:
    with pytest.raises(NoManifestError, match="--write-manifest"):
        ModelFile.read(bare)
    CliRunner().invoke(inspect, [str(bare), "--write-manifest"], catch_exceptions=False)
    beside = bare.with_suffix(".edge_seg.json")
    draft = json.loads(beside.read_text())
    assert [one["name"] for one in draft["structures"]] == ["structure_1", "structure_2", "structure_3"]
    assert draft["other"] == {"output_index": 0, "probabilities": False}
    draft["structures"][0]["name"] = "bone"
    beside.write_text(json.dumps(draft))
    assert list(Segmenter.load(bare)(FILM).masks) == ["bone", "structure_2", "structure_3"]
    with pytest.raises(UsageError, match="has a manifest"):
        find_network(bare).write_draft()


def test_run_takes_a_manifest_from_elsewhere(bare: Path, tmp_path: Path) -> None:
    told = tmp_path / "model.json"
    told.write_text(find_network(bare).drafted().manifest.to_json())
    film, out = tmp_path / "film.png", tmp_path / "out"
    cv2.imwrite(str(film), phantom(96, 96, seed=0).film.pixels)
    words = ["run", str(film), "--model", str(bare), "--manifest", str(told), "--out", str(out)]
    assert cli.main(words, standalone_mode=False) == 0
    assert (out / "film.structure_1.png").exists()


def test_the_manifest_of_another_network_is_refused(bare: Path, make_flatbuffer: Callable[..., bytes]) -> None:
    other = bare.with_name("other.json")
    other.write_text(find_network(bare).drafted().manifest.to_json())
    bare.write_bytes(make_flatbuffer())
    with pytest.raises(ModelError, match="is the manifest of another network"):
        ModelFile.read(bare, other)


def test_a_model_with_a_manifest_takes_no_other(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a manifest of its own"):
        ModelFile.read(tiny_model, tmp_path / "model.json")


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rubbish.tflite"
    path.write_bytes(b"\0\0\0\0TFL3" + bytes(100))
    with pytest.raises(ModelError, match=rf"^{path}: the TFLite flatbuffer cannot be read"):
        find_network(path)


def test_manifests_of_own_models_stay_as_older_versions_read_them(tiny_model: Path) -> None:
    assert "other" not in json.loads(ModelFile.read(tiny_model).manifest.to_json())
