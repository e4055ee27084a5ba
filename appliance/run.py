"""The commands that need whole processes of ours: run, station, courier, hospital, simulate."""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from appliance.settings import Settings
from appliance.watchdog import Watchdog

log = logging.getLogger("dicap.run")
START_PATIENCE = 30.0  # seconds a child may take to say that it is ready
RESTART_PAUSE = 1.0  # seconds before a child that died is started again


def station(settings: Settings, root: Path, args: Namespace) -> None:
    """Process 1 until a signal ends it; prints the address of the screen."""
    from appliance.station import Station

    watchdog = Watchdog()
    desk = Station(settings, root, demo=args.demo)
    over = _signalled()
    try:
        url = desk.start(args.http)
        _say(f"the screen is at {url}")
        watchdog.ready()
        desk.run(over, watchdog.alive)
        watchdog.stopping()
    finally:
        desk.stop()


def courier(settings: Settings, root: Path, args: Namespace) -> None:
    """Process 2 until a signal ends it."""
    from appliance.courier import Courier

    watchdog = Watchdog()
    process = Courier(settings, root)
    over = _signalled()
    try:
        port = process.start()
        _say(f"the courier listens on port {port}")
        watchdog.ready()
        process.run(over, watchdog.alive)
        watchdog.stopping()
    finally:
        process.stop()


def hospital(settings: Settings, root: Path, args: Namespace) -> None:
    """The small hospital until a signal ends it."""
    from appliance.peers.hospital import Hospital, configure, plan_from

    configure()
    house = Hospital(plan_from(args))
    over = _signalled()
    try:
        house.start()
        _say(house.words())
        while not over.wait(1.0):
            continue
    finally:
        house.stop()


def simulate(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Play a scenario with a courier of its own, over a spool of its own; raises ApplianceError as simulation.simulate."""
    from appliance.courier import Courier
    from appliance.oneshot import simulation

    return simulation.simulate(settings, args, Courier)


def run(settings: Settings, root: Path, args: Namespace) -> None:
    """Station and courier, each a process of its own and started again when it dies; with --demo the hospital too."""
    common = ["--data", str(root)]
    if args.config:
        common += ["--config", str(args.config)]
    children = []
    if args.demo:
        common = ["--data", str(root), "--config", str(_demo_settings(root, settings, bool(args.config)))]
        children.append(Child("hospital", [*_hospital_words(common, root)]))
    children.append(Child("courier", ["courier", *common]))
    words = ["station", *common, *(["--http", args.http] if args.http else []), *(["--demo"] if args.demo else [])]
    children.append(Child("station", words))
    over = _signalled()
    try:
        for child in children:
            child.start()
        while not over.wait(0.5):
            for child in children:
                child.revive()
    finally:
        for child in reversed(children):
            child.stop()


class Child:
    """One process of ours: started, watched, ended."""

    def __init__(self, name: str, words: list[str]) -> None:
        self._name = name
        self._words = words
        self._process: subprocess.Popen[str] | None = None
        self._born = 0.0

    def start(self) -> None:
        """Start it, and wait until it has said its first line."""
        self._born = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "appliance.cli", *self._words], stdout=subprocess.PIPE, text=True
        )
        ready = threading.Event()
        threading.Thread(target=self._relay, args=(ready,), name=self._name, daemon=True).start()
        deadline = time.monotonic() + START_PATIENCE
        while not ready.wait(0.1):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log.error("%s did not start", self._name)
                return

    def revive(self) -> None:
        """Start it again if it died."""
        if self._process and self._process.poll() is not None and time.monotonic() - self._born > RESTART_PAUSE:
            log.warning("%s ended with %s and is started again", self._name, self._process.returncode)
            self.start()

    def stop(self) -> None:
        """End it gently, then not so gently."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _relay(self, ready: threading.Event) -> None:
        assert self._process and self._process.stdout
        for line in self._process.stdout:
            _say(line.rstrip())
            ready.set()


def _hospital_words(common: list[str], root: Path) -> list[str]:
    """The demo's hospital, with the ports of the demo's settings."""
    ports = _demo_ports(root)
    return [
        "hospital", *common, "--ris", str(ports["ris"]), "--pacs", str(ports["pacs"]), "--store", str(root / "hospital"),
        "--modality", f"DICAP@127.0.0.1:{ports['courier']}", "--seed", "1",
    ]  # fmt: skip


def _demo_ports(root: Path) -> dict[str, int]:
    """The ports as the demo's settings have them."""
    text = (root / "demo.toml").read_text(encoding="utf-8")
    found = [int(line.rsplit(":", 1)[1].strip('"')) for line in text.splitlines() if "127.0.0.1:" in line]
    return dict(zip(("courier", "ris", "pacs"), found, strict=True))


def _demo_settings(root: Path, settings: Settings, given: bool) -> Path:
    """The demo's own settings: the built-in ones, on other ports where those are taken."""
    ports = [_free_port(wanted) for wanted in (11113, 11112, 11114)]
    root.mkdir(parents=True, exist_ok=True)
    station = settings.station if given else None
    source = station.source if station else "testcard:1280x720@30"
    text = f"""[station]
source = "{source}"
worklist = "all"
[sources."{source}"]
spec = "{source}"
anatomic_region = {{ value = "69695003", scheme = "SCT", meaning = "Stomach" }}
[courier]
listen = "127.0.0.1:{ports[0]}"
worklist_every = 10.0
[peers.ris]
address = "RIS@127.0.0.1:{ports[1]}"
roles = ["worklist", "mpps"]
[peers.pacs]
address = "PACS@127.0.0.1:{ports[2]}"
roles = ["store", "commit"]
"""
    path = root / "demo.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return wanted


def _signalled() -> threading.Event:
    """An event that SIGTERM and SIGINT set; what runs looks at it and ends in order."""
    over = threading.Event()
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: over.set())
    return over


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
