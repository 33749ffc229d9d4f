"""The architecture pictures match their description and name packages and modules that exist."""

from __future__ import annotations

from pathlib import Path

from edge_seg_lab.diagrams import PICTURES, write_pictures

ROOT = Path(__file__).parents[3]


def test_the_pictures_in_the_docs_are_made_from_their_description(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "docs" / "explanation").glob("architecture-*.svg")}
    assert made == kept, "run: python -m edge_seg_lab.diagrams docs/explanation"


def test_every_floor_of_the_device_part_is_there() -> None:
    for box in PICTURES["floors"].boxes.values():
        assert (ROOT / "edge" / "edge_seg" / box.text[0]).exists(), box.text[0]
