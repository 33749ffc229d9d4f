"""What a reader must know before reading a report's scores: films that a model has seen, films without a mask."""

from __future__ import annotations

from edge_seg_benchmarks.schema import Report

_SHOWN = 5


def warnings_of(report: Report) -> list[str]:
    """One sentence for each reason why this report's scores mean less than they seem to."""
    found = []
    for model in report.models:
        for seen in model.seen:
            counts = (seen.trained, "training"), (seen.validated, "validation")
            had = [f"{count} in {split}" for count, split in counts if count]
            found.append(
                f"{model.label} was trained with films that are scored here: of {seen.films} films of {seen.dataset} "
                f"{seen.split} it had {' and '.join(had)}; its Dice on new films will be lower"
            )
    for masks in report.masks:
        if masks.missing:
            count, more = len(masks.missing), ", ..." if len(masks.missing) > _SHOWN else ""
            what = "1 film has no mask and is" if count == 1 else f"{count} films have no mask and are"
            found.append(f"{masks.label}: {what} not in its figures ({', '.join(masks.missing[:_SHOWN])}{more})")
    return found
