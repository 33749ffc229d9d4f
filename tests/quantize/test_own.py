"""A user's own Keras U-Net: quantised, or refused layer by layer with the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from edge_seg.errors import ModelError, UsageError

pytest.importorskip("tensorflow_model_optimization")

import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
import keras
from edge_seg.model_file import ModelFile
from edge_seg_quantize.command import quantize
from edge_seg_quantize.own import load_own
from keras import layers

pytestmark = [pytest.mark.training, pytest.mark.slow]

SIDE = 32


def unet(
    outputs: int = 1,
    activation: str | None = "sigmoid",
    *,
    before: Callable[[Any], Any] = lambda x: x,
    middle: Callable[[Any], Any] = lambda x: x,
    shape: tuple[int | None, int | None, int] = (SIDE, SIDE, 1),
) -> Any:
    """The tutorials' U-Net, with one level."""
    film = keras.Input(shape)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(before(film))
    skip = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", kernel_initializer="he_normal")(
        layers.MaxPooling2D()(skip)
    )
    x = layers.UpSampling2D(interpolation="bilinear")(layers.Dropout(0.1)(middle(x)))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([x, skip]))
    return keras.Model(film, layers.Conv2D(outputs, 1, activation=activation)(x))


def saved(model: Any, folder: Path) -> Path:
    model.save(folder / "my.keras")
    return folder / "my.keras"


@pytest.mark.parametrize(
    ("model", "output", "structures"),
    [
        (lambda: unet(), "sigmoid", 1),
        (lambda: unet(3, "softmax"), "softmax", 2),
        (lambda: unet(2, None), "sigmoid", 2),
        (lambda: unet(before=layers.Rescaling(1 / 255)), "sigmoid", 1),
        (lambda: keras.Model((u := unet(1, None)).inputs, layers.Activation("sigmoid")(u.outputs[0])), "sigmoid", 1),
        (lambda: keras.Model((u := unet(3, None)).inputs, layers.Softmax()(u.outputs[0])), "softmax", 2),
        (lambda: keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(1, 3, padding="same")]), "sigmoid", 1),
    ],
)
def test_a_functional_model_is_rebuilt_to_the_same_result(
    tmp_path: Path, model: Callable[[], Any], output: str, structures: int
) -> None:
    own = load_own(saved(model(), tmp_path))
    assert (own.output, own.structures) == (output, structures)


REFUSED = {
    "attention": (lambda: unet(middle=lambda x: layers.Multiply()([x, x])), r"\(Multiply\): no attention gate"),
    "transposed": (lambda: unet(middle=layers.Conv2DTranspose(8, 3, padding="same")), "UpSampling2D and then Conv2D"),
    "group norm": (lambda: unet(middle=layers.GroupNormalization(4)), r"\(GroupNormalization\): take BatchNorm"),
    "lone norm": (lambda: unet(middle=lambda x: layers.BatchNormalization()(layers.Add()([x, x]))), "right after a"),
    "activation": (lambda: unet(middle=layers.Activation("gelu")), "has the activation gelu: take relu"),
    "operation": (lambda: unet(middle=lambda x: x + 1.0), "is an operation"),
    "shared": (lambda: unet(middle=lambda x: (c := layers.Conv2D(8, 1))(c(x))), "called more than once"),
    "nested": (lambda: unet(middle=unet(8, None, shape=(16, 16, 8))), "without a model inside the model"),
    "offset": (lambda: unet(before=layers.Rescaling(1 / 127.5, -1)), r"\(Rescaling\): leave it out"),
    "scale of no weights": (
        lambda: unet(before=lambda x: layers.ZeroPadding2D(0)(layers.Rescaling(1 / 255)(x))),
        r"\(Rescaling\): leave it out",
    ),
    "open size": (lambda: unet(shape=(None, None, 1)), "fix height and width"),
    "channels": (lambda: unet(shape=(SIDE, SIDE, 2)), "1 or 3 channels"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_quantised_is_refused_with_the_fix(
    tmp_path: Path, model: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_own(saved(model(), tmp_path))
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    model = unet(middle=lambda x: layers.Multiply()([layers.Activation("gelu")(x), x]))
    with pytest.raises(ModelError, match="Multiply") as caught:
        load_own(saved(model, tmp_path))
    assert "gelu" in str(caught.value)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "my.keras"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_own(path)


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Films with a bright, outlined square."""
    folder = tmp_path / "squares"
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(20):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        y, x = rng.integers(2, 14, 2)
        mask[y : y + 16, x : x + 16] = 255
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), mask)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), (mask // 2 + rng.integers(0, 60, mask.shape)).astype(np.uint8))
    return folder


def grey(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert found is not None
    return found


@pytest.mark.usefixtures("uncompiled")
def test_a_model_of_ones_own_becomes_int8(tmp_path: Path, squares: Path) -> None:
    keras.utils.set_random_seed(0)
    model = unet()
    films = [grey(squares / "images" / f"{i}.png")[..., None] / 255 for i in range(20)]
    masks = [grey(squares / "masks" / f"{i}.png")[..., None] // 255 for i in range(20)]
    model.compile("adam", "binary_crossentropy")
    model.fit(np.stack(films), np.stack(masks), epochs=25, batch_size=4, verbose=0)
    path, out = saved(model, tmp_path), tmp_path / "mine.tflite"
    words = [str(path), "--data", str(squares), "--out", str(out), "--epochs", "1", "--films-per-epoch", "32"]
    done = CliRunner().invoke(quantize, [*words, "--dice-budget", "0.1", "-q"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    manifest = ModelFile.read(out).manifest
    assert manifest.checks["violations"] == []
    assert manifest.checks["dice_qat"] > 0.8
    assert [one.name for one in manifest.structures] == ["object"]
    assert manifest.network == {"family": "own", "height": SIDE, "width": SIDE, "channels": 1, "outputs": 1}
    kinds = ("dynamic", "float16", "float32", "ptq")
    written = {*(f"mine.{kind}.tflite" for kind in kinds), "mine.tflite", "mine.run"}
    assert {file.name for file in tmp_path.glob("mine*")} == written


def test_structures_that_are_not_told_are_asked_for(tmp_path: Path, squares: Path) -> None:
    path = saved(unet(2), tmp_path)
    with pytest.raises(UsageError, match="outlines 2 structures: name them in the order of its channels"):
        quantize.main([str(path), "--data", str(squares), "--out", str(tmp_path / "m.tflite")], standalone_mode=False)
    with pytest.raises(UsageError, match="give films"):
        quantize.main([str(path), "--out", str(tmp_path / "m.tflite")], standalone_mode=False)
