"""The foot switch, button or key that says "now"."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TextIO

from capture.source import NotOnThisSystem

_BOUNCE = 0.05  # seconds within which a contact chatters


class KeyTrigger:
    """Calls `now` for each line typed, until the stream ends; a foot switch that acts as a keyboard works like that."""

    def __init__(self, stream: TextIO, now: Callable[[], None]) -> None:
        self._stream, self._now = stream, now
        self._thread = threading.Thread(target=self._listen, name="trigger", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the stream has ended; False where it has not."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _listen(self) -> None:
        for _line in self._stream:
            self._now()


class PinTrigger:
    """Calls `now` when the contact at a GPIO pin (BCM number) closes to ground; NotOnThisSystem without GPIO."""

    def __init__(self, pin: int, now: Callable[[], None]) -> None:
        try:
            import gpiozero
            from gpiozero.exc import BadPinFactory, PinInvalidPin
        except ImportError as error:
            raise NotOnThisSystem("a button at a GPIO pin needs gpiozero, which is not here.", _NO_PINS) from error
        try:
            self._button: Any = gpiozero.Button(pin, pull_up=True, bounce_time=_BOUNCE)
        except (BadPinFactory, PinInvalidPin, OSError) as error:
            raise NotOnThisSystem(f"GPIO pin {pin} is not on this system: {error}", _NO_PINS) from error
        self._button.when_pressed = now

    def close(self) -> None:
        """Let the pin go."""
        self._button.close()


_NO_PINS = "Use a key, a USB foot switch or the screen; on a Raspberry Pi install the extra: pip install dicap[gpio]."
