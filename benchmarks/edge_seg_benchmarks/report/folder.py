"""A report folder: JSON for programs, Markdown for a README, one self-contained HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from edge_seg import Segmenter
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.films import PHANTOM
from edge_seg_benchmarks.accuracy.scores import main_region
from edge_seg_benchmarks.latency.stages import STAGES
from edge_seg_benchmarks.report.pictures import data_uri, draw_examples, plot_pareto, plot_reliability, plot_sustained
from edge_seg_benchmarks.report.tables import by_corruption, by_engine, by_region, ranked, scored_sets


def write_report(
    report: dict[str, Any], out: Path, segmenters: Sequence[Segmenter], datasets: Sequence[Dataset], pictures: str
) -> Path:
    """Write `report.json`, `report.md`, `report.html`, and plots: `pareto` as PNG and SVG, `trust`, `sustained`.

    Args:
        report: of `run_benchmark`.
        out: folder, made if absent.
        segmenters: the models, in the report's order.
        datasets: as scored.
        pictures: `films` shows the best, median and worst film of each data set, `phantom` those of the phantom alone,
            `none` none.

    Returns:
        Path of the page.

    Raises:
        OutputError: it cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    region = main_region(row["region"] for model in report["models"] for row in model["scores"])
    plots: dict[str, bytes | None] = {}
    for form in ("png", "svg"):
        plots[f"pareto.{form}"] = (
            plot_pareto(report["models"], region, report["reference"], form) if region and report["reference"] else None
        )
    sustained = report["sustained"]
    plots["sustained.png"] = plot_sustained(sustained["curve"], sustained["model"]) if sustained else None
    plots["trust.png"] = plot_reliability(report["trust"]) if report["trust"] else None
    examples = _examples(report, segmenters, datasets, pictures) if pictures != "none" else []
    facts = {
        "report": report,
        "stages": STAGES,
        "plots": {name for name, picture in plots.items() if picture},
        "threads": sorted({report["models"][0]["threads"], *(run["threads"] for run in report["runs"])}),
        "ranked": ranked(report["models"], region),
        "engines": by_engine(report),
        "sets": scored_sets(report["models"]),
        "regions": by_region(report["models"]),
        "region": region,
        "robustness": by_corruption(report["robustness"]),
        "trust": report["trust"],
        "gate": report["gate"],
    }
    write_atomically(out / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(out / "report.md", render("report.md.j2", **facts).encode())
    for name, picture in plots.items():
        if picture:
            write_atomically(out / name, picture)
    page = render(
        "report.html.j2",
        **facts,
        uris={name: data_uri(picture) for name, picture in plots.items() if picture and not name.startswith("pareto")},
        panels=_panels(report, region),
        examples=examples,
    )
    write_atomically(out / "report.html", page.encode())
    return out / "report.html"


def render(template: str, **facts: Any) -> str:
    """A template of this package, filled in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge_seg_benchmarks"),
        autoescape=jinja2.select_autoescape(["html.j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["plain"] = lambda name: str(name).replace("_", " ")
    return environment.get_template(template).render(**facts)


def _panels(report: dict[str, Any], region: str | None) -> list[dict[str, str]]:
    """The plot of each data set by itself: on a phone they stand below each other."""
    if region is None or report["reference"] is None:
        return []
    panels = []
    for dataset in report["datasets"]:
        picture = plot_pareto(report["models"], region, report["reference"], "svg", only=dataset["name"])
        if picture:
            panels.append({"title": dataset["name"], "uri": data_uri(picture, "svg+xml")})
    return panels


def _examples(
    report: dict[str, Any], segmenters: Sequence[Segmenter], datasets: Sequence[Dataset], pictures: str
) -> list[dict[str, str]]:
    """Of the last model that has scores, which is the one people ask about: float first, int8 last."""
    scored = [i for i, model in enumerate(report["models"]) if model["films"]]
    if not scored:
        return []
    model, shown = report["models"][scored[-1]], []
    for dataset in datasets:
        if pictures == "phantom" and dataset.layout != PHANTOM:
            continue
        rows = [row for row in model["films"] if row["dataset"] == dataset.name]
        region = main_region(row["region"] for row in rows)
        if region is not None:
            films = [(row["film"], row["dice"]) for row in rows if row["region"] == region]
            picture = draw_examples(segmenters[scored[-1]], dataset, films, region)
            title = f"{model['label']} on {dataset.name}, {region.replace('_', ' ')}"
            shown.append({"title": title, "uri": data_uri(picture)})
    return shown
