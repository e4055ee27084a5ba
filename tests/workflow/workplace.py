"""A spool with orders, exams and pictures, and peers in this process, for the tests of the workflow."""

import contextlib
import time
from datetime import UTC, datetime

import numpy as np

from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.dicom.uids import Fresh
from appliance.peers.faults import Faults
from appliance.peers.pacs import Pacs
from appliance.peers.ris import Ris
from appliance.settings import Address, Courier, Peer, Settings, Station
from appliance.spool.debts import State
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.acquire import Acquisition, How, Place
from capture.frame import Still

NOWHERE = "NOBODY@127.0.0.1:1"  # nobody listens there: refused at once
STOMACH = Code("69695003", "SCT", "Stomach")


def order(accession="A1", step="S1", patient="P1", name="Doe^Jane", **more):
    """One scheduled step for endoscopy."""
    study = f"2.25.{sum(f'{accession}/{patient}'.encode())}{len(accession)}"
    facts = {"modality": "ES", "protocol_codes": (STOMACH,), "step_description": "Gastroscopy", "date": "20260304", **more}
    return Order(Patient(patient, name, "19700203", "F"), study, accession, step_id=step, **facts)


def still(number=0, size=(24, 32)):
    """A small picture, different for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
    return Still(datetime.now(UTC), pixels=pixels)


class Workplace:
    """A spool of its own; `settings` are quick to try again."""

    def __init__(self, root, peers=None, courier=None, **station):
        self.root = root
        self.settings = Settings(
            station=Station(**{"reserve_mb": 1, **station}),
            courier=Courier(
                **{"listen": "127.0.0.1:0", "first_pause": 0.05, "longest_pause": 0.4, "timeout": 5.0, **(courier or {})}
            ),
            peers={name: Peer(**facts) for name, facts in (peers or {}).items()},
        )
        self.told = []
        self.rings = 0
        ledger = Ledger(root / "ledger.sqlite")
        self.place = Place(self.settings, Shelf(root), ledger, Fresh(), tell=self.told.append, ring=self._ring)
        self.acquisition = Acquisition(self.place)

    def _ring(self):
        self.rings += 1

    @property
    def ledger(self):
        return self.place.ledger

    def exam(self, pictures=1, orders=None, finish=True, **how):
        """An exam with pictures, finished."""
        exam = self.acquisition.begin(orders or [order()])
        kept = [self.acquisition.keep(exam.id, still(number), How(**how)) for number in range(pictures)]
        if finish:
            exam = self.acquisition.finish(exam.id)
        return exam, kept

    def states(self, destination=None):
        """The states of all deliveries in the order the pictures were kept."""
        debts = self.ledger.debts.deliveries()
        return [str(debt.state) for debt in debts if destination in (None, debt.destination)]

    def close(self):
        self.ledger.close()


@contextlib.contextmanager
def workplace(root, peers=None, **more):
    """A workplace that is closed at the end."""
    place = Workplace(root, peers, **more)
    try:
        yield place
    finally:
        place.close()


@contextlib.contextmanager
def pacs(store, *faults, name="PACS", port=0, listener=None, manner="same"):
    """An archive of the small hospital, in this process."""
    called = {"DICAP": Address(ae_title="DICAP", host="127.0.0.1", port=listener)} if listener else {}
    peer = Pacs(name, "127.0.0.1", port, store, called, faults=Faults.parse(faults))
    peer.commit_manner = manner
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


@contextlib.contextmanager
def ris(*faults, orders=(), port=0):
    """A RIS of the small hospital, in this process."""
    peer = Ris("RIS", "127.0.0.1", port, list(orders), faults=Faults.parse(faults))
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def at(peer, **more):
    """The settings of a peer in this process."""
    return {"address": f"{peer.ae_title}@127.0.0.1:{peer.port}", **more}


def until(condition, seconds=20.0, every=0.02):
    """Wait for a condition; returns its value, or fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError("it did not happen in time")


SENT, WAITING, REFUSED, COMMITTED = (str(one) for one in (State.SENT, State.WAITING, State.REFUSED, State.COMMITTED))
