"""`edge-seg quantize`: what its options are given, before any framework is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_seg.errors import InputError, UsageError
from edge_seg_quantize.command import quantize


def told(about: Path) -> None:
    """Call the command with additions to the card, and with what it refuses right after it has read them."""
    words = ["run", "--out", "x.tflite", "--about", str(about), "--structures", "lung"]
    quantize.main(words, standalone_mode=False)


@pytest.mark.parametrize("text", ["{", "[1]", '{"limit": NaN}'])
def test_additions_to_the_card_that_are_no_object_are_refused_in_a_line(tmp_path: Path, text: str) -> None:
    about = tmp_path / "about.json"
    about.write_text(text)
    with pytest.raises(InputError, match="cannot be read as JSON") as caught:
        told(about)
    assert str(about) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_additions_to_the_card_are_read_as_editors_save_them(tmp_path: Path, encoding: str) -> None:
    about = tmp_path / "about.json"
    about.write_text('{"title": "Röntgen"}', encoding=encoding)
    with pytest.raises(UsageError, match="a run has both"):
        told(about)
    with pytest.raises(InputError, match="cannot be read"):
        told(tmp_path / "absent.json")
