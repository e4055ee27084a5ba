"""What holds for every test: loopback only, nothing skipped in silence, nothing left running."""

import ipaddress
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
# rooms may have test modules of the same name (importlib mode); what a room's tests share is found by its plain name
sys.path += [str(room) for room in sorted((ROOT / "tests").glob("*/")) if room.name != "__pycache__"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak`: only the tests marked soak, in their long form."""
    parser.addoption("--soak", action="store_true", help="run the tests marked soak, and those alone, in their long form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --soak a test marked `soak` runs in its short form; with it, the others are left out."""
    if config.getoption("--soak"):
        others = [item for item in items if item.get_closest_marker("soak") is None]
        items[:] = [item for item in items if item.get_closest_marker("soak") is not None]
        config.hook.pytest_deselected(items=others)


def _not_run(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    return [report for word in ("skipped", "xfailed", "xpassed") for report in stats.get(word, [])]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that was skipped or was expected to fail proves nothing: the run fails."""
    if not hasattr(session.config, "workerinput") and _not_run(session.config) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Say in words why a run without a failure failed."""
    left_out = _not_run(config)
    if left_out:
        terminalreporter.section("not run", sep="=", red=True)
        for report in left_out:
            terminalreporter.line(f"{report.nodeid}: nothing is skipped here: mend it, or take it out")


def _loopback(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a path, or an abstract name: this machine
    host = str(address[0]).partition("%")[0]
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host.endswith(".localhost")


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """A connection that would leave this machine is a fault in the test, whatever the product makes of it."""
    patch = pytest.MonkeyPatch()
    for verb in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, verb, _guarded(getattr(socket.socket, verb)))
    yield
    patch.undo()


def _guarded(verb: Callable) -> Callable:
    def wrapper(self: socket.socket, *words):
        # the address is the only argument of connect, and the last one of sendto
        if not _loopback(words[-1]):
            pytest.fail(f"this test reached out to {words[-1]}: tests stay on loopback")
        return verb(self, *words)

    return wrapper


@pytest.fixture(autouse=True, scope="session")
def nothing_left_running(loopback_only: None) -> Iterator[None]:
    """Peers, browsers and encoders that a test started end with it; what multiprocessing keeps for itself may stay."""
    yield
    own = {child.pid for child in multiprocessing.active_children()}
    left = []
    for child in psutil.Process().children(recursive=True):
        try:
            words = child.cmdline()
            if child.pid in own or child.status() == psutil.STATUS_ZOMBIE or any("multiprocessing" in w for w in words):
                continue
        except psutil.NoSuchProcess:
            continue
        left.append(f"{child.pid}: {' '.join(words)}")
        child.kill()
    assert not left, "left running by some test of this run:\n" + "\n".join(left)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a port of 127.0.0.1 that was free a moment ago, never the same one twice."""
    given: set[int] = set()

    def one() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in given:
                given.add(port)
                return port

    return one


@pytest.fixture(scope="session")
def shared() -> Path | None:
    """The real pictures and videos beside the project, or None: a test that uses them also runs without."""
    place = ROOT.parent / "shared" / "data"
    return place if place.is_dir() else None


@pytest.fixture
def soaking(request: pytest.FixtureRequest) -> bool:
    """Whether this is `make soak`: as often as it takes, where `make test` repeats a few times."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No settings and no spool of this machine's user: HOME and the working folder are empty folders; returns HOME."""
    home = tmp_path / "home"
    home.mkdir()
    for word in [word for word in os.environ if word.startswith(("DICAP_", "XDG_"))]:
        monkeypatch.delenv(word)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home
