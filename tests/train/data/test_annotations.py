"""Outlines from annotation programs, as the programs write them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg.errors import InputError
from edge_seg.phantom import phantom
from edge_seg.phantom.dicom import write_dicom
from edge_seg_data import Options, inspect_dataset, open_dataset
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


def labelme_masks(folder: Path) -> None:
    """As labelme writes its AI outlines: a PNG of the part within two corners."""
    for i, film in enumerate(films(folder, "f{}.png")):
        shapes = []
        for name in NAMES:
            rows, columns = np.nonzero(_MADE[i].masks[name])
            top, left, bottom, right = (int(v) for v in (rows.min(), columns.min(), rows.max(), columns.max()))
            part = _MADE[i].masks[name][top : bottom + 1, left : right + 1].astype(np.uint8)
            packed = base64.b64encode(cv2.imencode(".png", part)[1].tobytes()).decode()
            shapes.append(
                {"label": name, "points": [[left, top], [right, bottom]], "shape_type": "mask", "mask": packed}
            )
        # The film was renamed after it was outlined.
        raw = {"shapes": shapes, "imagePath": f"..\\old\\x{i}.png", "imageHeight": 120, "imageWidth": 100}
        (folder / film).with_suffix(".json").write_text(json.dumps(raw))


def darwin_raster(folder: Path) -> None:
    """As V7 Darwin writes painted masks: runs of values over the whole film."""
    for i, film in enumerate(films(folder, "f{}.png")):
        values = np.sum([(k + 1) * _MADE[i].masks[name] for k, name in enumerate(NAMES)], axis=0).ravel()
        starts = np.flatnonzero(np.diff(values, prepend=-1))
        runs = np.stack([values[starts], np.diff([*starts, values.size])], axis=1).ravel().tolist()
        layer = {"dense_rle": runs, "mask_annotation_ids_mapping": {name: k for k, name in enumerate(NAMES, 1)}}
        raw = {
            "item": {"name": film, "slots": [{"height": 120, "width": 100}]},
            "annotations": [
                *({"id": name, "name": name, "mask": {}} for name in NAMES),
                {"id": "layer", "name": "__raster_layer__", "raster_layer": layer},
            ],
        }
        (folder / film).with_suffix(".json").write_text(json.dumps(raw))


def coco_two_files(folder: Path) -> None:
    """A file for each structure."""
    coco(folder)
    path = folder / "annotations" / "instances.json"
    raw = json.loads(path.read_text())
    for category in raw["categories"]:
        own = [one for one in raw["annotations"] if one["category_id"] == category["id"]]
        path.with_name(f"{category['name']}.json").write_text(json.dumps({**raw, "annotations": own}))
    path.unlink()


WRITERS = [coco, coco_runs, coco_two_files, labelme, labelme_masks, cvat, darwin, darwin_raster, nifti, dicom_seg]


@pytest.mark.parametrize("write", WRITERS)
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
    with pytest.raises(InputError, match=r"f2\.json: f2\.png was outlined at 200 x 240 pixels and has 100 x 120"):
        open_dataset(tmp_path)
    assert "f2" not in {film.name for film in open_dataset(tmp_path, options=Options(skip_bad=True)).films}


def test_annotations_of_no_image_are_told(tmp_path: Path) -> None:
    coco(tmp_path)
    path = tmp_path / "annotations" / "instances.json"
    raw = json.loads(path.read_text())
    raw["annotations"][0]["image_id"] = str(raw["annotations"][0]["image_id"])
    path.write_text(json.dumps(raw))
    report = open_dataset(tmp_path).report
    assert report is not None
    assert [one.text[:22] for one in report.problems if one.kind == "annotations"] == ["annotations of 1 image"]


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
    with pytest.raises(InputError, match=r"instances\.json: 99 is nowhere in the file: export"):
        open_dataset(tmp_path)


def cvat_shape(folder: Path, shape: str) -> Path:
    films(folder, "f{}.png")
    image = f'<image id="0" name="f0.png" width="100" height="120">{shape}</image>'
    (folder / "annotations.xml").write_text(f"<annotations>{image}</annotations>")
    return folder


@pytest.mark.parametrize(
    "shape",
    [
        '<box label="b" xtl="20" ytl="50" xbr="80" ybr="60" rotation="90"/>',
        '<ellipse label="b" cx="50" cy="55" rx="30" ry="5" rotation="90"/>',
    ],
)
def test_a_turned_shape_is_turned(tmp_path: Path, shape: str) -> None:
    _, outlines = inspect_dataset(cvat_shape(tmp_path, shape)).films[0].load()
    rows, columns = np.nonzero(outlines["b"])
    assert (np.ptp(rows), np.ptp(columns)) == pytest.approx((60, 10), abs=2)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            '<image id="0" name="f0.png" width="100" height="120"><polyline label="b" points="1,1;9,9"/></image>',
            "outline",
        ),
        (
            '<image id="0" name="g0.png" width="9" height="9"><box label="b" xtl="1" ytl="1" xbr="8" ybr="9"/></image>',
            "g0",
        ),
        ('<track id="0" label="b"><box frame="0" xtl="1" ytl="1" xbr="8" ybr="9"/></track>', "CVAT for images"),
        (
            '<image id="0" name="f0.png" width="100" height="120"><box label="B" xtl="1" ytl="1" xbr="8" ybr="9"/>'
            '<box label="b" xtl="1" ytl="1" xbr="8" ybr="9"/></image>',
            "B and b differ in case alone",
        ),
    ],
)
def test_annotations_that_outline_nothing_here_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    films(tmp_path, "f{}.png")
    (tmp_path / "annotations.xml").write_text(f"<annotations>{content}</annotations>")
    with pytest.raises(InputError, match=complaint):
        inspect_dataset(tmp_path)


def test_labels_for_background_and_for_what_is_ignored_are_no_structures(tmp_path: Path) -> None:
    square = [[10, 10], [30, 10], [30, 30], [10, 30]]
    films(tmp_path, "f{}.png")
    shapes = [{"label": label, "points": square} for label in ("_background_", "__ignore__")]
    shapes.append({"label": "lung", "points": [[x + 50, y] for x, y in square]})
    raw = {"shapes": shapes, "imagePath": "f0.png", "imageHeight": 120, "imageWidth": 100}
    (tmp_path / "f0.json").write_text(json.dumps(raw))
    dataset = inspect_dataset(tmp_path)
    _, outlines = dataset.films[0].load()
    assert dataset.structures == ("lung",)
    assert [int((outlines["lung"] == value).sum()) for value in (1, 127)] == [400, 400]


@pytest.mark.parametrize("turned", [False, True])
def test_a_nifti_mask_lies_as_its_affine_says(tmp_path: Path, turned: bool) -> None:
    nibabel = pytest.importorskip("nibabel")
    films(tmp_path)
    mask = _MADE[0].masks["right_lung"].T.astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    mask, affine = (mask, affine[:, [1, 0, 2, 3]]) if turned else (mask[:, ::-1], np.diag([-1.0, 1.0, 1.0, 1.0]))
    (tmp_path / "masks").mkdir()
    nibabel.save(nibabel.Nifti1Image(mask.T if turned else mask, affine), tmp_path / "masks" / "f0.nii.gz")
    _, outlines = inspect_dataset(tmp_path).films[0].load()
    assert (outlines["object"] == _MADE[0].masks["right_lung"]).all()


def test_files_of_other_programs_and_damaged_ones_are_named(tmp_path: Path) -> None:
    coco(tmp_path)
    path = tmp_path / "annotations" / "instances.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"no layout fits.*instances\.json is damaged"):
        open_dataset(tmp_path)
    path.write_text('{"f0.png1234": {"filename": "f0.png", "regions": []}}')
    with pytest.raises(InputError, match=r"no layout fits.*instances\.json is not of COCO"):
        open_dataset(tmp_path)


def test_a_damaged_file_among_others_is_named(tmp_path: Path) -> None:
    labelme(tmp_path)
    path = tmp_path / "f2.json"
    path.write_text(path.read_text()[:80])
    report = open_dataset(tmp_path).report
    assert report is not None
    assert [one.files for one in report.problems if one.kind == "damaged-annotations"] == [(str(path),)]


@pytest.mark.parametrize(
    "outline",
    [
        {"size": [120, 100], "counts": [5, 10]},
        {"size": [120, 100], "counts": "zz!!"},
        [[1, 1, 1e9, 1, 5, 50]],
    ],
    ids=["short", "rubbish", "far"],
)
def test_an_outline_that_cannot_be_drawn_is_refused(tmp_path: Path, outline: object) -> None:
    coco(tmp_path)
    path = tmp_path / "annotations" / "instances.json"
    raw = json.loads(path.read_text())
    for one in raw["annotations"]:
        one["segmentation"] = outline
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"instances\.json: an outline of .* cannot be drawn"):
        open_dataset(tmp_path).films[0].load()


@pytest.mark.parametrize("write", [coco, cvat])
def test_films_that_nobody_outlined_yet_are_told(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    if write is coco:
        path = tmp_path / "annotations" / "instances.json"
        raw = json.loads(path.read_text())
        raw["annotations"] = [one for one in raw["annotations"] if one["image_id"] != 103]
        path.write_text(json.dumps(raw))
    else:
        path = tmp_path / "annotations.xml"
        path.write_text(re.sub(r'(<image id="3"[^>]*>).*?</image>', r"\1</image>", path.read_text()))
    dataset = open_dataset(tmp_path)
    assert dataset.report is not None
    (told,) = (one for one in dataset.report.problems if one.kind == "nothing-drawn")
    assert (told.severity, told.files) == ("warning", (str(tmp_path / "images" / "f3.png"),))
    assert told.text.startswith("1 film listed without an outline")


def test_a_film_named_like_a_split_is_not_put_into_it(tmp_path: Path) -> None:
    labelme(tmp_path)
    before = {film.patient: film.split for film in open_dataset(tmp_path).films}
    trained = next(film for film in open_dataset(tmp_path).films if film.split == "train")
    old = Path(trained.source)
    raw = json.loads(old.with_suffix(".json").read_text())
    old.with_suffix(".json").unlink()
    new = old.rename(tmp_path / "Val_Lopez.png")
    new.with_suffix(".json").write_text(json.dumps({**raw, "imagePath": new.name}))
    assert {film.patient: film.split for film in open_dataset(tmp_path).films} == before


def test_a_file_of_many_films_may_be_named_after_their_split(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "annotations" / "instances.json").rename(tmp_path / "annotations" / "instances_val2017.json")
    assert {film.split for film in open_dataset(tmp_path).films} == {"val"}
