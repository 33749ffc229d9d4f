"""The page in Chromium, as a person uses it: wide and on a phone, in light and dark mode, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from edge_seg import Film, InputError, Segmenter
from edge_seg.film import Arrival, Failure, inverted
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.sources import Source
from edge_seg.station.health import Health
from edge_seg.station.page import PageServer
from edge_seg.station.session import run_session

from .chromium import Browser

pytestmark = pytest.mark.slow

HEART = "document.querySelector('#outlines .line[data-name=heart]')"
READY = "!document.getElementById('stage').hidden && document.querySelectorAll('tbody tr').length === 4"


class Films(Source):
    def __init__(self, *arrivals: Film | Failure) -> None:
        self.arrivals, self.total = arrivals, len(arrivals)

    def __iter__(self) -> Iterator[Arrival]:
        yield from map(Arrival, self.arrivals)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """The page of a session with a film that is done, one to check, one rejected and one that failed."""
    segmenter = Segmenter.load("lungs-nano", threads=1)
    done = replace(phantom(400, 360, seed=1).film, name="done.png", source="films/done.png", spacing_mm=(0.8, 0.8))
    check = replace(inverted(done), name="1.2.826.0.1.3680043.8.498.1.dcm", source="inbox/check.dcm")
    turned = replace(done, name="side.png", source="films/side.png", pixels=np.rot90(done.pixels).copy())
    failure = Failure("broken.dcm", "broken.dcm", InputError("broken.dcm: cannot be read"))
    source, output = Films(failure, turned, check, done), OutputFolder(tmp_path_factory.mktemp("out"))
    health = Health(segmenter, source, output)
    run_session(source, segmenter, output, [health])
    assert [film.status for film in health.recent()] == ["done", "check", "rejected", "failed"]
    with closing(PageServer("0", health)) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def look(browser: Browser, page: PageServer, width: int = 1440, *, dark: bool = False, phone: bool = False) -> None:
    browser.look_as(width, 900, dark=dark, phone=phone)
    browser.open(page.url)
    browser.wait_for(READY)


def test_keys_choose_films_outlines_and_zoom(browser: Browser, page: PageServer) -> None:
    look(browser, page)
    browser.wait_for(f"{HEART} !== null")
    assert browser.run("document.querySelector('#structures [data-name=heart] b').textContent").endswith(" cm²")
    browser.press("4")
    assert browser.run(f"getComputedStyle({HEART}).display") == "none"
    assert browser.run("document.querySelector('#structures [data-name=heart]').ariaPressed") == "false"
    browser.press("o")
    assert browser.run("document.querySelectorAll('#outlines .line:not(.off)').length") == 0
    browser.press("o")
    assert browser.run("document.querySelectorAll('#outlines .line:not(.off)').length") == 4
    browser.press("+", "+")
    frame = "document.getElementById('frame')"
    wide, high, seen = browser.run(f"[{frame}.scrollLeft, {frame}.scrollTop, {frame}.clientWidth]")
    assert min(wide, high) > seen / 10  # about the middle of the film
    browser.press("0")
    assert browser.run(f"{frame}.scrollWidth <= {frame}.clientWidth")
    browser.press("ArrowDown")
    browser.wait_for("document.getElementById('film-state').textContent === 'to check'")
    browser.press("ArrowDown")
    browser.wait_for("document.getElementById('film-state').textContent === 'rejected'")
    browser.wait_for("document.getElementById('structures').children.length === 0")
    browser.press("c")
    browser.wait_for("document.querySelectorAll('tbody tr').length === 3")
    browser.press("c", "n")
    browser.wait_for("document.getElementById('film-state').textContent === 'done'")


def test_everything_is_reached_by_the_tab_key(browser: Browser, page: PageServer) -> None:
    look(browser, page)
    reached = []
    for _ in range(20):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.dataset.name || 'film'"))
    assert reached[:5] == ["frame", "zoom-out", "zoom-fit", "zoom-in", "right_lung"]
    assert {"heart", "only-checks", "film"} <= set(reached)


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: Browser, page: PageServer) -> None:
    look(browser, page, 390, phone=True)
    assert browser.run("document.documentElement.scrollWidth") == 390
    cells = "[...document.querySelectorAll('td:not(:nth-child(2))')]"
    assert browser.run(f"{cells}.every((one) => one.scrollWidth <= one.clientWidth)")


@pytest.mark.parametrize(
    ("width", "dark", "phone"), [(1440, False, False), (1440, True, False), (390, False, True), (390, True, True)]
)
def test_axe_finds_no_fault(browser: Browser, page: PageServer, axe: str, width: int, dark: bool, phone: bool) -> None:
    faults = "axe.run().then((found) => found.violations.map((one) => [one.id, one.impact, one.nodes[0].html]))"
    look(browser, page, width, dark=dark, phone=phone)
    browser.run(f"{axe};0")
    assert browser.run(faults) == []
    browser.open(f"{page.url}plain")
    columns = "new Set([...document.querySelectorAll('article')].map((one) => one.offsetLeft)).size"
    assert browser.run(columns) == 1, "a list, whatever the layout of the page with JavaScript"
    browser.run(f"{axe};0")
    assert browser.run(faults) == []
