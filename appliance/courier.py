"""Composition root of process 2: the courier holds the network and never touches a device."""

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from appliance.dicom.procedure import Wanted
from appliance.dicom.syntaxes import by_name
from appliance.dicom.uids import Fresh
from appliance.errors import ApplianceError, Refused, SpoolError
from appliance.network import pacs, ris
from appliance.network.association import Caller
from appliance.network.listener import Listener
from appliance.settings import Peer, Settings, host_port
from appliance.spool.doorbell import Doorbell
from appliance.spool.latch import Latch
from appliance.spool.ledger import Errand, Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.deliver import Delivery
from appliance.workflow.owing import committer
from appliance.workflow.place import Place

log = logging.getLogger("dicap.courier")
HEARTBEAT = 10.0  # seconds between two signs of life in the ledger
ROUND = 2.0  # seconds after which a thread looks whether there is work, rung for or not
LANES = 3  # threads that store to one archive; all but the first only help beside an exam that takes long
LONGEST_REST = 60.0  # seconds that a thread rests at the most when the spool, or dicap itself, is in trouble
TIDY_EVERY = 6 * 3600.0  # seconds between two clearances of what is long settled


class Courier:
    """One thread per peer and role, so that a slow one holds up nobody; all woken by the doorbell."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._latch = Latch(root / "courier.lock")
        self._bell = Doorbell(root, "courier")
        self._station_bell = Doorbell(root, "station")
        self._place = Place(
            settings, Shelf(root), Ledger(root / "ledger.sqlite"), Fresh(settings.dicom.uid_root), ring=self._ring_both
        )
        self._stopping = threading.Event()
        self._delivery = Delivery(self._place, self._stopping.is_set)
        self._wake: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._looked: dict[str, float] = {}  # when each RIS was last asked for its worklist, by the monotonic clock
        self._tidied = time.monotonic() - TIDY_EVERY
        host, port = host_port(settings.courier.listen)
        self._listener = Listener(settings.station.ae_title, host, port, on_commitment=self._delivery.heard)

    def start(self) -> int:
        """Open the ear and start the rounds; returns the port the ear listens on.

        Raises SettingsError where another courier runs on this spool, where the port is taken, or where a peer is to be
        offered a syntax that does not exist; then nothing was started.
        """
        peers = self._settings.peers
        for word in (word for peer in peers.values() for word in peer.syntaxes):
            by_name(word)
        self._latch.demand("courier", self._root)
        port = self._listener.start()
        self._bell.open()
        self._place.ledger.keep_orders_of(self._settings.with_role("worklist"))
        for name, peer in peers.items():
            if "store" in peer.roles:
                for lane in range(LANES):
                    self._round(f"store-{name}-{lane}", partial(self._delivery.store, name, peer, lane))
                promise = committer(peers, name)
                if promise:
                    self._round(f"commit-{name}", partial(self._delivery.commit, name, *promise))
            if "mpps" in peer.roles:
                self._round(f"report-{name}", partial(self._delivery.report, name, peer))
            if "worklist" in peer.roles:
                self._round(f"worklist-{name}", partial(self._look, name, peer))
        self._round("errands", self._run_errands)
        self._round("settle", self._settle)
        return port

    def run(self, over: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Wait for rings until stopped; `alive` is called at least every second."""
        beat = time.monotonic() - HEARTBEAT
        while not over.is_set():
            rang = self._bell.wait(1.0)
            alive()
            try:
                if time.monotonic() - beat >= HEARTBEAT:
                    beat = time.monotonic()
                    self._place.ledger.sign("courier", {"listen": self._settings.courier.listen})
                now = time.time()
                due = self._place.ledger.debts.next_due(now - 1.0)
            except SpoolError as error:
                log.warning("%s %s", error, error.advice)
                over.wait(1.0)
                continue
            if rang or (due is not None and due <= now):
                self._wake_all()

    def stop(self) -> None:
        """Stop in reverse order; what is under way is finished or tried again by the next courier. May be called twice."""
        self._stopping.set()
        self._wake_all()
        deadline = time.monotonic() + self._settings.courier.timeout + 5
        for thread in reversed(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._listener.stop()
        self._bell.close()
        self._place.ledger.close()
        self._latch.free()

    def _ring_both(self) -> None:
        self._wake_all()
        self._station_bell.ring()

    def _wake_all(self) -> None:
        for event in list(self._wake.values()):
            event.set()

    def _round(self, name: str, work: Callable[[], object]) -> None:
        """A thread that does its work whenever it is woken, and every few seconds anyway; no error ends it."""
        wake = threading.Event()
        wake.set()
        self._wake[name] = wake

        def rounds() -> None:
            rest = 0.0
            while not self._stopping.is_set():
                wake.wait(ROUND)
                wake.clear()
                if self._stopping.is_set():
                    return
                try:
                    if work():
                        self._ring_both()
                    rest = 0.0
                except Exception as error:
                    rest = min(LONGEST_REST, rest * 2 or 1.0)
                    if isinstance(error, ApplianceError):
                        log.warning("%s: %s %s", name, error, error.advice)
                    else:
                        log.exception("%s: a fault in dicap", name)
                    self._stopping.wait(rest)

        thread = threading.Thread(target=rounds, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _look(self, name: str, peer: Peer) -> bool:
        """Fetch today's worklist of one RIS when the last look is old enough (an errand makes it so)."""
        last = self._looked.get(name)
        if last is not None and time.monotonic() - last < self._settings.courier.worklist_every:
            return False
        self._looked[name] = time.monotonic()
        try:
            found = ris.find_orders(self._caller(peer), peer.parsed(), todays(self._settings))
        except ApplianceError as error:
            answers = isinstance(error, Refused)
            self._place.ledger.sign(f"peer:{name}", {"answers": answers, "words": str(error)})
            self._place.ledger.cache_orders([], time.time(), f"{error}. {error.advice}", name)
        else:
            for complaint in found.complaints:
                log.warning("worklist: %s", complaint)
            self._place.ledger.sign(f"peer:{name}", {"answers": True, "words": ""})
            nonsense = "; ".join(found.complaints) if not found.orders else ""  # then the list of before is the better one
            self._place.ledger.cache_orders(found.orders, time.time(), nonsense, name)
        self._station_bell.ring()
        return False

    def _run_errands(self) -> bool:
        """Answer what the station asks for; the same thing asked for several times is done once."""
        answers: dict[str, dict[str, object]] = {}
        for errand in self._place.ledger.errands():
            words = json.dumps([errand.kind, errand.asked], sort_keys=True)
            if words not in answers:
                answers[words] = self._run_errand(errand)
            self._place.ledger.answer(errand.id, answers[words])
            self._station_bell.ring()
        return False

    def _run_errand(self, errand: Errand) -> dict[str, object]:
        try:
            if errand.kind == "worklist":
                self._looked.clear()
                self._wake_all()
                return {"ok": True}
            if errand.kind == "echo":
                peer = self._settings.peer(str(errand.asked.get("peer", "")))
                return {"ok": True, "seconds": pacs.echo(self._caller(peer), peer.parsed())}
            return {"ok": False, "words": f"this courier knows no errand {errand.kind!r}"}
        except ApplianceError as error:
            return {"ok": False, "words": str(error), "advice": error.advice}
        except Exception as fault:
            log.exception("errand %s: a fault in dicap", errand.kind)
            return {"ok": False, "words": f"a fault in dicap: {fault!r}", "advice": "Please report it."}

    def _settle(self) -> bool:
        settled = bool(self._delivery.settle())
        self._delivery.let_go()
        if time.monotonic() - self._tidied >= TIDY_EVERY:
            self._tidied = time.monotonic()
            self._place.ledger.forget()
        return settled

    def _caller(self, peer: Peer) -> Caller:
        courier = self._settings.courier
        return Caller(peer.calling or self._settings.station.ae_title, courier.timeout, courier.connect_timeout)


def todays(settings: Settings) -> Wanted:
    """The worklist this station wants: today's, of its modality unless the settings say otherwise."""
    today = f"{datetime.now():%Y%m%d}"
    modality = settings.station.modality if settings.station.worklist == "modality" else ""
    station = settings.station.ae_title if settings.station.worklist == "station" else ""
    return Wanted(date_from=today, date_to=today, modality=modality, station_ae=station)
