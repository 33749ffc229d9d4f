"""The report of a data set as an HTML page: what was read, what is wrong, and films with their outlines."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from edge_seg.errors import OutputError
from edge_seg.storage import write_atomically
from edge_seg.structures import structures_named

from edge_seg_data.check import THUMBNAIL, FilmFacts
from edge_seg_data.report import DatasetReport

_COLUMNS = 6
_CAPTION = 18  # pixels
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
    ".error{color:#b00020}.warning{color:#8a5a00}img{max-width:100%}code{font-size:90%}"
)


def write_page(folder: Path, checked: Sequence[tuple[DatasetReport, Sequence[FilmFacts]]]) -> Path:
    """Write `report.html`, `report.json` and a contact sheet of each data set.

    Args:
        folder: created if absent.
        checked: from `check_dataset`.

    Returns:
        Path of the page.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}): choose another --out") from error
    parts = []
    for number, (report, facts) in enumerate(checked, 1):
        sheet = contact_sheet(facts)
        if sheet is not None:
            write_atomically(folder / f"contact-sheet-{number}.png", sheet)
        parts.append(_section(report, sheet))
    write_atomically(folder / "report.json", json.dumps([report.to_json() for report, _ in checked], indent=2).encode())
    page = folder / "report.html"
    head = f"<!doctype html><meta charset=utf-8><title>Data sets</title><style>{_STYLE}</style>"
    write_atomically(page, f"{head}{''.join(parts)}<p>Research use only, not for diagnosis.".encode())
    return page


def contact_sheet(facts: Sequence[FilmFacts]) -> bytes | None:
    """A PNG of all films that have a thumbnail, each with its name and split; `None` if none has."""
    shown = [fact for fact in facts if fact.thumbnail is not None]
    if not shown:
        return None
    cells = [_cell(fact) for fact in shown]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % min(_COLUMNS, len(cells)))
    columns = min(_COLUMNS, len(cells))
    rows = [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    return cv2.imencode(".png", np.vstack(rows))[1].tobytes()


def _cell(fact: FilmFacts) -> np.ndarray:
    cell = np.zeros((THUMBNAIL + _CAPTION, THUMBNAIL, 3), np.uint8)
    assert fact.thumbnail is not None
    height, width = fact.thumbnail.shape[:2]
    left = (THUMBNAIL - width) // 2
    cell[:height, left : left + width] = fact.thumbnail
    # OpenCV's fonts have only ASCII.
    name = f"{fact.film.split} {fact.film.name}".encode("ascii", "replace").decode()
    at = (4, THUMBNAIL + _CAPTION - 5)
    cv2.putText(cell, name[-38:], at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return cell


def _section(report: DatasetReport, sheet: bytes | None) -> str:
    folder = Path(report.folder)
    problems = "".join(
        f"<li class={problem.severity}>{html.escape(problem.line(folder))}" for problem in report.problems
    )
    colours = {one.name: one.colour for one in structures_named(tuple(s.name for s in report.structures))}
    rows = "".join(
        f"<tr><td><span style='color:{colours[one.name]}'>&#9632;</span> {html.escape(one.name)}<td>{one.outlined}"
        f"<td>{one.empty}<td>{one.mean:.1%} ({one.least:.1%} to {one.most:.1%})"
        f"<td><code>{html.escape(one.encoding)}</code>"
        for one in report.structures
    )
    facts = [line.strip() for line in report.lines()[1:4]]
    data = base64.b64encode(sheet).decode() if sheet else ""
    picture = f"<img alt='films with outlines' src='data:image/png;base64,{data}'>" if data else ""
    verdict = "Training on it would be wrong." if report.errors else "It can be trained on."
    return (
        f"<h1>{html.escape(folder.name)}</h1><p>{html.escape(report.folder)}: {html.escape(report.layout)}"
        f"<p><b>{verdict}</b><ul>{''.join(f'<li>{html.escape(fact)}' for fact in facts)}</ul>"
        f"<table><tr><th>structure<th>films<th>empty<th>covers of the film<th>values of its masks{rows}</table>"
        f"<ul>{problems}</ul>{picture}"
    )
