"""`edge-seg adapt`: a thin layer over `edge_seg.adaptation`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from edge_seg.cli.main import say

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""The matrix products are small: several threads wait for each other and take ten times as long on a busy machine."""

_UNTIL_THEN = "what runs already goes on with its own"


@click.command(epilog="Example: edge-seg adapt edge-seg-results")
@click.argument("results", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model", metavar="NAME|FILE", help="Model that learns, by default the one whose outlines were corrected last."
)
@click.option("--back", is_flag=True, help="Go back to the previous model at the next start.")
@click.option("--again", is_flag=True, help="Learn even if nothing was corrected since the last time.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def adapt(results: Path, model: str | None, back: bool, again: bool, as_json: bool, quiet: bool) -> int:
    """Let a model learn from the outlines that were corrected in RESULTS; research use only, not for diagnosis.

    The new model is accepted if it is better on the films that are kept for testing, and no worse on the reference
    phantoms. It then runs from the next start on; otherwise the model stays as it was.
    """
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    from edge_seg.adaptation.adapt import adapt as learn
    from edge_seg.adaptation.adapt import go_back, model_of_corrections
    from edge_seg.adaptation.status import ACCEPTED, REFUSED, TOO_FEW
    from edge_seg.model_file import ModelFile

    if back:
        name = go_back(results)
        click.echo(json.dumps({"model": name}) if as_json else f"from the next start on {name} runs; {_UNTIL_THEN}")
        return 0
    asked = ModelFile.read(model or model_of_corrections(results))
    status = learn(results, asked, again=again, told=_nothing if quiet or as_json else _progress)
    follows = f"; it runs from the next start on, and {_UNTIL_THEN}" if status.outcome == ACCEPTED else ""
    click.echo(json.dumps(status.to_json()) if as_json else f"{status.outcome}: {status.why}{follows}")
    return 1 if status.outcome in (REFUSED, TOO_FEW) else 0


def _progress(done: int, of: int, loss: float) -> None:
    say(f"\rlearning, pass {done} of {of}, loss {loss:.4f}", nl=done == of)


def _nothing(done: int, of: int, loss: float) -> None:
    pass
