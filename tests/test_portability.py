"""macOS and Windows, played: what exists on Linux alone is asked for only where it is used, and missed in plain words."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = ("darwin", "win32")


def there(system: str, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run Python on a played system; the same holds for every Python that this one starts."""
    environment = {**os.environ, "DICAP_TEST_SYSTEM": system, "PYTHONPATH": str(ROOT / "tests" / "foreign")}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def our_modules() -> list[str]:
    """Every module that is installed with dicap; the makers of tables are run by hand, with highdicom."""
    paths = sorted(path for package in ("capture", "appliance") for path in (ROOT / package).rglob("*.py"))
    names = [".".join(part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__") for path in paths]
    return [name for name in names if "tables.generate" not in name and not name.endswith("__main__")]


IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_module_imports_there(system):
    done = there(system, "-c", IMPORT_ALL, *our_modules())
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("system", "text", "error"),
    [
        ("darwin", "import linuxpy", "ModuleNotFoundError"),
        ("darwin", "import socket; socket.TCP_QUICKACK", "AttributeError"),
        ("darwin", "from os import posix_fadvise", "ImportError"),
        ("win32", "import fcntl", "ModuleNotFoundError"),
        ("win32", "from socket import AF_UNIX", "ImportError"),
        ("win32", "import signal; signal.SIGKILL", "AttributeError"),
        ("win32", "import os; os.open('.', os.O_RDONLY)", "PermissionError"),
        ("win32", "import sys; assert sys.platform == 'linux'", "AssertionError"),
    ],
)
def test_what_is_played_is_really_missing(system, text, error, tmp_path):
    """The play itself: one of our modules that asks for these fails, so that a pass above means something."""
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "__init__.py").write_text("")
    (tmp_path / "capture" / "asks.py").write_text(text + "\n")
    done = there(system, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import capture.asks")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(error)


def test_libraries_are_left_alone_there():
    done = there("win32", "-c", "import socket, os, fcntl; print(socket.AF_UNIX, os.fork, os.name)")
    assert done.returncode == 0, done.stderr
    assert "posix" in done.stdout


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_camera_of_linux_is_missed_in_plain_words(system):
    text = (
        "from capture.sources import open_source\n"
        "from capture.source import NotOnThisSystem\n"
        "try:\n    open_source('/dev/video0')\n"
        "except NotOnThisSystem as error:\n    print(error, '|', error.advice)\n"
    )
    done = there(system, "-c", text)
    assert done.returncode == 0, done.stderr
    words, _, advice = done.stdout.partition("|")
    assert words.strip()
    assert "testcard" in advice


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_test_card_plays_there(system):
    text = (
        "from capture.sources import open_source\n"
        "source = open_source('testcard:320x240@30')\n"
        "print(source.read().number, source.read().number)\n"
        "source.close()\n"
    )
    done = there(system, "-c", text)
    assert done.returncode == 0, done.stderr
    first, second = map(int, done.stdout.split())
    assert second == first + 1


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_command_line_answers_there(system):
    done = there(system, "-m", "appliance.cli", "--help")
    assert done.returncode == 0, done.stderr
    assert "worklist" in done.stdout


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_demo_runs_there_and_ends_when_told(system, tmp_path):
    """Three processes, all on the played system: the screen is served, and an order of the hospital has come to it."""
    environment = {
        **os.environ,
        "DICAP_TEST_SYSTEM": system,
        "PYTHONPATH": f"{ROOT / 'tests' / 'foreign'}{os.pathsep}{ROOT}",
        "DICAP_DATA": str(tmp_path / "data"),
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        words = [sys.executable, "-m", "appliance.cli", "run", "--demo", "--http", "127.0.0.1:0"]
        process = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=out, stderr=out)
    try:
        address = waited(lambda: re.search(r"the screen is at (http://\S+)", log.read_text()), process, log)[1]
        assert "<html" in answer(address)
        assert waited(lambda: json.loads(answer(address + "api/state"))["worklist"]["orders"], process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()


def waited(look: Callable[[], T], process: subprocess.Popen, log: Path) -> T:
    """What `look` gives, as soon as it gives something; a minute at the most, and less when the process has died."""
    for _ in range(240):
        found = look()
        if found:
            return found
        assert process.poll() is None, log.read_text()
        time.sleep(0.25)
    raise AssertionError("nothing for a minute:\n" + log.read_text())


def answer(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as page:
        return page.read().decode()
