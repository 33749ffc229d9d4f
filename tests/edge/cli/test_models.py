"""`edge-seg models`, `python -m edge_seg`, and the messages for typing errors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from edge_seg.model_file import shipped_models


def edge_seg(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edge_seg", *words], capture_output=True, text=True)


def test_every_shipped_model_is_listed_with_its_figures() -> None:
    found = json.loads(edge_seg("models", "--json").stdout)
    assert [one["name"] for one in found] == list(shipped_models())
    text = edge_seg("models").stdout
    for one in found:
        assert one["dice"]
        assert all(score["low"] <= score["mean"] <= score["high"] and score["n"] > 0 for score in one["dice"])
    assert "Research use only" in text
    rows = {line[:26].strip(): line[26:].split() for line in text.splitlines() if line}
    assert rows[""] == ["lungs-nano", "lungs", "lungs-large"]
    heart = [score["mean"] for score in found[-1]["dice"] if (score["dataset"], score["region"]) == ("jsrt", "heart")]
    assert found[-1]["name"] == "lungs"
    assert rows["heart, jsrt"][2] == f"{heart[0]:.3f}"
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("rnu", "film.png"), "did you mean `edge-seg run`?"),
        (("benchmrak",), "did you mean `edge-seg benchmark`?"),
        (("xyzzy",), "choose from run, "),
        (("run", "film.png", "--mdoel", "lungs"), "there is no option --mdoel: did you mean --model? (see"),
        (("benchmark", "compair", "report"), "did you mean `edge-seg benchmark compare`?"),
        (("inspect", "lung"), "did you mean lungs?"),
        (("inspect", "lungs-nanno"), "did you mean lungs-nano?"),
    ],
)
def test_who_mistypes_is_told_what_was_meant(words: tuple[str, ...], meant: str) -> None:
    done = edge_seg(*words)
    assert done.returncode in (2, 4)
    assert meant in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
