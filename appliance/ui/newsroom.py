"""Live events: the state, sent to every screen whenever it changed; nobody here can hold up the station."""

import asyncio
import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.errors import ApplianceError
from appliance.events import Event
from appliance.ui.desk import Desk
from appliance.ui.guard import SAFE_METHODS
from capture.source import CaptureError

log = logging.getLogger(__name__)

BEAT = 2.0  # seconds: a screen that hears nothing for longer than three beats says that the station is silent
TICK = 1.0  # seconds: how often the state is looked at without news (disk, ages, the live picture)
PACE = 0.1  # seconds between two states at the least


class Newsroom:
    """One thread that hears the board, asks the desk for its state and rings every screen's bell.

    A screen that reads slowly misses states in between and then gets the newest; memory is bounded by one state.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._heard = desk.board.listen()
        self._lock = threading.Lock()
        self._bells: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._latest = ""
        self._number = 0
        self._fingerprint = ""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="newsroom", daemon=True)

    def start(self) -> None:
        """Begin to listen; call once."""
        self._thread.start()

    def close(self) -> None:
        """End every stream and the thread."""
        self._closing = True
        self.nudge()
        self._ring()
        self._desk.board.leave(self._heard)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5)

    @property
    def closing(self) -> bool:
        """Whether streams should end."""
        return self._closing

    def nudge(self) -> None:
        """Look at the state soon, whether or not the station tells of anything."""
        try:
            self._heard.put_nowait(Event("screen.nudge"))
        except queue.Full:
            return  # there is news enough to look at the state anyway

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events: `state` with the whole state as JSON, at once and after changes; `beat` in silence."""
        bell = asyncio.Event()
        with self._lock:
            self._bells[bell] = asyncio.get_running_loop()
            self._fingerprint = ""  # the newcomer needs a state, changed or not
        self.nudge()
        seen = 0
        try:
            yield "retry: 1000\n\n"  # milliseconds after which a screen that lost us calls again
            while not self._closing:
                try:
                    await asyncio.wait_for(bell.wait(), BEAT)
                except TimeoutError:
                    yield "event: beat\ndata: {}\n\n"
                    continue
                bell.clear()
                number, text = self._number, self._latest
                if number != seen and not self._closing:
                    seen = number
                    yield text
        finally:
            with self._lock:
                self._bells.pop(bell, None)

    def _run(self) -> None:
        """Until closed: hear news or let a tick pass, take all news together, look once."""
        while not self._closing:
            with contextlib.suppress(queue.Empty):  # no news is a reason to look as well
                self._heard.get(timeout=TICK)
            while not self._heard.empty():
                self._heard.get_nowait()
            with self._lock:
                watched = bool(self._bells)
            if watched and not self._closing:
                self._look()
                time.sleep(PACE)

    def _look(self) -> None:
        """Ask the desk how it is, and ring if that is something new; a desk that cannot tell is news as well."""
        kind, state = "state", {}
        try:
            state = self._desk.state()
        except (ApplianceError, CaptureError) as error:
            kind, state = "trouble", {"what": str(error), "advice": error.advice}
        except Exception:
            log.exception("the station could not tell its state")
            kind, state = "trouble", {"what": "The station cannot tell how it is.", "advice": ApplianceError.advice}
        fingerprint = kind + json.dumps(_lasting(state), sort_keys=True, default=str)
        with self._lock:
            if fingerprint == self._fingerprint:
                return
            self._fingerprint = fingerprint
        self._latest = f"event: {kind}\ndata: {json.dumps(state, ensure_ascii=False)}\n\n"
        self._number += 1
        self._ring()

    def _ring(self) -> None:
        """Wake every stream, each in the loop it lives in."""
        with self._lock:
            bells = list(self._bells.items())
        for bell, loop in bells:
            try:
                loop.call_soon_threadsafe(bell.set)
            except RuntimeError:
                with self._lock:  # that server has ended
                    self._bells.pop(bell, None)


class Nudge:
    """ASGI middleware: after every deed the state is looked at, so that the screens show it at once."""

    def __init__(self, app: ASGIApp, newsroom: Newsroom) -> None:
        self._app = app
        self._newsroom = newsroom

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, then nudge."""
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
                self._newsroom.nudge()


def _lasting(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what merely grows older: the screen counts that on by itself."""
    lasting = {name: value for name, value in state.items() if name != "time"}
    if isinstance(lasting.get("worklist"), dict):
        lasting["worklist"] = {name: value for name, value in lasting["worklist"].items() if name != "age_seconds"}
    return lasting
