"""The page for browsers without JavaScript: the same films and numbers, as of the request."""

from __future__ import annotations

import html

from edge_seg.station.health_state import HealthState, Measured, RecentFilm

_STATES = {"done": "done", "check": "to check", "rejected": "rejected", "failed": "failed"}


def plain_page(state: HealthState) -> str:
    """HTML of a session's state. Text from films and senders is escaped."""
    counts = state.films
    summary = f"{counts.done} done, {counts.rejected} rejected, {counts.failed} failed"
    problems = "".join(f"<li>{html.escape(problem)}</li>" for problem in state.problems)
    learning = "".join(f'<p class="quiet">{html.escape(line)}</p>' for line in state.learning)
    films = "".join(_article(film) for film in state.recent) or "<p>None yet.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>edge-seg</title>"
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head><body>'
        f"<header><h1>edge-seg</h1><p>{html.escape(summary)}</p>"
        f'<p id="notice">{html.escape(state.notice)}</p></header>'
        f'<ul id="problems">{problems}</ul><main class="plain">'
        f'<h2>Recent films</h2><p><a href="plain">Show the newest</a></p>{films}{learning}</main></body></html>'
    )


def _article(film: RecentFilm) -> str:
    name = html.escape(film.name)
    shown = f'<a href="overlay/{film.number}">{name}</a>' if film.overlay else name
    when = html.escape(film.recorded_at[:19].replace("T", " "))
    numbers, notes = html.escape(", ".join(_numbers(film.measured))), html.escape("; ".join(film.notes))
    state = film.status
    return (
        f'<article><div class="title"><strong>{shown}</strong> <span class="badge {state}">{_STATES[state]}</span> '
        f'<span class="quiet">{when} UTC</span></div>'
        + (f"<p>{numbers}</p>" if numbers else "")
        + (f'<p class="check">{notes}</p>' if notes else "")
        + "</article>"
    )


def _numbers(measured: Measured | None) -> list[str]:
    if measured is None:
        return []
    found = [
        f"{name.replace('_', ' ')} " + (f"{area.pixels:,} px" if area.cm2 is None else f"{area.cm2:.0f} cm²")
        for name, area in measured.areas.items()
    ]
    ratio, dice = measured.ratios.get("cardiothoracic"), measured.estimated_dice
    found += [f"cardiothoracic ratio {ratio:.2f}"] if ratio is not None else []
    found += [f"estimated Dice {dice:.2f}{' (low)' if measured.low_trust else ''}"] if dice is not None else []
    return found
