"""The segmenter: one film in, one segmentation out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edge_seg import Film, InputError, ModelError, Segmenter, UsageError, segmenter
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.phantom import phantom
from edge_seg.runtime import TensorSpec
from edge_seg.structures import CHEST, LUNG_DEFINITIONS, regions, structures_named


class BrightRuntime:
    """A network whose every structure is the pixels brighter than middle grey."""

    notes: tuple[str, ...] = ()
    name, delegate, threads = "fake 1", "cpu", 1
    input = TensorSpec((1, 64, 64, 1), "float32", None, 0)
    output = TensorSpec((1, 64, 64, 3), "float32", None, 0)

    def run(self, tensor: np.ndarray) -> np.ndarray:
        return np.repeat((tensor - 0.5) * 20, 3, axis=3).astype(np.float32)


MANIFEST = Manifest("bright", "1", CHEST[:3], 64, 64, thresholds=(0.5, 0.5, 0.5))


def test_a_film_becomes_masks_areas_and_timings() -> None:
    film = np.zeros((300, 200), np.uint8)
    film[100:200, 50:150] = 200
    result = Segmenter(ModelFile(MANIFEST, b""), BrightRuntime())(Film(film, spacing_mm=(0.6, 0.6)))
    mask = result.masks["right_lung"]
    assert mask.shape == film.shape
    assert mask.dtype == bool
    assert abs(int(mask.sum()) - 10_000) < 400
    assert result.areas["right_lung"].cm2 == pytest.approx(36, abs=1.44)  # 60 mm wide: under 50 is not a thorax
    assert {"decode", "pixels_in", "gate", "inference", "pixels_out", "trust", "measure"} == set(result.timings_ms)
    assert not result.regions["visible_lung"].any()


def test_all_that_the_gate_looks_at_counts_as_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(work: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def done(*given: Any) -> Any:
            now[0] += seconds
            return work(*given)

        return done

    monkeypatch.setattr(segmenter, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(segmenter, "look_at_masks", slow(segmenter.look_at_masks, 1.0))
    monkeypatch.setattr(Segmenter, "_look_at_sides", slow(Segmenter._look_at_sides, 2.0))
    timings = Segmenter.load("lungs-nano")(phantom(400, 360).film).timings_ms
    assert timings == {**dict.fromkeys(timings, 0.0), "gate": 3000.0}


def test_without_spacing_no_area_in_cm2_is_claimed() -> None:
    result = Segmenter(ModelFile(MANIFEST, b""), BrightRuntime())(np.zeros((64, 64), np.uint16))
    assert result.areas["right_lung"].cm2 is None


@pytest.mark.parametrize("shape", [(4, 4), (1, 1), (20, 20, 3), (5,)])
def test_an_array_that_is_no_film_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Segmenter(ModelFile(MANIFEST, b""), BrightRuntime())(np.zeros(shape, np.uint8))


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="uint8 or uint16"):
        Film(np.zeros((64, 64)))


def test_a_manifest_that_disagrees_with_the_network_is_refused() -> None:
    for other in (
        Manifest("size", "1", CHEST[:3], 128, 128),
        Manifest("channels", "1", CHEST[:3], 64, 64, input_channels=3),
        Manifest("structures", "1", CHEST[:2], 64, 64),
    ):
        with pytest.raises(ModelError, match=f"{other.name}: the manifest says") as caught:
            Segmenter(ModelFile(other, b""), BrightRuntime())
        assert "\n" not in str(caught.value)


def test_regions_follow_both_definitions_of_lung() -> None:
    right, left, heart = (np.zeros((4, 4), bool) for _ in range(3))
    right[:, 0], left[:, 3], heart[0] = True, True, True
    found = regions({"right_lung": right, "left_lung": left, "cardiomediastinum": heart})
    assert found["whole_lung"].sum() == 8
    assert found["visible_lung"].sum() == 6


class ThreePlanes(BrightRuntime):
    """Right lung in the left half, left lung in the right half, heart in the middle columns."""

    def run(self, tensor: np.ndarray) -> np.ndarray:
        logits = np.full((1, 64, 64, 3), -10, np.float32)
        logits[0, :, :32, 0] = logits[0, :, 32:, 1] = logits[0, :, 24:40, 2] = 10
        return logits


def test_the_visible_lung_is_the_whole_lung_without_the_heart() -> None:
    film = np.zeros((128, 128), np.uint8)
    whole, visible = (Segmenter(ModelFile(MANIFEST, b""), ThreePlanes(), lung=lung)(film) for lung in LUNG_DEFINITIONS)
    assert (whole.lung, visible.lung) == ("whole", "visible")
    for name in ("right_lung", "left_lung"):
        np.testing.assert_array_equal(visible.masks[name], whole.masks[name] & ~whole.masks["cardiomediastinum"])
        assert visible.areas[name].pixels < whole.areas[name].pixels
    np.testing.assert_array_equal(visible.regions["visible_lung"], whole.regions["visible_lung"])
    # Part of the lung is left out: nothing may be called whole lung any more.
    assert "whole_lung" not in visible.regions
    assert "whole_lung" not in visible.areas
    assert [s.definition for s in visible.structures[:2]] == [LUNG_DEFINITIONS["visible"]] * 2
    assert [s.definition for s in whole.structures[:2]] == [LUNG_DEFINITIONS["whole"]] * 2


def test_a_model_without_a_heart_gives_no_visible_lungs() -> None:
    class TwoPlanes(ThreePlanes):
        output = TensorSpec((1, 64, 64, 2), "float32", None, 0)

    class OnePlane(ThreePlanes):
        output = TensorSpec((1, 64, 64, 1), "float32", None, 0)

    lungs_only = Manifest("lungs-only", "1", CHEST[:2], 64, 64)
    tumour = Manifest("tumour", "1", structures_named(("tumour",)), 64, 64)
    with pytest.raises(UsageError, match="choose from whole"):
        Segmenter(ModelFile(lungs_only, b""), TwoPlanes(), lung="visible")
    with pytest.raises(UsageError, match="outlines other structures"):
        Segmenter(ModelFile(tumour, b""), OnePlane(), lung="whole")
    assert Segmenter(ModelFile(tumour, b""), OnePlane()).lung is None


def test_a_real_engine_gives_the_same_masks_twice(tiny_model: Path) -> None:
    film = phantom(200, 160).film
    first, second = (Segmenter.load(tiny_model)(film).masks["left_lung"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(3))
def test_the_shipped_model_gives_the_same_masks_twice(lungs: ModelFile, seed: int) -> None:
    film = phantom(420, 360, seed=seed, bits=16).film
    one, two = (Segmenter(lungs)(film).masks for _ in range(2))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_the_shipped_model_finds_the_phantoms_lungs(lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    for seed in range(4):
        made = phantom(700, 600, seed=seed, bits=16)
        found = segmenter(made.film).masks
        for name in ("right_lung", "left_lung"):
            truth = made.masks[name]
            assert 2 * (found[name] & truth).sum() / (found[name].sum() + truth.sum()) > 0.85, (seed, name)


def test_the_shipped_model_is_small_and_int8_all_through(lungs: ModelFile) -> None:
    from edge_seg.inspection import inspect_model

    facts = inspect_model(lungs)
    assert facts.violations == ()
    assert facts.file_bytes <= 1_000_000
    assert lungs.manifest.scores, "scores are measured by the benchmark"
    assert "Research use only" in lungs.card
