"""A whole site on loopback for one test: settings, spool, hospital, courier, station, each a process of its own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

DICAP = [sys.executable, "-m", "appliance.cli"]
START = 60  # seconds a process may take to say that it is ready, on a busy machine


def free_ports(count):
    """Ports nobody listens on just now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Rig:
    """Ports and settings of one site; `start` processes, run `dicap` commands, `stop` everything."""

    def __init__(self, folder: Path, **changes):
        self.folder = folder
        self.data = folder / "data"
        self.store = folder / "store"
        self.ris_port, self.pacs_port, self.ear_port, self.http_port = free_ports(4)
        self.processes = {}
        self.config = folder / "dicap.toml"
        self.configure(**changes)

    def configure(self, *, source="testcard:320x240@25", ris=None, pacs=None, release="committed",
                  pacs_roles=("store", "commit"), ris_roles=("worklist", "mpps"), station="", more=""):  # fmt: skip
        """Write the settings file."""
        ris = ris or f"RIS@127.0.0.1:{self.ris_port}"
        pacs = pacs or f"PACS@127.0.0.1:{self.pacs_port}"
        self.config.write_text(f"""
[station]
source = "{source}"
worklist = "all"
http = "127.0.0.1:{self.http_port}"
reserve_mb = 50
{station}
[sources."{source}"]
spec = "{source}"
anatomic_region = {{ value = "69695003", scheme = "SCT", meaning = "Stomach" }}
[courier]
listen = "127.0.0.1:{self.ear_port}"
first_pause = 0.2
longest_pause = 2.0
worklist_every = 2.0
commit_patience = 3.0
timeout = 15.0
[peers.ris]
address = "{ris}"
roles = {json.dumps(list(ris_roles))}
[peers.pacs]
address = "{pacs}"
roles = {json.dumps(list(pacs_roles))}
release = "{release}"
{more}
""")

    def command(self, *words):
        return [*DICAP, words[0], "--config", str(self.config), "--data", str(self.data), *map(str, words[1:])]

    def start(self, name, *words):
        """Start a long-running command and wait for its first line."""
        log = (self.folder / f"{name}.log").open("ab")
        command = self.command(name, *words)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder)
        log.close()
        self.processes[name] = process
        line = process.stdout.readline()
        assert line, f"{name} did not start:\n" + self.log(name)
        return line

    def hospital(self, *words):
        return self.start(
            "hospital", "--ris", self.ris_port, "--pacs", self.pacs_port, "--store", self.store,
            "--modality", f"DICAP@127.0.0.1:{self.ear_port}", *words,
        )  # fmt: skip

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def dicap(self, *words, code=0, timeout=120):
        """Run a command with --json; the exit code must be as said. Returns the document."""
        done = subprocess.run(self.command(words[0], "--json", *words[1:]), capture_output=True, text=True, timeout=timeout)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}

    def wait(self, timeout=60, code=0):
        return self.dicap("wait", "--timeout", timeout, code=code, timeout=timeout + 60)

    def stored(self):
        """The files at the hospital's PACS."""
        return sorted(self.store.rglob("*.dcm"))

    def kill(self, name):
        """kill -9, no farewell."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        process.stdout.close()

    def stop(self):
        """End everything; a process that must be killed is a failure, said by the caller's teardown."""
        stuck = []
        for name, process in reversed(self.processes.items()):
            process.terminate()
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                stuck.append(name)
                process.kill()
                process.wait()
            process.stdout.close()
        self.processes.clear()
        assert not stuck, f"did not stop when asked: {stuck}"


def until(condition, seconds=30.0, every=0.05):
    """Wait for a condition; returns its value, or fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError("it did not happen in time")


def environment(**more):
    """The environment of a child, with additions."""
    return {**os.environ, **more}
