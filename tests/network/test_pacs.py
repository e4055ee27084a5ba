"""Store and commitment with archives that take, refuse, break off and babble."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hospital import CALLER, EXPLICIT, IMPLICIT, JPEG_LS, SECONDARY_CAPTURE, fake_picture, picture
from pydicom.dataset import Dataset
from scripted import ABORT, Talk, encoded, first, peer

from appliance.clinic.order import Reference
from appliance.errors import Broken, Busy, InputError, NeedsTranscoding, Refused, Rejected, SettingsError, Unreachable
from appliance.network import pacs
from appliance.network.association import Caller
from appliance.network.pacs import Commitment, Item
from appliance.settings import Address

QUICK = Caller("DICAP", timeout=0.5, connect_timeout=1.0)
COMMITMENT, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"


@pytest.mark.parametrize(
    ("status", "kind", "retry", "words"),
    [
        (0x0000, None, None, ""),
        (0xB000, None, None, "Coercion of Data Elements (B000)"),
        (0xB007, None, None, "Data Set Does Not Match SOP Class (B007)"),
        (0xB006, None, None, "Element Discarded (B006)"),
        (0x0111, None, None, "had it already"),
        (0xA700, Busy, True, "Out of Resources (A700)"),
        (0xA7FE, Busy, True, "Out of Resources (A7FE)"),
        (0x0110, Busy, True, "Processing Failure (0110)"),
        (0x0213, Busy, True, "Resource Limitation (0213)"),
        (0xA900, Refused, False, "Does Not Match SOP Class (A900)"),
        (0xC000, Refused, False, "Cannot Understand (C000)"),
        (0x0122, Refused, False, "SOP Class Not Supported (0122)"),
        (0x0124, Refused, False, "Not Authorised (0124)"),
        (0x0117, Refused, False, "Invalid Object Instance (0117)"),
        (0x4711, Refused, False, "a status of its own (4711)"),
    ],
)
def test_each_status_means_what_the_standard_says(
    tmp_path: Path, status: int, kind: type | None, retry: bool | None, words: str
) -> None:
    item = picture(tmp_path)
    with peer(lambda talk: talk.serve(status)) as scripted:
        (result,) = pacs.store(CALLER, scripted.address, [item])
    assert result.status == status
    assert words in result.words
    assert result.warning == (kind is None and status != 0)
    if kind is None:
        assert result.error is None
    else:
        assert type(result.error) is kind
        assert result.error.retry is retry
        assert isinstance(result.error, Refused)
        assert "stays in the spool" in result.error.advice
        assert str(scripted.address) in result.words


def test_what_the_peer_adds_is_passed_on(tmp_path: Path) -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        while heard := talk.message():
            talk.answer(heard[2], heard[0], 0xA900, ErrorComment="no rows", OffendingElement=[0x00280010, 0x00091001])

    with peer(script) as scripted:
        (result,) = pacs.store(CALLER, scripted.address, [picture(tmp_path)])
    assert "it says: no rows" in result.words
    assert "about Rows, (0009,1001)" in result.words


def test_objects_arrive_byte_for_byte_over_one_association(tmp_path: Path) -> None:
    items = [picture(tmp_path, 1, 300), picture(tmp_path, 2, 8), picture(tmp_path, 3, 700, IMPLICIT)]
    received: list[bytes] = []

    def script(talk: Talk) -> None:
        talk.accept()
        while heard := talk.message():
            received.append(heard[1])
            talk.answer(heard[2], heard[0])

    with peer(script) as scripted:
        results = list(pacs.store(CALLER, scripted.address, items))
        (talk,) = scripted.talks
    assert [result.item for result in results] == items
    assert all(result.error is None for result in results)
    for item, data, request in zip(items, received, talk.requests, strict=True):
        assert item.path.read_bytes().endswith(data)
        assert len(data) > item.path.stat().st_size - 500
        assert request.AffectedSOPInstanceUID == item.sop_instance_uid
        assert request.Priority == 0


def test_one_refused_object_stops_no_other(tmp_path: Path) -> None:
    items = [picture(tmp_path, number) for number in range(1, 6)]

    def script(talk: Talk) -> None:
        talk.accept()
        while heard := talk.message():
            talk.answer(heard[2], heard[0], 0xC000 if heard[0].AffectedSOPInstanceUID == items[2].sop_instance_uid else 0)

    with peer(script) as scripted:
        results = list(pacs.store(CALLER, scripted.address, items))
        assert len(scripted.talks) == 1
    assert [result.status for result in results] == [0, 0, 0xC000, 0, 0]


def breaking_on(uid: str, how: Callable[[Talk], None]) -> Callable[[Talk], None]:
    """An archive that stumbles over one object, each time it comes."""

    def script(talk: Talk) -> None:
        talk.accept()
        while heard := talk.message():
            if heard[0].AffectedSOPInstanceUID == uid:
                how(talk)
                return
            talk.answer(heard[2], heard[0])

    return script


@pytest.mark.parametrize(
    "how", [lambda talk: talk.say(ABORT), lambda talk: None, lambda talk: talk.say(b"oops, a stack trace")]
)
def test_an_object_the_archive_breaks_on_is_tried_later_and_the_rest_goes_on(
    tmp_path: Path, how: Callable[[Talk], None]
) -> None:
    items = [picture(tmp_path, number) for number in range(1, 5)]
    with peer(breaking_on(items[1].sop_instance_uid, how)) as scripted:
        results = list(pacs.store(CALLER, scripted.address, items))
        assert len(scripted.talks) == 2
    assert [type(result.error) for result in results] == [type(None), Broken, type(None), type(None)]
    assert results[1].error and results[1].error.retry


def test_an_abort_in_mid_object_is_told_as_such(tmp_path: Path) -> None:
    def script(talk: Talk) -> None:
        talk.accept(first, 16384)
        for _ in range(5):
            talk.pdu()
        talk.say(ABORT)
        talk.connection.recv(1 << 22)

    with peer(script) as scripted:
        (result,) = pacs.store(CALLER, scripted.address, [picture(tmp_path, 1, 3000)])
    assert isinstance(result.error, Broken)


def test_an_empty_answer_means_again_and_never_done(tmp_path: Path) -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        talk.answer(heard[2], heard[0], None)
        talk.message()

    with peer(script) as scripted:
        results = list(pacs.store(QUICK, scripted.address, [picture(tmp_path, 1)]))
    assert [type(result.error) for result in results] == [Broken]
    assert "without a status" in results[0].words


def test_an_archive_that_always_breaks_is_left_after_three_objects(tmp_path: Path) -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        talk.message()

    items = [picture(tmp_path, number) for number in range(1, 8)]
    with peer(script) as scripted:
        results = list(pacs.store(CALLER, scripted.address, items))
        assert len(scripted.talks) == 3
    assert [result.item for result in results] == items
    assert all(isinstance(result.error, Broken) for result in results)


def test_an_archive_that_is_away_says_so_for_every_object(tmp_path: Path, free_port: Callable[[], int]) -> None:
    items = [picture(tmp_path, number) for number in range(1, 4)]
    away = Address(ae_title="PACS", host="127.0.0.1", port=free_port())
    assert [type(result.error) for result in pacs.store(QUICK, away, items)] == [Unreachable] * 3
    with peer(lambda talk: talk.say(bytes.fromhex("03000000000400010103"))) as scripted:
        assert [type(result.error) for result in pacs.store(QUICK, scripted.address, items)] == [Rejected] * 3


def test_nothing_to_store_opens_no_association(free_port: Callable[[], int]) -> None:
    assert list(pacs.store(QUICK, Address(ae_title="PACS", host="127.0.0.1", port=free_port()), [])) == []


def taking(*syntaxes: str) -> Callable[[Talk], None]:
    def script(talk: Talk) -> None:
        talk.accept(lambda abstract, proposed: proposed[0] if proposed[0] in syntaxes else None)
        while heard := talk.message():
            talk.answer(heard[2], heard[0])

    return script


def test_another_syntax_than_its_own_needs_transcoding_and_says_which(tmp_path: Path) -> None:
    item = fake_picture(tmp_path, 1, JPEG_LS)
    item = Item(item.path, item.sop_class_uid, item.sop_instance_uid, JPEG_LS, (EXPLICIT, IMPLICIT))
    plain = picture(tmp_path, 2)
    with peer(taking(EXPLICIT, IMPLICIT)) as scripted:
        needs, stored = pacs.store(CALLER, scripted.address, [item, plain])
        contexts = [
            (str(one.abstract_syntax), [str(s) for s in one.transfer_syntax])
            for one in scripted.talks[0].rq.presentation_context
        ]
        assert len(scripted.talks[0].requests) == 1
    assert isinstance(needs.error, NeedsTranscoding)
    assert set(needs.error.accepted) == {EXPLICIT, IMPLICIT}
    assert not needs.error.retry
    assert "Implicit VR Little Endian" in needs.words
    assert stored.error is None
    assert sorted(contexts) == sorted((SECONDARY_CAPTURE, [syntax]) for syntax in (JPEG_LS, EXPLICIT, IMPLICIT))


def test_its_own_syntax_is_preferred(tmp_path: Path) -> None:
    item = fake_picture(tmp_path, 1, JPEG_LS)
    item = Item(item.path, item.sop_class_uid, item.sop_instance_uid, JPEG_LS, (EXPLICIT,))
    with peer(taking(EXPLICIT, JPEG_LS)) as scripted:
        (result,) = pacs.store(CALLER, scripted.address, [item])
    assert result.error is None


def test_a_kind_of_object_that_is_not_taken_is_refused_in_words(tmp_path: Path) -> None:
    with peer(taking()) as scripted:
        (result,) = pacs.store(CALLER, scripted.address, [picture(tmp_path)])
    assert type(result.error) is Refused
    assert "does not take Secondary Capture Image Storage as Explicit VR Little Endian" in result.words
    assert result.status == 0x0122


def test_an_object_without_a_proper_name_is_told_and_stops_no_other(tmp_path: Path) -> None:
    good = picture(tmp_path)
    bad = [replace(good, sop_class_uid=uid) for uid in ("", "not.a.uid", "1." * 40)] + [replace(good, syntax_uid="")]
    with peer(Talk.serve) as scripted:
        results = list(pacs.store(CALLER, scripted.address, [*bad[:2], good, *bad[2:]]))
        assert [result.item for result in pacs.store(CALLER, scripted.address, bad)] == bad
        assert len(scripted.talks) == 1
    assert [type(result.error) for result in results] == [InputError, InputError, type(None), InputError, InputError]


def test_an_ae_title_that_cannot_be_sent_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    with peer(Talk.serve) as scripted:
        (result,) = pacs.store(Caller("ÄRZTE"), scripted.address, [picture(tmp_path)])
        with pytest.raises(SettingsError, match="ÄRZTE"):
            pacs.echo(Caller("ÄRZTE"), scripted.address)
        assert scripted.talks == []
    assert isinstance(result.error, SettingsError)


def test_more_kinds_than_128_contexts_go_over_several_associations(tmp_path: Path) -> None:
    item = picture(tmp_path)
    items = [Item(item.path, f"1.2.3.{number}", f"2.25.{number}", EXPLICIT, (IMPLICIT,)) for number in range(150)]
    with peer(Talk.serve) as scripted:
        results = list(pacs.store(CALLER, scripted.address, items))
        assert len(scripted.talks) == 3
        assert all(len(talk.rq.presentation_context) <= 128 for talk in scripted.talks)
    assert all(result.error is None for result in results)


def truncated(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:200])
    return path


def headless(path: Path) -> Path:
    path.write_bytes(b"not a DICOM file at all" * 20)
    return path


def bodiless(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: 144 + int.from_bytes(data[140:144], "little")])
    return path


def emptied(path: Path) -> Path:
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("spoil", [truncated, headless, bodiless, emptied, lambda path: path.with_name("gone.dcm")])
def test_a_spoilt_file_is_told_and_stops_no_other(tmp_path: Path, spoil: Callable[[Path], Path]) -> None:
    good, bad = picture(tmp_path, 1), picture(tmp_path, 2)
    bad = Item(spoil(bad.path), bad.sop_class_uid, bad.sop_instance_uid, bad.syntax_uid)
    with peer(Talk.serve) as scripted:
        results = list(pacs.store(CALLER, scripted.address, [bad, good]))
        assert len(scripted.talks[0].requests) == 1
    assert isinstance(results[0].error, InputError)
    assert str(bad.path) in results[0].words
    assert results[1].error is None


def test_a_file_in_another_syntax_than_said_is_not_sent(tmp_path: Path) -> None:
    item = picture(tmp_path)
    with peer(Talk.serve) as scripted:
        (result,) = pacs.store(
            CALLER, scripted.address, [Item(item.path, item.sop_class_uid, item.sop_instance_uid, IMPLICIT)]
        )
        assert scripted.talks[0].requests == []
    assert isinstance(result.error, InputError)


def test_a_file_that_shrinks_while_it_is_sent_ends_the_association_and_the_rest_goes_on(tmp_path: Path) -> None:
    big, small = picture(tmp_path, 1, 3000), picture(tmp_path, 2)

    def script(talk: Talk) -> None:
        talk.accept()
        while heard := talk.message():
            talk.answer(heard[2], heard[0])

    whole = pacs.FilePayload.pieces

    def shrinking(self, limit: int):
        for number, piece in enumerate(whole(self, limit)):
            if number == 1 and self.size > 1_000_000:
                big.path.write_bytes(b"")
            yield piece

    with pytest.MonkeyPatch.context() as patch, peer(script) as scripted:
        patch.setattr(pacs.FilePayload, "pieces", shrinking)
        results = list(pacs.store(CALLER, scripted.address, [big, small]))
    assert isinstance(results[0].error, InputError)
    assert "became shorter" in results[0].words
    assert results[1].error is None


def test_a_reader_who_stops_early_leaves_politely(tmp_path: Path) -> None:
    ends: list[object] = []

    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        talk.answer(heard[2], heard[0])
        ends.append(talk.message())

    with peer(script) as scripted:
        for result in pacs.store(CALLER, scripted.address, [picture(tmp_path, 1), picture(tmp_path, 2)]):
            assert result.error is None
            break
    assert ends == [None]


REFERENCES = [Reference(SECONDARY_CAPTURE, "2.25.1"), Reference(SECONDARY_CAPTURE, "2.25.2")]


def report(transaction: str, committed: list[str], failed: dict[str, int] | None = None) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = [reference(uid) for uid in committed]
    if failed:
        dataset.FailedSOPSequence = [reference(uid, reason) for uid, reason in failed.items()]
    return dataset


def reference(uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SECONDARY_CAPTURE, uid
    if reason is not None:
        item.FailureReason = reason
    return item


def reporting(*reports: tuple[int, Dataset], before: bool = False, status: int = 0) -> Callable[[Talk], None]:
    """An archive that answers the N-ACTION and reports on the same association, before or after its answer."""

    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        if not before:
            talk.answer(heard[2], heard[0], status)
        for number, (kind, dataset) in enumerate(reports):
            event = Dataset()
            event.AffectedSOPClassUID, event.AffectedSOPInstanceUID = COMMITMENT, WELL_KNOWN
            event.CommandField, event.MessageID, event.EventTypeID = 0x0100, 100 + number, kind
            talk.send(heard[2], event, encoded(dataset, talk.syntaxes[heard[2]]))
        if before:
            talk.answer(heard[2], heard[0], status)
        while talk.message():
            pass

    return script


@pytest.mark.parametrize("before", [False, True])
def test_a_report_on_the_same_association_is_taken_and_answered(before: bool) -> None:
    answer = report("1.2.9", ["2.25.1"], {"2.25.2": 0x0112})
    with peer(reporting((2, answer), before=before)) as scripted:
        heard = pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, wait=3)
        action, response = scripted.talks[0].requests
    assert heard == Commitment("1.2.9", ("2.25.1",), (("2.25.2", 0x0112, "the archive does not have it"),))
    assert (action.CommandField, action.ActionTypeID) == (0x0130, 1)
    assert (action.RequestedSOPClassUID, action.RequestedSOPInstanceUID) == (COMMITMENT, WELL_KNOWN)
    assert (response.CommandField, response.MessageIDBeingRespondedTo, response.Status) == (0x8100, 100, 0)


def test_no_report_yet_is_none() -> None:
    with peer(reporting()) as scripted:
        assert pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, wait=0.1) is None


def test_an_archive_that_hangs_up_after_its_yes_has_still_said_yes() -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        talk.answer(heard[2], heard[0])

    with peer(script) as scripted:
        assert pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, wait=3) is None


def test_a_report_about_another_transaction_goes_to_whom_it_concerns() -> None:
    others: list[Commitment] = []
    reports = ((1, report("1.2.8", ["2.25.7"])), (1, report("1.2.9", ["2.25.1", "2.25.2"])))
    with peer(reporting(*reports)) as scripted:
        heard = pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, 3, others.append)
        statuses = [one.Status for one in scripted.talks[0].requests[1:]]
    assert heard == Commitment("1.2.9", ("2.25.1", "2.25.2"))
    assert others == [Commitment("1.2.8", ("2.25.7",))]
    assert statuses == [0, 0]
    with peer(reporting(*reports)) as scripted:  # nobody to take it: the archive keeps it
        pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, 3)
        statuses = [one.Status for one in scripted.talks[0].requests[1:]]
    assert statuses == [0x0110, 0]


def test_a_report_that_cannot_be_read_is_not_believed() -> None:
    reports = ((1, Dataset()), (7, report("1.2.9", ["2.25.1"])))
    with peer(reporting(*reports)) as scripted:
        assert pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, 0.5) is None
        assert [one.Status for one in scripted.talks[0].requests[1:]] == [0x0110, 0x0110]


@pytest.mark.parametrize(("status", "kind"), [(0x0110, Busy), (0x0122, Refused), (0x0123, Refused), (0x0213, Busy)])
def test_a_no_to_the_request_is_told(status: int, kind: type) -> None:
    with peer(reporting(status=status)) as scripted, pytest.raises(kind) as caught:
        pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, 1)
    assert caught.value.status == status


def test_a_transaction_the_archive_knows_already_was_asked() -> None:
    with peer(reporting(status=0x0131)) as scripted:
        assert pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, 0.1) is None


def test_an_object_both_promised_and_failed_is_not_promised() -> None:
    with peer(reporting((2, report("1.2.9", ["2.25.1", "2.25.2"], {"2.25.2": 0xC123})))) as scripted:
        heard = pacs.ask_commitment(CALLER, scripted.address, "1.2.9", REFERENCES, 3)
    assert heard == Commitment("1.2.9", ("2.25.1",), (("2.25.2", 0xC123, "the archive gives reason C123"),))
