"""A spool with orders, exams and pictures, and peers in this process, for the tests of the workflow."""

import contextlib
import threading
import time
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
from pydicom.pixels import pixel_array

from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.dicom.uids import Fresh
from appliance.peers.faults import Faults
from appliance.peers.pacs import Pacs
from appliance.peers.ris import Ris
from appliance.settings import Address, Courier, Peer, Settings, SourceSetting, Station
from appliance.spool.debts import State
from appliance.spool.ledger import Ledger
from appliance.spool.shelf import Shelf
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import How
from appliance.workflow.place import Place
from appliance.workflow.session import Session
from capture.frame import Format, Frame, Still
from capture.source import SourceLost, SourceMissing
from capture.sources.testcard import TestCard, read_strip
from capture.tap import Tap

NOWHERE = "NOBODY@127.0.0.1:1"  # nobody listens there: refused at once
STOMACH = Code("69695003", "SCT", "Stomach")


def order(accession="A1", step="S1", patient="P1", name="Doe^Jane", born="19700203", issuer=False, **more):
    """One scheduled step for endoscopy."""
    study = f"2.25.{sum(f'{accession}/{patient}'.encode())}{len(accession)}"
    facts = {"modality": "ES", "protocol_codes": (STOMACH,), "step_description": "Gastroscopy", "date": "20260304", **more}
    who = Patient(patient, name, born, "F", issuer="OTHER" if issuer else "")
    return Order(who, study, accession, step_id=step, **facts)


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


class Camera:
    """A source that a test drives: it shows frames by itself until it is told to fall silent, to end or to be lost."""

    def __init__(self, rate=50, size=(160, 120), limit=None):
        self.name, self.live, self.flaws = "the test's camera", True, []
        self.format = Format(*size, Fraction(rate), "yuv420p")
        self.limit = limit
        self._card = TestCard(*size, Fraction(rate))
        self._number = 0
        self.silent, self.over, self.lost = threading.Event(), threading.Event(), threading.Event()

    def read(self):
        while True:
            if self.lost.is_set():
                raise SourceLost("the test's camera was unplugged")
            if self.over.wait(1 / float(self.format.rate)) or self._number == self.limit:
                return None
            if not self.silent.is_set():
                number, self._number = self._number, self._number + 1
                return Frame(number, time.time(), self._card.draw(number, 0.0), self.format)

    def close(self):
        self.over.set()


class Cameras:
    """Opens a camera, and another one each time the last was lost."""

    def __init__(self, **facts):
        self._facts = facts
        self.opened = []

    def __call__(self):
        if self.opened and self.opened[-1].lost.is_set() and not self.again:
            raise SourceMissing("there is no camera any more")
        self.opened.append(Camera(**self._facts))
        return self.opened[-1]

    again = False

    @property
    def last(self):
        return self.opened[-1]


@contextlib.contextmanager
def session(place, source=None, start=True, **camera):
    """A session in front of a camera; yields (session, cameras)."""
    cameras = Cameras(**camera)
    tap = Tap(cameras)
    one = Session(place.place, place.acquisition, tap, source or SourceSetting(spec="testcard", anatomic_region=None))
    try:
        if start:
            tap.start()
            until(lambda: tap.latest() is not None)
        yield one, cameras
    finally:
        tap.stop()


def number_in(place, picture):
    """The frame number that the strip of a kept still shows."""
    return read_strip(pixel_array(place.place.shelf.path(picture.file)))
