"""Wakes the other process; a lost ring costs one second."""

import contextlib
import os
import select
import socket
from pathlib import Path

LONGEST_NAME = 100  # bytes of a UNIX socket's path that every system takes


class Doorbell:
    """One named bell in the spool: `wait` hears it, `ring` from any process (or thread) wakes the waiter.

    Where the system has no UNIX sockets, or the path is too long for one, waiting falls back to looking every second.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._path = root / f"{name}.bell"
        self._ear: socket.socket | None = None

    def open(self) -> "Doorbell":
        """Begin to hear; a bell left by a dead process is replaced."""
        if not _possible(self._path):
            return self
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._path.unlink(missing_ok=True)
            ear.bind(str(self._path))
        except OSError:  # a disk that keeps no sockets (FAT, some network drives)
            ear.close()
            return self
        ear.setblocking(False)
        self._ear = ear
        return self

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most this long and at most one second. True when it rang."""
        if self._ear is None:
            select.select([], [], [], min(seconds, 1.0)) if os.name == "posix" else _nap(min(seconds, 1.0))
            return False
        ready, _, _ = select.select([self._ear], [], [], max(0.0, min(seconds, 1.0)))
        if not ready:
            return False
        with contextlib.suppress(BlockingIOError):  # several rings are one
            while self._ear.recv(16):
                continue
        return True

    def ring(self) -> None:
        """Wake whoever listens; nobody listening is fine."""
        if not _possible(self._path):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth, contextlib.suppress(OSError):
            mouth.setblocking(False)
            mouth.sendto(b"!", str(self._path))

    def close(self) -> None:
        """Stop hearing."""
        if self._ear is not None:
            self._ear.close()
            self._ear = None
            self._path.unlink(missing_ok=True)


def _possible(path: Path) -> bool:
    return hasattr(socket, "AF_UNIX") and os.name == "posix" and len(os.fsencode(path)) < LONGEST_NAME


def _nap(seconds: float) -> None:
    import time

    time.sleep(seconds)
