"""`edge-seg check`: what a data set holds, how it is read, and whether training on it would be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
from edge_seg.errors import InputError

from edge_seg_data.progress import ProgressLine


@click.command(epilog="Example: edge-seg check films --out films-report")
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for a page with outlined films.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@click.option("--skip-bad", is_flag=True, help="Leave films out that cannot be read, as `train --skip-bad` does.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def check(folders: tuple[str, ...], out: Path | None, as_json: bool, skip_bad: bool, quiet: bool) -> int:
    """Say what FOLDER... holds and how it is read: films, masks, patients, splits, and everything that is wrong.

    A FOLDER is a data set: images/ and masks/ of the same names; NAME.png beside NAME_mask.png; images/ and a folder of
    masks for each structure; train/, val/ and test/ with any of these in each, or train_images/, train_masks/, ...;
    films beside files of COCO, labelme, CVAT, V7 Darwin or DICOM SEG; Montgomery County's. Its layout is recognised, or
    named as LAYOUT=PATH: chest, pairs, structures, splits, flat, annotations, montgomery, whole-lung, visible-lung,
    brain-tumour or unlabelled. The exit code is 3 where training on it would be wrong. Needs `pip install '.[data]'`.
    """
    from edge_seg_data import Options, inspect_dataset
    from edge_seg_data.check import check_dataset
    from edge_seg_data.page import write_page
    from edge_seg_data.report import ERROR, DatasetReport, Problem
    from edge_seg_data.splits import equal_films_across, patients_across, splits_of

    options = Options(skip_bad=skip_bad, progress=(lambda what, done, total: None) if quiet else ProgressLine())
    checked, opened = [], []
    for folder in folders:
        try:
            dataset = inspect_dataset(folder, options=options)
            opened.append(dataset)
            # As in a run, a patient in several sets is in the same split in all of them.
            options = replace(options, known={**splits_of([dataset]), **options.known})
            checked.append(check_dataset(dataset, options))
        except InputError as error:
            # This folder cannot be read, but the others are still worth a report.
            checked.append(
                (DatasetReport(folder, "not recognised", problems=(Problem("layout", ERROR, str(error)),)), [])
            )
    across = [problem for problem in (equal_films_across(opened), patients_across(opened)) if problem is not None]
    if across:
        report, facts = checked[-1]
        checked[-1] = replace(report, problems=(*report.problems, *across)), facts
    if as_json:
        click.echo(json.dumps([report.to_json() for report, _ in checked], indent=2))
    else:
        for report, _ in checked:
            click.echo("\n".join(report.lines()))
    if out is not None:
        page = write_page(out, checked)
        if not as_json:
            click.echo(f"look at {page}")
    return InputError.exit_code if any(report.errors or not report.films for report, _ in checked) else 0
