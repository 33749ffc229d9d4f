"""The page for browsers without JavaScript: the same films and numbers, as they were when it was asked for."""

from __future__ import annotations

import html
from typing import Any

_EVERY_S = 15


def plain_page(state: dict[str, Any]) -> str:
    """HTML of a session's state, see `Health.state`. Texts of films and senders are escaped."""
    counts = state["films"]
    summary = f"{counts['done']} done, {counts['rejected']} rejected, {counts['failed']} failed"
    problems = "".join(f"<li>{html.escape(problem)}</li>" for problem in state["problems"])
    rows = "".join(_row(film) for film in state["recent"])
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Recorded", "Film", "State", "Numbers", "Notes"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{_EVERY_S}"><title>edge-seg</title>'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head><body>'
        f"<header><h1>edge-seg</h1><p>{html.escape(summary)}</p><p>{html.escape(state['notice'])}</p></header>"
        f'<ul id="problems">{problems}</ul><section id="recent"><h2>Recent films</h2>'
        f'<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section></body></html>'
    )


def _row(film: dict[str, Any]) -> str:
    name = html.escape(film["name"])
    shown = f'<a href="overlay/{film["number"]}">{name}</a>' if film["overlay"] else name
    when = html.escape(film["recorded_at"][:19].replace("T", " "))
    notes = html.escape("; ".join(film["notes"]))
    return (
        f'<tr><td>{when} UTC</td><td>{shown}</td><td class="{film["status"]}">{film["status"]}</td>'
        f"<td>{html.escape('; '.join(_numbers(film)))}</td><td>{notes}</td></tr>"
    )


def _numbers(film: dict[str, Any]) -> list[str]:
    found = [
        f"{name.replace('_', ' ')} " + (f"{area['pixels']} px" if area["cm2"] is None else f"{area['cm2']:.0f} cm2")
        for name, area in film.get("areas", {}).items()
    ]
    ratio, dice = film.get("ratios", {}).get("cardiothoracic"), film.get("estimated_dice")
    found += [f"cardiothoracic ratio {ratio:.2f}"] if ratio is not None else []
    found += [f"estimated Dice {dice:.2f}{' (low)' if film.get('low_trust') else ''}"] if dice is not None else []
    return found
