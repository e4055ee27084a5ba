"""The commands that need whole processes of ours: run, station, courier, hospital, simulate."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError, SettingsError
from appliance.settings import Settings
from appliance.watchdog import Watchdog

log = logging.getLogger("dicap.run")
START_PATIENCE = 30.0  # seconds a child may take to say that it is ready
RESTART_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a child that died is started again, growing
DEMO_PORTS = {"courier": 11113, "ris": 11112, "pacs": 11114, "screen": 8080}  # another where one is taken


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
    if args.demo and not (args.data or os.environ.get("DICAP_DATA")):
        root = root.with_name(root.name + "-demo")  # simulated patients never lie among the clinic's
    common = ["--data", str(root)]
    if args.config:
        common += ["--config", str(args.config)]
    children = []
    if args.demo:
        _demand_no_real_work(root)
        ports = {name: _free_port(wanted) for name, wanted in DEMO_PORTS.items()}
        source = settings.station.source if args.config else "testcard:1280x720@30"
        common = ["--data", str(root), "--config", str(_demo_settings(root, source, ports))]
        children.append(Child("hospital", _hospital_words(common, root, ports)))
    children.append(Child("courier", ["courier", *common]))
    words = ["station", *common, *(["--http", args.http] if args.http else []), *(["--demo"] if args.demo else [])]
    children.append(Child("station", words))
    over = _signalled()
    try:
        for child in children:
            if (code := child.start()) and not over.is_set():
                kind = SettingsError if code == SettingsError.exit_code else ApplianceError
                raise kind(f"the {child.name} did not start", "Its own words are above; nothing is left running.")
        while not over.wait(0.5):
            for child in children:
                child.revive()
    finally:
        for child in reversed(children):
            child.stop()


class Child:
    """One process of ours: started, watched, ended."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self._words = words
        self._process: subprocess.Popen[str] | None = None
        self._born = 0.0
        self._pause = RESTART_PAUSE

    def start(self) -> int:
        """Start it, and wait until it has said its first line; returns its exit code if it ended before that, else 0."""
        self._born = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "appliance.cli", *self._words], stdout=subprocess.PIPE, text=True
        )
        ready = threading.Event()
        threading.Thread(target=self._relay, args=(ready,), name=self.name, daemon=True).start()
        deadline = time.monotonic() + START_PATIENCE
        while not ready.wait(0.1):
            if self._process.poll() is not None:
                return self._process.returncode or 1
            if time.monotonic() > deadline:
                log.error("%s says nothing after %.0f s", self.name, START_PATIENCE)
                break
        return 0

    def revive(self) -> None:
        """Start it again if it died; one that dies young waits longer each time."""
        if self._process is None or self._process.poll() is None or time.monotonic() - self._born < self._pause:
            return
        log.warning("%s ended with %s and is started again", self.name, self._process.returncode)
        young = time.monotonic() - self._born < 2 * LONGEST_PAUSE
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if young else RESTART_PAUSE
        if self.start():
            log.error("%s did not start", self.name)

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


def _demand_no_real_work(root: Path) -> None:
    """A demonstration would deliver to its simulated archive what is owed to a real one; raises SettingsError."""
    from appliance.spool.ledger import Ledger

    if (root / "demo.toml").exists() or not (root / "ledger.sqlite").exists():
        return
    ledger = Ledger(root / "ledger.sqlite")
    try:
        objects = ledger.debts.deliveries("d.state<>'committed' AND p.released IS NULL")
        reports = ledger.debts.reports("r.state<>'done'")
    finally:
        ledger.close()
    if objects or reports:
        what = f"{root} holds work that is owed to others than the demonstration's hospital"
        raise SettingsError(what, "Give the demonstration a folder of its own with --data; nothing was started.")


def _hospital_words(common: list[str], root: Path, ports: dict[str, int]) -> list[str]:
    """The demo's hospital, with the ports of the demo's settings."""
    return [
        "hospital", *common, "--ris", str(ports["ris"]), "--pacs", str(ports["pacs"]), "--store", str(root / "hospital"),
        "--modality", f"DICAP@127.0.0.1:{ports['courier']}", "--seed", "1",
    ]  # fmt: skip


def _demo_settings(root: Path, source: str, ports: dict[str, int]) -> Path:
    """The demo's own settings: the built-in ones, on other ports where those are taken."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = f"""[station]
source = "{source}"
worklist = "all"
http = "127.0.0.1:{ports["screen"]}"
[sources."{source}"]
spec = "{source}"
anatomic_region = {{ value = "69695003", scheme = "SCT", meaning = "Stomach" }}
[courier]
listen = "127.0.0.1:{ports["courier"]}"
worklist_every = 10.0
[peers.ris]
address = "RIS@127.0.0.1:{ports["ris"]}"
roles = ["worklist", "mpps"]
[peers.pacs]
address = "PACS@127.0.0.1:{ports["pacs"]}"
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
