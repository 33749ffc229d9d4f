"""The README's table of models, from the manifests of the shipped models: figures are never copied by hand.

python -m edge_seg_benchmarks.models_table README.md
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edge_seg.inspection import inspect_model
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.outputs.atomic import write_atomically

BEGIN, END = "<!-- models:begin -->", "<!-- models:end -->"


def models_table() -> str:
    """Markdown: a row for each shipped model and data set, and what they were measured on."""
    lines = [
        "| model | size | input | inference | data | region | Dice (95 % interval) | films (patients) | minus float |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name in shipped_models():
        model = ModelFile.read(name)
        manifest, measured = model.manifest, model.manifest.checks.get("measured", {})
        facts = inspect_model(model)
        for score in manifest.scores:
            if score["metric"] == "dice":
                lines.append(
                    f"| `{manifest.name}` {manifest.quantisation} | {facts.file_bytes / 1e6:.2f} MB "
                    f"| {manifest.input_height} x {manifest.input_width} | {measured['inference_ms_p50']:.1f} ms "
                    f"| {score['dataset']} {score['split']} | {score['region'].replace('_', ' ')} "
                    f"| {score['mean']:.4f} ({score['low']:.4f} to {score['high']:.4f}) "
                    f"| {score['n']} ({score['patients']}) | {_lost(score)} |"
                )
        if measured:
            notes.append(
                f"`{manifest.name}`: measured {measured['date'][:10]} on {measured['machine']}, {measured['runtime']}, "
                f"{measured['threads']} thread(s), with `{measured['command']}`."
            )
    return "\n".join([*lines, "", *notes])


def update(readme: Path) -> None:
    """Put the table between the README's marks.

    Raises:
        OutputError: the file cannot be written.
    """
    text = readme.read_text()
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    write_atomically(readme, f"{head}{BEGIN}\n{models_table()}\n{END}{tail}".encode())


def _lost(score: dict[str, Any]) -> str:
    lost = score.get("minus_float32")
    return f"{lost['mean']:+.4f} ({lost['low']:+.4f} to {lost['high']:+.4f})" if lost else ""


if __name__ == "__main__":
    update(Path(sys.argv[1]))
