"""Train the network that reads side markers.

`python -m edge_seg_train.side_markers DATASET... --out side-markers.npz`

The letters on the films need no annotation: on an upright film, a letter is on its own side. The first network learns
from letters drawn onto films. What it takes for a letter on the films themselves counts as one if it is on that
letter's side, and the next network learns from those too. Each round recognises more of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from edge_seg import pixels
from edge_seg.assessment.side_markers import PATCH, SIDE, SideMarkers, candidates
from edge_seg.cli.main import run_command
from edge_seg_data import Dataset, open_dataset

NOTHING, R, L = range(3)

_LINES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_PLAIN,
)
_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif-Bold.ttf",
    "STIXGeneralBol.ttf",
    "cmss10.ttf",
    "cmtt10.ttf",
)
"""Fonts that come with Matplotlib."""
_OTHERS = "ABCDEFGHIJKMNOPQSTUVWXYZ0123456789abcdefghkmnpqsty?+<>"
_WORDS = ("AP", "PA", "SUPINE", "PORTABLE", "ERECT", "MOBILE", "SITTING", "DX", "SN", "12:30", "XR CHEST")

_CUT = 96  # side in pixels of the cut-out that a letter is drawn onto
_LARGE = 60  # size in pixels at which letters are drawn before scaling
_DRAWN = 25_000
_FEWER = 3  # how many times as often a film's own letters are shown as drawn ones
# A letter not yet recognised must not be learned as none: on its side, only the least letter-like candidates count so.
_UNLIKE, _LIKELY, _CERTAIN = 0.02, 0.5, 0.97
_ROUNDS = 4
_WIDTHS = (64, 32)
_EPOCHS, _BATCH, _RATE = 6, 512, 2e-3


@dataclass(frozen=True)
class Patches:
    """Training data: patches `(n, PATCH, PATCH)` uint8, and `(n,)` the kind of each."""

    patches: np.ndarray
    kinds: np.ndarray

    def __add__(self, other: Patches) -> Patches:
        return Patches(np.concatenate([self.patches, other.patches]), np.concatenate([self.kinds, other.kinds]))


def reader_of(films: list[np.ndarray], drawn: int = _DRAWN, seed: int = 0) -> SideMarkers:
    """Train a reader on films.

    Args:
        films: upright, `(height, width)` uint8, no side longer than `SIDE`.
        drawn: number of letters and words to draw onto them.
        seed: of letters, positions and weights.
    """
    chance = np.random.default_rng(seed)
    made = draw(films, drawn, chance)
    found, sides = _on_films(films)
    reader = _taught(made + Patches(found, np.zeros(len(found), int)), seed)
    for _ in range(_ROUNDS):
        reader = _taught(made + own_letters(reader, found, sides), seed)
    return reader


def own_letters(reader: SideMarkers, patches: np.ndarray, on_the_left: np.ndarray) -> Patches:
    """Label candidates on films: as a letter if read as one on its own side; uncertain ones are left out.

    Args:
        reader: reads the candidates.
        patches: `(n, PATCH, PATCH)` uint8.
        on_the_left: `(n,)` bool, whether each is in the left half of its picture, which is the patient's right.
    """
    right, left = reader.probabilities(patches)[:, 1:].T
    letter = np.where(right > left, R, L)
    on_its_side = (letter == R) == on_the_left
    sure = right + left
    taken = np.flatnonzero(on_its_side & (sure > _LIKELY))
    # An R on the patient's left belongs to a word, or is a bone that looks like one.
    none = np.flatnonzero((sure < _UNLIKE) | (~on_its_side & (sure < _CERTAIN)))
    order = np.concatenate([none, np.repeat(taken, _FEWER)])
    return Patches(patches[order], np.concatenate([np.zeros(len(none), int), np.repeat(letter[taken], _FEWER)]))


def draw(films: list[np.ndarray], count: int, chance: np.random.Generator) -> Patches:
    """Patches of letters and words drawn onto cut-outs of films, as `candidates` finds them."""
    patches, kinds = [], []
    large = [film for film in films if min(film.shape) >= _CUT]
    for _ in range(count):
        film = large[chance.integers(len(large))]
        top, left = (int(chance.integers(side - _CUT + 1)) for side in film.shape)
        cut = film[top : top + _CUT, left : left + _CUT]
        before = {tuple(box) for box in candidates(cut).boxes}
        kind = int(chance.choice([R, L, NOTHING], p=[0.25, 0.25, 0.5]))
        text = {R: "R", L: "L"}.get(kind) or _other_text(chance)
        shown, (row, column), height = _with_text(cut, text, chance)
        found = candidates(shown)
        for box, patch in zip(found.boxes, found.patches, strict=True):
            if tuple(box) in before:
                continue
            off = max(abs(box[0] + box[2] / 2 - column), abs(box[1] + box[3] / 2 - row))
            is_it = off < 0.25 * height + 2 and 0.6 * height < box[3] < 1.6 * height + 3
            # Part of a letter, or letter and plate together, is neither that letter nor certainly none.
            if kind == NOTHING or is_it:
                patches.append(patch)
                kinds.append(kind)
    return Patches(np.stack(patches), np.array(kinds))


def _other_text(chance: np.random.Generator) -> str:
    if chance.random() < 0.5:
        return _OTHERS[chance.integers(len(_OTHERS))]
    return _WORDS[chance.integers(len(_WORDS))]


def _with_text(
    cut: np.ndarray, text: str, chance: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float], float]:
    """A cut-out with text on it, the text's centre, and its height, in pixels."""
    ink = _ink(text, chance)
    height = float(np.exp(chance.uniform(math.log(8), math.log(44))))
    high = ink.shape[0]
    ink = np.pad(ink, high // 3 + 4)
    plate = _plate(ink.shape, chance) if chance.random() < 0.4 else None
    if plate is None and len(text) == 1 and chance.random() < 0.2:
        radius = min(ink.shape) // 2 - 3
        cv2.circle(ink, (ink.shape[1] // 2, ink.shape[0] // 2), radius, 1.0, int(chance.integers(2, 7)), cv2.LINE_AA)
    row, column = chance.uniform(8, _CUT - 8, 2)
    place = _place(ink.shape, height / high, (row, column), chance)
    covered = _laid(ink, place)
    shown: np.ndarray = cut.astype(np.float32)
    bright = (
        255 * chance.uniform(0.75, 1) if chance.random() < 0.75 else min(255, shown.mean() + chance.uniform(45, 120))
    )
    if plate is not None:
        dark_plate = chance.random() < 0.6
        bright = bright if dark_plate else chance.uniform(0, 60)
        under = _laid(plate, place)
        shown = shown * (1 - under) + under * (chance.uniform(0, 30) if dark_plate else chance.uniform(200, 255))
    opaque = covered * chance.uniform(0.6, 1)
    # Burnt-in letters hide the film; lead lets it show through.
    shown = (
        shown * (1 - opaque) + opaque * bright if chance.random() < 0.5 else shown + opaque * (bright - shown.mean())
    )
    shown = shown + chance.normal(0, chance.uniform(0, 4), shown.shape)
    shown = np.clip(shown, 0, 255).astype(np.uint8)
    if chance.random() < 0.3:
        quality = int(chance.integers(40, 95))
        coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        shown = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return shown, (float(row), float(column)), height


def _ink(text: str, chance: np.random.Generator) -> np.ndarray:
    """Text of size `_LARGE`, `(height, width)` float32 from 0 to 1, without a border."""
    plane = _in_lines(text, chance) if chance.random() < 0.5 else _in_a_font(text, chance)
    rows, columns = np.flatnonzero(plane.max(axis=1) > 40), np.flatnonzero(plane.max(axis=0) > 40)
    plane = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return plane.astype(np.float32) / 255


def _in_lines(text: str, chance: np.random.Generator) -> np.ndarray:
    """Text in a stroke font of varying line width, like letters of wire and lead tape; uint8."""
    font, thick = _LINES[chance.integers(len(_LINES))], int(chance.integers(2, 10))
    (width, height), below = cv2.getTextSize(text, font, _LARGE / 22, thick)
    plane = np.zeros((height + below + 24, width + 24), np.uint8)
    cv2.putText(plane, text, (12, height + 12), font, _LARGE / 22, 255, thick, cv2.LINE_AA)
    return plane


def _in_a_font(text: str, chance: np.random.Generator) -> np.ndarray:
    """Text in a printed font, sometimes only its outline, like punched letters; uint8."""
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(fname=str(Path(get_data_path()) / "fonts" / "ttf" / _FONTS[chance.integers(len(_FONTS))]))
    path = TextPath((0, 0), text, 1.35 * _LARGE, prop=font)
    letters = [np.asarray(letter) for letter in path.to_polygons()]
    corner = np.min([letter.min(axis=0) for letter in letters], axis=0)
    rings = [np.rint((letter - corner + 12) * 16).astype(np.int32) for letter in letters]
    width, height = np.max([ring.max(axis=0) for ring in rings], axis=0) // 16 + 12
    plane = np.zeros((height, width), np.uint8)
    if chance.random() < 0.15:
        cv2.polylines(plane, rings, True, 255, int(chance.integers(2, 6)), cv2.LINE_AA, 4)
    else:
        cv2.fillPoly(plane, rings, 255, cv2.LINE_AA, 4)
    # Lead is cut by hand, and bright areas spread on film.
    thicker = int(chance.integers(-2, 5))
    if thicker:
        change = cv2.dilate if thicker > 0 else cv2.erode
        plane = np.asarray(change(plane, np.ones((abs(thicker) + 1,) * 2, np.uint8)))
    return plane[::-1]


def _plate(shape: tuple[int, int], chance: np.random.Generator) -> np.ndarray:
    plate = np.zeros(shape, np.float32)
    height, width = shape
    if chance.random() < 0.7:
        margin = int(min(shape) * chance.uniform(0.03, 0.15))
        cv2.rectangle(plate, (margin, margin), (width - margin, height - margin), 1.0, -1)
    else:
        axes = int(0.48 * width), int(0.48 * height)
        cv2.ellipse(plate, (width // 2, height // 2), axes, 0, 0, 360, 1.0, -1)
    return plate


def _place(
    shape: tuple[int, int], scale: float, centre: tuple[float, float], chance: np.random.Generator
) -> np.ndarray:
    """Affine map `(2, 3)` from the drawing to the cut-out, slightly rotated and stretched."""
    height, width = shape
    turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), chance.normal(0, 9), 1.0), [0, 0, 1]])
    across = scale * math.exp(chance.normal(0, 0.15))
    row, column = centre
    lay = np.array([[across, 0, column - across * width / 2], [0, scale, row - scale * height / 2], [0, 0, 1]])
    return np.asarray((lay @ turn)[:2])


def _laid(plane: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The drawing placed in the cut-out, `(_CUT, _CUT)` float32; warped at a finer scale so that no line is lost."""
    fine = cv2.warpAffine(plane, np.diag([4.0, 4.0]) @ place, (4 * _CUT, 4 * _CUT), flags=cv2.INTER_LINEAR)
    return cv2.resize(fine, (_CUT, _CUT), interpolation=cv2.INTER_AREA)


def _on_films(films: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Candidates' patches of all films, and whether each is in its picture's left half."""
    patches, left = [], []
    for film in films:
        found = candidates(film)
        patches.append(found.patches)
        left.append(found.boxes[:, 0] + found.boxes[:, 2] / 2 < film.shape[1] / 2)
    return np.concatenate(patches), np.concatenate(left)


def _taught(of: Patches, seed: int) -> SideMarkers:
    """A network trained on the patches and their mirror images, since markers are also placed face down."""
    import keras

    keras.utils.set_random_seed(seed)
    patches = np.concatenate([of.patches, of.patches[:, :, ::-1]]).reshape(-1, PATCH * PATCH)
    kinds = np.concatenate([of.kinds, of.kinds])
    order = np.random.default_rng(seed).permutation(len(kinds))
    layers: list[Any] = [keras.layers.Input((PATCH * PATCH,)), keras.layers.Rescaling(1 / 255)]
    for width in _WIDTHS:
        layers += [keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(0.1)]
    network = keras.Sequential([*layers, keras.layers.Dense(3)])
    steps = _EPOCHS * math.ceil(len(kinds) / _BATCH)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    network.fit(patches[order], kinds[order], batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
    weights = network.get_weights()
    return SideMarkers(tuple(zip(weights[::2], weights[1::2], strict=True)))


def _films(datasets: list[Dataset]) -> list[np.ndarray]:
    return [pixels.to_small(labelled.load()[0], SIDE) for dataset in datasets for labelled in dataset.split("train")]


@click.command()
@click.argument("folders", metavar="DATASET...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(folders: tuple[str, ...], out: Path) -> None:
    """Learn on the training films of DATASET..., which have to be upright and not mirrored."""
    films = _films([open_dataset(folder) for folder in folders])
    reader_of(films).save(out)
    click.echo(f"{out}: learned on {len(films)} films")


if __name__ == "__main__":
    run_command(main)
