"""One conversation with peers that behave well, badly, and like no DICOM program at all."""

import socket
import struct
import time
from itertools import pairwise

import pytest
from pydicom.dataset import Dataset
from scripted import ABORT, EXPLICIT, IMPLICIT, RELEASE_RQ, Talk, first, peer

from appliance.errors import Broken, PeerError, Refused, Rejected, Unreachable
from appliance.network import line, pacs
from appliance.network.association import Association, Caller
from appliance.network.negotiation import PLAIN
from appliance.settings import Address

VERIFICATION = "1.2.840.10008.1.1"
ECHO = {"AffectedSOPClassUID": VERIFICATION, "CommandField": 0x0030}
QUICK = Caller("DICAP", timeout=0.3, connect_timeout=1.0)
PATIENT = Caller("DICAP", timeout=5.0, connect_timeout=1.0)


def converse(caller: Caller, address: Address) -> int:
    """One C-ECHO; returns its status."""
    with caller.call(address, [(VERIFICATION, PLAIN)]) as association:
        return association.request(dict(ECHO), association.context(VERIFICATION)).status


def test_the_proposal_says_who_we_are_and_what_we_take() -> None:
    with peer(Talk.serve) as scripted:
        roles = [("1.2.840.10008.1.20.1", True, False)]
        with Association(scripted.address, "DICAP", [(VERIFICATION, PLAIN)], roles=roles) as association:
            assert association.peer_maximum == 16384
            assert association.fragment == 16378
        rq = scripted.talks[0].rq
    assert (rq.called_ae_title, rq.calling_ae_title) == ("PEER", "DICAP")
    assert rq.user_information.maximum_length == 131072
    assert len(rq.user_information.implementation_version_name) <= 16
    role = rq.user_information.role_selection["1.2.840.10008.1.20.1"]
    assert (role.scu_role, role.scp_role) == (True, False)
    assert [(item.context_id, str(item.abstract_syntax)) for item in rq.presentation_context] == [(1, VERIFICATION)]


def test_128_contexts_are_numbered_oddly_and_129_are_refused_at_once() -> None:
    contexts = [(f"1.2.3.{number}", [EXPLICIT]) for number in range(128)]

    def every_other(abstract: str, syntaxes: list[str]) -> str | None:
        return EXPLICIT if int(abstract.rpartition(".")[2]) % 2 else None

    def script(talk: Talk) -> None:
        talk.accept(every_other)
        talk.message()

    with peer(script) as scripted:
        with PATIENT.call(scripted.address, contexts) as association:
            assert association.accepted("1.2.3.127") == [EXPLICIT]
            assert association.accepted("1.2.3.126") == []
            with pytest.raises(Refused, match=r"takes none of the transfer syntaxes"):
                association.context("1.2.3.126")
        ids = [item.context_id for item in scripted.talks[0].rq.presentation_context]
    assert ids == list(range(1, 256, 2))
    with pytest.raises(ValueError, match="128"):
        PATIENT.call(scripted.address, [*contexts, ("1.2.4", [EXPLICIT])])


class Recording(socket.socket):
    """Writes down the options set on it and the reads, in their order."""

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.story.append(option)
        super().setsockopt(level, option, value)

    def recv(self, size: int) -> bytes:
        self.story.append("recv")
        return super().recv(size)


def test_nagle_is_off_and_acknowledgements_are_not_delayed_before_any_read(monkeypatch: pytest.MonkeyPatch) -> None:
    dial = socket.create_connection
    stories: list[list[object]] = []

    def recorded(*words: object) -> Recording:
        recording = Recording(fileno=dial(*words).detach())
        recording.story = [len(stories)]
        stories.append(recording.story)
        return recording

    monkeypatch.setattr(socket, "create_connection", recorded)
    with peer(Talk.serve) as scripted:
        converse(PATIENT, scripted.address)
    (story,) = stories
    assert story[1] == socket.TCP_NODELAY
    assert story.count("recv") >= 3
    quick = getattr(socket, "TCP_QUICKACK", None)
    if quick is not None:  # Linux
        assert all(before == quick for before, now in pairwise(story) if now == "recv")


class Elsewhere:
    """A socket as on a system that gathers no writes."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        if name == "sendmsg":
            raise AttributeError(name)
        return getattr(self._real, name)


def test_a_system_without_gathered_writes_and_quick_acknowledgements_speaks_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    dial = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *words: Elsewhere(dial(*words)))
    monkeypatch.setattr(line, "_QUICKACK", None)
    with peer(Talk.serve) as scripted:
        assert converse(PATIENT, scripted.address) == 0


def test_ipv6_is_spoken_where_it_exists() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:  # a machine without IPv6: then that is what is said
        with pytest.raises(Unreachable, match=r"\[::1\]"):
            converse(QUICK, Address.parse("PEER@[::1]:104"))
        return
    with peer(Talk.serve, "::1") as scripted:
        assert converse(PATIENT, scripted.address) == 0


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [
        ("010101", "for good: it gives no reason", "whether DICAP, with our address and port, is entered"),
        ("010102", "application context", "conformance statement"),
        ("010103", "does not know us: DICAP", "enter our AE title DICAP"),
        ("010107", "says that it is not called PEER", "Correct the AE title"),
        ("010201", "gives no reason", "its log"),
        ("010202", "version of the protocol", "conformance statement"),
        ("020301", "for now: it is busy", "soon"),
        ("020302", "has no association left", "more of them"),
        ("090909", "with result 9: it for reason 9 of source 9", "its log"),
    ],
)
def test_a_rejection_says_why_and_who_can_mend_it(code: str, words: str, advice: str) -> None:
    def script(talk: Talk) -> None:
        talk.pdu()
        talk.say(bytes.fromhex("03000000000400" + code))

    with peer(script) as scripted, pytest.raises(Rejected) as caught:
        converse(PATIENT, scripted.address)
    assert words in str(caught.value)
    assert advice in caught.value.advice
    assert "stays in the spool" in caught.value.advice
    assert caught.value.retry


def after_acceptance(data: bytes):
    """A peer that accepts, reads one message, and then says these bytes."""

    def script(talk: Talk) -> None:
        talk.accept()
        talk.message()
        talk.say(data)
        talk.pdu()

    return script


def pdata(context: int, control: int, data: bytes, length: int | None = None) -> bytes:
    size = len(data) + 2 if length is None else length
    return struct.pack(">BBIIBB", 4, 0, len(data) + 6, size, context, control) + data


RESPONSE = bytes.fromhex("00000001020000003080 000020010200000001000000000802000000 0101 00000009020000000000")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ABORT, "broke the association off"),
        (bytes.fromhex("07000000000400000206"), "complains of an invalid parameter"),
        (RELEASE_RQ, "ended the association instead of answering"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak DICOM"),
        (b"\x04\x00\x7f\xff\xff\xff", "does not speak DICOM"),
        (bytes.fromhex("02000000000400000000"), "PDU type 02"),
        (pdata(1, 3, b"\1\2\3\4\5"), "nonsense"),
        (pdata(9, 3, RESPONSE), "presentation context 9, which was not agreed"),
        (pdata(1, 3, RESPONSE, 999), "longer than its PDU"),
        (pdata(1, 2, RESPONSE), "a data set without a command"),
        (
            pdata(1, 3, RESPONSE.replace(b"\x20\x01\x02\0\0\0\1", b"\x20\x01\x02\0\0\0\7")),
            "to message 7, but was asked 0030 in message 1",
        ),
        (pdata(1, 3, RESPONSE.replace(b"\x30\x80", b"\x01\x80")), "answered 8001"),
        (pdata(1, 3, RESPONSE[:-10]), "answered without a status"),
        (b"\x04\x00\x00\x00\x00\x03\0\0\0", "ends within a header"),
    ],
)
def test_whatever_a_peer_says_instead_of_an_answer_breaks_the_conversation_in_words(data: bytes, words: str) -> None:
    with peer(after_acceptance(data)) as scripted, pytest.raises(Broken) as caught:
        converse(PATIENT, scripted.address)
    assert words in str(caught.value)
    assert str(scripted.address) in str(caught.value)
    assert caught.value.retry


def test_the_same_bytes_unspoilt_are_an_answer() -> None:
    with peer(after_acceptance(pdata(1, 3, RESPONSE))) as scripted:
        assert converse(PATIENT, scripted.address) == 0


@pytest.mark.parametrize(
    ("first_words", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak DICOM"),
        (b"\x02\x00\x00\x00\x00\x08garbage!", "makes no sense"),
        (b"\x02\x00\x00\x00\x00\x60" + b"\x21\x00\xff\xff" * 24, "makes no sense"),
        (b"\x02\x00\x00\x00\x00\x60" + b"\x99\x00\x00\x01" * 24, "makes no sense"),
        (ABORT, "broke the association off"),
        (RELEASE_RQ, "PDU type 05"),
    ],
)
def test_whatever_comes_instead_of_an_acceptance_breaks_the_conversation_in_words(first_words: bytes, words: str) -> None:
    def script(talk: Talk) -> None:
        talk.pdu()
        talk.say(first_words)
        talk.pdu()

    with peer(script) as scripted, pytest.raises(Broken, match=words):
        converse(PATIENT, scripted.address)


def test_a_peer_that_takes_only_tiny_pdus_is_not_spoken_to() -> None:
    with peer(lambda talk: talk.accept(maximum=12)) as scripted, pytest.raises(Broken, match="no PDU longer than 12"):
        converse(PATIENT, scripted.address)


def test_a_silent_peer_is_left_after_the_timeout_at_each_stage() -> None:
    def mute(talk: Talk) -> None:
        talk.pdu()
        talk.pdu()  # until the caller hangs up

    def mute_later(talk: Talk) -> None:
        talk.accept()
        talk.message()
        talk.pdu()

    for script, words in ((mute, "accepted the connection, but does not answer"), (mute_later, "no answer within 0.3")):
        begin = time.monotonic()
        with peer(script) as scripted, pytest.raises(Broken, match=words):
            converse(QUICK, scripted.address)
        assert 0.3 <= time.monotonic() - begin < 2


def test_a_dripping_peer_does_not_stretch_the_timeout() -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        talk.message()
        for byte in pdata(1, 3, RESPONSE):
            talk.say(bytes([byte]))
            time.sleep(0.1)

    begin = time.monotonic()
    with peer(script) as scripted, pytest.raises(Broken, match="no answer within"):
        converse(QUICK, scripted.address)
    assert time.monotonic() - begin < 2


def test_a_peer_that_hangs_up_is_noticed_at_each_stage() -> None:
    for script in (lambda talk: None, Talk.pdu, Talk.accept):
        with peer(script) as scripted, pytest.raises(Broken, match=r"hung up|was lost"):
            converse(PATIENT, scripted.address)


def test_nobody_there_is_unreachable_in_words(free_port) -> None:
    with pytest.raises(Unreachable, match=r"nobody listens at 127\.0\.0\.1 port") as caught:
        converse(QUICK, Address(ae_title="PEER", host="127.0.0.1", port=free_port()))
    assert caught.value.retry
    assert "stays in the spool" in caught.value.advice


def test_a_full_queue_of_callers_is_unreachable_after_the_connect_timeout() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        caller = Caller("DICAP", timeout=5, connect_timeout=0.3)
        begin = time.monotonic()
        with pytest.raises(PeerError) as caught:
            converse(caller, Address(ae_title="PEER", host="127.0.0.1", port=address[1]))
        for filler in fillers:
            filler.close()
    assert "does not answer within 0.3 seconds" in str(caught.value)
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name pacs.example is not known here"),
        (OSError(113, "No route to host"), "there is no way to pacs.example"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
def test_why_there_is_no_connection_is_said(monkeypatch: pytest.MonkeyPatch, error: OSError, words: str) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(Unreachable, match=words):
        converse(QUICK, Address.parse("PACS@pacs.example:104"))


def test_an_answer_in_one_byte_fragments_is_put_together() -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        while heard := talk.message():
            response = Dataset()
            response.CommandField, response.MessageIDBeingRespondedTo, response.Status = 0x8030, heard[0].MessageID, 0
            talk.send(heard[2], response, most=1)

    with peer(script) as scripted:
        assert converse(PATIENT, scripted.address) == 0


def test_a_request_of_the_peer_in_between_is_kept_and_can_be_answered() -> None:
    def script(talk: Talk) -> None:
        talk.accept()
        heard = talk.message()
        assert heard
        event = Dataset()
        event.CommandField, event.MessageID, event.EventTypeID = 0x0100, 77, 1
        event.AffectedSOPClassUID = event.AffectedSOPInstanceUID = "1.2.3"
        talk.send(heard[2], event, b"\0" * 8)
        talk.answer(heard[2], heard[0])
        assert talk.message()
        assert talk.message() is None

    with peer(script) as scripted:
        with PATIENT.call(scripted.address, [(VERIFICATION, PLAIN)]) as association:
            assert association.request(dict(ECHO), association.context(VERIFICATION)).status == 0
            event = association.incoming(0)
            assert event
            assert (event.field, event.payload) == (0x0100, b"\0" * 8)
            association.respond(event, 0)
        answer = scripted.talks[0].requests[1]
    assert (answer.CommandField, answer.MessageIDBeingRespondedTo, answer.Status) == (0x8100, 77, 0)
    assert (answer.AffectedSOPInstanceUID, answer.EventTypeID) == ("1.2.3", 1)


def test_waiting_in_vain_costs_nothing_but_the_wait() -> None:
    with peer(Talk.serve) as scripted, PATIENT.call(scripted.address, [(VERIFICATION, PLAIN)]) as association:
        begin = time.monotonic()
        assert association.incoming(0.2) is None
        assert 0.2 <= time.monotonic() - begin < 1
        assert association.request(dict(ECHO), association.context(VERIFICATION)).status == 0


def test_message_ids_count_and_wrap() -> None:
    with peer(Talk.serve) as scripted:
        with PATIENT.call(scripted.address, [(VERIFICATION, PLAIN)]) as association:
            context = association.context(VERIFICATION)
            association.request(dict(ECHO), context)
            association._last_id = 0xFFFF
            association.request(dict(ECHO), context)
        assert [one.MessageID for one in scripted.talks[0].requests] == [1, 1]


@pytest.mark.parametrize(("error", "kind"), [(None, 5), (Refused("no"), 5), (KeyError("ours"), 7)])
def test_the_end_is_polite_unless_something_of_ours_went_wrong(error: Exception | None, kind: int) -> None:
    heard: list[int] = []

    def script(talk: Talk) -> None:
        talk.accept()
        heard.append(talk.pdu()[0])

    with peer(script) as scripted:
        try:
            with QUICK.call(scripted.address, [(VERIFICATION, PLAIN)]) as association:
                if error:
                    raise error
        except (Refused, KeyError) as caught:
            assert caught is error
        assert not association.is_open
    assert heard == [kind]


def test_both_releasing_at_once_end_well() -> None:
    kinds: list[int] = []

    def script(talk: Talk) -> None:
        talk.accept()
        kinds.append(talk.pdu()[0])
        talk.say(RELEASE_RQ)
        kinds.append(talk.pdu()[0])
        talk.say(bytes.fromhex("06000000000400000000"))

    with peer(script) as scripted, PATIENT.call(scripted.address, [(VERIFICATION, PLAIN)]):
        pass
    assert kinds == [5, 6]


def test_a_service_the_peer_lacks_is_refused_in_words() -> None:
    def script(talk: Talk) -> None:
        talk.accept(lambda abstract, syntaxes: None)
        talk.message()

    with peer(script) as scripted, pytest.raises(Refused, match="does not take Verification SOP Class") as caught:
        pacs.echo(PATIENT, scripted.address)
    assert not caught.value.retry
    assert caught.value.status == 0x0122


def test_an_acceptance_in_a_syntax_nobody_proposed_is_none() -> None:
    def script(talk: Talk) -> None:
        talk.accept(lambda abstract, syntaxes: "1.2.840.10008.1.2.4.50")
        talk.message()

    with peer(script) as scripted, PATIENT.call(scripted.address, [(VERIFICATION, PLAIN)]) as association:
        assert association.accepted(VERIFICATION) == []


@pytest.mark.parametrize(
    ("maximum", "largest"), [(0, 131072), (131072, 131072), (1 << 30, 131072), (16384, 16384), (4097, 4096)]
)
def test_no_pdu_is_longer_than_the_peer_takes_or_than_128_kib(maximum: int, largest: int) -> None:
    received: list[bytes] = []

    def script(talk: Talk) -> None:
        talk.accept(first, maximum)
        while heard := talk.message():
            received.append(heard[1])
            talk.answer(heard[2], heard[0])

    dataset = Dataset()
    dataset.PatientID = "1"
    dataset.PixelData = bytes(range(256)) * 2000
    dataset["PixelData"].VR = "OB"
    with peer(script) as scripted:
        with PATIENT.call(scripted.address, [("1.2.3", [IMPLICIT])]) as association:
            association.request({"CommandField": 1}, association.context("1.2.3"), dataset)
        sizes = scripted.talks[0].sizes
    assert max(sizes) <= largest
    assert max(sizes) > largest - 16
    assert dataset.PixelData in received[0]
