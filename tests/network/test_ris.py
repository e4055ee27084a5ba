"""The RIS: worklists that answer well, oddly and absurdly; steps that are told once, twice, and refused."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from struct import pack
from zoneinfo import ZoneInfo

import pytest
from hospital import CALLER
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import ModalityPerformedProcedureStep
from scripted import EXPLICIT, IMPLICIT, Talk, encoded, peer

from appliance.clinic.exam import REASONS, Exam, ExamState, Picture, Series
from appliance.clinic.order import Order
from appliance.clinic.patient import Patient
from appliance.dicom.procedure import Wanted
from appliance.errors import Broken, Busy, Refused
from appliance.network import ris
from appliance.settings import Address

MPPS = "1.2.840.10008.3.1.2.3.3"


def entry(number: int, name: str = "Doe^Jane", **step: object) -> Dataset:
    """A worklist answer."""
    dataset = Dataset()
    dataset.PatientID, dataset.PatientName = f"P{number}", name
    dataset.AccessionNumber, dataset.StudyInstanceUID = f"A{number}", f"1.2.3.{number}"
    item = Dataset()
    item.Modality, item.ScheduledProcedureStepID = "ES", f"S{number}"
    item.ScheduledProcedureStepStartDate = "20261120"
    dataset.ScheduledProcedureStepSequence = [item]
    return dataset


def answering(*answers: tuple[int, Dataset | bytes | None], syntax: str = EXPLICIT) -> Callable[[Talk], None]:
    """A worklist that answers each question with these (status, identifier)."""

    def script(talk: Talk) -> None:
        talk.accept(lambda abstract, syntaxes: syntax)
        while heard := talk.message():
            for status, identifier in answers:
                data = encoded(identifier, syntax) if isinstance(identifier, Dataset) else identifier or b""
                talk.answer(heard[2], heard[0], status, data)

    return script


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_all_matches_are_found_in_either_syntax(syntax: str) -> None:
    script = answering((0xFF00, entry(1)), (0xFF01, entry(2)), (0, None), syntax=syntax)
    with peer(script) as scripted:
        found = ris.find_orders(CALLER, scripted.address, Wanted())
    assert [order.key for order in found.orders] == ["A1/S1", "A2/S2"]
    assert found.complaints == ()


def test_no_match_is_an_empty_list() -> None:
    with peer(answering((0, None))) as scripted:
        assert ris.find_orders(CALLER, scripted.address, Wanted()) == ris.Found(())


def test_a_last_match_sent_with_success_counts() -> None:
    with peer(answering((0xFF00, entry(1)), (0, entry(2)))) as scripted:
        assert len(ris.find_orders(CALLER, scripted.address, Wanted()).orders) == 2


def test_the_same_order_twice_is_one() -> None:
    with peer(answering((0xFF00, entry(1)), (0xFF00, entry(1)), (0, None))) as scripted:
        assert len(ris.find_orders(CALLER, scripted.address, Wanted()).orders) == 1


def spoilt(keyword: str, raw: bytes) -> bytes:
    """An answer of which one element is these bytes, past pydicom, which would not write them."""
    whole = entry(7)
    tag = tag_for_keyword(keyword) or 0
    before, after = Dataset(), Dataset()
    for element in whole:
        if element.tag != tag:
            (before if element.tag < tag else after).add(element)
    bad = pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw
    return encoded(before, IMPLICIT) + bad + encoded(after, IMPLICIT)


@pytest.mark.parametrize(
    ("identifier", "complaint"),
    [
        (b"\xff" * 200, "cannot be used"),
        (b"<html><body>500 Internal Server Error</body></html>", "cannot be used"),
        (b"", "cannot be used"),
        (encoded(entry(7), IMPLICIT)[:-30], ""),
        (spoilt("ScheduledProcedureStepSequence", b"one step"), "no Scheduled Procedure Step"),
        (spoilt("PatientID", b"    "), "without Patient ID"),
        (spoilt("PatientBirthDate", b"yesterday\x1b[0m "), "PatientBirthDate"),
        (spoilt("PatientWeight", b"heavy "), "PatientWeight 'heavy' is not a number"),
        (spoilt("PregnancyStatus", b"\1"), ""),
        (spoilt("StudyInstanceUID", b"not.a.uid "), "is no UID"),
    ],
)
def test_nonsense_is_a_complaint_and_spoils_nothing_else(identifier: bytes, complaint: str) -> None:
    script = answering((0xFF00, entry(1)), (0xFF00, identifier), (0xFF00, entry(2)), (0, None), syntax=IMPLICIT)
    with peer(script) as scripted:
        found = ris.find_orders(CALLER, scripted.address, Wanted())
    keys = [order.key for order in found.orders]
    assert {"A1/S1", "A2/S2"} <= set(keys)
    assert complaint in " ".join(found.complaints)
    assert bool(found.complaints) or complaint == ""


@pytest.mark.parametrize(
    ("status", "kind"),
    [(0xA700, Busy), (0xA900, Refused), (0xC001, Refused), (0x0122, Refused), (0x1234, Refused), (0x0110, Busy)],
)
def test_a_worklist_that_gives_up_is_an_error_in_words(status: int, kind: type) -> None:
    with peer(answering((0xFF00, entry(1)), (status, None))) as scripted, pytest.raises(kind, match=f"{status:04X}"):
        ris.find_orders(CALLER, scripted.address, Wanted())


def test_a_warning_at_the_end_keeps_the_list() -> None:
    with peer(answering((0xFF00, entry(1)), (0xB001, None))) as scripted:
        assert len(ris.find_orders(CALLER, scripted.address, Wanted()).orders) == 1


def test_a_worklist_that_breaks_off_is_broken_not_short() -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        talk.answer(heard[2], heard[0], 0xFF00, encoded(entry(1), EXPLICIT))

    with peer(script) as scripted, pytest.raises(Broken):
        ris.find_orders(CALLER, scripted.address, Wanted())


def test_too_many_matches_are_stopped_with_a_cancel() -> None:
    cancels: list[Dataset] = []

    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        for number in range(10):
            talk.answer(heard[2], heard[0], 0xFF00, encoded(entry(number), EXPLICIT))
        cancel = talk.message()
        assert cancel
        cancels.append(cancel[0])
        talk.answer(heard[2], heard[0], 0xFE00)
        assert talk.message() is None

    with peer(script) as scripted:
        found = ris.find_orders(CALLER, scripted.address, Wanted(), most=4)
    assert len(found.orders) == 4
    assert "more than 4" in found.complaints[0]
    assert (cancels[0].CommandField, cancels[0].MessageIDBeingRespondedTo) == (0x0FFF, 1)


def test_what_a_person_types_is_asked_as_id_and_as_name_in_several_cases() -> None:
    asked: list[tuple[str, str]] = []

    def script(talk: Talk) -> None:
        talk.accept(lambda abstract, syntaxes: IMPLICIT)
        while heard := talk.message():
            keys = heard[1]
            asked.append((value(keys, b"\x10\0\x10\0"), value(keys, b"\x10\0\x20\0")))
            talk.answer(heard[2], heard[0], 0xFF00, encoded(entry(1, "Müller^Jörg"), IMPLICIT))
            talk.answer(heard[2], heard[0], 0xFF00, encoded(entry(2, "Mulder^Fox"), IMPLICIT))
            talk.answer(heard[2], heard[0])

    def value(keys: bytes, tag: bytes) -> str:
        at = keys.index(tag)
        length = int.from_bytes(keys[at + 4 : at + 8], "little")
        return keys[at + 8 : at + 8 + length].decode().strip()

    with peer(script) as scripted:
        found = ris.find_orders(CALLER, scripted.address, Wanted(patient="mul jorg"))
    assert asked == [("", "mul jorg"), ("mul*", ""), ("MUL*", ""), ("Mul*", "")]
    assert [order.patient.name for order in found.orders] == ["Müller^Jörg"]


ORDER = Order(
    patient=Patient("P1", "Doe^Jane", "19700102", "F"), study_uid="1.2.3", accession="A1", procedure_id="RP1",
    step_id="S1", step_description="Gastroscopy", modality="ES",
)  # fmt: skip
EXAM = Exam(
    id="e1", orders=(ORDER,), study_uid="1.2.3", step_uid="2.25.5", step_id="PPS1", modality="ES",
    started=datetime(2026, 11, 20, 9, 30, tzinfo=ZoneInfo("Europe/Berlin")), station_ae="DICAP", station_name="ENDO1",
)  # fmt: skip
ENDED = replace(EXAM, state=ExamState.FINISHED, ended=datetime(2026, 11, 20, 9, 45, tzinfo=ZoneInfo("Europe/Berlin")))
PICTURE = Picture(
    id="p1", exam_id="e1", kind="sc", series=Series("2.25.6", 1, "ES"), number=1, sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    sop_instance_uid="2.25.8", syntax_uid=EXPLICIT, file="f", size=1, sha256="", rows=8, columns=8, frames=1,
    captured=EXAM.started,
)  # fmt: skip


class Steps:
    """A performed step SCP on pynetdicom: keeps what it is told; may be given statuses to answer with."""

    def __init__(self) -> None:
        self.told: dict[str, list[Dataset]] = {}
        self.answers: list[Dataset | int] = []

    def create(self, event: evt.Event) -> tuple[Dataset | int, Dataset | None]:
        if self.answers:
            return self.answers.pop(0), None
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.told:
            return 0x0111, None
        self.told[uid] = [event.attribute_list]
        return 0x0000, event.attribute_list

    def set(self, event: evt.Event) -> tuple[Dataset | int, Dataset | None]:
        if self.answers:
            return self.answers.pop(0), None
        uid = str(event.request.RequestedSOPInstanceUID)
        if uid not in self.told:
            return 0x0112, None
        if len(self.told[uid]) > 1:
            return failure(0x0110, ErrorID=0xA710), None
        self.told[uid].append(event.modification_list)
        return 0x0000, event.modification_list


def failure(status: int, **more: object) -> Dataset:
    dataset = Dataset()
    dataset.Status = status
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


@contextmanager
def steps() -> Iterator[tuple[Steps, Address]]:
    told = Steps()
    entity = AE("RIS")
    entity.add_supported_context(ModalityPerformedProcedureStep)
    handlers = [(evt.EVT_N_CREATE, told.create), (evt.EVT_N_SET, told.set)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield told, Address(ae_title="RIS", host="127.0.0.1", port=server.server_address[1])
    finally:
        server.shutdown()


def test_a_step_is_begun_and_ended() -> None:
    with steps() as (told, address):
        assert ris.begin_step(CALLER, address, EXAM) == ""
        assert ris.end_step(CALLER, address, ENDED, [PICTURE], "PACS") == ""
    created, changed = told.told["2.25.5"]
    assert (created.PerformedProcedureStepStatus, created.PatientName) == ("IN PROGRESS", "Doe^Jane")
    assert changed.PerformedProcedureStepStatus == "COMPLETED"
    (series,) = changed.PerformedSeriesSequence
    assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "2.25.8"
    assert series.RetrieveAETitle == "PACS"


def test_a_beginning_and_an_end_told_twice_are_done() -> None:
    with steps() as (told, address):
        ris.begin_step(CALLER, address, EXAM)
        assert ris.begin_step(CALLER, address, EXAM) == "the RIS knew it already"
        ris.end_step(CALLER, address, ENDED, [PICTURE])
        assert ris.end_step(CALLER, address, ENDED, [PICTURE]) == "the RIS had closed this step already"
        told.answers = [failure(0x0110, ErrorComment="Performed Procedure Step may no longer be updated"), 0xA710]
        for _ in range(2):
            assert "closed" in ris.end_step(CALLER, address, ENDED, [PICTURE])
    assert len(told.told["2.25.5"]) == 2


def test_an_end_without_a_beginning_is_refused_in_words() -> None:
    with steps() as (_, address), pytest.raises(Refused, match="0112") as caught:
        ris.end_step(CALLER, address, ENDED, [])
    assert "was it told the beginning" in caught.value.advice


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (failure(0x0120, ErrorComment="no station name"), Refused, "Missing Attribute (0120); it says: no station name"),
        (0x0106, Refused, "Invalid Attribute Value"),
        (0x0124, Refused, "0124"),
        (0x0110, Busy, "0110"),
        (0x0213, Busy, "0213"),
    ],
)
def test_a_refusal_is_told_in_words(answer: Dataset | int, kind: type, words: str) -> None:
    with steps() as (told, address):
        told.answers = [answer, answer]
        for tell in (lambda: ris.begin_step(CALLER, address, EXAM), lambda: ris.end_step(CALLER, address, ENDED, [])):
            with pytest.raises(kind) as caught:
                tell()
            assert type(caught.value) is kind
            assert words in str(caught.value)


def test_a_warning_is_done_with_words() -> None:
    with steps() as (told, address):
        told.answers = [0x0107, 0x0116]
        assert "Attribute List Error" in ris.begin_step(CALLER, address, EXAM)
        assert "Out of Range" in ris.end_step(CALLER, address, ENDED, [])


def test_an_abandoned_step_says_why() -> None:
    abandoned = replace(ENDED, state=ExamState.ABANDONED, reason=REASONS["110514"])
    with steps() as (told, address):
        ris.begin_step(CALLER, address, EXAM)
        ris.end_step(CALLER, address, abandoned, [])
    changed = told.told["2.25.5"][1]
    assert changed.PerformedProcedureStepStatus == "DISCONTINUED"
    assert changed.PerformedProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110514"


def test_a_ris_without_mpps_is_refused_in_words() -> None:
    def script(talk: Talk) -> None:
        talk.accept(lambda abstract, syntaxes: None)
        talk.message()

    with peer(script) as scripted, pytest.raises(Refused, match="does not take Modality Performed Procedure Step"):
        ris.begin_step(CALLER, scripted.address, EXAM)


def test_a_lost_answer_is_broken_and_can_be_told_again() -> None:
    first = threading.Event()

    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        if not first.is_set():
            first.set()
            return
        talk.answer(heard[2], heard[0], 0x0111)
        talk.message()

    with peer(script) as scripted:
        with pytest.raises(Broken):
            ris.begin_step(CALLER, scripted.address, EXAM)
        assert ris.begin_step(CALLER, scripted.address, EXAM) == "the RIS knew it already"
        asked = [talk.requests[0] for talk in scripted.talks]
    assert [(one.CommandField, one.AffectedSOPClassUID, one.AffectedSOPInstanceUID) for one in asked] == [
        (0x0140, MPPS, "2.25.5")
    ] * 2
