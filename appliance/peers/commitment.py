"""Storage commitment, the archive's side: what is asked, what is promised, and how the promise is told (PS3.4 J.3).

The report goes out on the same association, on a new one to the modality, or on the modality's next one to us.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore[attr-defined]

from appliance.peers.archive import Archive
from appliance.peers.plan import Manner
from appliance.peers.scp import Gate, Scp, fit
from appliance.settings import Address

PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT = 0x0110, 0x0112, 0x0119
NO_SUCH_ACTION, INVALID_ARGUMENT = 0x0123, 0x0115
_PATIENCE = 10.0
# seconds between the attempts to reach a modality that does not answer
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


@dataclass(frozen=True)
class Report:
    """One transaction and what is said about it: `failed` holds (SOP class, SOP instance, failure reason)."""

    transaction_uid: str
    modality: str
    committed: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...]
    told: bool = False

    def dataset(self, archive_ae: str) -> Dataset:
        """The Event Information of the N-EVENT-REPORT (PS3.4 Table J.3-2)."""
        result = Dataset()
        result.TransactionUID = self.transaction_uid
        result.RetrieveAETitle = archive_ae
        if self.committed:
            result.ReferencedSOPSequence = Sequence([_reference(*one) for one in self.committed])
        if self.failed:
            result.FailedSOPSequence = Sequence([_reference(*one) for one in self.failed])
        return result

    @property
    def event_type(self) -> int:
        """1: all is safe; 2: failures exist."""
        return 2 if self.failed else 1


class Commitments:
    """The commitment SCP of one archive: `ask` answers an N-ACTION and sees to its report.

    `same`: the report goes out on the association of the request while it is open, else as if it were `new`. `new`: the
    modality is called at its address, again and again with growing pauses until it has confirmed. `next`: the report
    waits until the modality opens an association with us that has the commitment context. A report counts as told
    when the modality has answered it with success. Undelivered reports do not survive a stop.
    """

    def __init__(self, peer: Scp, archive: Archive, modalities: Mapping[str, Address]) -> None:
        self.ae_title = peer.ae_title
        self.manner: Manner = "new"
        self.modalities = dict(modalities)
        self._peer = peer
        self._archive = archive
        self._lock = threading.Lock()
        self._reports: dict[str, Report] = {}
        self._waiting: list[Report] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def reports(self) -> list[Report]:
        """Every transaction asked for, in order; `told` once the modality has confirmed the report."""
        with self._lock:
            return list(self._reports.values())

    def begin(self) -> None:
        """Be ready."""
        self._stopping.clear()

    def end(self) -> None:
        """Give up what is under way and wait for it."""
        self._stopping.set()
        with self._lock:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(_PATIENCE)

    def ask(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Answer an N-ACTION: (status, nothing)."""
        request: Any = event.request
        caller = str(event.assoc.requestor.ae_title).strip()
        if self._peer.faults.strikes("commit-refuse"):
            return PROCESSING_FAILURE, None
        if request.ActionTypeID != 1:
            self._peer.complain(f"{caller}: commitment asked with action type {request.ActionTypeID}, which does not exist")
            return NO_SUCH_ACTION, None
        if request.RequestedSOPInstanceUID != StorageCommitmentPushModelInstance:
            asked_of = request.RequestedSOPInstanceUID
            self._peer.complain(f"{caller}: commitment asked of {asked_of}, not of the well-known instance")
            return NO_SUCH_INSTANCE, None
        asked = event.action_information
        transaction = str(asked.get("TransactionUID") or "")
        wanted = [
            (str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")))
            for item in asked.get("ReferencedSOPSequence") or ()
        ]
        if not transaction or not wanted or not all(all(pair) for pair in wanted):
            self._peer.complain(f"{caller}: commitment asked without a transaction, or without complete references")
            return INVALID_ARGUMENT, None
        if self.manner == "new" and caller not in self.modalities:
            self._peer.complain(f"{caller}: commitment asked, but I do not know where to call {caller} back")
            return PROCESSING_FAILURE, None
        report = self._judge(transaction, caller, wanted)
        with self._lock:
            if transaction in self._reports:
                self._peer.complain(f"{caller}: the transaction {transaction} was asked for before")
            self._reports[transaction] = report
        if not self._peer.faults.strikes("commit-never"):
            self._start(self._deliver, report, event.assoc)
        return 0x0000, None

    def welcome(self, event: evt.Event) -> None:
        """A modality is here: the moment for what waited for its next association, if it took the commitment context."""
        caller = str(event.assoc.requestor.ae_title).strip()
        with self._lock:
            due = [report for report in self._waiting if report.modality == caller]
            if not due or _context_of(event.assoc) is None:
                return
            self._waiting = [report for report in self._waiting if report not in due]
        self._start(self._tell_all, due, event.assoc)

    def _judge(self, transaction: str, caller: str, wanted: list[tuple[str, str]]) -> Report:
        """What can be promised: there, with its file, and of the class that the modality says (reasons: PS3.3 C.14.1.1)."""
        committed, failed = [], []
        fail_all = self._peer.faults.strikes("commit-fail")
        hidden = ""
        if "commit-partial" in self._peer.faults:
            hidden = next((uid for _, uid in wanted if self._peer.faults.strikes("commit-partial", uid)), "")
        for sop_class, uid in wanted:
            held = self._archive.class_of(uid)
            if fail_all:
                failed.append((sop_class, uid, PROCESSING_FAILURE))
            elif held is None or uid == hidden:
                failed.append((sop_class, uid, NO_SUCH_INSTANCE))
            elif held != sop_class:
                failed.append((sop_class, uid, CLASS_INSTANCE_CONFLICT))
            else:
                committed.append((sop_class, uid))
        return Report(transaction, caller, tuple(committed), tuple(failed))

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        """Do it in a thread of its own, remembered so that a stop can wait for it."""
        thread = threading.Thread(target=work, args=arguments, name=f"{self.ae_title} commitment", daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _deliver(self, report: Report, association: Association) -> None:
        """Tell one report in this archive's manner, now or as late as the faults want it."""
        self._stopping.wait(self._peer.faults.value("commit-late").seconds)
        if self.manner == "next":
            with self._lock:
                self._waiting.append(report)
            return
        if self.manner == "same" and self._tell(report, association):
            return
        if report.modality in self.modalities:  # also when the association was closed before the report
            self._call(report, self.modalities[report.modality])
        else:
            self._peer.complain(f"{report.modality}: closed the association before its commitment report")

    def _tell_all(self, due: list[Report], association: Association) -> None:
        """Tell what had waited for this association; what could not be told waits for the next."""
        for report in due:
            if not self._tell(report, association):
                with self._lock:
                    self._waiting.append(report)

    def _call(self, report: Report, address: Address) -> None:
        """Call the modality, as the SCP that the archive is, until it has confirmed (PS3.4 J.3.1); give up in words."""
        for pause in _PAUSES:
            if self._stopping.wait(pause):
                return
            entity = AE(ae_title=self.ae_title)
            entity.connection_timeout = 5
            entity.acse_timeout = entity.dimse_timeout = _PATIENCE
            entity.add_requested_context(StorageCommitmentPushModel)
            association = entity.associate(
                address.host, address.port, ae_title=address.ae_title,
                ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
                evt_handlers=[(evt.EVT_CONN_OPEN, lambda event: fit(event.assoc))],
            )  # fmt: skip
            told = association.is_established and self._tell(report, association)
            if association.is_established:
                association.release()
            if told:
                return
        self._peer.complain(f"{report.modality}: cannot be told of the transaction {report.transaction_uid} at {address}")

    def _tell(self, report: Report, association: Association) -> bool:
        """Send the N-EVENT-REPORT on an association that is open; False if no answer came, or a failure."""
        context = _context_of(association)
        gate: Any = association._reactor_checkpoint
        if context is None or not isinstance(gate, Gate):
            return False
        with gate.held(_PATIENCE) as is_ours:
            status = self._converse(report, association, context) if is_ours else None
        if status:
            self._peer.complain(f"{report.modality}: answered the commitment report with status {status:04X}")
        if status != 0:
            return False
        with self._lock:
            self._reports[report.transaction_uid] = replace(report, told=True)
        return True

    def _converse(self, report: Report, association: Association, context: tuple[int, Any]) -> int | None:
        """Send the report and wait for its answer: the status, or None. The association's reactor is held meanwhile."""
        number, syntax = context
        request = N_EVENT_REPORT()
        request.MessageID = 1
        request.AffectedSOPClassUID = StorageCommitmentPushModel
        request.AffectedSOPInstanceUID = StorageCommitmentPushModelInstance
        request.EventTypeID = report.event_type
        encoded = encode(
            report.dataset(self.ae_title), syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated
        )
        request.EventInformation = BytesIO(encoded or b"")
        association.dimse.send_msg(request, number)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and association.dul.is_alive() and not self._stopping.is_set():
            # looked at first: an answer that came before the release is then in the queue already
            is_over = association.dul.peek_next_pdu() is not None
            came, message = association.dimse.get_msg(block=False)
            answer: Any = message
            if answer is None and is_over:
                return None
            if answer is None:
                time.sleep(0.002)
            elif isinstance(answer, N_EVENT_REPORT):
                return None if answer.Status is None else int(answer.Status)
            else:  # the modality goes on with its own work meanwhile
                association._serve_request(answer, came or 0)
        return None


def _context_of(association: Association) -> tuple[int, Any] | None:
    """Number and transfer syntax of the commitment context, if the association is open and has one."""
    if not association.is_established:
        return None
    for context in association.accepted_contexts:
        if context.abstract_syntax == StorageCommitmentPushModel and context.context_id is not None:
            return context.context_id, context.transfer_syntax[0]
    return None


def _reference(sop_class: str, uid: str, reason: int | None = None) -> Dataset:
    """One item of a Referenced or Failed SOP Sequence (PS3.4 Table J.3-2)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item
