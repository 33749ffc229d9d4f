"""The counted instructions as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from edge_seg_benchmarks.instruction_counts import InstructionCounts, ModelCounts, Saving

from edge_seg_lab.instructions.measure import STAGES


def markdown(report: InstructionCounts) -> str:
    """Tables of counts: per inference, per film and stage, and what int8 saves on each core."""
    comparisons = _savings(report.comparisons)
    return "\n".join(
        [
            "Instructions per inference:",
            "",
            *_inference(report.rows),
            "",
            "Millions of instructions per film, by stage:",
            "",
            *_stages(report.rows),
            "",
            *comparisons,
            *([""] if comparisons else []),
            *_notes(report),
        ]
    )


def _inference(rows: Sequence[ModelCounts]) -> list[str]:
    lines = [
        "| model | core | dot product | multiply-adds (M) | bytes moved (MB) | instructions (M) | per multiply-add "
        "| spread |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        per_mac = "" if row.instructions_per_mac is None else f"{row.instructions_per_mac:.3f}"
        lines.append(
            f"| {row.label} | {row.core} | {'yes' if row.dot_product else 'no'} | {row.macs / 1e6:,.1f} "
            f"| {row.bytes_moved / 1e6:,.1f} | {_millions(row.instructions['inference'])} | {per_mac} "
            f"| {row.spread['inference']:.4%} |"
        )
    return lines


def _stages(rows: Sequence[ModelCounts]) -> list[str]:
    columns = (*STAGES, "other", "film")
    titles = " | ".join(column.replace("_", " ") for column in columns)
    lines = [f"| model | core | {titles} | spread |", "|---|---|" + "---:|" * (len(columns) + 1)]
    for row in rows:
        cells = " | ".join(_millions(row.instructions[column]) for column in columns)
        lines.append(f"| {row.label} | {row.core} | {cells} | {row.spread['film']:.4%} |")
    return lines


def _savings(comparisons: Sequence[Saving]) -> list[str]:
    lines = []
    for row in comparisons:
        if row.saves:
            said = f"takes {row.saved:.1%} fewer instructions per inference than {row.float32}"
        else:
            said = f"**saves no instructions** against {row.float32} ({-row.saved:+.1%} per inference)"
        bytes_said = f"{abs(row.bytes_saved):.0%} {'fewer' if row.bytes_saved >= 0 else 'more'} bytes"
        lines.append(f"- {row.core}: {row.label} {said}, and moves {bytes_said}.")
    return lines


def _notes(report: InstructionCounts) -> list[str]:
    film, machine = report.film, report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return [
        f"A film of {film.height} x {film.width} pixels on {machine.threads} thread: mean of "
        f"{report.repeats} films in each of {report.runs} runs; spread is how far the runs differ. Instructions "
        "are not time: a core executes several at once, and waits for memory. Bytes moved count each operator's inputs "
        "and outputs once.",
        "",
        f"{machine.emulator}; {versions}; {machine.date[:10]}: `{report.command}`",
    ]


def _millions(count: float) -> str:
    return f"{count / 1e6:,.2f}"
