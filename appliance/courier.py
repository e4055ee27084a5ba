"""Composition root of process 2: the courier holds the network and never touches a device."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from appliance.clinic.order import Order
from appliance.dicom.procedure import Wanted
from appliance.errors import ApplianceError
from appliance.network import pacs, ris
from appliance.network.association import Caller
from appliance.network.listener import Listener
from appliance.settings import Peer, Settings
from appliance.spool.doorbell import Doorbell
from appliance.spool.ledger import Errand, Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.acquire import Place
from appliance.workflow.deliver import Delivery
from appliance.workflow.owing import committer

log = logging.getLogger("dicap.courier")
HEARTBEAT = 10.0  # seconds between two signs of life in the ledger


class Courier:
    """One thread per peer and role, so that a slow one holds up nobody; all woken by the doorbell."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._bell = Doorbell(root, "courier")
        self._station_bell = Doorbell(root, "station")
        ledger = Ledger(root / "ledger.sqlite")
        self._place = Place(settings, Shelf(root), ledger, ring=self._ring_both)
        self._delivery = Delivery(self._place)
        self._stopping = threading.Event()
        self._wake: list[threading.Event] = []
        self._threads: list[threading.Thread] = []
        host, _, port = settings.courier.listen.rpartition(":")
        self._listener = Listener(
            settings.station.ae_title, host.strip("[]"), int(port), on_commitment=self._delivery.heard
        )

    def start(self) -> int:
        """Open the ear and start the rounds; returns the port the ear listens on."""
        self._bell.open()
        port = self._listener.start()
        peers = self._settings.peers
        for name, peer in peers.items():
            if "store" in peer.roles:
                self._round(f"store-{name}", partial(self._delivery.store, name, peer))
                promise = committer(peers, name)
                if promise:
                    self._round(f"commit-{name}", partial(self._delivery.commit, name, *promise))
            if "mpps" in peer.roles:
                self._round(f"report-{name}", partial(self._delivery.report, name, peer))
        self._round("worklist", self._look)
        self._round("errands", self._run_errands)
        self._round("settle", self._settle)
        return port

    def run(self, over: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Wait for rings until stopped; `alive` is called at least every second."""
        beat = 0.0
        while not over.is_set():
            rang = self._bell.wait(1.0)
            alive()
            if time.time() - beat > HEARTBEAT:
                beat = time.time()
                self._place.ledger.sign("courier", {"listen": self._settings.courier.listen})
            due = self._place.ledger.debts.next_due(time.time() - 1.0)
            if rang or due is not None:
                self._wake_all()

    def stop(self) -> None:
        """Stop in reverse order; what is under way is finished or tried again by the next courier."""
        self._stopping.set()
        self._wake_all()
        for thread in reversed(self._threads):
            thread.join(self._settings.courier.timeout + 5)
        self._listener.stop()
        self._bell.close()
        self._place.ledger.close()

    def _ring_both(self) -> None:
        self._wake_all()
        self._station_bell.ring()

    def _wake_all(self) -> None:
        for event in self._wake:
            event.set()

    def _round(self, name: str, work: Callable[[], object]) -> None:
        """A thread that does its work whenever it is woken, and every few seconds anyway."""
        wake = threading.Event()
        wake.set()
        self._wake.append(wake)

        def rounds() -> None:
            while not self._stopping.is_set():
                wake.wait(2.0)
                wake.clear()
                if self._stopping.is_set():
                    return
                try:
                    if work():
                        self._ring_both()
                except ApplianceError as error:
                    log.warning("%s: %s %s", name, error, error.advice)
                    self._stopping.wait(1.0)
                except Exception:
                    log.exception("%s: a fault in dicap", name)
                    self._stopping.wait(5.0)

        thread = threading.Thread(target=rounds, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _look(self, at_once: bool = False) -> bool:
        """Fetch today's worklist when it is old enough, or at once."""
        signs = self._place.ledger.signs("worklist")
        last = max((at for at, _ in signs.values()), default=0.0)
        if not at_once and time.time() - last < self._settings.courier.worklist_every:
            return False
        orders: list[Order] = []
        words: list[str] = []
        peers = self._settings.with_role("worklist")
        for name, peer in peers.items():
            try:
                found = ris.find_orders(self._caller(peer), peer.parsed(), todays(self._settings))
                orders += found.orders
                words += found.complaints
                self._place.ledger.sign(f"peer:{name}", {"answers": True, "words": ""})
            except ApplianceError as error:
                self._place.ledger.sign(f"peer:{name}", {"answers": False, "words": str(error)})
                self._place.ledger.cache_orders([], time.time(), error=f"{error} {error.advice}")
                self._station_bell.ring()
                return False
        for complaint in words:
            log.warning("worklist: %s", complaint)
        if peers:
            self._place.ledger.cache_orders(orders, time.time())
            self._station_bell.ring()
        return False

    def _run_errands(self) -> bool:
        for errand in self._place.ledger.errands():
            self._place.ledger.answer(errand.id, self._run_errand(errand))
            self._station_bell.ring()
        return False

    def _run_errand(self, errand: Errand) -> dict[str, object]:
        try:
            if errand.kind == "worklist":
                self._look(at_once=True)
                return {"ok": True}
            if errand.kind == "echo":
                peer = self._settings.peer(str(errand.asked["peer"]))
                return {"ok": True, "seconds": pacs.echo(self._caller(peer), peer.parsed())}
            return {"ok": False, "words": f"this courier knows no errand {errand.kind!r}"}
        except ApplianceError as error:
            return {"ok": False, "words": str(error), "advice": error.advice}

    def _settle(self) -> bool:
        settled = bool(self._delivery.settle())
        self._delivery.let_go()
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
