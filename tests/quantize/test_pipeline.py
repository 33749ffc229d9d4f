"""From a float run to int8: purity, budget, and what is written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow_model_optimization")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
from edge_seg import Segmenter, pixels
from edge_seg.errors import InputError, ModelError, OutputError
from edge_seg.inspection import inspect_model, purity_violations
from edge_seg.model_file import ModelFile
from edge_seg.phantom import phantom
from edge_seg_data import open_dataset
from edge_seg_quantize import convert, qat
from edge_seg_quantize.acceptance import AcceptanceReport
from edge_seg_quantize.command import quantize as quantize_command
from edge_seg_quantize.manifest import in_one_piece
from edge_seg_quantize.pipeline import export_float, quantize
from edge_seg_quantize.settings import QuantizeSettings
from edge_seg_train.command import train
from edge_seg_train.config import read_config
from edge_seg_train.losses import bce_loss
from edge_seg_train.packing import pack

pytestmark = [pytest.mark.training, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few epochs of a small network on phantoms laid out as the project's own chest sets."""
    folder = tmp_path_factory.mktemp("data") / "chests"
    for name in ("images", "right_lung", "left_lung", "cardiomediastinum", "heart"):
        (folder / name).mkdir(parents=True)
    for seed in range(24):
        made = phantom(160, 144, seed=seed)
        cv2.imwrite(str(folder / "images" / f"{seed}.png"), made.film.pixels)
        for name, mask in made.masks.items():
            cv2.imwrite(str(folder / name / f"{seed}.png"), mask.astype(np.uint8) * 255)
    rows = [f"{seed},{'val' if seed % 12 == 10 else 'test' if seed % 12 == 11 else 'train'}" for seed in range(24)]
    (folder / "index.csv").write_text("\n".join(["stem,split", *rows]) + "\n")
    out = tmp_path_factory.mktemp("runs") / "tiny"
    options = "--network lungs --size 64 --base 6 --epochs 5 --films-per-epoch 384 --batch-size 8 --no-augment -q"
    done = CliRunner().invoke(train, [str(folder), "--out", str(out), *options.split()], catch_exceptions=False)
    assert done.exit_code == 0
    return out


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "tiny.tflite"
    options = "--epochs 2 --films-per-epoch 96 --dice-budget 0.05 -q"
    done = CliRunner().invoke(quantize_command, [str(run), "--out", str(out), *options.split()], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out


def test_the_int8_model_is_int8_all_through_and_its_manifest_says_how_it_was_checked(model: Path) -> None:
    file = ModelFile.read(model)
    assert purity_violations(file.flatbuffer) == []
    assert file.manifest.quantisation == "int8-qat"
    assert file.manifest.checks["drop"] <= 0.05
    assert file.manifest.checks["differing_pixels"] < 0.02
    assert file.manifest.training["data"][0]["name"] == "chests"


def test_ranges_begin_with_what_the_float_models_activations_fill() -> None:
    import tf_keras
    from edge_seg_train.network import PRESETS, build

    config = replace(PRESETS["tiny"], base=4)
    model = build(tf_keras, config)
    aware = qat.quantization_aware(model)
    films = np.random.default_rng(0).random((16, config.height, config.width, 1), np.float32)
    qat.set_ranges(aware, model, films)
    activations = tf_keras.Model(model.inputs, model.get_layer("down0_b_relu").output)(films[:8]).numpy()
    low, high = (
        float(weight.numpy())
        for weight in aware.get_layer("quant_down0_b_relu").weights
        if weight.name.split(":")[0].endswith(("output_min", "output_max"))
    )
    assert low == 0
    assert high == pytest.approx(activations.max(), rel=0.3)


@pytest.mark.usefixtures("uncompiled")
def test_batch_statistics_of_the_float_run_can_be_kept_while_all_weights_learn() -> None:
    import tf_keras
    from edge_seg_train.network import PRESETS, build

    def moved(keep: bool) -> tuple[float, float]:
        aware = qat.quantization_aware(build(tf_keras, PRESETS["tiny"]))
        if keep:
            qat.keep_batch_statistics(aware)
        norms = [layer.layer for layer in aware.layers if layer.name.endswith("_norm")]
        kernel = next(w for w in aware.get_layer("quant_bottom_a").weights if w.name.endswith("kernel:0"))
        statistics, before = [norm.moving_variance.numpy() for norm in norms], kernel.numpy()
        aware.compile("sgd", loss=bce_loss)
        rng = np.random.default_rng(0)
        shape = (4, *aware.input_shape[1:])
        aware.fit(rng.random(shape), (rng.random((*shape[:3], 3)) > 0.5).astype(np.uint8), verbose=0)
        assert norms
        change = [np.abs(n.moving_variance.numpy() - s).max() for n, s in zip(norms, statistics, strict=True)]
        return max(change), float(np.abs(kernel.numpy() - before).max())

    kept, learned = moved(keep=True)
    assert kept == 0
    assert learned > 0
    assert moved(keep=False)[0] > 0.01


def test_smaller_pieces_are_dropped_only_where_outlines_are_in_one_piece() -> None:
    made = [phantom(96, 90, seed=seed).masks for seed in range(20)]
    right = np.stack([masks["right_lung"] for masks in made]).astype(np.uint8)
    both = np.stack([masks["right_lung"] | masks["left_lung"] for masks in made]).astype(np.uint8)
    assert in_one_piece(right[..., None])
    assert not in_one_piece(both[..., None])
    assert not in_one_piece(np.stack([right, both], axis=3))
    careless = right.copy()
    careless[0] = both[0]
    assert in_one_piece(careless[..., None])
    assert in_one_piece(np.full((3, 8, 8, 1), 127, np.uint8))


def test_the_trust_score_is_calibrated_and_tells_good_outlines_from_bad(model: Path) -> None:
    segmenter = Segmenter.load(model, gate=False)
    assert segmenter.manifest.trust is not None
    facts = segmenter.manifest.trust["facts"]
    assert facts["with_corruptions"] > facts["films"] > 0
    made = phantom(300, 280, seed=77)
    noise = np.random.default_rng(0).integers(0, 256, (300, 280), dtype=np.uint8)
    good, bad = segmenter(made.film), segmenter(noise)
    assert good.trust is not None
    assert bad.trust is not None
    assert 0 <= bad.trust < good.trust <= 1
    assert bad.quality.has("low-trust")
    assert any("estimated Dice" in warning for warning in bad.warnings)


def test_the_manifest_says_what_a_run_started_from_and_names_no_folder_of_this_machine(
    run: Path, tmp_path: Path
) -> None:
    # As `edge-seg train --from` leaves it, which is tested in `tests/train`.
    more = tmp_path / "more"
    shutil.copytree(run, more)
    raw = json.loads((more / "config.json").read_text())
    raw["config"] |= {"start": str(run), "epochs": 1, "distill": [str(run)]}
    (more / "config.json").write_text(json.dumps(raw))
    export_float(more, tmp_path / "more.tflite", QuantizeSettings("more"))
    manifest = ModelFile.read(tmp_path / "more.tflite").manifest
    assert manifest.training["settings"]["epochs"] == 1
    assert manifest.training["settings"]["distill"] == [run.name]
    assert manifest.training["started_from"]["run"] == run.name
    assert manifest.training["started_from"]["settings"]["epochs"] == read_config(run)[0].epochs
    assert str(tmp_path.parent) not in manifest.to_json()


def test_weights_of_a_shipped_model_are_no_run_that_lies_here_under_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "lungs")
    raw = json.loads((tmp_path / "lungs/config.json").read_text())
    raw["config"] |= {"start": "lungs"}
    (tmp_path / "lungs/config.json").write_text(json.dumps(raw))
    export_float(tmp_path / "lungs", tmp_path / "more.tflite", QuantizeSettings("more"))
    assert ModelFile.read(tmp_path / "more.tflite").manifest.training["started_from"] == {"run": "lungs"}


def test_float_and_post_training_models_stand_beside_it(model: Path) -> None:
    beside = {path.name: ModelFile.read(path) for path in model.parent.glob("tiny*.tflite")}
    assert {name: file.manifest.quantisation for name, file in beside.items()} == {
        "tiny.float32.tflite": "float32",
        "tiny.float16.tflite": "float16",
        "tiny.dynamic.tflite": "dynamic",
        "tiny.ptq.tflite": "int8-ptq",
        "tiny.tflite": "int8-qat",
    }
    for name in ("tiny.float32.tflite", "tiny.float16.tflite", "tiny.dynamic.tflite"):
        assert purity_violations(beside[name].flatbuffer)
    assert all(file.manifest.trust for file in beside.values())
    facts = [inspect_model(file) for file in beside.values()]
    assert len({one.macs for one in facts}) == len({one.parameters for one in facts}) == 1


def test_the_int8_input_is_the_grey_value_minus_128(model: Path) -> None:
    film = phantom(160, 144, seed=5).film
    tensor, _ = Segmenter.load(model).prepare(film)
    grey, _ = pixels.to_input(film, (64, 64))
    np.testing.assert_array_equal(tensor[0, :, :, 0].astype(int), grey.astype(int) - 128)


def test_one_film_gives_the_same_input_bytes_in_training_quantisation_and_on_the_device(model: Path, run: Path) -> None:
    dataset = open_dataset(json.loads((run / "config.json").read_text())["config"]["datasets"][0])
    film = dataset.films[3]
    packed = pack([[film]], dataset.structures, (64, 64))
    device, _ = pixels.to_input(film.load()[0], (64, 64))
    assert packed.grey[0].tobytes() == device.tobytes()
    tensor, _ = Segmenter.load(model).prepare(film.load()[0])
    assert (tensor[0, :, :, 0].astype(np.int16) + 128).astype(np.uint8).tobytes() == device.tobytes()


def test_it_finds_the_lungs_of_a_phantom_it_has_not_seen(model: Path) -> None:
    made = phantom(160, 144, seed=77)
    found = Segmenter.load(model)(made.film).masks["right_lung"]
    truth = made.masks["right_lung"]
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_over_the_budget_every_form_is_kept_and_another_budget_is_answered_without_training(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "over.tflite"
    settings = QuantizeSettings("over", epochs=1, films_per_epoch=8, dice_budget=-1.0, quiet=True)
    with pytest.raises(ModelError, match=r"budget.*over\.refused\.tflite"):
        quantize(run, out, settings, lambda text: None)
    kinds = ("float32", "float16", "dynamic", "ptq", "refused")
    assert {path.name for path in tmp_path.iterdir()} == {f"over.{kind}.tflite" for kind in kinds}
    refused = ModelFile.read(tmp_path / "over.refused.tflite")
    assert refused.manifest.checks["dice_qat"] > 0

    def trained(*words: object) -> None:
        raise AssertionError("nothing is trained again")

    monkeypatch.setattr(qat, "fine_tune", trained)
    with pytest.raises(ModelError, match="budget"):
        quantize(run, out, replace(settings, dice_budget=-0.5), lambda text: None)
    report = quantize(run, out, replace(settings, dice_budget=1.0), lambda text: None)
    assert report.budget == ModelFile.read(out).manifest.checks["budget"] == 1.0
    assert ModelFile.read(out).flatbuffer == refused.flatbuffer
    assert not (tmp_path / "over.refused.tflite").exists()


def test_what_can_be_known_is_said_before_fine_tuning(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*words: object) -> None:
        raise AssertionError("known before training")

    monkeypatch.setattr(qat, "fine_tune", trained)
    settings = QuantizeSettings("early", epochs=1, films_per_epoch=8, quiet=True)
    with pytest.raises(OutputError, match="cannot be written"):
        quantize(run, tmp_path / "absent" / "early.tflite", settings, lambda text: None)
    with pytest.raises(ModelError, match="name makes no sense"):
        quantize(run, tmp_path / "early.tflite", replace(settings, name=" "), lambda text: None)
    others = tmp_path / "others"
    others.mkdir()
    with pytest.raises(InputError, match="no films in this folder"):
        quantize(run, tmp_path / "early.tflite", replace(settings, negatives=(others,)), lambda text: None)
    monkeypatch.setattr("edge_seg_quantize.pipeline._validation_films", lambda datasets, limit: [])
    with pytest.raises(InputError, match="no validation films"):
        quantize(run, tmp_path / "early.tflite", settings, lambda text: None)
    assert list(tmp_path.iterdir()) == [others]


def test_a_float_tensor_stops_a_model() -> None:
    report = AcceptanceReport(1, 0.9, 0.9, 0.9, 0.002, 0.0, 1, ("2 float tensors (first: x)",))
    with pytest.raises(ModelError, match="not int8 all through"):
        report.check()


def test_the_seed_network_converts() -> None:
    import tf_keras
    from edge_seg_train.network import PRESETS, build

    small = replace(PRESETS["seed"], height=64, width=64)
    assert build(tf_keras, small).count_params() == 31_055_297
    # The same layers with fewer channels: a converter's work grows with the weights.
    model = build(tf_keras, replace(small, base=8))
    films = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    # Less than all weights: batch statistics are folded into the convolutions.
    assert len(convert.to_float32(model)) > 3.9 * model.count_params()
    assert purity_violations(convert.to_int8_after_training(model, films)) == []
