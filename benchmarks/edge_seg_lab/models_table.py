"""Tables of the shipped models, from their manifests: figures are never copied by hand.

`python -m edge_seg_lab.models_table README.md docs/reference/models.md` writes a row for each model between the markers
in the first file and every score to the second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from edge_seg import RESEARCH_USE
from edge_seg.cli.main import run_command
from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.storage import write_atomically

BEGIN, END = "<!-- models:begin -->", "<!-- models:end -->"

_COLUMNS = (
    ("paediatric", "whole_lung"),
    ("adult", "whole_lung"),
    ("adult-v7", "whole_lung"),
    ("jsrt", "heart"),
    ("montgomery", "visible_lung"),
)
"""Data sets and regions of the short table; the two definitions of the lung have separate columns."""


def short_table() -> str:
    """Markdown with a row for each shipped model, fastest first."""
    models = sorted(
        (ModelFile.read(name) for name in shipped_models()), key=lambda model: _measured(model)["inference_ms_p50"]
    )
    titles = [f"{region.replace('_', ' ')}, {name}" for name, region in _COLUMNS]
    lines = [
        f"| model | parameters | size | input | inference | {' | '.join(titles)} |",
        "|---|" + "---|" * (4 + len(titles)),
    ]
    for model in models:
        manifest, facts = model.manifest, inspect_model(model)
        found = {(s["dataset"], s["region"]): s for s in manifest.scores if s["metric"] == "dice"}
        cells = [_interval(found[column]) if column in found else "" for column in _COLUMNS]
        lines.append(
            f"| `{manifest.name}` | {facts.parameters:,} | {facts.file_bytes / 1e6:.2f} MB "
            f"| {manifest.input_height} x {manifest.input_width} | {_measured(model)['inference_ms_p50']:.1f} ms "
            f"| {' | '.join(cells)} |"
        )
    measured = _measured(models[0])
    sizes = [_films(models[0], name) for name, _ in _COLUMNS]
    note = (
        "All are int8 throughout and outline the same structures. Dice on films that training never saw, mean and "
        f"95 % interval over patients: {'; '.join(dict.fromkeys(sizes))}. Measured {measured['date'][:10]} on "
        f"{measured['machine']}, {measured['runtime']}, {measured['threads']} thread(s). Every score and command: "
        "[docs/reference/models.md](docs/reference/models.md)."
    )
    return "\n".join([*lines, "", note])


def full_table() -> str:
    """Markdown page with every score of every shipped model, and the commands that measured them."""
    lines = [
        "# Scores of the shipped models",
        "",
        f"Written by `python -m edge_seg_lab.models_table README.md docs/reference/models.md`. {RESEARCH_USE}.",
        "`minus float` is the int8 model less its float32 original, film by film. Subgroups, robustness, trust and",
        "known failures are in each model's card: `edge-seg inspect MODEL --card`.",
        "",
        "| model | data | region | Dice (95 % interval) | worst film | films (patients) | minus float |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name in shipped_models():
        model = ModelFile.read(name)
        for score in model.manifest.scores:
            if score["metric"] == "dice":
                lines.append(
                    f"| `{name}` | {score['dataset']} {score['split']} | {score['region'].replace('_', ' ')} "
                    f"| {_interval(score)} | {score['worst']:.3f} | {score['n']} ({score['patients']}) "
                    f"| {_lost(score)} |"
                )
        measured = _measured(model)
        notes.append(
            f"- `{name}`: {measured['date'][:10]} on {measured['machine']}, {measured['runtime']}, "
            f"{measured['threads']} thread(s), with `{measured['command']}`"
        )
    return "\n".join([*lines, "", "Measured:", "", *notes, ""])


@click.command()
@click.argument("readme", type=click.Path(exists=True, path_type=Path))
@click.argument("page", type=click.Path(path_type=Path))
def main(readme: Path, page: Path) -> None:
    """Put the short table between the marks of README and every score into PAGE."""
    text = readme.read_text()
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    write_atomically(readme, f"{head}{BEGIN}\n{short_table()}\n{END}{tail}".encode())
    write_atomically(page, full_table().encode())


def _measured(model: ModelFile) -> dict[str, Any]:
    return dict(model.manifest.checks["measured"])


def _films(model: ModelFile, dataset: str) -> str:
    score = next(s for s in model.manifest.scores if s["dataset"] == dataset)
    return f"`{dataset}` {score['split']}, n = {score['n']} films of {score['patients']} patients"


def _interval(score: dict[str, Any]) -> str:
    return f"{score['mean']:.4f} ({score['low']:.4f} to {score['high']:.4f})"


def _lost(score: dict[str, Any]) -> str:
    lost = score.get("minus_float32")
    return f"{lost['mean']:+.4f} ({lost['low']:+.4f} to {lost['high']:+.4f})" if lost else ""


if __name__ == "__main__":
    run_command(main)
