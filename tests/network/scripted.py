"""Peers that say exactly what a test wants said: raw sockets on loopback, one thread, pynetdicom only for the handshake."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from struct import pack, unpack_from

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext

from appliance.settings import Address

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
RELEASE_RQ, RELEASE_RP = bytes.fromhex("05000000000400000000"), bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000200")

Choose = Callable[[str, list[str]], str | None]


def first(abstract: str, syntaxes: list[str]) -> str | None:
    """Take whatever is proposed first."""
    return syntaxes[0]


class Talk:
    """One connection as the acceptor sees it. `requests` are the commands received, `sizes` the lengths of all PDUs."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests: list[Dataset] = []
        self.sizes: list[int] = []
        self.rq = A_ASSOCIATE_RQ()
        self.syntaxes: dict[int, str] = {}

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def pdu(self) -> tuple[int, bytes]:
        head = self.exactly(6)
        body = self.exactly(int.from_bytes(head[2:], "big"))
        self.sizes.append(len(body))
        return head[0], head + body

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def accept(self, choose: Choose = first, maximum: int = 16384) -> None:
        """Read the A-ASSOCIATE-RQ and answer with an A-ASSOCIATE-AC."""
        kind, pdu = self.pdu()
        assert kind == 1
        self.rq.decode(pdu)
        self.say(self.acceptance(choose, maximum))

    def acceptance(self, choose: Choose, maximum: int) -> bytes:
        primitive = A_ASSOCIATE()
        primitive.application_context_name = "1.2.840.10008.3.1.1.1"
        primitive.calling_ae_title, primitive.called_ae_title = self.rq.calling_ae_title, self.rq.called_ae_title
        primitive.result, primitive.result_source = 0, 1
        results = []
        for item in self.rq.presentation_context:
            syntax = choose(str(item.abstract_syntax), [str(one) for one in item.transfer_syntax])
            result = PresentationContext()
            result.context_id, result.result = item.context_id, 0 if syntax else 4
            result.transfer_syntax = [syntax or IMPLICIT]
            if syntax:
                self.syntaxes[item.context_id] = syntax
            results.append(result)
        primitive.presentation_context_definition_results_list = results
        length, uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
        length.maximum_length_received, uid.implementation_class_uid = maximum, "1.2.3"
        primitive.user_information = [length, uid]
        return A_ASSOCIATE_AC(primitive).encode()

    def message(self) -> tuple[Dataset, bytes, int] | None:
        """The next DIMSE message: command, data set bytes, context ID; None when the caller releases (answered)."""
        command: Dataset | None = None
        parts = {1: b"", 0: b""}
        while True:
            kind, pdu = self.pdu()
            if kind == 5:
                self.say(RELEASE_RP)
                return None
            if kind == 7:
                raise ConnectionAbortedError
            assert kind == 4
            at = 6
            while at < len(pdu):
                length, context, control = unpack_from(">IBB", pdu, at)
                parts[control & 1] += pdu[at + 6 : at + 4 + length]
                at += 4 + length
                if control == 3:
                    command = read_dataset(BytesIO(parts[1]), True, True)
                    self.requests.append(command)
                if command is not None and (control == 2 or command.CommandDataSetType == 0x0101):
                    return command, parts[0], context

    def send(self, context: int, command: Dataset, payload: bytes = b"", most: int = 16000) -> None:
        """A message, its parts in fragments of at most `most` bytes."""
        command.CommandDataSetType = 0x0102 if payload else 0x0101
        data = encoded(command, IMPLICIT)
        data = encoded_element(0, len(data)) + data
        for control, part in ((1, data), (0, payload)):
            for at in range(0, len(part), most):
                piece = part[at : at + most]
                last = 2 if at + most >= len(part) else 0
                self.say(pack(">BBIIBB", 4, 0, len(piece) + 6, len(piece) + 2, context, control | last) + piece)

    def answer(self, context: int, request: Dataset, status: int | None = 0, payload: bytes = b"", **more: object) -> None:
        response = Dataset()
        response.CommandField = request.CommandField | 0x8000
        response.MessageIDBeingRespondedTo = request.MessageID
        if status is not None:
            response.Status = status
        for keyword, value in more.items():
            setattr(response, keyword, value)
        self.send(context, response, payload)

    def serve(self, status: int = 0) -> None:
        """Accept, answer everything with a status until the caller releases."""
        self.accept()
        while heard := self.message():
            self.answer(heard[2], heard[0], status)


def encoded(dataset: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def encoded_element(element: int, value: int) -> bytes:
    return pack("<HHII", 0, element, 4, value)


class Scripted:
    """A listening peer that plays `script` on each connection; `talks` are the connections, `failures` of the scripts."""

    def __init__(self, script: Callable[[Talk], None], host: str = "127.0.0.1") -> None:
        self._script = script
        self._server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = int(self._server.getsockname()[1])
        self.address = Address(ae_title="PEER", host=host, port=self.port)
        self.talks: list[Talk] = []
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.settimeout(5)
            with connection:
                talk = Talk(connection)
                self.talks.append(talk)
                try:
                    self._script(talk)
                except (EOFError, OSError):
                    continue
                except BaseException as error:  # noqa: BLE001  told by the test that ends
                    self.failures.append(error)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


@contextmanager
def peer(script: Callable[[Talk], None], host: str = "127.0.0.1") -> Iterator[Scripted]:
    """A scripted peer for the time of a test; what goes wrong in the script fails the test."""
    scripted = Scripted(script, host)
    try:
        yield scripted
    finally:
        scripted.close()
    assert not scripted.failures, scripted.failures
