"""Outlines of annotation programs, written as the programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom
from edge_seg_data import inspect_dataset, open_dataset
from edge_seg_data.scores import dice

COUNT = 5
NAMES = ("right_lung", "left_lung")
_MADE = [phantom(120, 100, seed=seed) for seed in range(COUNT)]


def polygon(mask: np.ndarray) -> np.ndarray:
    """The outline of a mask through the corners of its pixels."""
    large = cv2.resize(mask.astype(np.uint8), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    lines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return (max(lines, key=cv2.contourArea)[:, 0].astype(float) + 0.5) / 4


def films(folder: Path, names: str = "images/f{}.png") -> list[str]:
    for i, made in enumerate(_MADE):
        path = folder / names.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), made.film.pixels)
    return [names.format(i) for i in range(COUNT)]


def coco(folder: Path, packed: bool = False) -> None:
    from pycocotools import mask as tools

    raw: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    raw["categories"] = [{"id": 7 + k, "name": name.replace("_", " ")} for k, name in enumerate(NAMES)]
    for i, film in enumerate(films(folder)):
        raw["images"].append({"id": 100 + i, "file_name": Path(film).name, "height": 120, "width": 100})
        for k, name in enumerate(NAMES):
            mask = _MADE[i].masks[name]
            outline: Any = [polygon(mask).ravel().tolist()]
            if packed:
                outline = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
                outline["counts"] = outline["counts"].decode()
            raw["annotations"].append(
                {"id": 10 * i + k, "image_id": 100 + i, "category_id": 7 + k, "segmentation": outline}
            )
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(json.dumps(raw))


def coco_runs(folder: Path) -> None:
    coco(folder, packed=True)


def labelme(folder: Path) -> None:
    for i, film in enumerate(films(folder, "f{}.png")):
        shapes = [
            {"label": name, "points": polygon(_MADE[i].masks[name]).tolist(), "shape_type": "polygon"} for name in NAMES
        ]
        raw = {"imagePath": film, "imageHeight": 120, "imageWidth": 100, "shapes": shapes}
        (folder / f"f{i}.json").write_text(json.dumps(raw))


def cvat(folder: Path) -> None:
    images = []
    for i, film in enumerate(films(folder)):
        right = ";".join(f"{x:.2f},{y:.2f}" for x, y in polygon(_MADE[i].masks["right_lung"]))
        mask = _MADE[i].masks["left_lung"]
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        inside = mask[y : y + height, x : x + width].ravel().astype(int)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]])))
        runs = ", ".join(map(str, np.diff(np.concatenate([[0], edges, [inside.size]]))))
        images.append(
            f'<image id="{i}" name="{film}" width="100" height="120"><polygon label="right_lung" points="{right}"/>'
            f'<mask label="left_lung" left="{x}" top="{y}" width="{width}" height="{height}" rle="{runs}"/></image>'
        )
    (folder / "annotations.xml").write_text(f"<annotations><version>1.1</version>{''.join(images)}</annotations>")


def darwin(folder: Path) -> None:
    for i, film in enumerate(films(folder)):
        annotations = []
        for name in NAMES:
            paths = [[{"x": x, "y": y} for x, y in polygon(_MADE[i].masks[name])]]
            annotations.append({"name": name, "polygon": {"paths": paths}})
        raw = {"item": {"name": Path(film).name, "slots": [{"width": 100, "height": 120}]}, "annotations": annotations}
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"f{i}.json").write_text(json.dumps(raw))


def nifti(folder: Path) -> None:
    import nibabel

    films(folder)
    for name in NAMES:
        (folder / name).mkdir()
        for i, made in enumerate(_MADE):
            image = nibabel.Nifti1Image(made.masks[name].T.astype(np.uint8)[..., None], np.diag([-1.0, -1.0, 1.0, 1.0]))
            nibabel.save(image, folder / name / f"f{i}.nii.gz")


def dicom_seg(folder: Path) -> None:
    import highdicom
    import pydicom
    from pydicom.sr.codedict import codes

    for i, made in enumerate(_MADE):
        path = folder / "images" / f"f{i}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dicom(made, path)
        source = pydicom.dcmread(path)
        for keyword in (
            "PatientBirthDate",
            "PatientSex",
            "AccessionNumber",
            "StudyID",
            "StudyDate",
            "StudyTime",
            "ReferringPhysicianName",
        ):
            if keyword not in source:
                setattr(source, keyword, "")
        described = [
            highdicom.seg.SegmentDescription(
                number,
                name,
                codes.SCT.Organ,
                codes.SCT.Lung,
                highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for number, name in enumerate(NAMES, 1)
        ]
        seg = highdicom.seg.Segmentation(
            [source],
            np.stack([made.masks[name] for name in NAMES], axis=-1)[None],
            highdicom.seg.SegmentationTypeValues.BINARY,
            described,
            highdicom.UID(),
            1,
            highdicom.UID(),
            1,
            "maker",
            "model",
            "1",
            "0",
            pixel_measures=highdicom.PixelMeasuresSequence([0.4, 0.4], 1.0),
        )
        (folder / "seg").mkdir(exist_ok=True)
        seg.save_as(folder / "seg" / f"outline-{i}.dcm")


@pytest.mark.parametrize("write", [coco, coco_runs, labelme, cvat, darwin, nifti, dicom_seg])
def test_outlines_lie_where_they_were_drawn(tmp_path: Path, write: Callable[[Path], None]) -> None:
    pytest.importorskip("highdicom" if write is dicom_seg else "nibabel" if write is nifti else "pycocotools")
    write(tmp_path)
    dataset = open_dataset(tmp_path)
    assert set(dataset.structures) == set(NAMES)
    assert len(dataset.films) == COUNT
    for film in dataset.films:
        _, outlines = film.load()
        made = _MADE[int(film.name[1:])]
        for name in NAMES:
            assert dice(made.masks[name], outlines[name] == 1) > 0.985


def test_a_hole_in_a_darwin_polygon_stays_empty(tmp_path: Path) -> None:
    films(tmp_path)
    outer, inner = ([[10, 10], [60, 10], [60, 60], [10, 60]], [[20, 20], [40, 20], [40, 40], [20, 40]])
    paths = [[{"x": x, "y": y} for x, y in path] for path in (outer, inner)]
    raw = {"item": {"name": "f0.png"}, "annotations": [{"name": "lung", "polygon": {"paths": paths}}]}
    (tmp_path / "f0.json").write_text(json.dumps(raw))
    _, outlines = inspect_dataset(tmp_path).films[0].load()
    assert int(outlines["lung"].sum()) == 50 * 50 - 20 * 20


def test_outlines_drawn_at_another_size_are_refused(tmp_path: Path) -> None:
    labelme(tmp_path)
    raw = json.loads((tmp_path / "f2.json").read_text())
    (tmp_path / "f2.json").write_text(json.dumps({**raw, "imageHeight": 240, "imageWidth": 200}))
    film = next(film for film in open_dataset(tmp_path).films if film.name == "f2")
    with pytest.raises(InputError, match=r"f2\.json: f2\.png was outlined at 200 x 240 pixels and has 100 x 120"):
        film.load()


def test_boxes_without_an_outline_are_told(tmp_path: Path) -> None:
    coco(tmp_path)
    path = tmp_path / "annotations" / "instances.json"
    raw = json.loads(path.read_text())
    raw["annotations"].append({"id": 999, "image_id": 100, "category_id": 7, "bbox": [1, 2, 3, 4], "segmentation": []})
    path.write_text(json.dumps(raw))
    report = open_dataset(tmp_path).report
    assert report is not None
    assert any("1 boxes without an outline" in problem.text for problem in report.problems)


def test_damaged_annotations_are_refused_by_name(tmp_path: Path) -> None:
    coco(tmp_path)
    path = tmp_path / "annotations" / "instances.json"
    raw = json.loads(path.read_text())
    raw["annotations"][0]["category_id"] = 99
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"instances\.json: the annotations cannot be read .*export them again"):
        open_dataset(tmp_path)
