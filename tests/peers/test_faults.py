"""Every named fault, shown happening; and the words that ask for them."""

import socket
import time
from datetime import date
from pathlib import Path

import pytest
from callers import (
    Modality,
    findscu,
    make_object,
    open_house,
    run,
    statuses,
    step_begun,
    step_ended,
    storescu,
    until,
)
from pydicom.dataset import Dataset
from pynetdicom.sop_class import ModalityWorklistInformationFind

from appliance.dicom.syntaxes import SYNTAXES
from appliance.errors import SettingsError
from appliance.peers.demo import orders as demo_orders
from appliance.peers.faults import FAULTS, Faults, table
from appliance.peers.pacs import Pacs
from appliance.peers.ris import Ris

ORDERS = demo_orders(0, date(2025, 11, 20))


def a_ris(*words):
    """A RIS that misbehaves."""
    return open_house(Ris("RIS", "127.0.0.1", 0, ORDERS, faults=Faults.parse(words)))


def a_pacs(store, *words):
    """An archive that misbehaves; it reports commitment on the same association."""
    pacs = Pacs("PACS", "127.0.0.1", 0, store, {}, faults=Faults.parse(words))
    pacs.commit_manner = "same"
    return open_house(pacs)


def echo(port, called):
    """DCMTK's echoscu: (worked, what it said)."""
    done = run("echoscu", "-v", "-aec", called, "127.0.0.1", port)
    return done.returncode == 0, done.stdout + done.stderr


# the words


def test_every_fault_has_a_test_here():
    """A fault without a test that shows it happening does not exist."""
    source = Path(__file__).read_text()
    untested = [name for name in FAULTS if f"def test_{name.replace('-', '_')}" not in source]
    assert untested == []


def test_all_mistakes_are_named_at_once_with_the_nearest_name():
    """SettingsError, one line per wrong word."""
    words = ["ris-dwn", "pacs-abort-at", "commit-none=2", "pacs-only=jsl", "pacs-refuse-every=0", "ris-slow=soon",
             "pacs-refuse-uid=1.2:XY", "ris-reject=0", "ris-nonsense=poetry", "pacs-warn", "pacs-warn", "blue"]  # fmt: skip
    with pytest.raises(SettingsError) as raised:
        Faults.parse(words)
    lines = str(raised.value).splitlines()[1:]
    assert len(lines) == len(words) - 1
    assert "did you mean ris-down[=SECONDS]?" in lines[0]
    assert "a value is missing: pacs-abort-at=BYTES" in lines[1] and "takes no value" in lines[2]
    assert "did you mean jls" in lines[3] and "given twice" in lines[-2] and "no such fault" in lines[-1]


def test_the_table_shows_every_fault_with_a_sentence():
    """For --help."""
    for name, fault in FAULTS.items():
        assert f"{name}{fault.form}" in table() and len(fault.words) > 20


def test_times_are_counted_per_key():
    """A fault with TIMES strikes each object so often and no more; one without, always."""
    faults = Faults.parse(["pacs-lose-answer=2", "pacs-reject"])
    assert [faults.strikes("pacs-lose-answer", key) for key in "aabab"] == [True, True, True, False, True]
    assert all(faults.strikes("pacs-reject") for _ in range(5))
    assert not faults.strikes("pacs-busy") and "pacs-busy" not in faults


def test_the_same_seed_gives_the_same_nonsense():
    """Deterministic."""
    first, second, other = (Faults.parse(["ris-nonsense"], seed).dice("ris-nonsense").random() for seed in (1, 1, 2))
    assert first == second != other


def test_a_peer_may_change_its_manners_while_it_runs(tmp_path):
    """Faults are looked at anew at every step."""
    files = [make_object(tmp_path, number) for number in (1, 2)]
    with a_pacs(tmp_path / "store") as pacs:
        assert statuses(storescu(pacs.port, files[0])) == ["Success"]
        pacs.faults = Faults.parse(["pacs-out-of-resources", "commit-fail"])
        assert statuses(storescu(pacs.port, files[1])) == ["Refused: OutOfResources"]
        assert committed(pacs, "2.25.77.1") == (2, {"2.25.77.1": 0x0110})
        pacs.faults = Faults()
        assert statuses(storescu(pacs.port, files[1])) == ["Success"]
        assert committed(pacs, "2.25.77.1", "2.25.77.2") == (1, {})


# the RIS


def test_ris_down():
    """Connection refused, although the port is held."""
    with a_ris("ris-down") as ris, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ris.port), 2).close()


def test_ris_down_for_a_while():
    """With SECONDS, somebody answers later on the same port."""
    with a_ris("ris-down=0.4") as ris:
        assert not echo(ris.port, "RIS")[0]
        until(lambda: echo(ris.port, "RIS")[0])


def test_ris_reject():
    """A permanent rejection, once with TIMES=1."""
    with a_ris("ris-reject=1") as ris:
        worked, words = echo(ris.port, "RIS")
        assert not worked and "Rejected Permanent" in words and "Calling AE Title Not Recognized" in words
        assert echo(ris.port, "RIS")[0]


def test_ris_busy():
    """A transient rejection."""
    with a_ris("ris-busy=1") as ris:
        worked, words = echo(ris.port, "RIS")
        assert not worked and "Rejected Transient" in words and "Local Limit Exceeded" in words
        assert echo(ris.port, "RIS")[0]


def test_ris_slow(tmp_path):
    """The answer takes its time; a stop does not."""
    with a_ris("ris-slow=0.5") as ris:
        begin = time.monotonic()
        assert findscu(ris.port, tmp_path, "PatientName")
        assert time.monotonic() - begin >= 0.5
    with a_ris("ris-slow=30") as ris:
        waiting = Modality(ris.port, "RIS", timeout=0.2)
        begin = time.monotonic()
        waiting.ask("c_find", everything(), ModalityWorklistInformationFind)
    assert time.monotonic() - begin < 10


def everything():
    """A query for all patients."""
    query = Dataset()
    query.PatientName = ""
    return query


@pytest.mark.filterwarnings("ignore")  # pydicom says what it thinks of it
def test_ris_nonsense_bytes():
    """Answers that are no data set, or one of nobody; the same for the same seed."""
    with a_ris("ris-nonsense=bytes") as ris, Modality(ris.port, "RIS") as modality:
        answers = modality.ask("c_find", everything(), ModalityWorklistInformationFind)
    statuses_of = [status.Status for status, _ in answers]
    assert statuses_of[0] == 0xFF00 and all(identifier is None or "PatientID" not in identifier for _, identifier in answers)


@pytest.mark.parametrize("syntax", ["-xi", "-xe"])
def test_ris_nonsense_fields(syntax):
    """Answers of nobody: one with an empty name, one with a blank Patient ID, an absurd date, a broken sequence."""
    with a_ris("ris-nonsense=fields") as ris:
        done = run("findscu", "-v", syntax, "-W", "-aec", "RIS", "-k", "PatientName", "127.0.0.1", ris.port)
    text = done.stdout + done.stderr
    assert "Find Response: 1 (Pending)" in text and "Find Response: 2 (Pending)" in text
    assert "[yesterday!]" in text and "[not.a.uid" in text and "Parse error in sequence (0040,0100)" in text


def test_ris_nonsense_status():
    """A final status that no standard knows."""
    with a_ris("ris-nonsense=status") as ris, Modality(ris.port, "RIS") as modality:
        ((status, _),) = modality.ask("c_find", everything(), ModalityWorklistInformationFind)
    assert status.Status == 0x1234


def test_ris_abort():
    """One line of the answer, then A-ABORT."""
    with a_ris("ris-abort=1") as ris:
        done = run("findscu", "-v", "-W", "-aec", "RIS", "-k", "PatientName", "127.0.0.1", ris.port)
        text = done.stdout + done.stderr
        assert text.count("Find Response: ") == 1 and "Peer aborted Association" in text
        assert run("findscu", "-W", "-aec", "RIS", "-k", "PatientName", "127.0.0.1", ris.port).returncode == 0


def test_mpps_refuse():
    """0110 for the N-CREATE; nothing is kept; the next one is taken."""
    with a_ris("mpps-refuse=1") as ris, Modality(ris.port, "RIS") as modality:
        assert modality.begin("2.25.1", step_begun(ORDERS[0])).Status == 0x0110
        assert ris.steps() == []
        assert modality.begin("2.25.1", step_begun(ORDERS[0])).Status == 0


def test_mpps_lose_answer():
    """Both operations are carried out, both answers are lost; on trying again the RIS says so."""
    with a_ris("mpps-lose-answer") as ris:
        with Modality(ris.port, "RIS") as modality:
            assert "Status" not in modality.begin("2.25.1", step_begun(ORDERS[0]))
        assert ris.steps()[0].state == "IN PROGRESS"
        with Modality(ris.port, "RIS") as modality:
            assert modality.begin("2.25.1", step_begun(ORDERS[0])).Status == 0x0111
            assert "Status" not in modality.change("2.25.1", step_ended("2.25.77.1"))
        assert ris.steps()[0].state == "COMPLETED"
        with Modality(ris.port, "RIS") as modality:
            answer = modality.change("2.25.1", step_ended("2.25.77.1"))
            assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)


# the archive


def test_pacs_down(tmp_path):
    """Connection refused."""
    with a_pacs(tmp_path / "store", "pacs-down") as pacs, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", pacs.port), 2).close()


def test_pacs_reject(tmp_path):
    """A permanent rejection."""
    with a_pacs(tmp_path / "store", "pacs-reject") as pacs:
        worked, words = echo(pacs.port, "PACS")
    assert not worked and "Rejected Permanent" in words


def test_pacs_busy(tmp_path):
    """A transient rejection, twice."""
    with a_pacs(tmp_path / "store", "pacs-busy=2") as pacs:
        assert ["Rejected Transient" in echo(pacs.port, "PACS")[1] for _ in range(3)] == [True, True, False]


def test_pacs_slow(tmp_path):
    """Each object takes its time."""
    with a_pacs(tmp_path / "store", "pacs-slow=0.3") as pacs:
        begin = time.monotonic()
        assert statuses(storescu(pacs.port, make_object(tmp_path, 1), make_object(tmp_path, 2))) == ["Success"] * 2
        assert time.monotonic() - begin >= 0.6


def test_pacs_abort_at(tmp_path):
    """Aborted in the middle of each object once; nothing half stored; the second attempt goes through."""
    files = [make_object(tmp_path, number, size=600) for number in (1, 2)]
    with a_pacs(tmp_path / "store", "pacs-abort-at=200000") as pacs:
        for path in files:
            done = storescu(pacs.port, path)
            assert statuses(done) == [] and done.returncode != 0
            until(lambda: list((tmp_path / "store" / "incoming").iterdir()) == [])
        assert pacs.objects() == []
        assert statuses(storescu(pacs.port, *files)) == ["Success"] * 2
        assert len(pacs.objects()) == 2


def test_pacs_abort_at_so_many_times(tmp_path):
    """BYTESxTIMES; also an object that has come whole before anybody looks is not stored."""
    path = make_object(tmp_path, 1, size=100)
    with a_pacs(tmp_path / "store", "pacs-abort-at=1000x3") as pacs:
        outcomes = [statuses(storescu(pacs.port, path)) for _ in range(4)]
        assert outcomes == [[], [], [], ["Success"]] and len(pacs.objects()) == 1 and pacs.again == 0


def test_pacs_lose_answer(tmp_path):
    """Stored, but the sender does not know; it sends again and all is well."""
    path = make_object(tmp_path, 1)
    with a_pacs(tmp_path / "store", "pacs-lose-answer") as pacs:
        assert statuses(storescu(pacs.port, path)) == []
        assert len(pacs.objects()) == 1
        assert statuses(storescu(pacs.port, path)) == ["Success"]
        assert len(pacs.objects()) == 1 and pacs.again == 1


def test_pacs_refuse_uid(tmp_path):
    """Only the named objects, with the status that was asked for."""
    files = [make_object(tmp_path, number) for number in (1, 2, 3)]
    with a_pacs(tmp_path / "store", "pacs-refuse-uid=2.25.77.2:A900") as pacs:
        answers = statuses(storescu(pacs.port, *files, options=("-nh",)))
        assert answers == ["Success", "Error: DataSetDoesNotMatchSOPClass", "Success"]
        assert [one.sop_instance_uid for one in pacs.objects()] == ["2.25.77.1", "2.25.77.3"]


def test_pacs_refuse_every(tmp_path):
    """Every Nth that comes in, C000 where no status is given."""
    files = [make_object(tmp_path, number) for number in range(1, 7)]
    with a_pacs(tmp_path / "store", "pacs-refuse-every=3") as pacs:
        answers = statuses(storescu(pacs.port, *files, options=("-nh",)))
    assert answers == ["Success", "Success", "Error: CannotUnderstand"] * 2


def test_pacs_out_of_resources(tmp_path):
    """A700, so many times."""
    path = make_object(tmp_path, 1)
    with a_pacs(tmp_path / "store", "pacs-out-of-resources=2") as pacs:
        answers = [statuses(storescu(pacs.port, path)) for _ in range(3)]
    assert answers == [["Refused: OutOfResources"], ["Refused: OutOfResources"], ["Success"]]


def test_pacs_warn(tmp_path):
    """Stored, with B000."""
    with a_pacs(tmp_path / "store", "pacs-warn") as pacs:
        assert statuses(storescu(pacs.port, make_object(tmp_path, 1))) == ["Warning: CoercionOfDataElements"]
        assert len(pacs.objects()) == 1


def test_pacs_only(tmp_path):
    """Other syntaxes are not negotiated, implicit neither; verification still works."""
    path = make_object(tmp_path, 1)
    with a_pacs(tmp_path / "store", "pacs-only=jls,rle") as pacs:
        assert echo(pacs.port, "PACS")[0]
        refused = storescu(pacs.port, path)
        assert "No Acceptable Presentation Contexts" in refused.stdout + refused.stderr
    with a_pacs(tmp_path / "store", "pacs-only=jls,implicit") as pacs:
        assert statuses(storescu(pacs.port, path)) == ["Success"]
        assert pacs.objects()[0].syntax_uid == SYNTAXES["implicit"].uid


def committed(pacs, *uids):
    """Ask for commitment and wait for the report on the same association: (event type, failed with their reasons)."""
    with Modality(pacs.port, "PACS") as modality:
        assert modality.commit(f"2.25.{time.monotonic_ns()}", *uids).Status == 0
        ((event_type, report),) = until(lambda: modality.heard)
        until(lambda: pacs.reports()[-1].told)
    failed = {str(item.ReferencedSOPInstanceUID): item.FailureReason for item in report.get("FailedSOPSequence") or ()}
    return event_type, failed


def test_pacs_forget(tmp_path):
    """Acknowledged and lost; commitment tells; when it comes again it stays."""
    path = make_object(tmp_path, 1)
    with a_pacs(tmp_path / "store", "pacs-forget") as pacs:
        assert statuses(storescu(pacs.port, path)) == ["Success"]
        assert pacs.objects() == [] and committed(pacs, "2.25.77.1") == (2, {"2.25.77.1": 0x0112})
        assert statuses(storescu(pacs.port, path)) == ["Success"]
        assert committed(pacs, "2.25.77.1") == (1, {})


# storage commitment


def test_commit_none(tmp_path):
    """The presentation context is turned down; storing goes on."""
    with a_pacs(tmp_path / "store", "commit-none") as pacs, Modality(pacs.port, "PACS") as modality:
        rejected = [context.abstract_syntax for context in modality.association.rejected_contexts]
        assert "1.2.840.10008.1.20.1" in rejected
        assert statuses(storescu(pacs.port, make_object(tmp_path, 1))) == ["Success"]


def test_commit_refuse(tmp_path):
    """The N-ACTION fails once."""
    with a_pacs(tmp_path / "store", "commit-refuse=1") as pacs, Modality(pacs.port, "PACS") as modality:
        assert [modality.commit(f"2.25.{number}", "2.25.77.1").Status for number in (1, 2)] == [0x0110, 0]


def test_commit_never(tmp_path):
    """The first request is accepted and forgotten; the second is reported."""
    with a_pacs(tmp_path / "store", "commit-never=1") as pacs:
        storescu(pacs.port, make_object(tmp_path, 1))
        with Modality(pacs.port, "PACS") as modality:
            assert modality.commit("2.25.100", "2.25.77.1").Status == 0
            assert modality.commit("2.25.101", "2.25.77.1").Status == 0
            until(lambda: modality.heard and pacs.reports()[1].told)
    assert [report.TransactionUID for _, report in modality.heard] == ["2.25.101"]
    assert [report.told for report in pacs.reports()] == [False, True]


def test_commit_late(tmp_path):
    """Not before its time."""
    with a_pacs(tmp_path / "store", "commit-late=0.5") as pacs:
        storescu(pacs.port, make_object(tmp_path, 1))
        begin = time.monotonic()
        assert committed(pacs, "2.25.77.1") == (1, {})
    assert time.monotonic() - begin >= 0.5


def test_commit_partial(tmp_path):
    """One of the objects is said to be missing although it is there; asked again, it is not."""
    with a_pacs(tmp_path / "store", "commit-partial") as pacs:
        storescu(pacs.port, make_object(tmp_path, 1), make_object(tmp_path, 2))
        assert committed(pacs, "2.25.77.1", "2.25.77.2") == (2, {"2.25.77.1": 0x0112})
        assert len(pacs.objects()) == 2
        assert committed(pacs, "2.25.77.1") == (1, {})


def test_commit_fail(tmp_path):
    """All are said to have failed."""
    with a_pacs(tmp_path / "store", "commit-fail=1") as pacs:
        storescu(pacs.port, make_object(tmp_path, 1), make_object(tmp_path, 2))
        both = {"2.25.77.1": 0x0110, "2.25.77.2": 0x0110}
        assert committed(pacs, *both) == (2, both)
        assert committed(pacs, *both) == (1, {})
