"""The README cannot rot: its commands exist, its figures are those of the shipped models, its Python runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_seg import Segmenter
from edge_seg.cli.main import VERBS
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.compare.command import compare
from edge_seg_lab.models_table import full_table, short_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [README, *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))]
COMMANDS = [
    command
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    for command in re.findall(r"edge-seg (\w+)([^`#\n]*)", block)
]
MODULES = sorted({found for page in PAGES for found in re.findall(r"python -m (edge_seg\w*(?:\.\w+)+)", page)})


def test_there_are_commands_to_check() -> None:
    assert {verb for verb, _ in COMMANDS} == set(VERBS)


@pytest.mark.parametrize(("verb", "rest"), COMMANDS)
def test_every_command_and_option_exists(verb: str, rest: str) -> None:
    module, _, name = VERBS[verb][0].partition(":")
    command = getattr(importlib.import_module(module), name)
    if rest.split()[:1] == ["compare"]:
        command = compare
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"(?<=\s)--[\w-]+", rest)) <= known


@pytest.mark.parametrize("module", MODULES)
def test_every_module_that_is_run_exists(module: str) -> None:
    found = importlib.util.find_spec(module)
    assert found is not None
    main = importlib.util.find_spec(f"{module}.__main__") if found.submodule_search_locations else found
    assert main is not None
    assert main.origin is not None
    assert "__main__" in Path(main.origin).read_text()


def test_the_tables_of_models_are_the_manifests_own(lungs: ModelFile) -> None:
    again = "run: python -m edge_seg_lab.models_table README.md docs/models.md"
    assert short_table() in README, again
    assert full_table() == (ROOT / "docs" / "models.md").read_text(), again


def test_the_python_example_runs(lungs: ModelFile) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {"image": np.zeros((200, 160), np.uint16), "Segmenter": Segmenter}
    exec(example[1], names)
    assert names["result"].masks["right_lung"].shape == (200, 160)


def test_pictures_pages_and_make_targets_are_there() -> None:
    for path in re.findall(r"\]\((?!https?:)(.*?)\)", README):
        assert (ROOT / path).is_file(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+) ", README):
        assert f"\n{target}:" in makefile
