"""DIMSE messages as P-DATA: cut into fragments on their way out, put together on their way in (PS3.8 9.3.5, annex E)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from struct import Struct
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from appliance.errors import InputError
from appliance.network import commands
from appliance.network.commands import ANSWER, NO_DATA_SET, Command
from appliance.network.negotiation import IMPLICIT, Context

LARGEST_COMMAND = 64 << 10
LARGEST_DATA_SET = 64 << 20  # of an answer; nothing that we ask for is as long
_AT_ONCE = 1 << 20  # bytes handed to the kernel in one gathered write
_MOST_FRAGMENTS = 256  # in one gathered write: below the 1024 pieces that kernels take
_HEADER = Struct(">BBIIBB")
_ITEM = Struct(">IBB")
_COMMAND, _LAST = 1, 2  # message control header, PS3.8 E.2


class Payload(Protocol):
    """A data set on its way out."""

    size: int

    def pieces(self, limit: int) -> Iterator[memoryview]:
        """All bytes in order, `limit` of them at a time; a piece is valid until the next is asked for."""
        ...


class Encoded:
    """A data set that fits in memory; it is encoded as implicit or explicit little endian."""

    def __init__(self, dataset: Dataset, syntax: str) -> None:
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT, True
        write_dataset(buffer, dataset)
        self._data = buffer.getvalue()
        self.size = len(self._data)

    def pieces(self, limit: int) -> Iterator[memoryview]:
        """As in Payload."""
        whole = memoryview(self._data)
        return (whole[at : at + limit] for at in range(0, self.size, limit))


@dataclass(frozen=True)
class Message:
    """A DIMSE message from the peer: its command set by keyword, its data set still encoded as `context` says."""

    command: Command
    payload: bytes
    context: Context

    @property
    def status(self) -> int:
        """The Status of an answer, -1 where there is none."""
        return commands.number(self.command, "Status")

    @property
    def field(self) -> int:
        """The Command Field."""
        return commands.number(self.command, "CommandField")

    @property
    def is_request(self) -> bool:
        """Whether the peer wants something."""
        return self.field & ANSWER == 0

    def dataset(self) -> Dataset:
        """The data set; raises InputError when it cannot be read. Its values are decoded only when they are looked at."""
        try:
            return read_dataset(BytesIO(self.payload), self.context.syntax == IMPLICIT, True)
        except Exception as error:  # pydicom lets many classes through for garbage
            raise InputError(f"{len(self.payload)} bytes that are no data set: {error}") from error


def cut(command: bytes, context_id: int, payload: Payload | None, fragment: int) -> Iterator[list[bytes | memoryview]]:
    """The PDUs of a message as lists of pieces for gathered writes, about 1 MiB each.

    The first list begins with the command and holds the first data, too: one system call and one network packet less
    per object. `fragment` is the most data in one PDU, command and data never share one. An empty payload is one empty
    last fragment. Memory stays at one list, however long the payload is.
    """
    batch: list[bytes | memoryview] = []
    for at in range(0, len(command), fragment):
        part = command[at : at + fragment]
        control = _COMMAND | (_LAST if at + fragment >= len(command) else 0)
        batch += [_HEADER.pack(4, 0, len(part) + 6, len(part) + 2, context_id, control), part]
    sent = 0
    if payload is not None:
        for piece in payload.pieces(fragment * max(1, min(_AT_ONCE // fragment, _MOST_FRAGMENTS))):
            for at in range(0, len(piece), fragment):
                data = piece[at : at + fragment]
                sent += len(data)
                last = _LAST if sent == payload.size else 0
                batch += [_HEADER.pack(4, 0, len(data) + 6, len(data) + 2, context_id, last), data]
            yield batch
            batch = []
        if sent == 0:
            batch.append(_HEADER.pack(4, 0, 6, 2, context_id, _LAST))
    if batch:
        yield batch


class Assembly:
    """Puts the messages of one association together from the P-DATA PDUs as they come.

    A PDU may hold several fragments, even of two messages; commands are bounded to 64 KiB and data sets to 64 MiB, so
    that no peer can fill our memory.
    """

    def __init__(self, contexts: Sequence[Context]) -> None:
        self._contexts = {context.id: context for context in contexts if context.accepted}
        self._command = bytearray()
        self._data = bytearray()
        self._open: tuple[Command, Context] | None = None

    def take(self, pdu: bytes) -> list[Message]:
        """The messages that this PDU completes; raises ValueError where it breaks the rules."""
        done = []
        at = 6
        while at < len(pdu):
            if at + 6 > len(pdu):
                raise ValueError("a P-DATA PDU that ends within a header")
            length, context_id, control = _ITEM.unpack_from(pdu, at)
            part = pdu[at + 6 : at + 4 + length]
            if length < 2 or len(part) != length - 2:
                raise ValueError("a fragment that is longer than its PDU")
            if context_id not in self._contexts:
                raise ValueError(f"a message in presentation context {context_id}, which was not agreed")
            at += 4 + length
            message = self._fragment(part, self._contexts[context_id], control)
            if message:
                done.append(message)
        return done

    def _fragment(self, part: bytes, context: Context, control: int) -> Message | None:
        if control & _COMMAND:
            if self._open:
                raise ValueError("a command where a data set should go on")
            self._command += part
            if len(self._command) > LARGEST_COMMAND:
                raise ValueError("a command without end")
            if not control & _LAST:
                return None
            command = commands.decode(bytes(self._command))
            self._command.clear()
            if commands.number(command, "CommandDataSetType") == NO_DATA_SET:
                return Message(command, b"", context)
            self._open = command, context
            return None
        if not self._open:
            raise ValueError("a data set without a command")
        self._data += part
        if len(self._data) > LARGEST_DATA_SET:
            raise ValueError(f"a data set of more than {LARGEST_DATA_SET >> 20} MiB")
        if not control & _LAST:
            return None
        command, context = self._open
        message = Message(command, bytes(self._data), context)
        self._open = None
        self._data.clear()
        return message
