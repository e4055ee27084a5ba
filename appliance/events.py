"""What just happened; the teller never waits."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """One piece of news: `kind` is a dotted word (`exam.begun`, `object.kept`), `facts` are plain values."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


Teller = Callable[[Event], None]


def nobody(event: Event) -> None:
    """A teller with no listeners."""


class Board:
    """Where news is put up: `tell` never blocks, a listener that does not read loses its oldest news."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[queue.Queue[Event]] = []

    def tell(self, event: Event) -> None:
        """Give the event to every listener, without waiting for any."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            while True:
                try:
                    listener.put_nowait(event)
                    break
                except queue.Full:
                    try:
                        listener.get_nowait()
                    except queue.Empty:
                        continue

    def listen(self, depth: int = 256) -> queue.Queue[Event]:
        """A new queue of events; hand it back to `leave`."""
        listener: queue.Queue[Event] = queue.Queue(depth)
        with self._lock:
            self._listeners.append(listener)
        return listener

    def leave(self, listener: queue.Queue[Event]) -> None:
        """Stop listening."""
        with self._lock:
            self._listeners = [one for one in self._listeners if one is not listener]
