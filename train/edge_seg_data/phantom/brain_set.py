"""A set of synthetic brain slices in the file format of figshare 1512427, to try training without downloading it.

`python -m edge_seg_data.phantom.brain_set OUT --films 300 --patients 60` writes `1.mat`, `2.mat`, ...
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from edge_seg.errors import EdgeSegError, OutputError, UsageError
from edge_seg.install import install_command

from edge_seg_data.phantom.brain import BrainSlice, brain_slice

_USERBLOCK = 512  # bytes before the HDF5 superblock in a MATLAB 7.3 file
_HIGHEST = 0.8  # level of a tumour's outermost slices, in units of its radius


def write_brain_set(folder: Path, films: int, patients: int, seed: int = 0) -> None:
    """Write slices divided evenly among the patients, in order through each tumour.

    Args:
        folder: created if absent; files of the same names are replaced.
        films: number of files, `1.mat` to `{films}.mat`.
        patients: number of patients, at most one per film.
        seed: the same seed gives the same files.

    Raises:
        UsageError: more patients than films, or h5py is not installed.
        OutputError: a file cannot be written.
    """
    if not 1 <= patients <= films:
        raise UsageError(f"{films} films of {patients} patients: give every patient a film at least")
    number = 0
    for patient, count in enumerate(len(part) for part in np.array_split(np.arange(films), patients)):
        for level in np.linspace(-_HIGHEST, _HIGHEST, count) if count > 1 else (0.0,):
            number += 1
            made = brain_slice(patient, float(level), seed=seed)
            write_brain_slice(folder / f"{number}.mat", made, f"{100_000 + patient}")


def write_brain_slice(path: Path, made: BrainSlice, patient: str) -> None:
    """Write one slice as a MATLAB 7.3 struct `cjdata`: `image`, `label`, `PID`, `tumorMask`, `tumorBorder`.

    MATLAB is column-major, so HDF5 holds every array transposed; text is UTF-16 codes.

    Raises:
        UsageError: h5py is not installed.
        OutputError: the file cannot be written.
    """
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f"MATLAB files need h5py: {install_command('data')}") from error
    fields = {
        "PID": (np.array([[ord(letter)] for letter in patient], np.uint16), "char"),
        "image": (made.image.T, "int16"),
        "label": (np.array([[float(made.kind)]]), "double"),
        "tumorBorder": (made.border.reshape(1, -1), "double"),
        "tumorMask": (made.mask.T.astype(np.uint8), "logical"),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No timestamps in the file, so that the same seed gives the same bytes.
        with h5py.File(path, "w", userblock_size=_USERBLOCK) as file:
            struct = file.create_group("cjdata")
            struct.attrs["MATLAB_class"] = np.bytes_("struct")
            for name, (values, kind) in fields.items():
                packing = {"compression": "gzip", "compression_opts": 3} if values.size > 10_000 else {}
                struct.create_dataset(name, data=values, track_times=False, **packing)
                struct[name].attrs["MATLAB_class"] = np.bytes_(kind)
                if kind in ("char", "logical"):
                    struct[name].attrs["MATLAB_int_decode"] = np.int32(values.dtype.itemsize)
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, synthetic".ljust(124) + b"\0\x02IM")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}): choose another folder") from error


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--films", default=300, show_default=True, type=click.IntRange(1), help="Number of slices.")
@click.option("--patients", default=60, show_default=True, type=click.IntRange(1), help="Patients they are of.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same gives the same files.")
def main(out: Path, films: int, patients: int, seed: int) -> None:
    """Write a synthetic brain-tumour set to OUT, in the files of figshare 1512427."""
    try:
        write_brain_set(out, films, patients, seed)
    except EdgeSegError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
