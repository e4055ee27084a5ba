"""The simulated RIS: a worklist that a modality asks, and performed steps that it is told and checks."""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import ModalityPerformedProcedureStep, ModalityWorklistInformationFind, Verification  # type: ignore

from appliance.clinic.order import Order
from appliance.peers import demo, mpps, nonsense
from appliance.peers.faults import Faults
from appliance.peers.matching import answer, matches, unsupported
from appliance.peers.mpps import BEGUN, ENDED, Step
from appliance.peers.orders import load
from appliance.peers.scp import Scp, break_off, hang_up
from appliance.peers.worklist import entity

PENDING, PENDING_UNSUPPORTED_KEYS, CANCELLED = 0xFF00, 0xFF01, 0xFE00
PROCESSING_FAILURE, DUPLICATE, NO_SUCH_INSTANCE = 0x0110, 0x0111, 0x0112
# Error ID of PS3.4 Table F.7.2-2 for a step that has ended
MAY_NO_LONGER_BE_UPDATED = 0xA710


class Ris(Scp):
    """Worklist and MPPS SCP. An order goes from SCHEDULED to STARTED with the N-CREATE that names it, and leaves the
    worklist with COMPLETED or DISCONTINUED; a step begun under the wrong entry leaves its order SCHEDULED.

    `orders` are the orders themselves, an order file, or None for the demo patients of today (and tomorrow of
    tomorrow). A step that lacks what PS3.4 F.7.2-1 demands is refused; what is merely odd is noted in `complaints`.
    What the RIS knows is in memory: stopped and started it still knows it, a new Ris begins anew.

        ris = Ris("RIS", "127.0.0.1", 0, None, faults=Faults(), seed=1)
        port = ris.start()
        ...
        ris.orders(), ris.steps(), ris.complaints
        ris.stop()
    """

    kind = "ris"

    def __init__(
        self, ae_title: str, host: str, port: int, orders: Sequence[Order] | Path | None, *, faults: Faults, seed: int = 0
    ) -> None:
        super().__init__(ae_title, host, port, faults=faults)
        self._seed = seed
        self._is_demo = orders is None
        self._day: date | None = None
        self._orders: dict[str, Order] = {}
        self._steps: dict[str, Step] = {}
        for order in load(orders, date.today()) if isinstance(orders, Path) else orders or ():
            self.add(order)
        self._turn_the_page()

    def add(self, order: Order) -> None:
        """Schedule one more step."""
        with self._lock:
            self._orders[order.key] = dataclasses.replace(order, status=order.status or "SCHEDULED")

    def orders(self) -> list[Order]:
        """What the worklist holds now, by date, time and key."""
        with self._lock:
            self._turn_the_page()
            open_orders = [order for order in self._orders.values() if order.status not in ENDED]
        return sorted(open_orders, key=lambda order: (order.date, order.time, order.key))

    def steps(self) -> list[Step]:
        """The performed steps that the RIS was told of, in the order of their N-CREATEs."""
        with self._lock:
            return list(self._steps.values())

    def contexts(self) -> list[PresentationContext]:
        """Verification, worklist, MPPS."""
        syntaxes: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        offered = (Verification, ModalityWorklistInformationFind, ModalityPerformedProcedureStep)
        return [build_context(abstract, syntaxes) for abstract in offered]

    def handlers(self) -> list[Any]:
        """C-ECHO is pynetdicom's own."""
        return [(evt.EVT_C_FIND, self._find), (evt.EVT_N_CREATE, self._create), (evt.EVT_N_SET, self._set)]

    def _turn_the_page(self) -> None:
        """The demo list of a new day."""
        if self._is_demo and self._day != date.today():
            self._day = date.today()
            for order in demo.orders(self._seed, self._day):
                self.add(order)

    # worklist

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a worklist query, line by line (PS3.4 K.4.1)."""
        self.pause(self.faults.value("ris-slow").seconds)
        if "ris-nonsense" in self.faults:
            yield from self._nonsense(event)
            return
        identifier = event.identifier
        aborting = self.faults.strikes("ris-abort")
        for order in self.orders():
            if event.is_cancelled:
                yield CANCELLED, None
                return
            held = entity(order)
            if not matches(held, identifier):
                continue
            result = answer(held, identifier)
            if "SpecificCharacterSet" in held:
                result.SpecificCharacterSet = held.SpecificCharacterSet
            yield PENDING_UNSUPPORTED_KEYS if unsupported(held, identifier) else PENDING, result
            if aborting:
                break_off(event.assoc)
                return

    def _nonsense(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer it as no RIS should."""
        kinds = self.faults.value("ris-nonsense").words
        request: Any = event.request
        is_implicit = UID(event.context.transfer_syntax).is_implicit_VR
        for identifier in nonsense.identifiers(kinds, self.faults.dice("ris-nonsense"), is_implicit):
            response = C_FIND()  # past pynetdicom's own answer, which would not encode it
            response.MessageIDBeingRespondedTo = request.MessageID
            response.AffectedSOPClassUID = request.AffectedSOPClassUID
            response.Status = PENDING
            response.Identifier = BytesIO(identifier)
            event.assoc.dimse.send_msg(response, event.context.context_id)
        yield 0x1234 if "status" in kinds else 0x0000, None

    # performed steps

    def _create(self, event: evt.Event) -> tuple[int | Dataset, Dataset | None]:
        """Take note of a step begun (PS3.4 F.7.2.1): its status, and the UID if we were to choose it."""
        self.pause(self.faults.value("ris-slow").seconds)
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID or generate_uid(prefix=None))
        if self.faults.strikes("mpps-refuse"):
            return _failure(PROCESSING_FAILURE, "refused on request"), None
        attributes = event.attribute_list
        wrong = mpps.lacks_at_creation(attributes)
        with self._lock:
            if uid in self._steps:
                self.complain(f"MPPS {uid}: N-CREATE of a step that is there already")
                return _failure(DUPLICATE, "this step is there already"), None
            if wrong:
                return self._refuse(uid, "N-CREATE", wrong), None
            named = self._orders_of(attributes)
            for doubt in mpps.doubts_about_orders(attributes, named):
                self.complain(f"MPPS {uid}: {doubt}")
            orders = tuple(order.key for _, order in named if order is not None)
            calling = str(event.assoc.requestor.ae_title).strip()
            self._steps[uid] = Step(uid, BEGUN, copy.deepcopy(attributes), calling, orders)
            self._advance(orders, "STARTED")
        if self.faults.strikes("mpps-lose-answer", f"create {uid}"):
            hang_up(event.assoc)
        if request.AffectedSOPInstanceUID:
            return 0x0000, None
        given = Dataset()  # pynetdicom takes the UID of the answer from here
        given.AffectedSOPInstanceUID = uid
        return 0x0000, given

    def _set(self, event: evt.Event) -> tuple[int | Dataset, Dataset | None]:
        """Take note of what became of a step (PS3.4 F.7.2.2): its status."""
        self.pause(self.faults.value("ris-slow").seconds)
        request: Any = event.request
        uid = str(request.RequestedSOPInstanceUID)
        if self.faults.strikes("mpps-refuse"):
            return _failure(PROCESSING_FAILURE, "refused on request"), None
        change = event.modification_list
        with self._lock:
            step = self._steps.get(uid)
            if step is None:
                self.complain(f"MPPS {uid}: N-SET of a step that nobody created")
                return _failure(NO_SUCH_INSTANCE, "no such step"), None
            if step.state != BEGUN:
                self.complain(f"MPPS {uid}: N-SET of a step that is {step.state}")
                words = "Performed Procedure Step Object may no longer be updated"
                return _failure(PROCESSING_FAILURE, words, MAY_NO_LONGER_BE_UPDATED), None
            merged = copy.deepcopy(step.attributes)
            merged.update(copy.deepcopy(change))
            state = str(change.get("PerformedProcedureStepStatus", BEGUN))
            wrong = mpps.lacks_in_change(change) + (mpps.lacks_at_end(merged) if state in ENDED else [])
            if wrong:
                return self._refuse(uid, "N-SET", wrong), None
            self._doubt_change(uid, step, change)
            if state in ENDED:
                for doubt in mpps.doubts_about_series(merged, state):
                    self.complain(f"MPPS {uid}: {doubt}")
                self._advance(step.orders, "SCHEDULED" if mpps.is_wrong_entry(merged) else state)
            self._steps[uid] = dataclasses.replace(step, state=state, attributes=merged)
        if self.faults.strikes("mpps-lose-answer", f"set {uid} {state}"):
            hang_up(event.assoc)
        return 0x0000, None

    def _doubt_change(self, uid: str, step: Step, change: Dataset) -> None:
        """Complain of an N-SET that says what only an N-CREATE may say (PS3.4 Table F.7.2-1, note 3)."""
        for element in change:
            if element.keyword in mpps.FIXED:
                self.complain(f"MPPS {uid}: N-SET changes {element.keyword}, which may not be changed")
            elif element.tag not in step.attributes and element.keyword != "SpecificCharacterSet":
                self.complain(f"MPPS {uid}: N-SET sets {element.keyword}, which the N-CREATE did not create")

    def _refuse(self, uid: str, operation: str, wrong: Sequence[tuple[int, str]]) -> Dataset:
        """Complain of everything that is wrong; the answer names the first."""
        for _, words in wrong:
            self.complain(f"MPPS {uid}: {operation}: {words}")
        status, words = wrong[0]
        return _failure(status, words)

    def _orders_of(self, attributes: Dataset) -> list[tuple[Dataset, Order | None]]:
        """Each scheduled item with the order that it names by accession number and step."""
        found: list[tuple[Dataset, Order | None]] = []
        for item in attributes.ScheduledStepAttributesSequence:
            name = str(item.get("AccessionNumber") or ""), str(item.get("ScheduledProcedureStepID") or "")
            found.append((item, next((one for one in self._orders.values() if (one.accession, one.step_id) == name), None)))
        return found

    def _advance(self, keys: Sequence[str], status: str) -> None:
        """Move orders on: STARTED, COMPLETED, DISCONTINUED; or back to SCHEDULED."""
        for key in keys:
            self._orders[key] = dataclasses.replace(self._orders[key], status=status)


def _failure(status: int, words: str, error_id: int = 0) -> Dataset:
    """A status with its comment (LO: 64 characters)."""
    result = Dataset()
    result.Status = status
    result.ErrorComment = words[:64]
    if error_id:
        result.ErrorID = error_id
    return result
