"""The built page in headless Chromium: `make test-page`. Skipped without playwright, or without a Chromium."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is tested with playwright: pip install -e .[page]"
)

HERE = Path(__file__).resolve().parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IMAGE = 112  # pixels of the networks' image, and as many units of the canvas
CENTRELINE = 20 - 2.6  # pixels across of the middle lines of a digit of size 1
SIZES = (1.0, 2.0, 4.0)
PLACES = {1.0: (25, 80), 2.0: (70, 40), 4.0: (60, 55)}  # of the middles, (x, y)

DIGITS = json.loads((HERE / "strokes.json").read_text(encoding="utf-8"))["digits"]
"""Real handwriting: the middle lines of ten MNIST digits that neither network was trained on."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not (HERE / "dist" / "scalegroup.onnx").exists(), reason="the page is not built: make page"),
]


class Quiet(SimpleHTTPRequestHandler):
    """As `python -m http.server`, without its log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HERE / "dist"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """The page, as who draws on it has it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1100, "height": 800})
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.goto(address)
        self.page.wait_for_function("document.querySelector('#status').textContent == 'ready'", timeout=120_000)

    def draw(self, strokes: list[list[list[float]]], size: float, middle: tuple[float, float]) -> dict[str, Any]:
        """Clear, draw with the mouse, and what the page then says."""
        self.page.click("#clear")
        box = self.page.locator("#drawing").bounding_box()
        zoom = box["width"] / IMAGE
        for stroke in strokes:
            at = [
                [box[axis] + zoom * (middle[n] + CENTRELINE * size * point[n]) for n, axis in enumerate("xy")]
                for point in stroke
            ]
            self.page.mouse.move(*at[0])
            self.page.mouse.down()
            for point in at[1:]:
                self.page.mouse.move(*point)
            self.page.mouse.up()
        return self.answer()

    def resize(self, size: float) -> dict[str, Any]:
        """Move the slider, and what the page then says."""
        move = "(slider, value) => { slider.value = Math.log2(value); slider.dispatchEvent(new Event('input')); }"
        self.page.locator("#size").evaluate(move, size)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Once everything is read, the table included."""
        self.page.wait_for_function("document.querySelector('#drawing').dataset.read == 'all'", timeout=60_000)
        return json.loads(self.page.locator("#drawing").get_attribute("data-answer"))


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Page]:
    page = Page(chromium, address)
    yield page
    page.page.close()


def test_digits_of_three_sizes_are_read_wherever_they_are_drawn(page: Page) -> None:
    """The control is the CNN: it reads those of the size that it was trained on."""
    right = {(net, size): 0 for net in ("ours", "cnn") for size in SIZES}
    for drawn in DIGITS:
        for size in SIZES:
            answer = page.draw(drawn["strokes"], size, PLACES[size])
            right["ours", size] += answer["digit"] == drawn["digit"]
            right["cnn", size] += answer["cnn"]["digit"] == drawn["digit"]
    assert all(right["ours", size] >= 9 for size in SIZES), right
    assert right["cnn", 2.0] >= 9, right
    assert right["cnn", 1.0] + right["cnn", 4.0] <= 14, right


def test_the_slider_moves_the_channel_and_not_the_answer(page: Page) -> None:
    drawn = DIGITS[3]
    page.draw(drawn["strokes"], 2.0, (50, 60))
    window, winners = json.loads((HERE / "dist" / "scalegroup.json").read_text(encoding="utf-8"))["window"], set()
    for size in (0.75, 1.5, 3.0, 5.0):
        answer = page.resize(size)
        assert answer["digit"] == drawn["digit"]
        assert 2**-0.75 < answer["sigma0"] / size < 2**0.75  # within the channel beside it
        winner = answer["channels"].index(max(answer["channels"]))
        assert answer["sigma0"] == pytest.approx(window[winner], rel=1e-6)
        winners.add(winner)
    assert len(winners) >= 4


def test_what_is_shown_is_the_answer(page: Page) -> None:
    answer = page.draw(DIGITS[5]["strokes"], 2.0, (56, 56))
    assert page.page.locator("#digit").text_content() == str(answer["digit"])
    assert page.page.locator("#cnn-digit").text_content() == str(answer["cnn"]["digit"])
    assert page.page.locator("#ours-at span").all_text_contents() == [str(answer["digit"])] * 8
    assert page.page.locator(".channel.wins span").count() == 1
    page.page.click("#clear")
    assert page.page.locator("#digit").text_content() == "–"


def test_nothing_is_asked_of_others_and_nothing_fails(page: Page, address: str) -> None:
    page.draw(DIGITS[1]["strokes"], 1.0, (40, 40))
    assert len(page.asked) > len(DIGITS)
    assert all(url.startswith((address, "blob:", "data:")) for url in page.asked)
    assert not page.errors
