"""One run at a time, even after the output folder was removed while in use."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from edge_seg import Film, OutputError, Segmenter
from edge_seg.outputs.folder import OutputFolder


def film(number: int) -> Film:
    return Film(np.full((40, 60), number, np.uint8), f"{number}.png", f"films/{number}.png", checksum=f"{number:064d}")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no names for locks")
def test_a_folder_that_was_removed_lets_no_second_run_in_and_is_made_again(tmp_path: Path, tiny_model: Path) -> None:
    segmenter, out = Segmenter.load(tiny_model, gate=False), tmp_path / "out"
    output = OutputFolder(out)
    output.write(segmenter(film(1)))
    shutil.rmtree(out)
    with pytest.raises(OutputError, match="another run writes there"):
        OutputFolder(out)
    output.write(segmenter(film(2)))
    assert "2.png" in (out / "records.jsonl").read_text()
    assert not output.is_done(film(1), segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate)
    assert output.is_done(film(2), segmenter.manifest.flatbuffer_sha256, segmenter.lung, segmenter.gate)
    with pytest.raises(OutputError, match="another run writes there"):
        OutputFolder(out)
    output.close()
    OutputFolder(out).close()


def test_another_way_to_the_same_folder_is_the_same_folder(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(OutputError, match="another run writes there"):
        OutputFolder(tmp_path / "link")
    output.close()
