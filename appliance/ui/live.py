"""The live picture for a browser: one JPEG at a time, or as a stream that drops what the reader cannot take."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import anyio

from appliance.ui.desk import Desk

WIDTHS = (320, 480, 640, 800, 960, 1280, 1600, 1920)  # few widths, so that several screens share one encoding
WAIT = 1.0  # seconds a request may wait for the next frame
VIEWERS = 12  # threads for viewers; the buttons have threads of their own


def step_up(width: int) -> int:
    """The smallest of our widths that is not below the wanted one."""
    return next((step for step in WIDTHS if step >= width), WIDTHS[-1])


class Window:
    """Hands out live pictures; any number of viewers may wait, none of them stops another thing."""

    def __init__(self, desk: Desk, closing: Callable[[], bool]) -> None:
        self._desk = desk
        self._closing = closing
        self._seats = anyio.CapacityLimiter(VIEWERS)
        self._drawing = threading.Lock()
        self._drawn: dict[int, tuple[int, bytes, float]] = {}  # by width: number, JPEG, when

    async def next(self, width: int, after: int, wait: float = WAIT) -> tuple[int, bytes] | None:
        """The newest picture if it is another one than `after`, waiting for it at most `wait` seconds; else None."""
        look = partial(self._look, step_up(width), after, min(max(wait, 0.0), 5.0))
        return await anyio.to_thread.run_sync(look, limiter=self._seats, abandon_on_cancel=True)

    async def stream(self, width: int) -> AsyncIterator[bytes]:
        """Parts of a multipart/x-mixed-replace body; the boundary is `frame`. Ends when the server ends."""
        after = -1
        while not self._closing():
            picture = await self.next(width, after)
            if picture is None:
                await asyncio.sleep(0.05)
                continue
            after, jpeg = picture
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Frame: {after}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"

    def _look(self, width: int, after: int, wait: float) -> tuple[int, bytes] | None:
        """In a viewer's thread: wait, then take the newest."""
        """The desk's pace holds for all viewers of a width together: whoever comes sooner shares the last picture."""
        number, jpeg, when = self._drawn.get(width, (after, b"", 0.0))
        left = self._desk.pace() - (time.monotonic() - when)
        if left > 0 and number != after:
            return number, jpeg
        time.sleep(max(0.0, min(left, wait)))
        self._desk.wait_frame(after, wait)
        with self._drawing:
            number, jpeg, when = self._drawn.get(width, (after, b"", 0.0))
            if number == after or time.monotonic() - when >= self._desk.pace():
                picture = self._desk.preview(width)
                if picture is None:
                    return None
                number, jpeg = picture
                self._drawn[width] = (number, jpeg, time.monotonic())
        # not "above after": a device that was opened again counts from 0
        return (number, jpeg) if number != after else None
