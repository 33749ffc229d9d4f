"""The shipped family: what its members' names promise, read from their own files."""

from __future__ import annotations

import pytest
from edge_seg import RESEARCH_USE
from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.structures import CHEST, lung_definitions

FAMILY = ("lungs-nano", "lungs", "lungs-large")


def measured_ms(name: str) -> float:
    return float(ModelFile.read(name).manifest.checks["measured"]["inference_ms_p50"])


def test_the_family_is_whole() -> None:
    assert set(shipped_models()) == set(FAMILY)


@pytest.mark.parametrize("name", FAMILY)
def test_each_outlines_the_same_structures_by_both_definitions(name: str) -> None:
    manifest = ModelFile.read(name).manifest
    assert manifest.name == name
    assert [s.name for s in manifest.structures] == [s.name for s in CHEST]
    assert lung_definitions(manifest.structures) == ("whole", "visible")


@pytest.mark.parametrize("name", FAMILY)
def test_each_is_int8_all_through_and_keeps_the_rules_of_the_edge_tpu(name: str) -> None:
    facts = inspect_model(ModelFile.read(name))
    assert facts.violations == ()
    assert facts.edge_tpu.mapped, facts.edge_tpu.reasons


@pytest.mark.parametrize("name", FAMILY)
def test_each_has_gate_trust_scores_and_card(name: str) -> None:
    model = ModelFile.read(name)
    manifest = model.manifest
    assert manifest.expects == "chest"
    assert manifest.trust
    scored = {(s["dataset"], s["region"]) for s in manifest.scores if s["metric"] == "dice"}
    assert {("paediatric", "whole_lung"), ("adult", "whole_lung"), ("adult-v7", "whole_lung")} <= scored
    assert {("adult", "cardiomediastinum"), ("jsrt", "heart"), ("montgomery", "visible_lung")} <= scored
    assert RESEARCH_USE in model.card
    assert all(picture in model.card for picture in model.associated if picture.endswith(".png"))
    assert model.licence


def test_each_keeps_within_its_size_and_time() -> None:
    assert inspect_model(ModelFile.read("lungs-nano")).parameters <= 100_000
    assert inspect_model(ModelFile.read("lungs")).file_bytes <= 1_000_000
    assert inspect_model(ModelFile.read("lungs-large")).file_bytes <= 1_000_000
    # From their own cards, measured on one machine: nothing is timed here.
    assert measured_ms("lungs-nano") <= 0.4 * measured_ms("lungs")
    assert measured_ms("lungs") < measured_ms("lungs-large")
