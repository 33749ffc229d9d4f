"""The commonest public sets in their original layout: checked, trained on, quantised and run, one command each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.cli.main import main
from edge_seg.phantom import phantom

pytest.importorskip("tensorflow_model_optimization")
pytest.importorskip("pycocotools")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)

pytestmark = [pytest.mark.training, pytest.mark.slow]

FILMS = 12
SIDE = 64

Masks = dict[str, np.ndarray]


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def chest_xray_masks_and_labels(folder: Path, number: int, film: np.ndarray, masks: Masks) -> None:
    """Kaggle: masks of the Shenzhen films have `_mask` in their names, those of the Montgomery films do not."""
    montgomery = number % 2
    name = f"MCUCXR_{number:04d}_0" if montgomery else f"CHNCXR_{number:04d}_0"
    save(folder / "Lung Segmentation" / "CXR_png" / f"{name}.png", film)
    mask = masks["right_lung"] | masks["left_lung"]
    save(folder / "Lung Segmentation" / "masks" / f"{name}{'' if montgomery else '_mask'}.png", mask)


def montgomery(folder: Path, number: int, film: np.ndarray, masks: Masks) -> None:
    """The set of Montgomery County, as the National Library of Medicine ships it."""
    name = f"MCUCXR_{number:04d}_{number % 2}"
    root = folder / "MontgomerySet"
    save(root / "CXR_png" / f"{name}.png", film)
    save(root / "ManualMask" / "leftMask" / f"{name}.png", masks["left_lung"])
    save(root / "ManualMask" / "rightMask" / f"{name}.png", masks["right_lung"])
    note = root / "ClinicalReadings" / f"{name}.txt"
    note.parent.mkdir(exist_ok=True)
    note.write_text("Patient's Sex: F\nPatient's Age: 027Y\nnormal\n")


def coco(folder: Path, number: int, film: np.ndarray, masks: Masks) -> None:
    """One file of annotations with polygons, as most annotation programs export it."""
    path = folder / "annotations" / "instances_default.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = json.loads(path.read_text()) if path.exists() else {"images": [], "annotations": []}
    told["categories"] = [{"id": 1, "name": "right_lung"}, {"id": 2, "name": "left_lung"}]
    height, width = film.shape
    told["images"].append({"id": number + 1, "file_name": f"{number}.png", "height": height, "width": width})
    for category, name in enumerate(("right_lung", "left_lung"), 1):
        lines, _ = cv2.findContours(masks[name], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = max(lines, key=cv2.contourArea)
        told["annotations"].append(
            {
                "id": len(told["annotations"]) + 1,
                "image_id": number + 1,
                "category_id": category,
                "segmentation": [outline.ravel().tolist()],
                "area": cv2.contourArea(outline),
                "bbox": list(cv2.boundingRect(outline)),
                "iscrowd": 0,
            }
        )
    path.write_text(json.dumps(told))
    save(folder / "images" / f"{number}.png", film)


def one_file_a_structure(folder: Path, number: int, film: np.ndarray, masks: Masks) -> None:
    """A folder of films, and for each film a mask file per structure."""
    save(folder / "images" / f"case{number}.png", film)
    for name in ("right_lung", "left_lung", "heart"):
        save(folder / "masks" / f"case{number}_{name}.png", masks[name])


LAYOUTS = {
    chest_xray_masks_and_labels: ["object"],
    montgomery: ["left_lung", "right_lung"],
    coco: ["left_lung", "right_lung"],
    one_file_a_structure: ["heart", "left_lung", "right_lung"],
}


def edge_seg(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("write", "structures"), LAYOUTS.items(), ids=[write.__name__ for write in LAYOUTS])
def test_from_a_public_layout_to_outlines(
    write: Callable[[Path, int, np.ndarray, Masks], None], structures: list[str], tmp_path: Path
) -> None:
    films = tmp_path / "films"
    for number in range(FILMS):
        made = phantom(SIDE, SIDE - 4, seed=number)
        write(films, number, made.film.pixels, {name: mask * np.uint8(255) for name, mask in made.masks.items()})
    run, model, results = tmp_path / "run", tmp_path / "mine.tflite", tmp_path / "results"
    steps = "--network tiny --depth 1 --size 32 --epochs 1 --films-per-epoch 16 --batch-size 8 -q".split()  # noqa: SIM905
    assert edge_seg("train", films, "--out", run, *steps) == 0
    # Dice means nothing after a few steps: what matters here is that every step is one command.
    budget = ["--dice-budget", 1, "--epochs", 1, "--films-per-epoch", 8, "-q"]
    assert edge_seg("quantize", run, "--out", model, *budget) == 0
    film = next(path for path in films.rglob("*.png") if "ask" not in str(path.relative_to(films)))
    assert edge_seg("run", film, "--model", model, "--out", results, "--no-gate") == 0
    written = [path.name.split(".")[1] for path in results.glob("*.png") if "overlay" not in path.name]
    assert sorted(written) == structures
