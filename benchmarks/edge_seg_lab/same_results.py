"""Whether two checkouts give byte-identical results: masks, overlays, DICOM pixels, records, a tiny training run.

`python -m edge_seg_lab.same_results BEFORE AFTER --data FOLDER` runs both on the same films, real ones and phantoms,
with every product, then trains and quantises a tiny network with both. A redesign must change none of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pydicom
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError
from edge_seg.phantom import phantom, write_dicom

_ROOTS = ("edge", "train", "quantize", "benchmarks")
_REAL_SETS = ("adult/images", "adult-v7/images", "paediatric/images", "visible-lung/images")
_VOLATILE = frozenset({"recorded_at", "timings_ms", "edge_seg"})
"""Fields of a record that differ between any two runs."""

_TINY_RUN = "--network tiny --size 32 --batch-size 4 --epochs 2 --seed 7 -q".split()  # noqa: SIM905


@click.command(epilog="Example: python -m edge_seg_lab.same_results ../before . --data FOLDER")
@click.argument("before", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Real films, by set.")
@click.option("--films", type=click.IntRange(8), default=100, show_default=True, help="Films in all.")
@click.option("--training/--no-training", default=True, show_default=True, help="Also train and quantise.")
def main(before: Path, after: Path, data: Path | None, films: int, training: bool) -> int:
    """Print what differs between the results of two checkouts; exit code 1 if anything does."""
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        count = write_films(work / "films", films, data)
        outs = [run_checkout(checkout, work, f"out-{number}") for number, checkout in enumerate((before, after))]
        differences = [*compare_files(*outs), *compare_records(*outs)]
        click.echo(f"{count} films: {_counted(outs[1])}")
        if training:
            write_data_set(work / "set", 12)
            trained = [train_tiny(checkout, work, f"run-{n}") for n, checkout in enumerate((before, after))]
            click.echo(f"tiny run: {len(trained[1])} arrays and a flatbuffer")
            differences += [
                f"training: {name} differs" for name in trained[0] if trained[0][name] != trained[1].get(name)
            ]
    for line in differences:
        click.echo(line)
    click.echo(f"{len(differences)} differences")
    return 1 if differences else 0


def write_films(folder: Path, count: int, data: Path | None) -> int:
    """Lay out films: half of them real if there are any, the rest phantoms as PNG and DICOM.

    Returns:
        How many were written.
    """
    folder.mkdir(parents=True)
    real = _real_films(data, count // 2) if data is not None else []
    for path in real:
        shutil.copy(path, folder / f"{path.parents[1].name}-{path.name}")
    for seed in range(count - len(real)):
        made = phantom(300 + 40 * (seed % 5), 320 + 30 * (seed % 7), seed=seed)
        if seed % 2:
            write_dicom(made, folder / f"phantom-{seed:03d}.dcm", monochrome1=seed % 4 == 1)
        else:
            cv2.imwrite(str(folder / f"phantom-{seed:03d}.png"), made.film.pixels)
    return len(list(folder.iterdir()))


def _real_films(data: Path, count: int) -> list[Path]:
    sets = [sorted((data / name).glob("*.*")) for name in _REAL_SETS if (data / name).is_dir()]
    if not sets:
        raise InputError(f"{data}: holds none of {', '.join(_REAL_SETS)}: give the folder of the real films")
    share = -(-count // len(sets))
    return [found[i] for found in sets for i in np.linspace(0, len(found) - 1, min(share, len(found))).astype(int)][
        :count
    ]


def run_checkout(checkout: Path, work: Path, name: str) -> Path:
    """Results of a checkout's `edge-seg run` on the films, with every product."""
    _run(checkout, work, ["run", "films", "--out", name, "--save", "mask,overlay,record,dicom", "--threads", "1", "-q"])
    return work / name


def compare_files(before: Path, after: Path) -> Iterator[str]:
    """Pictures whose bytes differ, DICOM objects whose pixels differ, and files that either lacks."""
    names = {path.name for out in (before, after) for path in out.iterdir() if path.suffix in (".png", ".jpg", ".dcm")}
    for name in sorted(names):
        one, other = before / name, after / name
        if not (one.exists() and other.exists()):
            yield f"{name}: only {'before' if one.exists() else 'after'}"
        elif _content(one) != _content(other):
            yield f"{name}: differs"


def _content(path: Path) -> Any:
    """What must be the same: DICOM objects get new UIDs and times in each run, but the same pixels."""
    if path.suffix != ".dcm":
        return path.read_bytes()
    dataset = pydicom.dcmread(path)
    return dataset.Rows, dataset.Columns, dataset.PixelData


def compare_records(before: Path, after: Path) -> Iterator[str]:
    """Fields of records that changed or disappeared; new fields do not count."""
    known = _records(after)
    for source, record in _records(before).items():
        if source not in known:
            yield f"{source}: no record after"
        else:
            yield from (f"{source}: {place}" for place in _lost(record, known[source]))


def _records(out: Path) -> dict[str, dict[str, Any]]:
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    for record in records:
        # DICOM objects have new UIDs, hence another checksum, in each run.
        record["files"] = [file["name"] for file in record.get("files", [])]
    return {record["source"]: {key: record[key] for key in record if key not in _VOLATILE} for record in records}


def _lost(before: Any, after: Any, place: str = "record") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from _lost(value, after[key], f"{place}.{key}") if key in after else iter([f"{place}.{key} went"])
    elif before != after:
        yield f"{place}: {before!r} became {after!r}"


def write_data_set(folder: Path, films: int) -> None:
    """A data set of phantoms in the layout `chest`."""
    for seed in range(films):
        made = phantom(64, 64, seed=seed)
        for name, picture in {"images": made.film.pixels, **made.masks}.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = picture.astype(np.uint8) * 255 if picture.dtype == bool else picture
            cv2.imwrite(str(folder / name / f"film-{seed}.png"), pixels)


def train_tiny(checkout: Path, work: Path, run: str) -> dict[str, str]:
    """Checksums of the float weights and the quantised flatbuffer of a checkout's tiny run."""
    import h5py

    _run(checkout, work, ["train", "set", "--out", run, *_TINY_RUN])
    _run(checkout, work, ["quantize", run, "--out", f"{run}.tflite", "--epochs", "1", "--dice-budget", "1"])
    sums: dict[str, str] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sums[name] = hashlib.sha256(np.asarray(item).tobytes()).hexdigest()

    with h5py.File(work / run / "best.model.weights.h5") as file:
        file.visititems(note)
    shown = _run(checkout, work, ["inspect", f"{run}.tflite", "--json"])
    sums["flatbuffer"] = json.loads(shown)["manifest"]["flatbuffer_sha256"]
    return sums


def _run(checkout: Path, work: Path, words: list[str]) -> str:
    """Run a checkout's command line in the work folder; films that are rejected or fail are part of the comparison."""
    roots = os.pathsep.join(str(checkout.resolve() / root) for root in _ROOTS)
    environment = {**os.environ, "PYTHONPATH": roots}
    command = [sys.executable, "-m", "edge_seg.cli.main", *words]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, InputError.exit_code) or (done.returncode and words[0] != "run"):
        raise InputError(f"{checkout}: edge-seg {' '.join(words)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _counted(out: Path) -> str:
    kinds = {kind: len(list(out.glob(f"*.{kind}"))) for kind in ("png", "jpg", "dcm")}
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


if __name__ == "__main__":
    run_command(main)
