"""The editor in Chromium, used by pointer and keys as a person would, to reach a known true outline.

`EDGE_SEG_CORRECTED_FILMS=5 EDGE_SEG_SHOTS=shots pytest -s -k belong` prints seconds, actions and Dice of five phantoms
and five real films, by mouse and by finger, and writes pictures of each before and after.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg import Film, Segmenter
from edge_seg.corrections import CANNOT_JUDGE, RIGHT, Corrections
from edge_seg.corrections.desk import Desk
from edge_seg.corrections.outline import mask_of, rings_of
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.record import DoneRecord
from edge_seg.sources import read_film
from edge_seg.station.finished import FinishedFolder
from edge_seg.station.page import Correcting, PageServer

from .chromium import Browser

pytestmark = pytest.mark.slow

SHOTS, FILMS = os.environ.get("EDGE_SEG_SHOTS"), int(os.environ.get("EDGE_SEG_CORRECTED_FILMS", "0"))
SHIFT = 14  # pixels by which phantom outlines are shifted, of 360
LUNGS = ("right_lung", "left_lung")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * int((one & other).sum()) / max(1, int(one.sum()) + int(other.sum()))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def touch(browser: Browser, kind: str, *points: tuple[float, float]) -> None:
    """Send a touch event at these points."""
    browser.command("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y} for x, y in points])


class Person:
    """Corrects outlines with a mouse or a finger, using only what the page shows.

    Args:
        browser: shows the page.
        page: page of a finished folder.
        phone: whether to act as on a phone.
    """

    def __init__(self, browser: Browser, page: PageServer, phone: bool) -> None:
        self.browser, self.page, self.phone, self.pointer = browser, page, phone, "mouse"
        browser.look_as(390 if phone else 1440, 844 if phone else 900, phone=phone)
        browser.command("Emulation.setTouchEmulationEnabled", enabled=phone)

    def open(self, number: int) -> None:
        """Choose a film and open the editor."""
        self.browser.open(self.page.url)
        self.browser.wait_for(f"document.querySelector('button[data-number=\"{number}\"]') !== null")
        self.browser.run(f"document.querySelector('button[data-number=\"{number}\"]').click()")
        self.browser.wait_for(f"current?.number === {number} && !document.getElementById('correction').hidden")
        self.click("#correct")
        self.browser.wait_for("Boolean(document.querySelector('#editor[open] img')?.naturalWidth)")
        self.sheet = self.browser.run(f"fetch('corrections/{number}').then((answer) => answer.json())")
        box = self.browser.run("(({left, top, width, height}) => [left, top, width, height])"
                               "(document.querySelector('#editor canvas').getBoundingClientRect())")  # fmt: skip
        self.scale = min(box[2] / self.sheet["width"], box[3] / self.sheet["height"])
        self.left = box[0] + (box[2] - self.sheet["width"] * self.scale) / 2
        self.top = box[1] + (box[3] - self.sheet["height"] * self.scale) / 2

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        named = json.dumps(selector)
        self.browser.run(f"document.querySelector({named}).scrollIntoView({{block: 'nearest', inline: 'nearest'}})")
        x, y = self.browser.run(f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])"
                                f"(document.querySelector({named}).getBoundingClientRect())")  # fmt: skip
        self.stroke([(x, y)])

    def on_screen(self, point: np.ndarray) -> tuple[float, float]:
        """Screen position of a point of the film."""
        return self.left + float(point[0]) * self.scale, self.top + float(point[1]) * self.scale

    def stroke(self, points: list[tuple[float, float]]) -> None:
        """Press at the first point, move through the others, and release."""
        if self.phone:
            touch(self.browser, "touchStart", points[0])
            for point in points[1:]:
                touch(self.browser, "touchMove", point)
            touch(self.browser, "touchEnd")
            return
        for kind, (x, y) in (
            ("mousePressed", points[0]),
            *(("mouseMoved", one) for one in points[1:]),
            ("mouseReleased", points[-1]),
        ):
            pressed = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": self.pointer}
            self.browser.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def drag(self, start: np.ndarray, end: np.ndarray) -> None:
        """Drag from one point of the film to another."""
        between = start + 0.6 * (end - start)
        self.stroke([self.on_screen(one) for one in (start, between, end)])

    def curve(self, handles: list[list[float]]) -> np.ndarray:
        """The line through handles."""
        return np.array(self.browser.run(f"Outline.curve({json.dumps(handles)})"))

    def put_right(self, structure: str, truth: np.ndarray, near: float) -> int:
        """Drag handles, then the line between them, until all of it is within `near` pixels; returns the drags."""
        self.click(f"#editor [data-name={structure}]")
        rings = next(one["model"] for one in self.sheet["structures"] if one["name"] == structure)
        if not rings:
            return 0
        handles = self.browser.run(f"Outline.fit({json.dumps(rings[0])})")
        true = _dense(rings_of(truth)[0])
        drags = 0
        for number, handle in enumerate(handles):
            target = _nearest(true, np.array(handle))
            if np.hypot(*(target - handle)) > near:
                self.drag(np.array(handle), target)
                handles[number] = target.tolist()
                drags += 1
        for _ in range(12):
            line = self.curve(handles)
            off = np.hypot(*(true[:, np.newaxis] - line[np.newaxis]).transpose(2, 0, 1)).min(axis=1)
            worst = true[int(off.argmax())]
            if off.max() <= 2 * near:
                break
            start = line[int(np.hypot(*(line - worst).T).argmin())]
            found = self.browser.run(f"Outline.nearest({json.dumps(handles)}, {json.dumps(start.tolist())})")
            # A nearby handle would be grabbed, and no new one made.
            away = np.hypot(*(np.array(handles) - start).T) * self.scale
            if away.min() > (24 if self.phone else 9):
                self.drag(start, worst)
                handles.insert(found["segment"] + 1, worst.tolist())
            else:
                held = int(away.argmin())
                self.drag(np.array(handles[held]), np.array(handles[held]) + worst - start)
                handles[held] = (np.array(handles[held]) + worst - start).tolist()
            drags += 1
        return drags

    def save(self) -> None:
        """Save, and wait until it is saved."""
        self.click("#editor [data-part=save]")
        self.browser.wait_for("!document.getElementById('editor').open")


def _dense(ring: np.ndarray) -> np.ndarray:
    """Points of a ring at most a pixel apart."""
    after = np.roll(ring, -1, axis=0)
    parts = [
        np.linspace(one, other, max(2, int(np.hypot(*(other - one)))), endpoint=False)
        for one, other in zip(ring, after, strict=True)
    ]
    return np.concatenate(parts)


def _nearest(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    found: np.ndarray = points[int(np.hypot(*(points - to).T).argmin())]
    return found


def results_of(folder: Path, films: list[tuple[Film, dict[str, np.ndarray]]], wrong: int) -> list[DoneRecord]:
    """A results folder of films; with `wrong`, the outlines are shifted by so many pixels."""
    output, segmenter = OutputFolder(folder), Segmenter.load("lungs-nano", threads=1)
    records = []
    for film, _ in films:
        records.append(output.write(segmenter(film)))
        for name in records[-1].structures if wrong else ():
            path = folder / f"{records[-1].stem}.{name}.png"
            mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            assert mask is not None
            cv2.imwrite(str(path), np.roll(mask, wrong, axis=1 if "lung" in name else 0))
    output.close()
    return records


def phantoms(folder: Path, count: int) -> list[tuple[Film, dict[str, np.ndarray]]]:
    made = []
    for seed in range(1, count + 1):
        drawn = phantom(400, 360, seed=seed)
        cv2.imwrite(str(folder / f"phantom{seed}.png"), drawn.film.pixels)
        film = read_film(folder / f"phantom{seed}.png")
        made.append((film, {name: np.asarray(mask, bool) for name, mask in drawn.masks.items()}))
    return made


def correct_all(
    browser: Browser, folder: Path, films: list[tuple[Film, dict[str, np.ndarray]]], wrong: int, phone: bool
) -> list[tuple[float, float, Any]]:
    """Correct each film; its Dice before and after, and its correction; prints them, too."""
    records = results_of(folder, films, wrong)
    output = OutputFolder(folder)
    desk = Desk(folder, who="A. Reader")
    shown = FinishedFolder(output, desk)
    found = []
    with closing(output), closing(PageServer("0", shown, correcting=Correcting(shown, desk))) as page:
        for number, (record, (film, truth)) in enumerate(zip(records, films, strict=True), 1):
            person = Person(browser, page, phone)
            before = _read(folder, record, truth)
            person.open(number)
            _shot(browser, record, phone, "before")
            for name, mask in truth.items():
                person.put_right(name, mask, near=max(2.0, 0.006 * max(film.shape)))
            _shot(browser, record, phone, "after")
            person.save()
            (line,) = Corrections(folder).of(record.stem)
            after = Corrections(folder).masks_of(line)
            dices = [[dice(one[name], mask) for name, mask in truth.items()] for one in (before, after)]
            found.append((float(np.mean(dices[0])), float(np.mean(dices[1])), line))
            print(
                f"{'phone' if phone else 'desktop'} {record.stem[:24]:24} {len(truth)} structures, "
                f"{line.seconds:5.1f} s, {line.actions:3d} actions, Dice {found[-1][0]:.3f} to {found[-1][1]:.3f}"
            )
    return found


def _read(folder: Path, record: DoneRecord, truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    masks = {}
    for name in truth:
        mask = cv2.imread(str(folder / f"{record.stem}.{name}.png"), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        masks[name] = mask > 127
    return masks


def _shot(browser: Browser, record: DoneRecord, phone: bool, when: str) -> None:
    if SHOTS:
        time.sleep(0.2)
        browser.picture(Path(SHOTS) / f"{record.stem[:24]}-{'phone' if phone else 'desktop'}-{when}.png", whole=False)


@pytest.mark.parametrize("phone", [False, True], ids=["mouse", "finger"])
def test_outlines_are_dragged_to_where_they_belong(browser: Browser, tmp_path: Path, phone: bool) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    films = phantoms(folder, FILMS or 1)
    if not FILMS:
        films = [(film, {"left_lung": truth["left_lung"]}) for film, truth in films]
    for before, after, line in correct_all(browser, tmp_path / "out", films, SHIFT, phone):
        assert before < 0.93
        assert after > 0.97
        assert 5 < line.actions < 250
        assert line.seconds > 0


@pytest.mark.parametrize("phone", [False, True], ids=["mouse", "finger"])
def test_outlines_of_real_films_are_dragged_to_where_they_belong(
    browser: Browser, tmp_path: Path, films_folder: Path, phone: bool
) -> None:
    if not FILMS:
        pytest.skip("measures for minutes: set EDGE_SEG_CORRECTED_FILMS")
    paths = sorted((films_folder / "adult-v7" / "images").iterdir())
    films = []
    for path in paths[20 :: max(1, len(paths) // (FILMS + 1))][:FILMS]:
        masks = {}
        for name in LUNGS:
            mask = cv2.imread(str(films_folder / "adult-v7" / name / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
            assert mask is not None
            masks[name] = mask > 0
        films.append((read_film(path), masks))
    for before, after, _ in correct_all(browser, tmp_path / "out", films, 0, phone):
        assert after > max(0.95, before - 0.005)


def test_handles_are_few_and_the_curve_is_the_models_outline(browser: Browser, tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "edge" / "edge_seg" / "station" / "page" / "assets" / "outline.js"
    browser.open("about:blank")
    browser.run(f"{script.read_text()};window.Outline = Outline;0")
    for mask in phantom(900, 800, seed=1).masks.values():
        truth = np.asarray(mask, bool)
        (ring,) = rings_of(truth)
        handles, curve = browser.run(
            f"((handles) => [handles, Outline.curve(handles)])(Outline.fit({json.dumps(ring.tolist())}))"
        )
        assert 8 <= len(handles) <= 40
        assert dice(mask_of([np.array(curve)], truth.shape), truth) > 0.995


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DoneRecord]:
    """A results folder of a phantom."""
    folder = tmp_path_factory.mktemp("segmented")
    (record,) = results_of(folder / "out", phantoms(folder, 1), 0)
    return folder / "out", record


@pytest.fixture
def editing(browser: Browser, segmented: tuple[Path, DoneRecord], tmp_path: Path) -> Iterator[tuple[Person, Path, str]]:
    """An editor that is open on a phantom."""
    folder, record = segmented
    shutil.copytree(folder, tmp_path / "out")
    output, desk = OutputFolder(tmp_path / "out"), Desk(tmp_path / "out", who="A. Reader")
    shown = FinishedFolder(output, desk)
    with closing(output), closing(PageServer("0", shown, correcting=Correcting(shown, desk))) as page:
        person = Person(browser, page, phone=False)
        person.open(1)
        yield person, tmp_path / "out", record.stem


def _area(out: Path, stem: str, structure: str) -> int:
    newest = Corrections(out).of(stem)[-1]
    return int(Corrections(out).masks_of(newest)[structure].sum())


def test_a_pen_paints_and_erases(editing: tuple[Person, Path, str]) -> None:
    person, out, stem = editing
    person.pointer = "pen"
    model = cv2.imread(str(out / f"{stem}.heart.png"), cv2.IMREAD_GRAYSCALE)
    assert model is not None
    person.browser.press("4", "a")
    below = np.array([200.0, 330.0])
    person.drag(below, below - np.array([0.0, 60.0]))
    undo = "document.querySelector('#editor [data-part=undo]').disabled"
    assert not person.browser.run(undo)
    person.browser.press("h", "4")
    person.save()
    added = _area(out, stem, "heart")
    assert added > (model > 0).sum() + 200
    person.open(1)
    person.browser.press("4", "e")
    person.drag(below, below - np.array([0.0, 60.0]))
    person.save()
    assert _area(out, stem, "heart") < added - 200
    line = Corrections(out).of(stem)[-1]
    assert (line.changed, line.actions) == (("heart",), 2)


def test_what_is_taken_back_is_not_saved_and_closing_asks_once(editing: tuple[Person, Path, str]) -> None:
    person, out, _ = editing
    browser, status = person.browser, "document.querySelector('#editor [data-part=status]').textContent"
    browser.press("1", ".", "ArrowRight", "i", "Delete", "n")
    assert browser.run("document.querySelector('#editor [data-part=absent]').ariaPressed") == "true"
    for _ in range(4):
        person.click("#editor [data-part=undo]")
    assert browser.run("document.querySelector('#editor [data-part=undo]').disabled")
    person.click("#editor [data-part=redo]")
    person.click("#editor [data-part=close]")
    assert "not saved" in browser.run(status)
    person.click("#editor [data-part=close]")
    browser.wait_for("!document.getElementById('editor').open")
    assert list(Corrections(out)) == []


def test_verdicts_and_the_name_that_is_asked_for(editing: tuple[Person, Path, str]) -> None:
    person, out, stem = editing
    browser = person.browser
    browser.run("document.querySelector('#editor [data-part=who]').value = ''")
    person.click("#editor [data-part=right]")
    assert "who corrects" in browser.run("document.querySelector('#editor [data-part=status]').textContent")
    browser.run("document.querySelector('#editor [data-part=who]').value = '<b>B. Reader</b>'")
    person.click("#editor [data-part=right]")
    browser.wait_for("!document.getElementById('editor').open")
    browser.wait_for("document.getElementById('corrected').textContent.startsWith('right, by <b>B. Reader</b>')")
    person.open(1)
    browser.press("2", "n")
    person.save()
    person.open(1)
    assert browser.run("document.querySelector('#editor [data-name=left_lung]').className") == "absent"
    person.click("#editor [data-part=cannot]")
    browser.wait_for("!document.getElementById('editor').open")
    assert [one.verdict for one in Corrections(out).of(stem)] == [RIGHT, "corrected", CANNOT_JUDGE]
    assert Corrections(out).of(stem)[1].absent == ("left_lung",)


def reopen(person: Person) -> None:
    """Open the editor again, without waiting for the picture."""
    person.browser.wait_for("current?.number === 1 && !document.getElementById('correction').hidden")
    person.browser.run("document.getElementById('correct').click()")
    person.browser.wait_for("document.querySelector('#editor[open]') !== null")


def test_a_film_can_be_saved_before_its_picture_has_come(editing: tuple[Person, Path, str]) -> None:
    person, out, stem = editing
    person.browser.open(person.page.url)
    person.browser.wait_for("current?.number === 1")
    person.browser.run("HTMLImageElement.prototype.decode = () => new Promise(() => {}); 0")
    reopen(person)
    person.save()
    (line,) = Corrections(out).of(stem)
    assert 0 <= line.seconds < 60


def test_an_answer_that_comes_late_leaves_the_next_films_editor_open(editing: tuple[Person, Path, str]) -> None:
    person, out, stem = editing
    browser, is_open = person.browser, "document.getElementById('editor').open"
    browser.run(
        "((given) => { window.fetch = (...asked) => given(...asked).then((answer) => asked[1]?.method !== 'POST' "
        "? answer : new Promise((pass) => { window.release = () => pass(answer); })); })(window.fetch)"
    )
    person.click("#editor [data-part=save]")
    browser.wait_for("'release' in window")
    key = "new KeyboardEvent('keydown', { key: 's', ctrlKey: true })"
    browser.run(f"document.getElementById('editor').dispatchEvent({key})")
    person.click("#editor [data-part=close]")
    browser.wait_for(f"!{is_open}")
    reopen(person)
    browser.run("window.release()")
    browser.wait_for("!document.querySelector('#editor [data-part=save]').disabled")
    assert browser.run(is_open)
    assert "not saved" not in browser.run("document.querySelector('#editor [data-part=status]').textContent")
    assert len(Corrections(out).of(stem)) == 1


def test_axe_finds_no_fault_in_the_editor(editing: tuple[Person, Path, str], axe: str) -> None:
    browser = editing[0].browser
    browser.run(f"{axe};0")
    assert browser.run("axe.run().then((found) => found.violations.map((one) => [one.id, one.nodes[0].html]))") == []


def test_two_fingers_zoom_and_leave_the_outline(browser: Browser, editing: tuple[Person, Path, str]) -> None:
    person = Person(browser, editing[0].page, phone=True)
    person.open(1)
    size = "document.querySelector('#editor img').getBoundingClientRect().width"
    before = browser.run(size)

    touch(browser, "touchStart", (150, 300))
    touch(browser, "touchStart", (150, 300), (250, 300))
    for far in (10, 30, 50):
        touch(browser, "touchMove", (150 - far, 300), (250 + far, 300))
    touch(browser, "touchEnd")
    browser.wait_for(f"{size} > {1.5 * before}")
    assert browser.run("document.querySelector('#editor [data-part=undo]').disabled")
    box = "((box) => box.height < 43.5 || box.width < 43.5)(one.getBoundingClientRect())"
    small = browser.run(
        f"[...document.querySelectorAll('#editor button')].filter((one) => {box}).map((one) => one.textContent)"
    )
    assert small == []
    assert browser.run("document.documentElement.scrollWidth") <= 390
