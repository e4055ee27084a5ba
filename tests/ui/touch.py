"""A headless Chromium with a finger: looked at and touched as a person would."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.remote.webelement import WebElement

# in one go: between finding and reading, the screen may have drawn anew
VISIBLE = """
const named = [...document.querySelectorAll('[data-testid]')].filter((one) => one.dataset.testid === arguments[0]);
return named.filter((one) => one.checkVisibility());
"""
WORDS = VISIBLE.replace("filter((one) => one.checkVisibility());", "find((one) => one.checkVisibility())?.innerText;")
SETTLE = """
for (const moving of document.getAnimations()) if (moving.effect.getTiming().iterations !== Infinity) moving.finish();
"""
SHOTS = Path(__file__).parents[2] / "test-results" / "screens"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--lang=en-US",
]


class Screen:
    """A browser window on the station, looked at and touched as a person would."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 800, height: int = 480) -> None:
        """Load the page in a window of that size with a touch panel."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        self.driver.get(url)

    def all(self, testid: str) -> list[WebElement]:
        """What is visible under that name."""
        return list(self.script(VISIBLE, testid))

    def find(self, testid: str) -> WebElement:
        """The visible element of that name; waits for it."""
        found: list[WebElement] = []
        self.until(lambda: found.extend(self.all(testid)) or found, f"{testid} is visible")
        return found[0]

    def text(self, testid: str) -> str:
        """Its words, as they are shown."""
        self.find(testid)
        return str(self.script(WORDS, testid) or "")

    def tap(self, testid: str, times: int = 1, pause: float = 0.2) -> None:
        """One short touch, or several."""
        for _ in range(3):
            try:
                self._touch(self.find(testid), times, pause)
                return
            except StaleElementReferenceException:
                continue  # drawn anew before the finger was there
        raise AssertionError(f"{testid} never holds still")

    def _touch(self, element: WebElement, times: int, pause: float) -> None:
        finger = PointerInput("touch", "finger")
        action = ActionBuilder(self.driver, mouse=finger, duration=0)
        for index in range(times):
            finger.create_pointer_move(duration=0, x=0, y=0, origin=element)
            finger.create_pointer_down(button=0)
            finger.create_pause(0.02)
            finger.create_pointer_up(button=0)
            if index + 1 < times:
                finger.create_pause(pause)
        action.perform()

    def type(self, keys: str) -> None:
        """Letters on the on-screen keyboard."""
        for key in keys:
            self.tap(f"key-{'space' if key == ' ' else key}")

    def until(self, true: Callable[[], Any], claim: str, patience: float = 8.0) -> None:
        """Wait until it is true."""
        deadline = time.monotonic() + patience
        while not true():
            assert time.monotonic() < deadline, f"not within {patience} s: {claim}"
            time.sleep(0.03)

    def script(self, code: str, *arguments: Any) -> Any:
        """The value of some JavaScript."""
        return self.driver.execute_script(code, *arguments)

    def shot(self, name: str) -> None:
        """Keep a picture of the screen for people."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.script(SETTLE)
        self.driver.save_screenshot(str(SHOTS / f"{name}.png"))

    def complaints(self) -> list[str]:
        """What the browser complained about: broken scripts, missing files, forbidden sources."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser for as long as the block runs, its profile in that folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()
