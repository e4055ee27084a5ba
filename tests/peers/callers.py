"""Who calls the small hospital in these tests: DCMTK's tools, and a modality on pynetdicom."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    SecondaryCaptureImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from appliance.peers.scp import fit

EVERYTHING = (
    Verification, ModalityWorklistInformationFind, ModalityPerformedProcedureStep, StorageCommitmentPushModel,
    SecondaryCaptureImageStorage,
)  # fmt: skip


def make_object(folder: Path, number: int, *, size: int = 64, **changes) -> Path:
    """A small Secondary Capture file; `number` makes its SOP Instance UID and its pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = f"2.25.77.{number}"
    dataset.PatientID, dataset.PatientName = "SIM1", "Probe^Gloria"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.7", "2.25.7.1"
    dataset.Modality, dataset.InstanceNumber = "OT", number
    dataset.Rows = dataset.Columns = size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes((number * 31 + index) % 256 for index in range(size)) * size
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    path = folder / f"object{number}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def run(*words) -> subprocess.CompletedProcess:
    """One of DCMTK's tools, without its Nagle delays."""
    environment = {**os.environ, "TCP_NODELAY": "1"}
    words = [str(word) for word in words]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=30, env=environment)


def storescu(port: int, *files, options=()) -> subprocess.CompletedProcess:
    """Send files; -v, so that the status of each is in the output."""
    return run("storescu", "-v", "-aet", "DICAP", "-aec", "PACS", *options, "127.0.0.1", port, *files)


def statuses(done: subprocess.CompletedProcess) -> list[str]:
    """What storescu was answered, object by object."""
    lines = (done.stdout + done.stderr).splitlines()
    return [line.split("(", 1)[1].rstrip(")") for line in lines if "Received Store Response" in line]


def findscu(port: int, folder: Path, *keys, model: str = "-W", called: str = "RIS") -> list[Dataset]:
    """Query with DCMTK and read the answers as it wrote them down."""
    folder.mkdir(exist_ok=True)
    words = [word for key in keys for word in ("-k", key)]
    done = run("findscu", model, "-X", "-od", folder, "-aet", "DICAP", "-aec", called, *words, "127.0.0.1", port)
    assert done.returncode == 0 and "E: " not in done.stderr, done.stderr
    return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


class Parked(Association):
    """An association whose pause flag says nothing: the gate does. (A report that comes in clears the flag for good.)"""

    _is_paused = property(lambda self: True, lambda self, value: None)


class Modality:
    """One association of DICAP with a peer; `heard` collects commitment reports: (event type, data set)."""

    def __init__(self, port: int, called: str, abstract_syntaxes=EVERYTHING, *, timeout: float = 5.0) -> None:
        entity = AE(ae_title="DICAP")
        entity.dimse_timeout = entity.acse_timeout = timeout
        for uid in abstract_syntaxes:
            entity.add_requested_context(uid)
        self.heard: list[tuple[int, Dataset]] = []
        handlers = [(evt.EVT_CONN_OPEN, lambda event: fit(event.assoc)), (evt.EVT_N_EVENT_REPORT, self._hear)]
        self.association = entity.associate("127.0.0.1", port, ae_title=called, evt_handlers=handlers)
        self.association.__class__ = Parked

    def __enter__(self) -> "Modality":
        assert self.association.is_established
        return self

    def __exit__(self, *_) -> None:
        if self.association.is_established:
            with self.association._reactor_checkpoint.held(5):
                self.association.release()

    def _hear(self, event):
        self.heard.append((event.event_type, event.event_information))
        return 0x0000, None

    def ask(self, verb: str, *words):
        """One of pynetdicom's send_* verbs, with its reactor held, so that no answer is lost."""
        with self.association._reactor_checkpoint.held(5):
            result = getattr(self.association, f"send_{verb}")(*words)
            return list(result) if verb == "c_find" else result

    def begin(self, uid: str, attributes: Dataset) -> Dataset:
        """N-CREATE; the status."""
        return self.ask("n_create", attributes, ModalityPerformedProcedureStep, uid)[0]

    def change(self, uid: str, attributes: Dataset) -> Dataset:
        """N-SET; the status."""
        return self.ask("n_set", attributes, ModalityPerformedProcedureStep, uid)[0]

    def commit(self, transaction: str, *uids: str, instance: UID = StorageCommitmentPushModelInstance) -> Dataset:
        """N-ACTION about Secondary Captures; the status."""
        information = Dataset()
        information.TransactionUID = transaction
        information.ReferencedSOPSequence = Sequence([reference(uid) for uid in uids])
        return self.ask("n_action", information, 1, StorageCommitmentPushModel, instance)[0]


def reference(uid: str, sop_class: UID = SecondaryCaptureImageStorage) -> Dataset:
    """A referenced instance."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def step_begun(order) -> Dataset:
    """A correct N-CREATE for one order, written by hand and not by the product."""
    dataset = Dataset()
    if not order.patient.name.isascii():
        dataset.SpecificCharacterSet = "ISO_IR 192"
    scheduled = Dataset()
    scheduled.StudyInstanceUID, scheduled.ReferencedStudySequence = order.study_uid, []
    scheduled.AccessionNumber, scheduled.RequestedProcedureID = order.accession, order.procedure_id
    scheduled.RequestedProcedureDescription = order.procedure_description
    scheduled.ScheduledProcedureStepID = order.step_id
    scheduled.ScheduledProcedureStepDescription = order.step_description
    scheduled.ScheduledProtocolCodeSequence = []
    dataset.ScheduledStepAttributesSequence = [scheduled]
    dataset.PatientName, dataset.PatientID = order.patient.name, order.patient.id
    dataset.PatientBirthDate, dataset.PatientSex = order.patient.birth_date, order.patient.sex
    dataset.ReferencedPatientSequence = []
    dataset.PerformedProcedureStepID, dataset.PerformedStationAETitle = "PPS1", "DICAP"
    dataset.PerformedStationName, dataset.PerformedLocation = "", ""
    dataset.PerformedProcedureStepStartDate, dataset.PerformedProcedureStepStartTime = "20251120", "100000"
    dataset.PerformedProcedureStepEndDate, dataset.PerformedProcedureStepEndTime = "", ""
    dataset.PerformedProcedureStepStatus = "IN PROGRESS"
    dataset.PerformedProcedureStepDescription, dataset.PerformedProcedureTypeDescription = "", ""
    dataset.ProcedureCodeSequence, dataset.PerformedProtocolCodeSequence = [], []
    dataset.PerformedProcedureStepDiscontinuationReasonCodeSequence = []
    dataset.Modality, dataset.StudyID, dataset.PerformedSeriesSequence = order.modality, "", []
    return dataset


def step_ended(*uids: str, state: str = "COMPLETED") -> Dataset:
    """A correct N-SET that names these instances in one series."""
    series = Dataset()
    series.PerformingPhysicianName, series.OperatorsName, series.RetrieveAETitle = "", "", ""
    series.ProtocolName, series.SeriesDescription, series.SeriesInstanceUID = "Protocol", "", "2.25.7.1"
    series.ReferencedImageSequence = [reference(uid) for uid in uids]
    series.ReferencedNonImageCompositeSOPInstanceSequence = []
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = state
    dataset.PerformedProcedureStepEndDate, dataset.PerformedProcedureStepEndTime = "20251120", "101500"
    dataset.PerformedSeriesSequence = [series]
    if state == "DISCONTINUED":
        reason = Dataset()
        reason.CodeValue, reason.CodingSchemeDesignator = "110501", "DCM"
        reason.CodeMeaning = "Equipment failure"
        dataset.PerformedProcedureStepDiscontinuationReasonCodeSequence = [reason]
    return dataset


@contextlib.contextmanager
def open_house(peer):
    """A peer, started and stopped."""
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def until(condition, seconds: float = 10.0):
    """Wait for a condition that another thread brings about; its value, or a failure."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return value
