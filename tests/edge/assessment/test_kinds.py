"""The kind of picture that the network recognises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.assessment.kinds import INVERTED, Kinds
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.runtime import TensorSpec
from edge_seg.structures import CHEST

KINDS = Kinds(
    ("chest", "lateral", INVERTED, "turned"),
    (0.0, 0.0, 0.0),
    (1.0, 1.0, 1.0),
    ((0.0, 0.0, 0.0), (4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)),
    (6.0, 0.0, 0.0, 0.0),
    1.0,
    3.0,
)


def test_the_likeliest_other_kind_is_the_reason() -> None:
    chest, lateral = KINDS.sight(np.zeros(3)), KINDS.sight(np.array([3.0, 1.0, 0.0]))
    assert chest.odds == pytest.approx(6 - np.log(3))
    assert KINDS.finding(chest) is None
    assert lateral.kind == "lateral"
    refused = KINDS.finding(lateral)
    assert refused is not None
    assert (refused.code, refused.verdict) == ("not-a-chest-film", "reject")
    assert "lateral" in refused.text
    unusual = KINDS.finding(KINDS.sight(np.array([0.9, 0.0, 0.0])))
    assert unusual is not None
    assert (unusual.code, unusual.verdict) == ("unusual", "warn")


def test_it_survives_the_manifest_and_is_refused_where_lengths_differ() -> None:
    assert Kinds.from_json(KINDS.to_json()) == KINDS
    for wrong in ({"bias": [0.0]}, {"spread": [1.0, 0.0, 1.0]}, {"centre": [0.0]}, {"weights": "none"}):
        with pytest.raises(ValueError, match=r"gate|weights"):
            Kinds.from_json({**KINDS.to_json(), **wrong})


class Looking:
    """A network whose pooled features are the brightness of the upper half, the lower half and the left edge."""

    notes: tuple[str, ...] = ()
    name, delegate, threads = "fake 1", "cpu", 1
    input = TensorSpec((1, 64, 64, 1), "float32", None, 0)
    output = TensorSpec((1, 64, 64, 3), "float32", None, 0)
    pooled = TensorSpec((1, 1, 1, 3), "int8", 0.1, -128)

    def __init__(self) -> None:
        self.seen = 0

    def run(self, tensor: np.ndarray) -> np.ndarray:
        return self.run_pooled(tensor)[0]

    def run_pooled(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        self.seen += 1
        dark_above = float(tensor[0, :32].mean() < tensor[0, 32:].mean())
        features = np.array([0.0, 5 * dark_above, 0.0]).reshape(1, 1, 1, 3)
        return np.repeat((tensor - 0.5) * 20, 3, axis=3), np.rint(features / 0.1 - 128).astype(np.int8)


def segmenter(gate: bool = True) -> tuple[Segmenter, Looking]:
    runtime = Looking()
    manifest = Manifest("looking", "1", CHEST[:3], 64, 64, thresholds=(0.5,) * 3, expects="chest", gate=KINDS.to_json())
    return Segmenter(ModelFile(manifest, b""), runtime, gate=gate), runtime


def picture(upper: int, lower: int) -> Film:
    chance = np.random.default_rng(0)
    grey = np.r_[np.full((100, 200), upper), np.full((100, 200), lower)] + chance.normal(0, 9, (200, 200))
    return Film(np.clip(grey, 0, 255).astype(np.uint8))


def test_a_film_with_bone_black_is_turned_over_and_told() -> None:
    model, runtime = segmenter()
    upright, exchanged = model(picture(180, 60)), model(picture(60, 180))
    assert not upright.quality.has(INVERTED)
    assert exchanged.quality.has(INVERTED)
    assert exchanged.quality.verdict == "warn"
    assert exchanged.masks["right_lung"].any()
    assert runtime.seen == 3
    assert model.look(picture(60, 180)).has(INVERTED)


def test_a_header_that_tells_the_polarity_wrongly_is_named() -> None:
    model, _ = segmenter()
    result = model(replace(picture(60, 180), polarity_known=True))
    assert result.quality.verdict == "warn"
    assert any("against what its header says" in finding.text for finding in result.quality.findings)


def test_what_is_no_chest_either_way_is_refused_with_its_kind() -> None:
    class Sideways(Looking):
        def run_pooled(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            output, _ = super().run_pooled(tensor)
            return output, np.array([30 - 128, -128, -128], np.int8).reshape(1, 1, 1, 3)

    manifest = segmenter()[0].manifest
    result = Segmenter(ModelFile(manifest, b""), Sideways())(picture(180, 60))
    assert result.quality.verdict == "reject"
    assert "lateral" in result.quality.findings[-1].text
    assert not result.masks["right_lung"].any()


def test_without_the_gate_everything_is_segmented() -> None:
    model, runtime = segmenter(gate=False)
    assert model(picture(60, 180)).quality.verdict == "accept"
    assert runtime.seen == 1
