"""The pages of a disc: who it is, in every script; every link leads to a file; a browser shows every picture."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from making import YAMADA, Maker, coded, colours, deep
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from appliance.clinic.patient import Patient
from appliance.media import fileset
from appliance.media.pages import day_in_words
from appliance.media.profiles import MEDIA
from appliance.media.whole import whole

SHOTS = Path(__file__).parents[2] / "test-results" / "discs"
SLY = Patient("P&3", "O'Brien<script>alert(1)</script>^Ann", birth_date="19991231", sex="O")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A disc with everything a page can show: colour, 12 bits, cine, videos, a document, three people."""
    place = tmp_path_factory.mktemp("pages")
    jane, yamada, sly = Maker(place / "j"), Maker(place / "y", YAMADA, "y"), Maker(place / "s", SLY, "s", "US")
    paths = [
        jane.still(colours(1, 480, 640)), jane.still(deep(), "jls", bits=12), jane.cine([colours(2), colours(3)]),
        jane.video(coded(place, "h264"), "h264"), jane.video(coded(place, "mpeg2"), "mpeg2"), jane.document("Findings"),
        yamada.still(colours(4, 200, 300), "jpeg", "vl-endoscopic"), sly.still(colours(5)[..., 0], "explicit", "us"),
    ]  # fmt: skip
    with whole(place / "disc") as work:
        fileset.make(work, paths, MEDIA["usb-jpeg"])
    return place / "disc"


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "INDEX.HTM").read_text(encoding="utf-8")


class _Links(HTMLParser):
    """What a page leads to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("href", "src")]


def test_names_are_shown_in_every_script_and_never_as_markup(page):
    assert "<h1>Doe, Jane Q</h1>" in page
    assert "<h1>Yamada, Tarou (山田, 太郎) (やまだ, たろう)</h1>" in page
    assert "<h1>O&#x27;Brien&lt;script&gt;alert(1)&lt;/script&gt;, Ann</h1>" in page
    assert "<script" not in page and "ID P&amp;3" in page


def test_dates_are_spelled_out(page):
    assert "born 30 March 1962" in page and "14 March 2026 · Gastroscopy" in page
    assert day_in_words("20250101") == "1 January 2025"
    assert day_in_words("") == day_in_words("1.1.2025") == day_in_words("20251301") == ""


def test_every_link_leads_to_a_file_on_the_disc(folder, page):
    links = _Links()
    links.feed(page)
    assert len(links.found) == 1 + 2 * 7 + 1  # README, seven pictures in their links, a document
    assert [link for link in links.found if not (folder / link).is_file()] == []


def test_nothing_runs_and_nothing_is_fetched_from_elsewhere(folder, page):
    assert not re.search(r"https?:|<script|javascript|\son\w+=", page)
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes == {"", ".TXT", ".HTM", ".JPG", ".PDF"}


def test_the_readme_is_plain_ascii_and_says_what_is_here(folder):
    data = (folder / "README.TXT").read_bytes()
    words = data.decode("ascii")
    assert data.count(b"\n") == data.count(b"\r\n") and max(map(len, words.splitlines())) < 140
    assert "STD-GEN-USB-JPEG" in words and "Objects: 8" in words and "This USB stick" in words


@pytest.mark.parametrize(("wide", "high", "dark"), [(1200, 1400, False), (480, 900, True)])
def test_a_browser_shows_every_picture_in_its_own_shape(folder, wide, high, dark):
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options = webdriver.ChromeOptions()
    for flag in [*flags, f"--window-size={wide},{high}", *(["--force-dark-mode"] if dark else [])]:
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        if dark:
            browser.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
            )
        browser.get((folder / "INDEX.HTM").as_uri())
        browser.execute_script("document.querySelectorAll('img').forEach(one => one.loading = 'eager')")
        sizes = browser.execute_async_script(
            "const done = arguments[0]; Promise.all([...document.images].map(one => one.decode()"
            ".then(() => [one.naturalWidth, one.naturalHeight]))).then(done, error => done(String(error)))"
        )
        scrolls = browser.execute_script("return document.documentElement.scrollWidth > window.innerWidth")
        SHOTS.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(SHOTS / f"index-{wide}.png"))
    finally:
        browser.quit()
    assert sizes == [[640, 480], [100, 80], [128, 96], [640, 480], [720, 576], [300, 200], [128, 96]]
    assert not scrolls, "nobody scrolls sideways"
