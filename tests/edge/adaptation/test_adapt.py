"""From corrections to a model that runs at the next start, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg import pixels
from edge_seg.adaptation.adapt import adapt, adapted_model, model_of_corrections
from edge_seg.adaptation.kept import KeptModels
from edge_seg.adaptation.status import (
    ACCEPTED,
    NOTHING_NEW,
    REFUSED,
    TAKEN_BACK,
    TOO_FEW,
    Status,
    keep_status,
    lines_of_learning,
    read_status,
)
from edge_seg.cli.adapt import adapt as command
from edge_seg.errors import InputError, UsageError
from edge_seg.inspection import purity_violations
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.phantom import phantom
from edge_seg.segmenter import Segmenter
from edge_seg.station.config import ModelConfig
from edge_seg.station.wiring import load_segmenter

MODEL = "lungs-nano"
Correct = Callable[..., None]


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("learns_quickly")]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, nano: ModelFile, correct: Correct, learns_quickly: None) -> Path:
    """A results folder whose corrections improved the model."""
    results = tmp_path_factory.mktemp("results")
    correct(results)
    assert adapt(results, nano).outcome == ACCEPTED
    return results


def test_a_better_model_runs_from_the_next_start_on(learned: Path, nano: ModelFile) -> None:
    shipped = nano
    running = load_segmenter(ModelConfig(name=MODEL), learned).manifest
    assert (running.name, running.version) == (shipped.manifest.name, f"{shipped.manifest.version}+1")
    assert running.training["adaptation"]["adapted_from"]["sha256"] == shipped.manifest.flatbuffer_sha256
    assert running.checks["after"] > running.checks["before"]
    assert running.scores == ()
    file = ModelFile.read(learned / "models" / f"{MODEL}-{running.version}.tflite")
    assert purity_violations(file.flatbuffer) == []
    # The encoder is unchanged, and so is the film gate's input.
    film = phantom(200, 200, seed=90).film
    grey = pixels.to_input(film, shipped.manifest.input_shape)[0]
    looks = [Segmenter(model).observe(grey)[1] for model in (shipped, file)]
    assert looks[0] is not None
    assert looks[1] is not None
    assert np.array_equal(looks[0], looks[1])


def test_nothing_new_is_not_learned_twice_and_another_model_is_left_alone(learned: Path, nano: ModelFile) -> None:
    assert adapt(learned, nano).outcome == NOTHING_NEW
    assert read_status(learned).outcome == ACCEPTED  # type: ignore[union-attr]
    assert (
        load_segmenter(ModelConfig(name="lungs"), learned).manifest.version == ModelFile.read("lungs").manifest.version
    )


def learning_lines(results: Path, running: Manifest) -> list[str]:
    return lines_of_learning(results, running.name, running.version, running.flatbuffer_sha256)


def test_the_page_says_which_model_waits(learned: Path, nano: ModelFile) -> None:
    shipped, adapted = nano.manifest, load_segmenter(ModelConfig(name=MODEL), learned).manifest
    waits, outcome = learning_lines(learned, shipped)
    assert waits == f"{MODEL}-{adapted.version} waits for the next start; until then {MODEL} {shipped.version} runs"
    assert "accepted" in outcome
    assert learning_lines(learned, adapted) == [outcome]
    assert learning_lines(learned, ModelFile.read("lungs").manifest) == [outcome]


def test_the_page_says_when_what_waits_is_damaged(tmp_path: Path, nano: ModelFile) -> None:
    kept, version = KeptModels(tmp_path), f"{nano.manifest.version}+1"
    adapted = adapted_model(nano, nano.flatbuffer, version, [])
    path = kept.keep(adapted, nano)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5000])
    (line,) = learning_lines(tmp_path, nano.manifest)
    assert line.startswith(f"{MODEL}-{version} cannot be used (")
    path.write_bytes(whole)
    kept.go_back()
    assert learning_lines(tmp_path, nano.manifest) == []
    assert learning_lines(tmp_path, adapted.manifest)[0].startswith("the model that ships waits")


def test_an_adapted_model_tells_no_estimate_that_was_not_calibrated_for_it(learned: Path, nano: ModelFile) -> None:
    """Warnings for its films still come from the previous model's calibration."""
    adapted = load_segmenter(ModelConfig(name=MODEL, gate=False), learned)
    before = f"{MODEL} {nano.manifest.version}"
    assert adapted.manifest.trust is not None
    assert adapted.manifest.trust["facts"]["calibrated_for"] == before
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
    good, bad = (adapted(film) for film in (phantom(200, 200, seed=90).film, noise))
    for found in (good, bad):
        assert (found.trust, found.trust_bound, found.estimates) == (None, None, {})
        assert any(line.startswith("no estimated Dice") and before in line for line in found.warnings)
    assert Segmenter(nano, gate=False)(noise).low_trust
    assert bad.low_trust
    assert not good.low_trust


def test_the_model_that_was_corrected_learns_unless_another_is_named(learned: Path, nano: ModelFile) -> None:
    ran = CliRunner().invoke(command, [str(learned), "--json"], standalone_mode=False)
    assert (ran.return_value, json.loads(ran.output)["outcome"]) == (0, NOTHING_NEW)
    status = read_status(learned)
    assert status is not None
    assert status.asked == nano.manifest.flatbuffer_sha256
    lines = learned / "corrections" / "corrections.jsonl"
    whole = lines.read_text()
    lines.write_text(whole.replace(f'"name": "{MODEL}"', '"name": "ours"'))
    with pytest.raises(UsageError, match="ours were put right here"):
        model_of_corrections(learned)
    lines.write_text(whole)


def test_one_command_goes_back(tmp_path: Path, nano: ModelFile) -> None:
    shipped, kept = nano, KeptModels(tmp_path)
    for number in (1, 2):
        version = kept.next_version(shipped)
        assert version == f"{shipped.manifest.version}+{number}"
        kept.keep(adapted_model(shipped, shipped.flatbuffer, version, []), shipped)
    keep_status(tmp_path, Status("2026-11-26T18:00:00+00:00", ACCEPTED, "it is better", 7))
    told = []
    for _ in range(2):
        ran = CliRunner().invoke(command, [str(tmp_path), "--back", "--json"], standalone_mode=False)
        told.append(json.loads(ran.output)["model"])
    assert told == [f"{MODEL}-{shipped.manifest.version}+1", "the model that ships"]
    assert not kept.is_in_use(shipped)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.outcome, status.why, status.last_correction) == (
        TAKEN_BACK,
        "from the next start on the model that ships runs again",
        7,
    )
    with pytest.raises(UsageError, match="no model to go back to"):
        kept.go_back()


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"adapted_from": "x", "model": "../../x.tflite"}', None])
def test_what_is_damaged_leaves_the_model_that_ships(tmp_path: Path, nano: ModelFile, damage: bytes | None) -> None:
    shipped, kept = nano, KeptModels(tmp_path)
    path = kept.keep(adapted_model(shipped, shipped.flatbuffer, "9", []), shipped)
    assert kept.is_in_use(shipped)
    if damage is None:
        path.write_bytes(path.read_bytes()[:-5000])
    else:
        (kept.folder / "current.json").write_bytes(damage)
    assert kept.in_place_of(shipped) is shipped


def test_too_few_films_are_refused_with_how_many_are_missing(tmp_path: Path, nano: ModelFile, correct: Correct) -> None:
    with pytest.raises(InputError, match="nothing was corrected"):
        adapt(tmp_path, nano)
    assert list(tmp_path.iterdir()) == []
    correct(tmp_path, 2)
    status = adapt(tmp_path, nano)
    assert status.outcome == TOO_FEW
    assert "of 5 patients to test on are there" in status.why
    assert not (tmp_path / "models" / "current.json").exists()


def test_a_model_that_got_worse_stays_out_and_the_page_says_why(
    tmp_path: Path, nano: ModelFile, correct: Correct
) -> None:
    """The lungs are swapped on every film, including those kept for testing."""
    correct(tmp_path, draw=lambda m: {**m, "right_lung": m["left_lung"], "left_lung": m["right_lung"]})
    status = adapt(tmp_path, nano)
    assert status.outcome == REFUSED
    assert "reference phantoms" in status.why
    assert not KeptModels(tmp_path).is_in_use(nano)
    assert status.why in learning_lines(tmp_path, nano.manifest)[0]
