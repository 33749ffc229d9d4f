"""A session's health as Prometheus reads it (text exposition format 0.0.4)."""

from __future__ import annotations

from dataclasses import asdict

from edge_seg.station.health_state import HealthState


def metrics(state: HealthState) -> str:
    """Metrics of a session."""
    waiting = [one.waiting for one in state.sources if one.waiting is not None]
    lines: list[str] = []

    def add(name: str, kind: str, meaning: str, *values: tuple[str, float | None]) -> None:
        known = [(labels, value) for labels, value in values if value is not None]
        if known:
            lines.extend([f"# HELP edge_seg_{name} {meaning}", f"# TYPE edge_seg_{name} {kind}"])
            lines.extend(f"edge_seg_{name}{labels} {value}" for labels, value in known)

    model = _labels(
        model=state.model.name,
        version=state.model.version,
        runtime=state.runtime,
        delegate=state.delegate,
        edge_seg=state.edge_seg,
    )
    add("info", "gauge", "What runs here.", (model, 1))
    films = [(_labels(outcome=outcome), count) for outcome, count in asdict(state.films).items()]
    add("films_total", "counter", "Films met since the start, by what became of them.", *films)
    add("inference_seconds_total", "counter", "Time spent in inference.", ("", state.inference_s))
    add("uptime_seconds", "gauge", "Time since the start.", ("", state.uptime_s))
    add("waiting_films", "gauge", "Received films that wait for their result.", ("", sum(waiting) if waiting else None))
    if outbox := state.outbox:
        add("outbox_waiting", "gauge", "Results that wait for the archive.", ("", outbox.waiting))
        add("outbox_refused", "gauge", "Results that the archive refused.", ("", outbox.refused))
        add("outbox_sent_total", "counter", "Results that the archive has taken.", ("", outbox.sent))
    if notices := state.notices:
        add("notices_waiting", "gauge", "Records that wait for the receiver.", ("", notices.waiting))
        add("notices_refused", "gauge", "Records that the receiver refused.", ("", notices.refused))
        add("notices_sent_total", "counter", "Records that the receiver has taken.", ("", notices.sent))
    add(
        "camera_age_seconds",
        "gauge",
        "Time since the last good frame.",
        *[(_labels(camera=one.name), one.age_s) for one in state.sources],
    )
    add("free_bytes", "gauge", "Free space on the disk of the results.", ("", state.free_bytes))
    add("temperature_celsius", "gauge", "The hottest part of the board.", ("", state.temperature_c))
    add("problems", "gauge", "Things that are wrong just now.", ("", len(state.problems)))
    return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(str(value))}"' for name, value in values.items()) + "}"
