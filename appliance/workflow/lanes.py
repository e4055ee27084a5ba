"""Which exam is just being stored where: one thread has it, and others help only beside one that takes long."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONG = 1.0  # seconds after which what waits behind an exam is taken by another thread


class Lanes:
    """The exams under way, per destination. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[tuple[str, str], float] = {}

    @contextmanager
    def claim(self, destination: str, exam_id: str) -> Iterator[bool]:
        """Have an exam for as long as the block runs; False where another thread has it."""
        key = (destination, exam_id)
        with self._lock:
            mine = key not in self._since
            if mine:
                self._since[key] = time.monotonic()
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    del self._since[key]

    def is_slow(self, destination: str) -> bool:
        """Whether some exam has been under way to this destination for long."""
        now = time.monotonic()
        with self._lock:
            return any(now - since > LONG for (where, _), since in self._since.items() if where == destination)
