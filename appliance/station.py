"""Composition root of process 1: the station holds the camera and the touch screen and never waits for the network."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.clinic.clock import doubt
from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient, temporary_id
from appliance.dicom.uids import Fresh
from appliance.errors import SpoolError, StateError
from appliance.events import Board, Event
from appliance.settings import Settings, host_port
from appliance.spool.doorbell import Doorbell
from appliance.spool.latch import Latch
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.ui.api import build
from appliance.ui.screens import mount
from appliance.ui.serve import Server
from appliance.ui.view import state_of
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import WHAT, How, demand_legal
from appliance.workflow.place import Place
from appliance.workflow.session import Session
from capture.sources import open_source
from capture.tap import Tap

log = logging.getLogger("dicap.station")
PACE, PACE_RECORDING = 1 / 25, 1 / 10  # seconds between two live pictures at the least
NOBODY = {"pid": 0, "http": "", "source": ""}
HEARTBEAT = 10.0  # seconds between two signs of life in the ledger


class Station:
    """The desk that the screen talks to, and the root that builds and stops everything behind it."""

    def __init__(self, settings: Settings, root: Path, demo: bool = False) -> None:
        self.board = Board()
        self._settings = settings
        self._demo = demo
        self._root = root
        self._latch = Latch(root / "station.lock")
        self._bell = Doorbell(root, "station")
        self._courier_bell = Doorbell(root, "courier")
        ledger = Ledger(root / "ledger.sqlite")
        uids = Fresh(settings.dicom.uid_root)
        self._place = Place(settings, Shelf(root), ledger, uids, tell=self._tell, ring=self._courier_bell.ring)
        source = settings.source(settings.station.source)
        self._spec = source.spec
        self._tap = Tap(lambda: open_source(source.spec), on_news=self._tap_news)
        self._acquisition = Acquisition(self._place)
        self._session = Session(self._place, self._acquisition, self._tap, source)
        self._server: Server | None = None
        self._url = ""

    def start(self, http: str | None = None) -> str:
        """Start tap and screen; returns the screen's address.

        Raises SettingsError when it cannot be served there, or another station runs on this spool; then `stop` it.
        """
        host, port = host_port(http or self._settings.station.http)
        self._latch.demand("station", self._root)
        if words := doubt(self._place.now()):
            log.warning(words)
        for stray in self._place.shelf.sweep(self._place.ledger.files()):
            log.warning("a file that the ledger does not know was moved to %s", stray)
        for picture in self._session.take_up():
            log.warning("a recording that was cut off is kept as %s", picture.id)
        for what in WHAT:  # settings that no capture could meet are said now, not in front of a patient
            demand_legal(self._settings.station, (), what, replace(self._session.how(), object="sc"))
        self._bell.open()
        self._tap.start()
        app = build(self, allow_hosts=(host,))
        mount(app)
        self._server = Server(app, host, port)
        bound = self._server.start()
        self._url = f"http://[{host}]:{bound}/" if ":" in host else f"http://{host}:{bound}/"
        self._sign()
        return self._url

    def run(self, over: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Pass the courier's rings on to the screens until stopped; `alive` is called at least every second."""
        beat = time.monotonic()
        while not over.is_set():
            if self._bell.wait(1.0):
                self.board.tell(Event("ledger.changed"))
            alive()
            if time.monotonic() - beat > HEARTBEAT:
                beat = time.monotonic()
                self._sign()

    def stop(self) -> None:
        """Stop in reverse order; a running recording is kept first. Also after a start that failed; may be called twice."""
        self._session.close()
        if self._server:
            self._server.stop()
        self._tap.stop()
        self._bell.close()
        if self._url:
            self._url = ""
            self._sign()
        self._place.ledger.close()
        self._latch.free()

    # the desk

    def state(self) -> dict[str, Any]:
        """Everything the screen shows."""
        return state_of(self._place, self._session, self._tap, self._demo)

    def refresh_worklist(self) -> None:
        """Send the courier for the worklist."""
        self._place.ledger.send_errand("worklist", {})
        self._courier_bell.ring()

    def begin(self, key: str) -> str:
        """Begin an exam for an order of the cached worklist."""
        return self._session.begin([self._order(key)]).id

    def begin_unscheduled(self, patient: dict[str, str], description: str) -> str:
        """Begin an exam that nobody ordered; an empty id gets a temporary one."""
        number = patient["id"].strip() or temporary_id(self._place.now())
        who = Patient(number, patient["name"], patient["birth_date"], patient["sex"])
        order = self._acquisition.unscheduled(who, description)
        return self._session.begin([order]).id

    def set_region(self, value: str) -> None:
        """Which part of the body further pictures show."""
        self._session.set_region(value)

    def still(self) -> str:
        """Keep what is on the screen now."""
        return self._session.still().id

    def record(self) -> None:
        """Start to record."""
        self._session.record()

    def stop_recording(self) -> str:
        """End the recording; the clip is kept when this returns."""
        return self._session.stop().id

    def delete(self, picture_id: str) -> None:
        """Take a picture out of the open exam."""
        self._session.delete(picture_id)

    def finish(self) -> None:
        """End the exam."""
        self._session.finish()

    def abandon(self, reason_value: str) -> None:
        """End the exam early."""
        self._session.abandon(reason_value)

    def preview(self, width: int) -> tuple[int, bytes] | None:
        """The newest frame as a JPEG."""
        return self._tap.preview(width)

    def wait_frame(self, after: int, timeout: float) -> int:
        """The number of the newest frame, once it is above `after` or the time is up."""
        frame = self._tap.wait_frame(after, timeout)
        return after if frame is None else frame.number

    def pace(self) -> float:
        """Seconds between two live pictures: recording has precedence over the screen."""
        return PACE_RECORDING if self._session.take else PACE

    def thumbnail(self, picture_id: str) -> bytes:
        """The small picture of a kept object."""
        path = self._place.shelf.thumbnail(picture_id)
        if not path.is_file():
            raise StateError(f"there is no small picture of {picture_id}")
        return path.read_bytes()

    def retry(self, ids: list[str]) -> int:
        """What was refused waits again."""
        count = self._place.ledger.debts.hurry(ids)
        self._courier_bell.ring()
        return count

    def capture_still(self, options: dict[str, Any]) -> dict[str, Any]:
        """Stills for a command: `exam`, `object`, `syntax`, `count`, `every` (seconds)."""
        how = self._how(options)
        count, every = int(options.get("count", 1)), float(options.get("every", 0.0))
        return {"pictures": [one.id for one in self._session.stills(how, options.get("exam"), count, every)]}

    def capture_clip(self, options: dict[str, Any]) -> dict[str, Any]:
        """A clip for a command: `exam`, `object`, `syntax`, `seconds`."""
        how = self._how(options)
        picture = self._session.clip(how, options.get("exam"), float(options["seconds"]))
        return {"pictures": [picture.id]}

    def _how(self, options: dict[str, Any]) -> How:
        how = self._session.how(str(options.get("object") or "auto"), str(options.get("syntax") or "auto"))
        parts = str(options.get("region") or "").split(":", 2)
        region = Code(*parts) if len(parts) == 3 else None
        return replace(how, region=region, laterality=str(options.get("laterality") or how.laterality))

    def _order(self, key: str) -> Order:
        found = [order for order in self._place.ledger.orders() if order.key == key]
        advice = "Look at the worklist again and choose the patient there."
        if not found:
            raise StateError("this order is no longer on the worklist", advice)
        if len(found) > 1:
            names = " and ".join(sorted(order.patient.spoken_name for order in found))
            advice = "Ask the RIS's administrator. Until then, begin an unscheduled exam for the right patient."
            raise StateError(f"the worklist has several orders called {key}: for {names}", advice)
        return found[0]

    def _tell(self, event: Event) -> None:
        log.info("%s %s", event.kind, event.facts)
        self.board.tell(event)

    def _tap_news(self, state: str, words: str) -> None:
        self._tell(Event("picture.state", {"state": state, "words": words}))

    def _sign(self) -> None:
        facts = {"pid": os.getpid(), "http": self._url, "source": self._spec} if self._url else NOBODY
        try:
            self._place.ledger.sign("station", facts)
        except SpoolError as error:
            log.warning("%s %s", error, error.advice)
