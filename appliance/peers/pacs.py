"""The simulated archive: it stores what it is sent, promises to keep it, and answers queries about it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
    uid_to_service_class,
)

from appliance.dicom.syntaxes import SYNTAXES
from appliance.peers.archive import Archive, Kept, Stored, header_of
from appliance.peers.commitment import Commitments, Report
from appliance.peers.faults import CANNOT_UNDERSTAND, DOES_NOT_MATCH, OUT_OF_RESOURCES, Faults
from appliance.peers.plan import Manner
from appliance.peers.query import find
from appliance.peers.receive import Incoming, Receiver
from appliance.peers.scp import Scp, break_off, hang_up
from appliance.settings import Address

COERCED = 0xB000
PENDING, CANCELLED = 0xFF00, 0xFE00
# lossless JPEG of any predictor, extended JPEG and HTJ2K RPCL: not ours, but modalities send them
_FOREIGN = ("1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.202")
_PLAIN: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class Pacs(Scp):
    """Storage, Storage Commitment, Study Root C-FIND and Verification SCP (PS3.4 annexes B, J, C, A).

        pacs = Pacs("PACS", "127.0.0.1", 0, folder, {"DICAP": address}, faults=Faults.parse(["pacs-lose-answer"]))
        port = pacs.start()
        ...
        pacs.objects(), pacs.again, pacs.reports(), pacs.complaints
        pacs.stop()

    Takes every storage SOP class in every transfer syntax of ours. `modalities` says where an AE title is called back
    for its commitment reports, the attribute `commit_manner` how they are told: on a `new` association, on the `same`
    one, or on the modality's `next`. The same object again is a success, counted in `again`; other content under a known SOP
    Instance UID is refused and a complaint.
    """

    kind = "pacs"

    def __init__(
        self, ae_title: str, host: str, port: int, store: Path, modalities: Mapping[str, Address], *, faults: Faults
    ) -> None:
        super().__init__(ae_title, host, port, faults=faults)
        self._archive = Archive(store)
        self._commitments = Commitments(self, self._archive, modalities)

    @property
    def commit_manner(self) -> Manner:
        """How commitment is reported from now on."""
        return self._commitments.manner

    @commit_manner.setter
    def commit_manner(self, manner: Manner) -> None:
        self._commitments.manner = manner

    @property
    def again(self) -> int:
        """How often an object came that was there already."""
        return self._archive.again

    def objects(self) -> list[Stored]:
        """What is stored, in the order in which it came."""
        return self._archive.objects()

    def reports(self) -> list[Report]:
        """The transactions of storage commitment."""
        return self._commitments.reports()

    def start(self) -> int:
        """Open the port; what was stored before is still there."""
        self._archive.tidy()
        self._commitments.begin()
        return super().start()

    def stop(self) -> None:
        """Close the port; undelivered commitment reports are given up."""
        super().stop()
        self._commitments.end()

    def contexts(self) -> list[PresentationContext]:
        """What does not depend on the caller; storage contexts are made for each caller's proposals."""
        offered = [build_context(uid, _PLAIN) for uid in (Verification, StudyRootQueryRetrieveInformationModelFind)]
        if "commit-none" not in self.faults:
            offered.append(build_context(StorageCommitmentPushModel, _PLAIN))
        return offered

    def handlers(self) -> list[Any]:
        """C-ECHO is pynetdicom's own."""
        return [
            (evt.EVT_CONN_OPEN, self._attach),
            (evt.EVT_REQUESTED, self._offer_storage),
            (evt.EVT_CONN_CLOSE, self._drop_torn),
            (evt.EVT_ESTABLISHED, self._commitments.welcome),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_ACTION, self._commitments.ask),
        ]

    # an association

    def _attach(self, event: evt.Event) -> None:
        """Let the objects of this connection stream to disk."""
        event.assoc.dimse = Receiver(event.assoc, self._incoming)

    def _incoming(self, association: Association, message: Any) -> Incoming:
        """Where one object goes while it comes in, with somebody who may break it off."""
        uid = str(message.command_set.AffectedSOPInstanceUID)
        limit = self.faults.value("pacs-abort-at").number
        armed = "pacs-abort-at" in self.faults

        def watch(incoming: Incoming) -> None:
            nonlocal armed
            if armed and incoming.size >= limit:
                armed = False  # once for this delivery; strikes() counts the deliveries of this object
                if self.faults.strikes("pacs-abort-at", uid):
                    incoming.torn = True
                    break_off(association)

        return Incoming(self._archive.place(), association, message, watch)

    def _drop_torn(self, event: evt.Event) -> None:
        """The connection is gone: so is what had come of an object."""
        if isinstance(event.assoc.dimse, Receiver):
            event.assoc.dimse.discard()

    def _offer_storage(self, event: evt.Event) -> None:
        """Support the storage classes that this caller proposes, its syntaxes in its own order of preference."""
        if event.assoc.is_rejected:
            return
        proposed: dict[str, list[str | UID]] = {}
        primitive: Any = event.assoc.requestor.primitive
        for context in primitive.presentation_context_definition_list:
            abstract = str(context.abstract_syntax)
            if issubclass(uid_to_service_class(abstract), StorageServiceClass):
                taken = [syntax for syntax in context.transfer_syntax if str(syntax) in self._syntaxes()]
                proposed.setdefault(abstract, []).extend(one for one in taken if one not in proposed.get(abstract, ()))
        acceptor = event.assoc.acceptor
        storage = [build_context(abstract, syntaxes) for abstract, syntaxes in proposed.items() if syntaxes]
        acceptor.supported_contexts = [*acceptor.supported_contexts, *storage]

    def _syntaxes(self) -> frozenset[str]:
        """The transfer syntaxes that are taken."""
        only = self.faults.value("pacs-only").words
        if only:
            return frozenset(only)
        ours = (uid for syntax in SYNTAXES.values() for uid in (syntax.uid, syntax.fragmentable_uid) if uid)
        return frozenset((*ours, *_FOREIGN))

    # storage

    def _store(self, event: evt.Event) -> int:
        """Answer a C-STORE whose object is on disk (PS3.4 B.2.3)."""
        request: Any = event.request
        incoming: Incoming | None = request._dataset_file
        if incoming is None:
            return DOES_NOT_MATCH
        incoming.close()
        if incoming.torn:
            incoming.discard()
            return CANNOT_UNDERSTAND
        self.pause(self.faults.value("pacs-slow").seconds)
        status = self._refusal(incoming) or self._keep(incoming, str(event.assoc.requestor.ae_title).strip())
        incoming.discard()
        if status in (0, COERCED):
            if self.faults.strikes("pacs-forget", incoming.sop_instance_uid):
                self._archive.forget(incoming.sop_instance_uid)
            if self.faults.strikes("pacs-lose-answer", incoming.sop_instance_uid):
                hang_up(event.assoc)
        return status

    def _refusal(self, incoming: Incoming) -> int:
        """The status with which an object is refused unread; 0 if it is not."""
        if self.faults.strikes("pacs-out-of-resources"):
            return OUT_OF_RESOURCES
        if incoming.sop_instance_uid in self.faults.value("pacs-refuse-uid").words:
            return self.faults.value("pacs-refuse-uid").status
        if self.faults.every("pacs-refuse-every"):
            return self.faults.value("pacs-refuse-every").status
        if incoming.failed:
            self.complain(f"{incoming.sop_instance_uid}: cannot be written: {incoming.failed}")
            return OUT_OF_RESOURCES
        return 0

    def _keep(self, incoming: Incoming, caller: str) -> int:
        """Look at the object, then take it into the archive: its status, and complaints about what is odd."""
        uid = incoming.sop_instance_uid
        header = header_of(incoming.path)
        if header is None:
            self.complain(f"{caller}: {uid} cannot be read")
            return CANNOT_UNDERSTAND
        told = incoming.sop_class_uid, uid
        held = str(header.get("SOPClassUID", "")), str(header.get("SOPInstanceUID", ""))
        if told != held:
            self.complain(f"{caller}: the command speaks of {' '.join(told)}, its data set is {' '.join(held)}")
            return DOES_NOT_MATCH
        folders = [str(header.get(keyword, "")) for keyword in ("StudyInstanceUID", "SeriesInstanceUID")]
        if not all(re.fullmatch(r"[0-9.]{1,64}", one) for one in (uid, *folders)):
            self.complain(f"{caller}: {uid} has a study or series UID that cannot be one")
            return DOES_NOT_MATCH
        if not str(header.get("PatientID") or "").strip():
            self.complain(f"{caller}: {uid} has a blank Patient ID, which merges patients")
        try:
            kept = self._archive.keep(incoming, header)
        except OSError as error:
            self.complain(f"{uid}: cannot be kept: {error.strerror}")
            return OUT_OF_RESOURCES
        if kept is Kept.OTHER:
            self.complain(f"{caller}: {uid} came a second time with other content")
            return CANNOT_UNDERSTAND  # not 0111: a sender may take `duplicate` for `stored`
        return COERCED if self.faults.strikes("pacs-warn") else 0

    # query

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a C-FIND."""
        try:
            for result in find(self.objects(), event.identifier, self.ae_title):
                if event.is_cancelled:
                    yield CANCELLED, None
                    return
                yield PENDING, result
        except ValueError:
            yield DOES_NOT_MATCH, None
