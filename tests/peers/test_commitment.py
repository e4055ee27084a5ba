"""The archive's promise, told in three manners."""

import pytest
from callers import Modality, make_object, open_house, reference, storescu, until
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, StorageCommitmentPushModel, Verification

from appliance.peers.faults import Faults
from appliance.peers.pacs import Pacs
from appliance.settings import Address

UIDS = ["2.25.77.1", "2.25.77.2"]


class Ear:
    """A modality's standing ear: collects (called by, event type, report); can be deaf for a while."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, Dataset]] = []
        self.answer = 0x0000
        self.roles: list = []
        self._entity = AE(ae_title="DICAP")
        self._entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        self.port = 0

    def open(self) -> None:
        handlers = [(evt.EVT_N_EVENT_REPORT, self._hear), (evt.EVT_ACCEPTED, self._accepted)]
        self._server = self._entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]

    def close(self) -> None:
        self._entity.shutdown()

    def _accepted(self, event):
        proposed = event.assoc.requestor.role_selection.items()
        self.roles.append({str(uid): (item.scu_role, item.scp_role) for uid, item in proposed})

    def _hear(self, event):
        self.heard.append((str(event.assoc.requestor.ae_title), event.event_type, event.event_information))
        return self.answer, None


@pytest.fixture
def ear():
    """An open ear."""
    one = Ear()
    one.open()
    yield one
    one.close()


def archive(tmp_path, manner, ear=None, *faults):
    """An archive with two objects in it."""
    modalities = {"DICAP": Address(ae_title="DICAP", host="127.0.0.1", port=ear.port)} if ear else {}
    pacs = Pacs("PACS", "127.0.0.1", 0, tmp_path / "store", modalities, faults=Faults.parse(faults))
    pacs.commit_manner = manner
    return pacs


def fill(pacs, tmp_path):
    """Store what is then asked about."""
    storescu(pacs.port, *(make_object(tmp_path, number) for number in (1, 2)))


def uids(items):
    """The SOP Instance UIDs of a sequence."""
    return [str(item.ReferencedSOPInstanceUID) for item in items]


def test_on_a_new_association(tmp_path, ear):
    """Event 1 with every reference; the archive proposes itself as SCP (role selection), and calls itself by its name."""
    with open_house(archive(tmp_path, "new", ear)) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            assert modality.commit("2.25.100", *UIDS).Status == 0
        ((caller, event_type, report),) = until(lambda: ear.heard)
        until(lambda: pacs.reports()[0].told)
    assert (caller, event_type, report.TransactionUID) == ("PACS", 1, "2.25.100")
    assert uids(report.ReferencedSOPSequence) == UIDS and "FailedSOPSequence" not in report
    assert report.RetrieveAETitle == "PACS" and pacs.complaints == []
    assert ear.roles == [{StorageCommitmentPushModel: (False, True)}]


@pytest.mark.parametrize("turn", range(10))
def test_on_the_same_association(tmp_path, turn):
    """While the association is open the report comes on it, after the answer to the request; again and again."""
    with open_house(archive(tmp_path, "same")) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            for number in range(5):
                assert modality.commit(f"2.25.100.{number}", *UIDS).Status == 0
                until(lambda number=number: len(modality.heard) > number)
            assert [report.TransactionUID for _, report in modality.heard] == [f"2.25.100.{number}" for number in range(5)]
            until(lambda: all(report.told for report in pacs.reports()))
    assert pacs.complaints == []


def test_the_modality_may_go_on_storing_while_the_report_comes(tmp_path):
    """Requests of the modality between the report and its answer are served, none is lost."""
    with open_house(archive(tmp_path, "same")) as pacs:
        fill(pacs, tmp_path)
        more = [dcmread(make_object(tmp_path, number)) for number in range(10, 40)]
        with Modality(pacs.port, "PACS") as modality:
            for number, dataset in enumerate(more):
                if number % 5 == 0:
                    assert modality.commit(f"2.25.100.{number}", *UIDS).Status == 0
                assert modality.ask("c_store", dataset).Status == 0
            until(lambda: len(modality.heard) == 6 and all(report.told for report in pacs.reports()))
    assert len(pacs.objects()) == 32 and pacs.complaints == []


def test_an_association_closed_too_early_gets_its_report_on_a_new_one(tmp_path, ear):
    """Same association was meant, but the modality has hung up: it is called back."""
    with open_house(archive(tmp_path, "same", ear, "commit-late=0.3")) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            modality.commit("2.25.100", *UIDS)
        until(lambda: ear.heard)
    assert ear.heard[0][2].TransactionUID == "2.25.100" and modality.heard == []


def test_a_modality_that_cannot_be_called_back_is_complained_of(tmp_path):
    """Same association was meant, the modality has hung up, and nobody knows where it is."""
    with open_house(archive(tmp_path, "same", None, "commit-late=0.3")) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            modality.commit("2.25.100", *UIDS)
        until(lambda: pacs.complaints)
    assert "closed the association before its commitment report" in pacs.complaints[0]


def test_on_the_next_association(tmp_path):
    """The report waits until the modality comes again and takes the commitment context."""
    with open_house(archive(tmp_path, "next")) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as first:
            first.commit("2.25.100", *UIDS)
            first.commit("2.25.101", "2.25.9")
        with Modality(pacs.port, "PACS", [Verification]) as without:
            without.ask("c_echo")
        until(lambda: len(pacs._commitments._waiting) == 2)
        with Modality(pacs.port, "PACS") as second:
            until(lambda: len(second.heard) == 2)
            until(lambda: all(report.told for report in pacs.reports()))
    assert first.heard == [] and without.heard == []
    assert [(event, report.TransactionUID) for event, report in second.heard] == [(1, "2.25.100"), (2, "2.25.101")]


def test_what_is_not_there_is_reported_as_failed(tmp_path, ear):
    """Event 2: 0112 for an object that never came, 0119 for one of another class, and what is safe beside them."""
    with open_house(archive(tmp_path, "new", ear)) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            information = Dataset()
            information.TransactionUID = "2.25.100"
            items = [reference(UIDS[0]), reference("2.25.9"), reference(UIDS[1], CTImageStorage)]
            information.ReferencedSOPSequence = items
            modality.ask("n_action", information, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
        ((_, event_type, report),) = until(lambda: ear.heard)
    assert event_type == 2 and uids(report.ReferencedSOPSequence) == [UIDS[0]]
    failed = {str(item.ReferencedSOPInstanceUID): item.FailureReason for item in report.FailedSOPSequence}
    assert failed == {"2.25.9": 0x0112, UIDS[1]: 0x0119}


def test_a_file_that_somebody_deleted_is_not_promised(tmp_path, ear):
    """The archive looks, before it promises."""
    with open_house(archive(tmp_path, "new", ear)) as pacs:
        fill(pacs, tmp_path)
        pacs.objects()[0].path.unlink()
        with Modality(pacs.port, "PACS") as modality:
            modality.commit("2.25.100", *UIDS)
        ((_, event_type, report),) = until(lambda: ear.heard)
    assert event_type == 2 and uids(report.FailedSOPSequence) == [UIDS[0]]


def test_a_modality_that_is_away_is_tried_again(tmp_path, ear):
    """Nobody answers at first; the report comes when somebody does."""
    ear.close()
    with open_house(archive(tmp_path, "new", ear)) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            modality.commit("2.25.100", *UIDS)
        until(lambda: len(pacs.reports()) == 1)
        assert not pacs.reports()[0].told
        ear.open()
        until(lambda: ear.heard)


def test_a_modality_that_answers_with_a_failure_is_told_again(tmp_path, ear):
    """A report that the modality could not keep is sent once more, and the failure is put into words."""
    ear.answer = 0x0110
    with open_house(archive(tmp_path, "new", ear)) as pacs:
        fill(pacs, tmp_path)
        with Modality(pacs.port, "PACS") as modality:
            modality.commit("2.25.100", *UIDS)
        until(lambda: ear.heard)
        ear.answer = 0x0000
        until(lambda: pacs.reports()[0].told)
    assert len(ear.heard) == 2 and "with status 0110" in pacs.complaints[0]


@pytest.mark.parametrize(
    ("ask", "status", "words"),
    [
        (lambda modality: modality.commit("", *UIDS), 0x0115, "without a transaction"),
        (lambda modality: modality.commit("2.25.100"), 0x0115, "without a transaction"),
        (lambda modality: modality.commit("2.25.100", *UIDS, instance="1.2.840.10008.1.20.1"), 0x0112, "well-known"),
        (lambda modality: modality.commit("2.25.100", *UIDS), 0x0110, "do not know where to call"),
    ],
)
def test_a_wrong_request_is_refused_and_complained_of(tmp_path, ask, status, words):
    """Among them the SOP Class UID in the place of the well-known instance, which simulators get wrong."""
    with open_house(archive(tmp_path, "new")) as pacs, Modality(pacs.port, "PACS") as modality:
        assert ask(modality).Status == status
    assert words in pacs.complaints[0]


def test_a_stop_does_not_wait_for_a_modality_that_is_away(tmp_path, ear):
    """Undelivered reports are given up at once."""
    ear.close()
    pacs = archive(tmp_path, "new", ear)
    pacs.start()
    fill(pacs, tmp_path)
    with Modality(pacs.port, "PACS") as modality:
        modality.commit("2.25.100", *UIDS)
    pacs.stop()
    assert not any(thread.is_alive() for thread in pacs._commitments._threads)
    assert not pacs.reports()[0].told
