"""Signs of life for systemd (sd_notify): ready, alive, stopping; nothing happens where nobody listens."""

import os
import socket
import time


class Watchdog:
    """One process's line to the service manager named by $NOTIFY_SOCKET.

    Everywhere else (a shell, macOS, Windows, a test) each call does nothing. A lost message is no error: the manager
    that misses signs of life restarts the process, and nothing that was acknowledged is lost by that.
    """

    def __init__(self) -> None:
        self._path = os.environ.get("NOTIFY_SOCKET", "")
        self._every = _half_the_patience()
        self._next = 0.0

    @property
    def watched(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._path)

    def ready(self, words: str = "") -> None:
        """Started: the screen is served, or the ear is open. `words` stand in `systemctl status`."""
        self._tell("READY=1", *([f"STATUS={words}"] if words else []))

    def alive(self) -> None:
        """Call it from the loop whose standstill means that the process hangs; it may be called as often as one likes."""
        now = time.monotonic()
        if self._every and now >= self._next:
            self._next = now + self._every
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """About to end, on purpose."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._path or not hasattr(socket, "AF_UNIX"):
            return
        # a leading @ is how a socket in Linux's abstract namespace is written
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            try:
                line.sendto("\n".join(lines).encode(), address)
            except OSError:
                # full or gone: the loop must not wait for it, and the next sign of life follows soon
                self._next = 0.0


def _half_the_patience() -> float:
    """Seconds between two signs of life; 0 where no watchdog is set for this very process (sd_watchdog_enabled(3))."""
    owner = os.environ.get("WATCHDOG_PID")
    patience = os.environ.get("WATCHDOG_USEC", "")
    if not patience.isdecimal() or (owner and owner != str(os.getpid())):
        return 0.0
    return int(patience) / 2_000_000
