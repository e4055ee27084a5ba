"""Keeping time as a device does: the next frame is there when its moment has come, not sooner."""

from __future__ import annotations

import threading
import time


class Pace:
    """A clock that begins with the first frame; `close` ends every wait at once, from any thread."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._wall = 0.0
        self._begun: float | None = None

    @property
    def closed(self) -> bool:
        """Whether the source was let go."""
        return self._closed.is_set()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed.set()

    def elapsed(self) -> float:
        """Seconds since the first frame was due; the first call starts the clock."""
        if self._begun is None:
            self._begun, self._wall = time.monotonic(), time.time()
        return time.monotonic() - self._begun

    def wait(self, offset: float) -> bool:
        """Wait until `offset` seconds after the first frame; False if the source was closed meanwhile."""
        ahead = offset - self.elapsed()
        return not (self._closed.wait(ahead) if ahead > 0 else self._closed.is_set())

    def moment(self, offset: float) -> float:
        """The time of day (seconds since 1970) that belongs to this offset."""
        self.elapsed()
        return self._wall + offset
