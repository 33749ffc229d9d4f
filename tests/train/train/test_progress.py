"""Keras's progress output, on a terminal and in a file."""

from __future__ import annotations

import io
import sys

import pytest
from edge_seg_train.progress import keras_verbosity


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "quiet", "expected"),
    [(Terminal(), False, 1), (io.StringIO(), False, 2), (Terminal(), True, 0), (io.StringIO(), True, 0)],
)
def test_a_file_is_not_filled_with_bars(
    output: io.StringIO, quiet: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", output)
    assert keras_verbosity(quiet) == expected
