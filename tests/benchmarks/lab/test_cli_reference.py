"""The command-line reference matches the commands' own help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge_seg.cli.main import VERBS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_page_is_what_help_says(tmp_path: Path) -> None:
    # In a separate process: click keeps changes that other tests made to the commands.
    made = tmp_path / "cli.md"
    subprocess.run([sys.executable, "-m", "edge_seg_lab.cli_reference", str(made)], check=True, timeout=120)
    assert PAGE.read_text() == made.read_text(), "run: python -m edge_seg_lab.cli_reference docs/reference/cli.md"


def test_every_verb_is_on_it() -> None:
    for verb in VERBS:
        assert f"## edge-seg {verb}\n" in PAGE.read_text()
