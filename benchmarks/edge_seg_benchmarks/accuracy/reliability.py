"""How far a model's own estimate of its Dice can be relied on: the estimate against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from edge_seg.assessment.trust import LOW_TRUST

from edge_seg_benchmarks.accuracy.robustness import CorruptedScore
from edge_seg_benchmarks.accuracy.statistics import area_under_curve, bootstrap, spearman

REGION = "whole_lung"
"""What the estimate is of."""

_BINS = 10


def measure_reliability(scores: Sequence[CorruptedScore]) -> dict[str, Any] | None:
    """The estimate against the whole lung's true Dice, on films as they are and corrupted.

    Args:
        scores: of `score_corrupted`; those without an estimate, or of other regions, count for nothing.

    Returns:
        `low_trust` (the Dice below which a film is to be found), `datasets` (see `summarise_reliability`) and `pairs`
        (what they were made from); `None` where there is no pair of estimate and truth.
    """
    pairs = [
        {
            "dataset": score.dataset,
            "split": score.split,
            "film": score.film,
            "patient": score.patient,
            "corruption": score.corruption,
            "severity": score.severity,
            "estimate": score.estimate,
            "dice": score.dice,
        }
        for score in scores
        if score.region == REGION and score.estimate is not None
    ]
    if not pairs:
        return None
    datasets = dict.fromkeys((pair["dataset"], pair["split"]) for pair in pairs)
    return {
        "low_trust": LOW_TRUST,
        "datasets": [
            {"dataset": dataset, "split": split}
            | summarise_reliability([pair for pair in pairs if (pair["dataset"], pair["split"]) == (dataset, split)])
            for dataset, split in datasets
        ],
        "pairs": pairs,
    }


def summarise_reliability(pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one data set.

    Args:
        pairs: at least one: `film`, `patient`, `estimate` and true `dice`.

    Returns:
        `films`, `patients`, `with_corruptions`; `poor` and `flagged`, the shares whose truth and whose estimate is
        below `LOW_TRUST`; `spearman` and `auroc` (of finding the poor ones by a low estimate) with 95 % intervals,
        `None` where not defined; `mean_absolute_error`; `bins`, tenths by rising estimate.
    """
    patients = [pair["patient"] for pair in pairs]
    estimate = np.array([pair["estimate"] for pair in pairs], np.float64)
    truth = np.array([pair["dice"] for pair in pairs], np.float64)
    poor = truth < LOW_TRUST
    rank = bootstrap(lambda weights: spearman(estimate, truth, weights), patients)
    auroc = bootstrap(lambda weights: area_under_curve(-estimate, poor, weights), patients)
    return {
        "films": len({pair["film"] for pair in pairs}),
        "patients": len(set(patients)),
        "with_corruptions": len(pairs),
        "poor": float(poor.mean()),
        "flagged": float(np.mean(estimate < LOW_TRUST)),
        "spearman": asdict(rank) if rank else None,
        "auroc": asdict(auroc) if auroc else None,
        "mean_absolute_error": float(np.abs(estimate - truth).mean()),
        "bins": [
            {"estimate": float(estimate[tenth].mean()), "dice": float(truth[tenth].mean()), "n": len(tenth)}
            for tenth in np.array_split(np.argsort(estimate, kind="stable"), min(_BINS, len(pairs)))
        ],
    }
