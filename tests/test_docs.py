"""README and docs cannot rot: their commands parse, their figures match the models, their Python runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from edge_seg import Segmenter, StationConfig
from edge_seg.cli.main import VERBS
from edge_seg.model_file import ModelFile
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.products import PRODUCTS
from edge_seg_lab.models_table import full_table, short_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy/README.md", *ROOT.glob("docs/**/*.md"))
)


def spoken(page: str) -> list[str]:
    """Every command of a page: the lines of its shell blocks, and the text between backticks."""
    text = (ROOT / page).read_text()
    blocks = [block for kind, block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if kind in ("", "sh")]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [*lines, *(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose))]


def commands(pattern: str) -> list[tuple[str, str, str]]:
    """Page, first group and second group of each command that the pattern matches."""
    return sorted(
        {(page, found[1], found[2]) for page in PAGES for line in spoken(page) if (found := re.match(pattern, line))}
    )


VERB_COMMANDS = commands(r"(?:\S*bin/)?edge-seg ([a-z]+)\b(.*)")
MODULE_COMMANDS = commands(r"(?:\S*bin/)?python -m (edge_seg\w*(?:\.\w+)*)(.*)")
MAKE_COMMANDS = commands(r"make ((?:-f \S+ )?)([a-z]\S*)")


def refused(command: click.Command, words: str) -> str | None:
    """A command's error about unknown options, or options without their value. Nothing is run or opened."""
    context = click.Context(command)
    try:
        command.make_parser(context).parse_args(shlex.split(words, comments=True))
    except click.UsageError as error:
        return str(error)
    return None


def test_every_verb_stands_on_some_page() -> None:
    assert {verb for _, verb, _ in VERB_COMMANDS} == set(VERBS)
    assert MODULE_COMMANDS
    assert MAKE_COMMANDS


@pytest.mark.parametrize(("page", "verb", "rest"), VERB_COMMANDS)
def test_every_command_is_understood(page: str, verb: str, rest: str) -> None:
    module, _, name = VERBS[verb][0].partition(":")
    command = getattr(importlib.import_module(module), name)
    if rest.split()[:1] == ["compare"]:
        from edge_seg_benchmarks.compare.command import compare as command
    if isinstance(command, click.Group) and rest:
        word, _, rest = rest.strip().partition(" ")
        command = command.commands[word]
    assert refused(command, rest) is None


@pytest.mark.parametrize(("page", "module", "rest"), MODULE_COMMANDS)
def test_every_module_that_is_run_exists_and_understands_its_words(page: str, module: str, rest: str) -> None:
    found = importlib.util.find_spec(module)
    assert found is not None
    started = f"{module}.__main__" if found.submodule_search_locations else module
    main = importlib.util.find_spec(started)
    assert main is not None
    assert main.origin is not None
    assert "__main__" in Path(main.origin).read_text()
    command = getattr(importlib.import_module(module), "main", None)
    if isinstance(command, click.Command):
        assert refused(command, rest) is None


@pytest.mark.parametrize(("page", "makefile", "target"), MAKE_COMMANDS)
def test_every_make_target_is_there(page: str, makefile: str, target: str) -> None:
    text = (ROOT / (makefile.split()[1] if makefile else "Makefile")).read_text()
    assert re.search(rf"^{target}\s*:|^{target}\b.*:|^\.PHONY:.*\b{target}\b", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for path, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", (ROOT / page).read_text()):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    listed = {(ROOT / "docs" / path).resolve() for path in re.findall(r"\]\(([^)#]*)", index)}
    assert set(ROOT.glob("docs/**/*.md")) <= {*listed, ROOT / "docs" / "index.md"}


def test_the_tables_of_models_are_the_manifests_own(lungs: ModelFile) -> None:
    again = "run: python -m edge_seg_lab.models_table README.md docs/reference/models.md"
    assert short_table() in README, again
    assert full_table() == (ROOT / "docs" / "reference" / "models.md").read_text(), again


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("chest.png", np.zeros((200, 160), np.uint16))
    names: dict[str, Any] = {}
    exec(example[1], names)
    assert names["result"].masks["right_lung"].shape == (200, 160)
    assert (tmp_path / "results" / "records.jsonl").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_every_configuration_is_a_stations(page: str, tmp_path: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        (tmp_path / "station.toml").write_text(block)
        assert StationConfig.load(tmp_path / "station.toml").has_source


def python_of(page: str) -> list[dict[str, Any]]:
    """What each Python block of a page defines."""
    found = []
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        names: dict[str, Any] = {}
        exec(block, names)
        found.append(names)
    return found


def test_the_source_of_contributing_gives_films() -> None:
    arrivals = list(python_of("CONTRIBUTING.md")[0]["Noise"]("noise://3", 2))
    assert [arrival.content.shape for arrival in arrivals] == [(256, 256)] * 2


def test_the_output_of_contributing_is_written(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRODUCTS, "thumbnail", python_of("CONTRIBUTING.md")[1]["thumbnail"])
    with closing(OutputFolder(tmp_path, ["thumbnail"])) as output:
        segmentation = Segmenter.load(tiny_model)(np.zeros((40, 60), np.uint8))
        record = output.write(segmentation)
    assert [file.name for file in record.files] == ["film.thumbnail.png"]
    assert record.products == ("record", "thumbnail")
    picture = cv2.imread(str(tmp_path / "film.thumbnail.png"))
    assert picture is not None
    assert picture.shape == (128, 128, 3)


@pytest.mark.training
def test_the_network_of_contributing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    from edge_seg_train.network import FAMILIES, NetworkConfig, build

    monkeypatch.setitem(FAMILIES, "three", python_of("CONTRIBUTING.md")[2]["features"])
    model = build(keras, NetworkConfig(family="three", height=64, width=64, base=4))
    assert model.output_shape == (None, 64, 64, 3)
