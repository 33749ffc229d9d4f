"""`edge-seg train` as a person calls it: what it writes, what it refuses, how it resumes."""

from __future__ import annotations

import base64
import csv
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

keras = pytest.importorskip("keras")

from edge_seg.errors import UsageError
from edge_seg.phantom import phantom
from edge_seg_data import Dataset, LabelledFilm
from edge_seg_train.command import _shares, train
from edge_seg_train.config import read_config
from edge_seg_train.network import build
from edge_seg_train.pictures import HEADER_HEIGHT

pytestmark = pytest.mark.training

TINY = "--network tiny --depth 1 --size 32 --batch-size 4 --learning-rate 0.005 -q".split()  # noqa: SIM905

Command = Callable[..., tuple[int, str]]


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def layouts() -> Any:
    """The functions of the readers' tests that write files in the data sets' exact layouts."""
    path = Path(__file__).parents[1] / "data" / "test_datasets.py"
    spec = importlib.util.spec_from_file_location("laid_out_sets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["montgomery", "pairs", "tumours"])
@pytest.mark.usefixtures("uncompiled")
def test_a_tiny_run_on_each_published_layout(layout: str, tmp_path: Path, edge_seg: Command) -> None:
    folder = getattr(layouts(), layout)(tmp_path / "data")
    run = tmp_path / "run"
    assert edge_seg("train", folder, "--out", run, "--epochs", 2, "--picture-every", 1, *TINY)[0] == 0
    log = log_of(run)
    assert len(log) == 2
    assert {"dice", "iou", "recall", "precision", "loss", "val_dice", "learning_rate"} <= log[0].keys()
    assert all(np.isfinite(float(entry["loss"])) for entry in log)
    config, stored = read_config(run)
    model_outputs = {"montgomery": 2, "pairs": 1, "tumours": 1}[layout]
    assert config.network.outputs == len(config.structures) == model_outputs
    assert (run / "best.model.weights.h5").stat().st_size > 0
    pictures = sorted((run / "pictures").glob("*.png"))
    assert [path.name for path in pictures] == ["epoch-00001.png", "epoch-00002.png"]
    picture = cv2.imread(str(pictures[0]))
    assert picture is not None
    from edge_seg_train.pictures import HEADER_HEIGHT

    assert picture.shape[1] == 3 * 96
    assert (picture.shape[0] - HEADER_HEIGHT) % 96 == 0
    assert picture[:HEADER_HEIGHT].max() > 200
    page = (run / "report.html").read_text()
    assert page.count("data:image/png") == 2
    assert base64.b64encode((run / "best.png").read_bytes()).decode() in page  # not that of the last epoch
    assert "<tr><td>epochs<td>2<" in page
    assert "<tr><td>network height<td>32<" in page
    assert (run / "curves.png").stat().st_size > 1000
    assert list((run / "tensorboard").rglob("events*"))
    assert stored["code_version"]
    from edge_seg_data import open_dataset

    assert stored["data"][0]["train"] == len(open_dataset(folder).split("train")) > 0


@pytest.mark.slow
def test_the_seed_preset_trains_with_the_seeds_settings(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    # With fewer channels: the settings are the subject, and checkpoints of 31 million weights are slow.
    words = "--network seed --base 8 --size 64 --epochs 1 --films-per-epoch 4 --picture-every 0 -q".split()  # noqa: SIM905
    assert edge_seg("train", chests, "--out", tmp_path, *words)[0] == 0
    config = read_config(tmp_path)[0]
    assert (config.loss, config.learning_rate, config.batch_size) == ("dice", 1e-5, 2)
    assert (config.schedule, config.plateau_factor, config.plateau_patience) == ("plateau", 0.1, 5)
    assert np.isfinite(float(log_of(tmp_path)[0]["loss"]))


@pytest.mark.slow
def test_the_metrics_in_the_log_are_those_of_the_best_weights(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    from edge_seg_data.scores import dice
    from edge_seg_train.data import open_run_datasets
    from edge_seg_train.loop import validation_films
    from edge_seg_train.network import build
    from edge_seg_train.packing import network_input

    assert edge_seg("train", chests, "--out", tmp_path, "--epochs", 2, "--films-per-epoch", 40, *TINY)[0] == 0
    config = read_config(tmp_path)[0]
    model = build(keras, config.network)
    model.load_weights(tmp_path / "best.model.weights.h5")
    films = validation_films(config, open_run_datasets(config.datasets, tmp_path))
    found = np.asarray(model(network_input(films.grey, 1), training=False)) > 0
    scores = [
        dice(films.labels[i, :, :, k] == 1, found[i, :, :, k], films.labels[i, :, :, k] != 127)
        for i in range(len(films))
        for k in range(len(config.structures))
    ]
    assert np.mean(scores) == pytest.approx(max(float(entry["val_dice"]) for entry in log_of(tmp_path)), abs=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_a_run_that_holds_out_a_part_does_so_when_it_goes_on(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    from edge_seg_data import open_dataset
    from edge_seg_train.data import datasets_of, read_splits

    words = ["--epochs", "1", "--films-per-epoch", "8", *TINY]
    assert edge_seg("train", chests, "--out", tmp_path, *words, "--hold-out", "1/2")[0] == 0
    assert edge_seg("train", "--out", tmp_path, "-q", "--epochs", "2")[0] == 0
    before = {film.patient: film.split for film in open_dataset(chests).films}
    stored = read_splits(tmp_path)
    moved = {patient for patient in before if before[patient] != stored[patient]}
    assert 0 < len(moved) < sum(split == "train" for split in before.values())
    assert {stored[patient] for patient in moved} == {"val"}
    config, record = read_config(tmp_path)
    assert {film.patient: film.split for film in datasets_of(config, tmp_path)[0].films} == stored
    assert record["data"][0]["train"] == sum(split == "train" for split in stored.values())
    for part in ("2/2", "0/1", "half", "-1/2"):
        code, complaint = edge_seg("train", chests, "--out", tmp_path / "other", *words, "--hold-out", part)
        assert code == 2
        assert "INDEX/COUNT" in complaint


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_a_run_goes_on_by_itself_and_refuses_other_settings(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    words = ["--epochs", "1", "--films-per-epoch", "8", *TINY]
    assert edge_seg("train", chests, "--out", tmp_path, *words)[0] == 0
    (tmp_path / "report.html").unlink()
    assert edge_seg("train", "--out", tmp_path, "-q")[0] == 0
    assert len(log_of(tmp_path)) == 1
    # As if it had died after its last checkpoint.
    assert (tmp_path / "report.html").is_file()
    code, complaint = edge_seg("train", chests, "--out", tmp_path, *words, "--loss", "dice")
    assert code == 2
    assert "other settings (loss)" in complaint
    code, complaint = edge_seg("train", "--out", tmp_path, "--loss", "dice")
    assert code == 2
    assert "without --loss" in complaint
    assert edge_seg("train", "--out", tmp_path, "--epochs", 2, "-q")[0] == 0
    assert len(log_of(tmp_path)) == 2
    assert edge_seg("train", chests, "--out", tmp_path, *words[2:], "--epochs", 3)[0] == 0
    assert len(log_of(tmp_path)) == 3
    code, complaint = edge_seg("train", "--out", tmp_path, "--epochs", 1)
    assert code == 2
    assert "has 3 epochs: give more" in complaint
    (tmp_path / "config.json").write_text('{"config": {"datasets": []}}')
    code, complaint = edge_seg("train", "--out", tmp_path)
    assert code == 3
    assert "holds no training run" in complaint


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_a_run_that_its_patience_ended_is_not_told_to_raise_its_epochs(
    chests: Path, tmp_path: Path, edge_seg: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--epochs", "1", "--films-per-epoch", "8", *TINY]
    assert edge_seg("train", chests, "--out", tmp_path, *words)[0] == 0
    said = CliRunner().invoke(train, ["--out", str(tmp_path)], catch_exceptions=False).output
    assert "learned nothing new: raise --epochs to go on" in said
    monkeypatch.setattr("edge_seg_train.loop.should_stop", lambda config, history: True)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 9'))
    said = CliRunner().invoke(train, ["--out", str(tmp_path)], catch_exceptions=False).output
    assert "learned nothing new: train on with --from" in said


@pytest.mark.slow
def test_mixed_precision_trains_resumes_and_follows_its_schedule(
    chests: Path, tmp_path: Path, edge_seg: Command
) -> None:
    words = ["--epochs", "1", "--films-per-epoch", "8", "--mixed-precision", *TINY]
    assert edge_seg("train", chests, "--out", tmp_path, *words)[0] == 0
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 2'))
    assert edge_seg("train", "--out", tmp_path, "-q")[0] == 0
    log = log_of(tmp_path)
    assert len(log) == 2
    assert all(np.isfinite(float(entry["loss"])) for entry in log)
    from edge_seg_train import checkpoint
    from edge_seg_train.losses import bce_dice_loss
    from edge_seg_train.metrics import Overlap

    found = checkpoint.newest(tmp_path)
    assert found is not None
    names = {"bce_dice_loss": bce_dice_loss, "Overlap": Overlap}
    model = keras.models.load_model(found.model, custom_objects=names)
    assert float(model.optimizer.learning_rate) == pytest.approx(float(log[1]["learning_rate"]))
    assert model.get_layer("logits").compute_dtype == "float16"
    assert model.get_layer("logits").kernel.dtype == "float32"
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--size", "100"], 2, "multiples of 32"),
        (["--size", "0"], 2, "--size"),
        (["--epochs", "0"], 2, "--epochs"),
        (["--batch-size", "-1"], 2, "--batch-size"),
        (["--dropout", "1"], 2, "--dropout"),
        (["--device", "GPU:7"], 2, "no device GPU:7: choose from CPU:0"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_run(
    chests: Path, tmp_path: Path, edge_seg: Command, words: list[str], code: int, complaint: str
) -> None:
    found, said = edge_seg("train", chests, "--out", tmp_path, *words)
    assert found == code
    assert complaint in said
    assert sum(line.startswith("edge-seg: ") for line in said.splitlines()) == 1
    assert not (tmp_path / "config.json").exists()


def test_no_films_no_folder_no_place(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    code, complaint = edge_seg("train", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert (code, complaint.count("edge-seg: ")) == (3, 1)
    (tmp_path / "file").write_text("in the way")
    code, complaint = edge_seg("train", chests, "--out", tmp_path / "file" / "run", *TINY)
    assert (code, complaint.count("edge-seg: ")) == (6, 1)
    scored = tmp_path / "visible-lung"
    for part in ("images", "masks"):
        (scored / part).mkdir(parents=True)
        cv2.imwrite(str(scored / part / "a.png"), np.zeros((40, 40), np.uint8))
    code, complaint = edge_seg("train", scored, "--out", tmp_path / "run", *TINY)
    assert code == 3
    assert "train split" in complaint


def test_data_sets_are_found_again_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_seg_train.command import _absolute

    monkeypatch.chdir(tmp_path)
    assert _absolute("pairs=films") == f"pairs={tmp_path / 'films'}"
    assert _absolute("films") == str(tmp_path / "films")
    assert _absolute("a=b/films") == str(tmp_path / "a=b" / "films")


@pytest.mark.usefixtures("uncompiled")
def test_the_configuration_in_the_run_is_plain_json(tmp_path: Path, chests: Path, edge_seg: Command) -> None:
    words = ["--epochs", "1", "--films-per-epoch", "4", "--no-augment", "--picture-every", "0", *TINY]
    assert edge_seg("train", chests, "--out", tmp_path, *words)[0] == 0
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["config"]["augmentation"]["rotation"] == 0
    assert raw["config"]["datasets"] == [str(chests)]
    assert raw["config"]["structures"] == ["right_lung", "left_lung", "cardiomediastinum", "heart"]
    assert {"code_version", "keras", "backend", "python", "data"} <= raw.keys()
    assert not (tmp_path / "pictures").exists()


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Six phantoms with one mask of both visible lungs each."""
    folder = tmp_path / "adult-visible" / "town"
    for i in range(6):
        made = phantom(64, 60, seed=50 + i)
        visible = (made.masks["right_lung"] | made.masks["left_lung"]) & ~made.masks["cardiomediastinum"]
        for name, picture in (("images", made.film.pixels), ("masks", visible * np.uint8(255))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{i}.png"), picture)
    (folder / "index.csv").write_text(
        "stem,split\n" + "".join(f"{i},{'val' if i > 4 else 'train'}\n" for i in range(6))
    )
    return folder


def test_visible_lungs_are_labels_of_what_the_network_outlines_and_sets_are_drawn_as_asked(
    tmp_path: Path, chests: Path, town: Path, edge_seg: Command
) -> None:
    words = ["--epochs", 2, "--films-per-epoch", 8, "--averaging", 0.5, *TINY]
    shares = ["--share", "chests=1", "--share", "town=3"]
    run = tmp_path / "run"
    assert edge_seg("train", town, chests, "--out", run, *words, *shares)[0] == 0
    config = read_config(run)[0]
    assert config.structures == ("right_lung", "left_lung", "cardiomediastinum", "heart")
    assert config.regions == ("visible_lung",)
    assert config.shares == (("town", 3.0), ("chests", 1.0))
    code, said = edge_seg("train", town, chests, "--out", tmp_path / "other", *words, "--share", "town=3")
    assert code == 2
    assert "for each data set once: town, chests" in said


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_outlines_of_both_lungs_in_one_teach_the_outputs_that_a_run_starts_from(
    town: Path, tmp_path: Path, edge_seg: Command
) -> None:
    # Too small a step to learn anything: what is scored is what it starts from.
    words = ["--from", "lungs-nano", "--epochs", 1, "--films-per-epoch", 4, "--learning-rate", 1e-12]
    assert edge_seg("train", town, "--out", tmp_path / "run", *words)[0] == 0
    config = read_config(tmp_path / "run")[0]
    assert (config.structures, config.regions) == (("right_lung", "left_lung", "cardiomediastinum"), ("visible_lung",))
    dice = float(log_of(tmp_path / "run")[0]["val_dice"])
    assert dice > 0.8
    assert f"<td>visible_lung<td>{dice:.3f}<td>1" in (tmp_path / "run" / "report.html").read_text()
    picture = np.asarray(cv2.imread(str(tmp_path / "run" / "best.png")))[HEADER_HEIGHT:].astype(int)
    for shown in np.array_split(picture, 3, axis=1)[1:]:
        blue, _, red = np.moveaxis(shown, 2, 0)
        assert (blue > red + 50).any(), "the visible lung is not drawn"
        assert not (red > blue + 50).any(), "parts are drawn that the outlines do not tell apart"

    for asked in (["--structures", "visible_lung"], ["--lung", "visible"], ["--output", "softmax"]):
        run = tmp_path / asked[1]
        code, said = edge_seg("train", town, "--out", run, *words, *asked)
        assert code == 0
        assert "visible_lung: no output of lungs-nano, so it starts from random weights" in said
        assert ("; without --lung, its outlines teach" in said) == (asked[0] == "--lung")
        assert (read_config(run)[0].structures, read_config(run)[0].regions) == (("visible_lung",), ())


def test_outlines_of_both_lungs_in_one_cannot_teach_a_new_network_to_tell_them_apart(
    town: Path, tmp_path: Path, edge_seg: Command
) -> None:
    names = "right_lung,left_lung,cardiomediastinum"
    code, said = edge_seg("train", town, "--out", tmp_path / "run", "--structures", names, *TINY)
    assert (code, said.count("\n")) == (3, 1)
    assert "no film to train on has an outline of right_lung: choose from visible_lung" in said


@pytest.mark.usefixtures("uncompiled")
def test_a_run_starts_from_the_best_weights_of_another(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    assert edge_seg("train", chests, "--out", tmp_path / "first", "--epochs", 3, *TINY)[0] == 0
    # Too small a step to learn anything: it ends with the weights that it started from.
    words = [*TINY, "--epochs", 1, "--films-per-epoch", 4, "--learning-rate", 1e-12]
    assert edge_seg("train", chests, "--out", tmp_path / "second", "--from", tmp_path / "first", *words)[0] == 0
    kernels = []
    for run in ("first", "second"):
        model = build(keras, read_config(tmp_path / run)[0].network)
        model.load_weights(tmp_path / run / "best.model.weights.h5")
        kernels.append([weight.numpy() for weight in model.trainable_weights])
    for first, second in zip(*kernels, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-9)
    assert read_config(tmp_path / "second")[0].start == str(tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "moved")
    assert edge_seg("train", "--out", tmp_path / "second", "--epochs", 2)[0] == 0
    (tmp_path / "moved").rename(tmp_path / "first")

    code, said = edge_seg(
        "train", chests, "--out", tmp_path / "third", "--from", tmp_path / "first", "--base", 8, *TINY
    )
    assert (code, said.count("\n")) == (3, 1)
    assert "not this network's weights" in said
    code, said = edge_seg("train", chests, "--out", tmp_path / "fourth", "--from", chests, *TINY)
    assert (code, said.count("\n")) == (3, 1)
    assert "holds no training run" in said


@pytest.mark.parametrize("option", ["--from", "--distill"])
def test_a_run_with_a_shipped_model_s_name_is_not_passed_over(
    option: str, chests: Path, tmp_path: Path, edge_seg: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lungs").mkdir()
    (tmp_path / "lungs" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    code, said = edge_seg("train", chests, "--out", tmp_path / "run", option, "lungs", *TINY)
    assert (code, said.count("\n")) == (2, 1)
    assert f"{option} lungs" in said
    assert str(tmp_path / "lungs") in said


def test_a_share_above_zero_goes_to_a_set_with_films_to_train_on() -> None:
    def of_one(name: str, split: str) -> Dataset:
        film = LabelledFilm("a", "a", split, lambda: (phantom(32, 32, seed=0).film, {}))
        return Dataset(name, "pairs", ("lung",), (film,))

    town, village = of_one("town", "train"), of_one("village", "val")
    assert _shares(["town=1", "village=0"], [village, town]) == (("village", 0.0), ("town", 1.0))
    with pytest.raises(UsageError, match="give a number above 0 to one of town"):
        _shares(["town=0", "village=1"], [village, town])


def test_a_commit_stands_in_the_version_only_for_the_package_s_own_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_seg_train import stored

    assert stored.code_version().startswith(f"{stored.__version__}+")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", tmp_path, *author, "commit", "-q", "--allow-empty", "-m", "else"], check=True)
    elsewhere = tmp_path / "site-packages" / "stored.py"
    elsewhere.parent.mkdir()
    elsewhere.touch()
    monkeypatch.setattr(stored, "__file__", str(elsewhere))
    assert stored.code_version() == stored.__version__


@pytest.mark.usefixtures("uncompiled")
def test_a_set_that_grew_keeps_the_splits_of_the_run(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    from edge_seg_train.data import read_splits

    folder = tmp_path / "films"
    shutil.copytree(chests, folder, ignore=shutil.ignore_patterns("[89].png", "1?.png"))
    words = [*TINY, "--epochs", 1, "--films-per-epoch", 4]
    assert edge_seg("train", folder, "--out", tmp_path / "first", *words)[0] == 0
    before = read_splits(tmp_path / "first")
    assert len(before) == 8
    # As if the random split had been different: the run's own splits count.
    swapped = {patient: {"train": "test", "test": "train"}.get(split, split) for patient, split in before.items()}
    (tmp_path / "first" / "splits.json").write_text(json.dumps({"patients": swapped}))
    shutil.copytree(chests, folder, dirs_exist_ok=True)
    assert edge_seg("train", folder, "--out", tmp_path / "second", "--from", tmp_path / "first", *words)[0] == 0
    after = read_splits(tmp_path / "second")
    assert len(after) == 12
    assert {patient: after[patient] for patient in swapped} == swapped


@pytest.mark.usefixtures("uncompiled")
def test_films_that_cannot_be_read_are_left_out_where_told_to(chests: Path, tmp_path: Path, edge_seg: Command) -> None:
    folder = tmp_path / "films"
    shutil.copytree(chests, folder)
    for name in ("2.png", "7.png"):
        path = folder / "images" / name
        path.write_bytes(path.read_bytes()[:100])
    words = [*TINY, "--epochs", 1, "--films-per-epoch", 4]
    code, said = edge_seg("train", folder, "--out", tmp_path / "run", *words)
    assert code == 3
    assert "2 films cannot be used" in said
    assert edge_seg("train", folder, "--out", tmp_path / "run", "--skip-bad", *words)[0] == 0
    stored = read_config(tmp_path / "run")[1]["data"][0]
    assert sum(stored[split] for split in ("train", "val", "test")) == 10


@pytest.mark.usefixtures("uncompiled")
def test_a_film_that_turns_out_to_be_unusable_ends_the_first_epoch_with_its_name(
    chests: Path, tmp_path: Path, edge_seg: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_seg_data import open_dataset, reading

    folder = tmp_path / "films"
    shutil.copytree(chests, folder)
    # As for a film whose size is known only after decoding.
    monkeypatch.setattr(reading, "_misfit", lambda mask, film: "")
    last = open_dataset(folder).split("train")[-1]
    mask = folder / "left_lung" / Path(last.source).name
    drawn = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    cv2.imwrite(str(mask), np.ascontiguousarray(drawn.T))
    words = [*TINY, "--epochs", 1, "--batch-size", 2]
    code, said = edge_seg("train", folder, "--out", tmp_path / "run", *words)
    assert code == 3
    assert "outline `left_lung` lies on its side" in said.splitlines()[-1]


@pytest.mark.usefixtures("uncompiled")
def test_a_loss_that_is_no_number_stops_the_run_with_what_to_do(
    chests: Path, tmp_path: Path, edge_seg: Command
) -> None:
    code, said = edge_seg("train", chests, "--out", tmp_path, "--epochs", 2, *TINY, "--learning-rate", 1e30)
    assert code == 4
    assert "is not a number any more" in said
    assert "lower --learning-rate" in said
    assert not list((tmp_path / "checkpoints").glob("epoch-*"))
