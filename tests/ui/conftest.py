"""A desk, a server over it, and one headless Chromium per test process with a finger."""

from collections.abc import Iterator

import pytest
from fake_desk import FakeDesk
from selenium import webdriver
from touch import Screen, browser

from appliance.ui import api, screens
from appliance.ui.serve import Server


@pytest.fixture
def desk() -> Iterator[FakeDesk]:
    """A station of lists."""
    desk = FakeDesk()
    yield desk
    desk.close()


@pytest.fixture
def server(desk: FakeDesk) -> Iterator[Server]:
    """The screen over that desk; `server.url` is where."""
    app = api.build(desk)
    screens.mount(app)
    server = Server(app, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{server.start()}"
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for this test process."""
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def screen(chromium: webdriver.Chrome, server: Server) -> Iterator[Screen]:
    """The page, loaded at 800x480; afterwards the browser must have nothing to complain about."""
    screen = Screen(chromium)
    chromium.get_log("browser")
    screen.open(server.url)
    screen.find("orders")
    yield screen
    # an answer that is an error is shown in words; the browser notes it as well, and may
    left = [line for line in screen.complaints() if "/api/" not in line]
    chromium.get("about:blank")
    assert left == []
