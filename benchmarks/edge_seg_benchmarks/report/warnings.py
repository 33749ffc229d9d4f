"""What a reader must know before reading a report's scores: films seen in training, absent masks, sets without rows."""

from __future__ import annotations

from edge_seg_benchmarks.schema import Report

_SHOWN = 5


def warnings_of(report: Report) -> list[str]:
    """One sentence for each reason why this report's scores mean less than they seem to."""
    found = []
    for model in report.models:
        for seen in model.seen:
            found.append(
                f"{model.label} was trained with films that are scored here: of {seen.films} films of {seen.dataset} "
                f"{seen.split} it had {seen.counts}; its Dice on new films will be lower"
            )
    for masks in report.masks:
        if masks.missing:
            count, more = len(masks.missing), "; ..." if len(masks.missing) > _SHOWN else ""
            what = "1 mask is missing" if count == 1 else f"{count} masks are missing"
            found.append(f"{masks.label}: {what} and not in its figures ({'; '.join(masks.missing[:_SHOWN])}{more})")
    scores = [one.scores for one in report.models] + [one.scores for one in report.masks]
    scored = {row.dataset for rows in scores for row in rows}
    for name in (dataset.name for dataset in report.datasets if dataset.name not in scored):
        outlining = "no model and no masks here outline" if report.masks else "no model here outlines"
        found.append(f"{name} has no rows: {outlining} what it outlines")
    return found
