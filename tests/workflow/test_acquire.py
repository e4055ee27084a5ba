"""The verbs of an exam: what was acknowledged is safe, whole, and with the right patient; nothing else is sent."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pypdf
import pytest
from pydicom import dcmread
from workplace import NOWHERE, REFUSED, SENT, WAITING, order, still, workplace

from appliance.clinic.exam import ExamState
from appliance.clinic.patient import Patient, temporary_id
from appliance.dicom import check
from appliance.dicom.uids import Seeded
from appliance.errors import CheckError, DiskFull, SettingsError, SpoolError, StateError
from appliance.spool.debts import State
from appliance.spool.ledger import Ledger
from appliance.workflow import acquire as module
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import How
from appliance.workflow.ingest import Document
from appliance.workflow.place import Place

PEERS = {
    "ris": {"address": NOWHERE, "roles": ("mpps",)},
    "pacs": {"address": NOWHERE, "roles": ("store", "commit")},
    "backup": {"address": NOWHERE, "roles": ("store",)},
}


@pytest.fixture
def place(tmp_path):
    with workplace(tmp_path, PEERS) as one:
        yield one


def files(place):
    return sorted(path.name for path in place.place.shelf.objects.rglob("*.dcm"))


def left_on_the_bench(place):
    return list(place.place.shelf.workbench.iterdir())


# begin


def test_an_exam_begins_with_every_peer_down_and_the_ris_is_owed_the_news(place):
    exam = place.acquisition.begin([order()], operator="Nurse^N")
    assert place.ledger.exam(exam.id) == exam and exam.operator == "Nurse^N"
    assert len(exam.step_id) <= 16, "Performed Procedure Step ID is an SH"
    (told,) = place.ledger.debts.reports()
    assert (told.kind, told.peer, told.state) == ("begun", "ris", State.WAITING)
    assert place.rings and [event.kind for event in place.told] == ["exam.begun"]


def test_below_the_reserve_no_exam_begins_and_what_runs_can_be_ended(place, monkeypatch):
    exam, _ = place.exam(1, finish=False)
    monkeypatch.setattr(type(place.place.shelf), "free_mb", lambda self: 0)
    with pytest.raises(DiskFull, match="reserve"):
        place.acquisition.begin([order("A2")])
    assert place.acquisition.finish(exam.id).state == ExamState.FINISHED


@pytest.mark.parametrize(
    "orders",
    [
        [],
        [order(), order("A2", patient="P2")],
        [order(), order("A2", issuer=True)],
        [order(), order("A2", born="19991231")],
    ],
    ids=["none", "another ID", "another issuer", "another birth date"],
)
def test_an_exam_is_for_one_patient(place, orders):
    with pytest.raises(StateError, match="one patient"):
        place.acquisition.begin(orders)
    assert place.ledger.exams() == []


def test_an_order_is_not_begun_twice_at_once_even_by_two_processes(place):
    other = Ledger(place.root / "ledger.sqlite")
    second = Acquisition(Place(place.settings, place.place.shelf, other))
    barrier = threading.Barrier(2)

    def begin(acquisition):
        barrier.wait()
        try:
            return acquisition.begin([order()])
        except StateError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(begin, (place.acquisition, second)))
    other.close()
    assert len(place.ledger.exams()) == 1 and sum("still open" in str(answer) for answer in answers) == 1


def test_a_finished_order_may_be_begun_again(place):
    first, _ = place.exam(1)
    second, _ = place.exam(1)
    assert first.id != second.id and first.step_uid != second.step_uid and first.study_uid == second.study_uid


def test_a_patient_nobody_ordered_has_a_study_and_never_a_blank_id(place):
    patient = Patient(temporary_id(datetime.now(UTC)), "Doe^John")
    exam = place.acquisition.begin([place.acquisition.unscheduled(patient, "Emergency")])
    picture = place.acquisition.keep(exam.id, still(), How())
    data = dcmread(place.place.shelf.path(picture.file))
    assert data.PatientID == patient.id and data.PatientID.startswith("TEMP-") and data.StudyInstanceUID == exam.study_uid
    assert data.AccessionNumber == "" and exam.orders[0].unscheduled
    with pytest.raises(ValueError, match="never blank"):
        Patient("  ", "Doe^John")
    with pytest.raises(SettingsError):
        place.acquisition.unscheduled(Patient("A\\B", "Doe^John"))


# keep


def test_what_is_kept_is_whole_hashed_legal_and_small_enough_to_look_at(place):
    exam, (picture,) = place.exam(1, finish=False)
    path = place.place.shelf.path(picture.file)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == picture.sha256 and path.stat().st_size == picture.size
    check.demand(path)
    data = dcmread(path)
    assert (data.PatientID, data.PatientName, data.AccessionNumber) == ("P1", "Doe^Jane", "A1")
    assert data.StudyInstanceUID == exam.study_uid and data.InstanceNumber == 1
    assert data.ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID == exam.step_uid
    assert place.place.shelf.thumbnail(picture.id).read_bytes().startswith(b"\xff\xd8")
    assert left_on_the_bench(place) == [] and place.ledger.debts.deliveries() == []


def test_an_exam_for_several_orders_names_them_all_in_each_object(place):
    exam, (picture,) = place.exam(1, [order("A1", "S1"), order("A2", "S2")])
    data = dcmread(place.place.shelf.path(picture.file))
    named = [(item.ScheduledProcedureStepID, item.AccessionNumber) for item in data.RequestAttributesSequence]
    assert named == [("S1", "A1"), ("S2", "A2")] and data.AccessionNumber == "" and exam.accession == ""


def test_many_stills_at_once_have_numbers_of_their_own_in_one_series(place):
    exam = place.acquisition.begin([order()])
    other = Ledger(place.root / "ledger.sqlite")
    second = Acquisition(Place(place.settings, place.place.shelf, other))
    with ThreadPoolExecutor(6) as pool:
        kept = list(
            pool.map(lambda n: (place.acquisition if n % 2 else second).keep(exam.id, still(n), How()), range(12))
        )
    other.close()
    assert sorted(one.number for one in kept) == list(range(1, 13)) and len({one.series.uid for one in kept}) == 1
    assert len({one.sop_instance_uid for one in kept}) == 12


def test_the_number_of_a_deleted_picture_is_not_given_again(place):
    exam, kept = place.exam(2, finish=False)
    place.acquisition.delete(kept[-1].id)
    again = Acquisition(place.place)  # another process, or a station started anew
    assert again.keep(exam.id, still(), How()).number == 3


def test_a_document_goes_into_a_series_of_its_own_and_out_like_the_rest(place, tmp_path):
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(tmp_path / "letter.pdf")
    exam, (picture,) = place.exam(1, finish=False)
    document = place.acquisition.keep(exam.id, Document(tmp_path / "letter.pdf", "Letter", 1), How(origin="imported"))
    assert document.kind == "document" and document.series.modality == "DOC" != picture.series.modality
    assert (document.series.number, document.number, document.origin) == (2, 1, "imported")
    data = dcmread(place.place.shelf.path(document.file))
    assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1" and data.PatientID == "P1"
    assert not place.place.shelf.thumbnail(document.id).exists()
    place.acquisition.finish(exam.id)
    assert place.states("pacs") == [WAITING, WAITING]


def test_what_fails_the_check_is_not_in_the_spool_and_not_lost(place, monkeypatch):
    exam = place.acquisition.begin([order()])

    def wrong(path):
        raise CheckError("it is not what it says")

    monkeypatch.setattr(module.check, "demand", wrong)
    with pytest.raises(CheckError) as caught:
        place.acquisition.keep(exam.id, still(), How())
    (aside,) = (place.root / "attic").iterdir()
    assert str(aside) in caught.value.advice and dcmread(aside).PatientID == "P1"
    assert place.ledger.pictures(exam.id) == [] and files(place) == [] and left_on_the_bench(place) == []
    assert place.acquisition.keep(exam.id, still(), How(origin="received")), "exempt, and marked so"


def test_an_object_that_cannot_be_drawn_small_is_kept_all_the_same(place, monkeypatch):
    exam = place.acquisition.begin([order()])

    def no_picture(*words):
        raise StopIteration

    monkeypatch.setattr(module, "jpeg", no_picture)
    picture = place.acquisition.keep(exam.id, still(), How())
    assert place.ledger.pictures(exam.id) == [picture] and not place.place.shelf.thumbnail(picture.id).exists()


def test_a_picture_of_an_exam_that_ends_meanwhile_is_refused_and_lies_in_the_attic(place, monkeypatch):
    """Another process ends the exam while the object is being written: it belongs to no exam, and is not thrown away."""
    exam = place.acquisition.begin([order()])
    real = module.check.demand

    def slow(path):
        real(path)
        place.acquisition.finish(exam.id)

    monkeypatch.setattr(module.check, "demand", slow)
    with pytest.raises(StateError, match="not open"):
        place.acquisition.keep(exam.id, still(), How())
    assert place.ledger.pictures(exam.id) == [] and files(place) == [] and place.states() == []
    assert len(list((place.root / "attic").glob("*.dcm"))) == 1
    assert list(place.place.shelf.thumbnails.iterdir()) == []
    with pytest.raises(StateError, match="has ended"):
        place.acquisition.keep(exam.id, still(), How())
    assert len(list((place.root / "attic").glob("*.dcm"))) == 1, "the second was not even made"


@pytest.mark.parametrize("where", ["write", "shelf", "ledger"])
def test_a_disk_that_takes_no_more_is_said_and_what_is_kept_stays(place, monkeypatch, where):
    exam, (before,) = place.exam(1, finish=False)
    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(type(place.place.shelf), "temporary", lambda self, suffix="": place.root / "absent" / "here")
        elif where == "shelf":

            def full(*words):
                raise SpoolError("cannot keep it")

            patch.setattr(place.place.shelf, "keep", full)
        else:

            def full(*words):
                raise SpoolError("the ledger could not be written")

            patch.setattr(place.ledger, "keep", full)
        with pytest.raises(SpoolError):
            place.acquisition.keep(exam.id, still(1), How())
    assert place.ledger.pictures(exam.id) == [before] and place.place.shelf.path(before.file).is_file()
    assert place.acquisition.keep(exam.id, still(2), How())
    place.acquisition.finish(exam.id)
    assert place.states("pacs") == [WAITING, WAITING]


def test_a_crash_between_shelf_and_ledger_leaves_a_stray_that_is_found_and_never_sent(place, monkeypatch):
    exam = place.acquisition.begin([order()])
    with monkeypatch.context() as patch:

        def crash(*words):
            raise KeyboardInterrupt

        patch.setattr(place.ledger, "keep", crash)
        with pytest.raises(KeyboardInterrupt):
            place.acquisition.keep(exam.id, still(), How())
    assert len(files(place)) == 1 and place.ledger.pictures(exam.id) == []
    shelf = place.place.shelf
    assert shelf.sweep(place.ledger.files()) == [], "it is young: it may be just being written down"
    monkeypatch.setattr("appliance.spool.shelf.time.time", lambda real=time.time: real() + 1000)
    (moved,) = shelf.sweep(place.ledger.files())
    assert dcmread(moved).PatientID == "P1" and files(place) == []
    place.acquisition.finish(exam.id)
    assert place.states() == []


def test_an_object_whose_uid_was_decided_before_is_kept_under_it_and_once(place):
    exam = place.acquisition.begin([order()])
    picture = place.acquisition.keep(exam.id, still(), How(), "2.25.77")
    assert picture.sop_instance_uid == "2.25.77" and place.ledger.has_object("2.25.77")
    with pytest.raises(SpoolError, match="already"):
        place.acquisition.keep(exam.id, still(1), How(), "2.25.77")
    assert [one.id for one in place.ledger.pictures(exam.id)] == [picture.id]
    assert hashlib.sha256(place.place.shelf.path(picture.file).read_bytes()).hexdigest() == picture.sha256


# delete


def test_a_deleted_picture_is_gone_and_never_owed(place):
    exam, kept = place.exam(3, finish=False)
    place.acquisition.delete(kept[1].id)
    assert not place.place.shelf.path(kept[1].file).exists() and not place.place.shelf.thumbnail(kept[1].id).exists()
    with pytest.raises(StateError, match="no picture"):
        place.acquisition.delete(kept[1].id)
    place.acquisition.finish(exam.id)
    assert [debt.picture.id for debt in place.ledger.debts.deliveries("d.destination='pacs'")] == [kept[0].id, kept[2].id]
    with pytest.raises(StateError, match="on its way"):
        place.acquisition.delete(kept[0].id)


def test_one_may_delete_while_another_is_being_kept(place):
    exam, kept = place.exam(6, finish=False)
    with ThreadPoolExecutor(4) as pool:
        more = [pool.submit(place.acquisition.keep, exam.id, still(9 + n), How()) for n in range(6)]
        gone = [pool.submit(place.acquisition.delete, one.id) for one in kept]
        new = {one.result().id for one in more}
        assert [one.result() for one in gone] == [None] * 6
    assert {one.id for one in place.ledger.pictures(exam.id)} == new and len(files(place)) == 6


# the end


def test_finished_pictures_are_owed_to_every_archive_and_the_end_to_the_ris(place):
    exam, _ = place.exam(2)
    assert place.states("pacs") == place.states("backup") == [WAITING, WAITING]
    assert [one.kind for one in place.ledger.debts.reports()] == ["begun", "ended"]
    for end in (place.acquisition.finish, place.acquisition.abandon):
        with pytest.raises(StateError, match="not open"):
            end(exam.id)
    assert [one.kind for one in place.ledger.debts.reports()] == ["begun", "ended"], "told once"


def test_an_exam_without_pictures_may_end_and_owes_only_the_news(place):
    exam = place.acquisition.begin([order()])
    place.acquisition.finish(exam.id)
    assert place.states() == [] and len(place.ledger.debts.reports()) == 2


def test_an_abandoned_exam_has_its_reason_and_sends_what_was_taken(place):
    exam, _ = place.exam(1, finish=False)
    with pytest.raises(SettingsError, match="not one reason"):
        place.acquisition.abandon(exam.id, "because")
    ended = place.acquisition.abandon(exam.id, "110505")
    assert (ended.state, ended.reason.value) == (ExamState.ABANDONED, "110505") and place.states("pacs") == [WAITING]


def test_pictures_under_the_wrong_entry_wait_for_a_person_also_those_that_were_to_go_at_once(tmp_path):
    with workplace(tmp_path, PEERS, send="at once") as place:
        exam, kept = place.exam(3, finish=False)
        assert place.states("pacs") == [WAITING] * 3, "owed at once, before the exam ends"
        sent = next(debt for debt in place.ledger.debts.deliveries("d.destination='pacs'") if debt.picture == kept[0])
        place.ledger.debts.move(sent, State.SENT)
        place.acquisition.abandon(exam.id, "110514")
        assert place.states("pacs") == [SENT, REFUSED, REFUSED] and place.states("backup") == [REFUSED] * 3
        withheld = place.ledger.debts.deliveries("d.state='refused'")
        assert {debt.words for debt in withheld} == {"taken under the wrong worklist entry"}
        assert "right patient" in withheld[0].advice
        place.ledger.debts.hurry()
        assert place.states("pacs") == [SENT, REFUSED, REFUSED] and place.states("backup") == [REFUSED] * 3


def test_what_goes_at_once_can_no_longer_be_deleted_here(tmp_path):
    with workplace(tmp_path, PEERS, send="at once") as place:
        _, (picture,) = place.exam(1, finish=False)
        with pytest.raises(StateError, match="on its way"):
            place.acquisition.delete(picture.id)


def test_peers_that_come_into_the_settings_later_are_not_owed_what_ended_before(tmp_path):
    with workplace(tmp_path) as place:
        place.exam(1)
        assert place.states() == [] and place.ledger.debts.reports() == []
    with workplace(tmp_path, PEERS) as place:
        assert place.states() == []
        place.exam(1, [order("A2")])
        assert len(place.states()) == 2


# a simulated clock and UIDs


def test_with_the_same_clock_and_seed_the_same_bytes_are_made(tmp_path):
    class Clock:
        now = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

        def __call__(self):
            self.now += timedelta(seconds=1)
            return self.now

    made = []
    for name in ("one", "two"):
        root = tmp_path / name
        root.mkdir()
        with workplace(root) as place:
            simulated = Place(place.settings, place.place.shelf, place.ledger, Seeded(7), now=Clock())
            acquisition = Acquisition(simulated)
            exam = acquisition.begin([order()])
            picture = acquisition.keep(exam.id, still().__class__(Clock.now, pixels=still(3).pixels), How())
            ended = acquisition.finish(exam.id)
            assert ended.started < ended.ended and ended.started.year == 2026 and exam.id == f"E{exam.id[1:]}"
            made.append((exam.id, exam.step_uid, picture.sha256, ended.ended))
    assert made[0] == made[1]
