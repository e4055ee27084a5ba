"""The units: sound, sandboxed, installed and taken away whole; and what both processes say to systemd."""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.settings import Settings, load

ROOT = Path(__file__).resolve().parents[1]
UNITS = ("dicap-station", "dicap-courier", "dicap-kiosk")
# what `systemd-analyze security` may find at most, times ten; the browser compiles scripts and builds a sandbox of its own
EXPOSURE = {"dicap-station": 20, "dicap-courier": 20, "dicap-kiosk": 50}
INSTALLED = {
    "etc/dicap/dicap.toml",
    "usr/lib/sysusers.d/dicap.conf",
    "usr/local/lib/systemd/system/dicap-courier.service",
    "usr/local/lib/systemd/system/dicap-kiosk.service",
    "usr/local/lib/systemd/system/dicap-station.service",
    "usr/local/share/doc/dicap/LICENSE",
    "usr/local/share/doc/dicap/NOTICE",
    "usr/local/share/doc/dicap/settings.md",
    "usr/local/share/doc/dicap/systemd.md",
}


class Several(dict):
    """A section whose keys may come more than once, as in systemd's files: the values are joined by a space."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self and isinstance(self[key], list):
            value = [*self[key], *value]
        super().__setitem__(key, value)


def service(name: str) -> dict[str, str]:
    """The [Service] section of one of our units."""
    parser = configparser.ConfigParser(dict_type=Several, strict=False, interpolation=None)
    parser.optionxform = str
    text = (ROOT / "systemd" / f"{name}.service").read_text(encoding="utf-8")
    parser.read_string(text.replace("\\\n", " "))
    return {key: " ".join(value.split("\n")) for key, value in parser["Service"].items()}


def make(*words: str) -> str:
    done = subprocess.run(["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(tree: Path) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*") if not path.is_dir()}


@pytest.fixture
def tree(tmp_path):
    """What make install puts down (without the program itself, which takes minutes), in a tree of its own."""
    make("install-units", f"DESTDIR={tmp_path}")
    return tmp_path


@pytest.fixture
def system(tree):
    """That tree with systemd's own units and something to execute at the places that ours name."""
    shutil.copytree("/usr/lib/systemd/system", tree / "usr/lib/systemd/system", symlinks=True)
    for name in ("opt/dicap/bin/dicap", "usr/bin/cage"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("#!/bin/sh\n")
        (tree / name).chmod(0o755)
    return tree


def verify(system: Path, *names: str) -> str:
    """What systemd-analyze has to say about our units, exit code and all."""
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={system}", *names], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    ours = [line for line in done.stderr.splitlines() if "dicap" in line]
    return "\n".join([*ours, *([f"exit code {done.returncode}"] if done.returncode else [])])


def test_systemd_finds_no_fault_in_the_units(system):
    assert verify(system, *(f"{name}.service" for name in UNITS)) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("ProtectHome=yes", "ProtectHime=yes"), ("Type=notify", "Type=nonsense"), ("opt/dicap/bin/", "opt/bin/")],
)
def test_systemd_would_find_one(system, right, wrong):
    path = system / "usr/local/lib/systemd/system/dicap-courier.service"
    path.write_text(path.read_text().replace(right, wrong))
    assert verify(system, "dicap-courier.service") != ""


@pytest.mark.parametrize("name", UNITS)
def test_the_sandbox_is_tight(name):
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--no-pager",
            "--offline=true",
            f"--threshold={EXPOSURE[name]}",
            f"systemd/{name}.service",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_courier_sees_no_device():
    courier = service("dicap-courier")
    assert courier["PrivateDevices"] == "yes"
    assert courier["DevicePolicy"] == "closed"
    assert "DeviceAllow" not in courier


def test_the_station_reaches_no_other_machine_and_sees_its_devices():
    station = service("dicap-station")
    assert station["IPAddressDeny"] == "any"
    assert station["IPAddressAllow"] == "localhost"
    assert station["DevicePolicy"] == "closed"
    assert "char-video4linux rw" in station["DeviceAllow"]
    assert "PrivateDevices" not in station


def test_the_browser_reaches_the_station_alone_and_no_file_of_a_patient():
    kiosk = service("dicap-kiosk")
    assert kiosk["IPAddressDeny"] == "any"
    assert kiosk["IPAddressAllow"] == "localhost"
    assert "/var/lib/dicap" in kiosk["InaccessiblePaths"]
    assert kiosk["ExecStart"].split()[-1] == f"http://{Settings().station.http}"
    assert kiosk["User"] != service("dicap-station")["User"]


@pytest.mark.parametrize("name", ["dicap-station", "dicap-courier"])
def test_both_processes_meet_in_the_spool_and_write_nowhere_else(name):
    unit = service(name)
    assert unit["ProtectSystem"] == "strict"
    assert unit["ReadWritePaths"] == "/var/lib/dicap"
    assert unit["ReadOnlyPaths"] == "/etc/dicap"
    assert unit["User"] == "dicap"
    assert {"DICAP_CONFIG=/etc/dicap/dicap.toml", "DICAP_DATA=/var/lib/dicap"} <= set(unit["Environment"].split())
    assert unit["NoNewPrivileges"] == "yes"
    assert (unit["Type"], unit["Restart"]) == ("notify", "always")
    assert int(unit["WatchdogSec"]) >= 10, "longer than the slowest turn of the loop that gives signs of life"


def test_make_install_puts_down_what_is_written_and_keeps_settings_that_are_there(tree):
    assert files(tree) == INSTALLED
    assert load(tree / "etc/dicap/dicap.toml") == Settings()
    (tree / "etc/dicap/dicap.toml").write_text('[station]\nmodality = "US"\n')
    assert "Kept your settings" in make("install-units", f"DESTDIR={tree}")
    assert load(tree / "etc/dicap/dicap.toml").station.modality == "US"


def test_make_uninstall_takes_everything_away_but_settings_and_spool(tree):
    for name in ("opt/dicap/bin/dicap", "opt/dicap/pyvenv.cfg", "var/lib/dicap/ledger.sqlite", "usr/local/bin/dicap"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
        (tree / name).chmod(0o755)
    make("uninstall", f"DESTDIR={tree}")
    assert files(tree) == {"etc/dicap/dicap.toml", "var/lib/dicap/ledger.sqlite"}


def test_make_uninstall_leaves_a_folder_that_is_not_ours(tree):
    (tree / "opt/dicap").mkdir(parents=True)
    (tree / "opt/dicap/thesis.odt").write_text("")
    make("uninstall", f"DESTDIR={tree}")
    assert "opt/dicap/thesis.odt" in files(tree)


def test_the_users_can_be_made(tmp_path):
    (tmp_path / "etc").mkdir()
    conf = ROOT / "systemd" / "dicap.sysusers.conf"
    done = subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(conf)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    people = dict(line.split(":", 1) for line in (tmp_path / "etc/passwd").read_text().splitlines())
    assert people.keys() == {service(name)["User"] for name in UNITS}
    assert all(words.endswith("nologin") for words in people.values())


def hear(manager: socket.socket, process: subprocess.Popen, log: Path) -> str:
    """The next thing that the process says to its manager; fails at once, with its log, when it died instead."""
    manager.settimeout(0.5)
    for _ in range(120):
        try:
            return manager.recv(4096).decode()
        except TimeoutError:
            assert process.poll() is None, log.read_text()
    raise AssertionError("nothing said for a minute:\n" + log.read_text())


@pytest.mark.parametrize("command", ["station", "courier"])
def test_both_processes_say_that_they_are_ready_alive_and_ending(command, tmp_path, free_port):
    """The command of the unit, with a service manager's socket held by this test."""
    settings = f'[station]\nhttp = "127.0.0.1:{free_port()}"\nsource = "testcard:320x240@10"\n'
    settings += f'[courier]\nlisten = "127.0.0.1:{free_port()}"\nconnect_timeout = 1\n'
    settings += f'[peers.pacs]\naddress = "PACS@127.0.0.1:{free_port()}"\nroles = ["store", "commit"]\n'
    (tmp_path / "dicap.toml").write_text(settings)
    log = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, log.open("wb") as out:
        manager.bind(str(tmp_path / "notify"))
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "400000",
            "DICAP_CONFIG": str(tmp_path / "dicap.toml"),
            "DICAP_DATA": str(tmp_path / "spool"),
        }
        environment.pop("WATCHDOG_PID", None)
        words = [sys.executable, "-m", "appliance.cli", command]
        process = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=out, stderr=out)
        try:
            assert hear(manager, process, log).startswith("READY=1")
            assert hear(manager, process, log) == "WATCHDOG=1"
            assert hear(manager, process, log) == "WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            while hear(manager, process, log) != "STOPPING=1":
                continue
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
