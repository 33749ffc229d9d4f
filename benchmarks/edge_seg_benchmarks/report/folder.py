"""The report folder: JSON for programs, Markdown for a README, one self-contained HTML page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from edge_seg import Segmenter
from edge_seg.storage import write_atomically
from edge_seg_data import Dataset

from edge_seg_benchmarks.accuracy.films import PHANTOM
from edge_seg_benchmarks.accuracy.scores import main_region
from edge_seg_benchmarks.configurations import ConfigurationReport
from edge_seg_benchmarks.latency.stages import STAGES
from edge_seg_benchmarks.report.pictures import data_uri, draw_examples, plot_pareto, plot_reliability, plot_sustained
from edge_seg_benchmarks.report.tables import by_corruption, by_engine, by_region, ranked, scored_sets
from edge_seg_benchmarks.report.warnings import warnings_of
from edge_seg_benchmarks.schema import Report


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its title and its `data:` address."""

    title: str
    uri: str


def write_report(
    report: Report, out: Path, segmenters: Sequence[Segmenter], datasets: Sequence[Dataset], pictures: str
) -> Path:
    """Write `report.json`, `report.md`, `report.html`, and plots: `pareto` as PNG and SVG, `trust`, `sustained`.

    Args:
        report: of `run_benchmark`.
        out: folder, created if absent.
        segmenters: the models, in the report's order.
        datasets: as scored.
        pictures: `films` shows the best, median and worst film of each data set, `phantom` only those of the phantom,
            `none` none.

    Returns:
        Path of the page.

    Raises:
        OutputError: it cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    scores = [one.scores for one in report.models] + [one.scores for one in report.masks]
    region = main_region(row.region for rows in scores for row in rows)
    if not report.models:
        facts = _facts_of_scores(report, region)
        write_atomically(out / "report.json", report.to_text().encode())
        write_atomically(out / "report.md", render("masks.md.j2", facts).encode())
        write_atomically(out / "report.html", render("masks.html.j2", facts).encode())
        return out / "report.html"
    plots = _plots(report, region)
    facts = _facts(report, region, set(plots))
    embedded = {
        "uris": {name: data_uri(picture) for name, picture in plots.items() if not name.startswith("pareto")},
        "panels": _panels(report, region),
        "examples": _examples(report, segmenters, datasets, pictures) if pictures != "none" else [],
    }
    page = render("report.html.j2", {**facts, **embedded})
    write_atomically(out / "report.json", report.to_text().encode())
    write_atomically(out / "report.md", render("report.md.j2", facts).encode())
    for name, picture in plots.items():
        write_atomically(out / name, picture)
    write_atomically(out / "report.html", page.encode())
    return out / "report.html"


def _facts(report: Report, region: str | None, plots: set[str]) -> dict[str, object]:
    """What the Markdown and the page both show."""
    configurations = _configurations(report)
    return {
        **_facts_of_scores(report, region),
        "last": report.models[-1],
        "stages": STAGES,
        "plots": plots,
        "threads": sorted({report.models[0].threads, *(one.threads for _, one in configurations)}),
        "configurations": configurations,
        "ranked": ranked(report.models, region),
        "engines": by_engine(report.models),
        "sets": scored_sets(report.models),
        "robustness": by_corruption(report.models[-1].robustness),
        "trust": report.models[-1].trust,
        "film_gate": report.models[-1].film_gate,
        "agreement": report.models[-1].agreement,
    }


def _facts_of_scores(report: Report, region: str | None) -> dict[str, object]:
    """Facts shown for any report, with models or only masks."""
    return {
        "report": report,
        "region": region,
        "regions": by_region((*report.models, *report.masks)),
        "warnings": warnings_of(report),
    }


def _configurations(report: Report) -> list[tuple[str, ConfigurationReport]]:
    """All configurations with the labels of their models, by engine and threads."""
    found = [(model.label, one) for model in report.models for one in model.configurations]
    engines = list(dict.fromkeys(one.engine for _, one in found))
    return sorted(found, key=lambda pair: (engines.index(pair[1].engine), pair[1].threads))


def _plots(report: Report, region: str | None) -> dict[str, bytes]:
    """The plots that this report has, by file name."""
    last, plots = report.models[-1], {}
    for form in ("png", "svg") if region and report.reference else ():
        picture = plot_pareto(report.models, str(region), str(report.reference), form)
        if picture:
            plots[f"pareto.{form}"] = picture
    if last.sustained:
        plots["sustained.png"] = plot_sustained(last.sustained, last.label)
    if last.trust:
        plots["trust.png"] = plot_reliability(last.trust)
    return plots


def render(template: str, facts: Mapping[str, object], package: str = "edge_seg_benchmarks") -> str:
    """Fill in a template of a package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=jinja2.select_autoescape(["html.j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["plain"] = lambda name: str(name).replace("_", " ")
    return environment.get_template(template).render(facts)


def _panels(report: Report, region: str | None) -> list[Picture]:
    """The plot of each data set by itself: on a phone they stack vertically."""
    if region is None or report.reference is None:
        return []
    panels = []
    for dataset in report.datasets:
        picture = plot_pareto(report.models, region, report.reference, "svg", only=dataset.name)
        if picture:
            panels.append(Picture(dataset.name, data_uri(picture, "svg+xml")))
    return panels


def _examples(
    report: Report, segmenters: Sequence[Segmenter], datasets: Sequence[Dataset], pictures: str
) -> list[Picture]:
    """Films of the last model with scores: by convention float models come first and int8 ones last."""
    scored = [i for i, model in enumerate(report.models) if model.films]
    if not scored:
        return []
    model, shown = report.models[scored[-1]], []
    for dataset in datasets:
        if pictures == "phantom" and dataset.layout != PHANTOM:
            continue
        rows = [row for row in model.films if row.dataset == dataset.name]
        region = main_region(row.region for row in rows)
        if region is not None:
            films = [(row.film, row.dice) for row in rows if row.region == region]
            picture = draw_examples(segmenters[scored[-1]], dataset, films, region)
            title = f"{model.label} on {dataset.name}, {region.replace('_', ' ')}"
            shown.append(Picture(title, data_uri(picture)))
    return shown
