"""The live picture for a browser: one JPEG at a time, or as a stream that drops what the reader cannot take."""

import asyncio
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
            begun = time.monotonic()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Frame: {after}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"
            await asyncio.sleep(max(0.0, self._desk.pace() - (time.monotonic() - begun)))

    def _look(self, width: int, after: int, wait: float) -> tuple[int, bytes] | None:
        """In a viewer's thread: wait, then take the newest."""
        self._desk.wait_frame(after, wait)
        picture = self._desk.preview(width)
        # not "above after": a device that was opened again counts from 0
        return picture if picture is not None and picture[0] != after else None
