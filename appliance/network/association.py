"""One conversation: open, negotiate, ask, close; failures in our words. Blocking, no threads, no polling.

Negotiation is pynetdicom's, the data phase our own: why, stands in simulator-peers.md section 4 and figures.md 0.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.pdu import A_ABORT_RQ, A_RELEASE_RP, A_RELEASE_RQ

from appliance.errors import ApplianceError, Broken, Refused
from appliance.network import commands, messages, statuses
from appliance.network.commands import ANSWER, C_CANCEL, DATA_SET, NO_DATA_SET, Command
from appliance.network.line import Line, Silence
from appliance.network.messages import Assembly, Encoded, Message, Payload
from appliance.network.negotiation import MAXIMUM_PDU, Context, Contexts, Roles, agreement, number_contexts, proposal
from appliance.settings import Address

_RELEASE_PATIENCE = 5.0  # seconds for a polite end: everything was answered before
_LAST_WORDS = 0.2  # seconds to look for the A-ABORT of a peer that has cut us off
_ACCEPT, _REJECT, _DATA, _RELEASE_RQ, _ABORT = 2, 3, 4, 5, 7

log = logging.getLogger("dicap.network")


@dataclass(frozen=True)
class Caller:
    """Who calls, and how patient it is.

    `timeout` is in seconds, for each answer and for each write; `connect_timeout` is for the peer to accept the TCP
    connection. `ae_title` is the Calling AE Title that the peer has to know.
    """

    ae_title: str
    timeout: float = 30.0
    connect_timeout: float = 5.0

    def call(self, address: Address, contexts: Contexts) -> "Association":
        """An association that `with` opens; nothing is sent before that. ValueError unless there are 1 to 128 contexts."""
        return Association(address, self.ae_title, contexts, timeout=self.timeout, connect_timeout=self.connect_timeout)


class Association:
    """One association as requestor (PS3.8 7), to be used with `with`, by one thread.

    Entry connects and negotiates; it raises Unreachable (nobody there), Rejected (A-ASSOCIATE-RJ), Broken (no sensible
    answer) or SettingsError (an AE title that cannot be sent). Exit releases it, also after one of our own errors: a no
    to one request is no reason to hang up rudely; any other exception aborts it.

    `contexts` are (abstract syntax, transfer syntaxes), 1 to 128 of them, `roles` are (SOP class, SCU, SCP) to propose
    (PS3.7 D.3.3.4), times are in seconds. After entry `contexts` say what was agreed, and `peer_maximum` is the longest
    PDU that the peer takes, 0 for any. Whatever breaks the conversation ends it: then `is_open` is false and every
    further request raises Broken.
    """

    def __init__(
        self,
        address: Address,
        calling: str,
        contexts: Contexts,
        *,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        roles: Roles = (),
    ) -> None:
        self.peer = str(address)
        self.contexts: Sequence[Context] = number_contexts(contexts)
        self.peer_maximum = 0
        self._address, self._calling, self._roles = address, calling, roles
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._line: Line | None = None
        self._last_id = 0
        self._assembly = Assembly(())
        self._inbox: deque[Message] = deque()
        self._requests: deque[Message] = deque()

    def __enter__(self) -> Self:
        request = proposal(self._address, self._calling, self.contexts, self._roles)  # our own mistakes call nobody
        self._line = Line(self._address, self._timeout, self._connect_timeout)
        try:
            self._negotiate(request)
        except BaseException:
            self.abort()
            raise
        took = sum(context.accepted for context in self.contexts)
        log.info("%s: association open, %d of %d contexts taken", self.peer, took, len(self.contexts))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or issubclass(kind, ApplianceError | GeneratorExit):
            self.release()  # after Broken this does nothing
        else:
            self.abort()

    @property
    def is_open(self) -> bool:
        """Whether messages can go."""
        return self._line is not None

    @property
    def fragment(self) -> int:
        """Most bytes of data in one PDU towards the peer: even, and with its header within what the peer takes."""
        return (min(self.peer_maximum or MAXIMUM_PDU, MAXIMUM_PDU) - 6) & ~1

    def accepted(self, abstract: str) -> list[str]:
        """The transfer syntaxes in which the peer takes this SOP class, in the order proposed."""
        return [context.syntax for context in self.contexts if context.abstract == abstract and context.accepted]

    def context(self, abstract: str, syntax: str = "") -> Context:
        """The accepted context of a SOP class, in this transfer syntax or, where none is named, in any.

        Raises Refused with status 0122 and the peer's reason in words (PS3.8 table 9-18).
        """
        mine = [context for context in self.contexts if context.abstract == abstract]
        for context in mine:
            if context.accepted and syntax in ("", context.syntax):
                return context
        why = [context.why_not for context in mine if not context.accepted and (not syntax or syntax in context.proposed)]
        how = f" as {UID(syntax).name}" if syntax else ""
        raise Refused(
            f"{self.peer} does not take {UID(abstract).name}{how}: {why[0] if why else 'it was not proposed'}",
            f"Nothing is lost. Ask the administrator of {self._address.ae_title} whether it can be switched on there.",
            statuses.SOP_CLASS_NOT_SUPPORTED,
        )

    def request(self, command: Command, context: Context, payload: Payload | Dataset | None = None) -> Message:
        """Ask, and wait for the one answer, whatever its status.

        `command` lacks Message ID and Command Data Set Type, which are filled in here. Raises Broken when the answer
        does not come within the timeout, belongs to another message, or says no status: such a request is neither done
        nor failed, but to be asked again on a new association (figures.md, finding 1).
        """
        return self._answer(self._send(command, context, payload), commands.number(command, "CommandField"))

    def ask(self, command: Command, context: Context, payload: Dataset) -> Iterator[Message]:
        """Ask something that has many answers (C-FIND, PS3.7 9.1.2): every pending one, and the last.

        The timeout is for each answer anew. Raises Broken as `request` does.
        """
        number = self._send(command, context, payload)
        while True:
            answer = self._answer(number, commands.number(command, "CommandField"))
            yield answer
            if answer.status not in statuses.PENDING:
                return

    def cancel(self, answer: Message) -> None:
        """Ask the peer to stop answering (C-CANCEL-RQ, PS3.7 9.3.2.3); it may still send some."""
        number = commands.number(answer.command, "MessageIDBeingRespondedTo")
        cancel: Command = {"CommandField": C_CANCEL, "MessageIDBeingRespondedTo": number, "CommandDataSetType": NO_DATA_SET}
        self._write(cancel, answer.context, None)

    def incoming(self, wait: float) -> Message | None:
        """A request of the peer (N-EVENT-REPORT) within `wait` seconds; it is to be answered with `respond`.

        One that came while we waited for something else is given at once. None when none comes, or the peer has hung
        up: neither is an error, since nothing of ours was open.
        """
        deadline = time.monotonic() + wait
        while not self._requests and self.is_open:
            try:
                message = self._next(deadline)
            except (Silence, Broken):
                break
            if message.is_request:
                self._requests.append(message)
        return self._requests.popleft() if self._requests else None

    def respond(self, message: Message, status: int) -> None:
        """Answer a request of the peer with a status and no data set; raises Broken."""
        answer: Command = {
            "CommandField": message.field | ANSWER,
            "MessageIDBeingRespondedTo": commands.number(message.command, "MessageID"),
            "CommandDataSetType": NO_DATA_SET,
            "Status": status,
        }
        for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID", "EventTypeID"):
            if keyword in message.command:
                answer[keyword] = message.command[keyword]
        self._write(answer, message.context, None)

    def release(self) -> None:
        """End politely (A-RELEASE, PS3.8 7.2), waiting at most 5 seconds; what goes wrong now harms nothing."""
        if self._line is None:
            return
        deadline = time.monotonic() + min(self._timeout, _RELEASE_PATIENCE)
        try:
            self._line.send([A_RELEASE_RQ().encode()])
            kind = _DATA
            while kind in (_DATA, _RELEASE_RQ):  # late messages are dropped: a report comes again on a new association
                kind, _ = self._line.receive(deadline)
                if kind == _RELEASE_RQ:  # both at once (PS3.8 9.2.3)
                    self._line.send([A_RELEASE_RP().encode()])
        except (Broken, Silence) as error:
            log.info("%s: released, but the peer did not say so: %s", self.peer, error)
        self._hang_up()

    def abort(self) -> None:
        """End at once (A-ABORT by the service user, PS3.8 7.3); never raises."""
        if self._line is None:
            return
        pdu = A_ABORT_RQ()
        pdu.source = pdu.reason_diagnostic = 0
        try:
            self._line.send([pdu.encode()])
        except Broken as error:
            log.debug("%s: abort not sent: %s", self.peer, error)
        self._hang_up()

    def _negotiate(self, request: bytes) -> None:
        """Send the A-ASSOCIATE-RQ and understand what comes back (PS3.8 9.3)."""
        assert self._line is not None
        self._line.send([request])
        try:
            kind, pdu = self._line.receive(time.monotonic() + self._timeout)
        except Silence:
            raise Broken(
                f"{self.peer} accepted the connection, but does not answer within {self._timeout:g} seconds",
                "Everything stays in the spool and is tried again. The peer hangs, or the port is another program's.",
            ) from None
        if kind == _REJECT:
            self._hang_up()
            raise statuses.rejection(self.peer, self._calling, pdu)
        if kind == _ABORT:
            self._hang_up()
            raise statuses.abortion(self.peer, pdu)
        if kind != _ACCEPT:
            raise Broken(f"{self.peer} answered the association request with PDU type {kind:02X}")
        try:
            self.contexts, self.peer_maximum = agreement(pdu, self.contexts)
        except ValueError as error:
            raise Broken(f"{self.peer} sent nonsense: {error}") from error
        self._assembly = Assembly(self.contexts)

    def _send(self, command: Command, context: Context, payload: Payload | Dataset | None) -> int:
        self._last_id = self._last_id % 0xFFFF + 1
        if isinstance(payload, Dataset):
            payload = Encoded(payload, context.syntax)
        kind = NO_DATA_SET if payload is None else DATA_SET
        self._write({**command, "MessageID": self._last_id, "CommandDataSetType": kind}, context, payload)
        return self._last_id

    def _write(self, command: Command, context: Context, payload: Payload | None) -> None:
        """Send one message; whatever happens in its middle ends the association."""
        if self._line is None:
            raise Broken(f"the association with {self.peer} has ended")
        log.debug("%s: sending %s", self.peer, command)
        try:
            for batch in messages.cut(commands.encode(command), context.id, payload, self.fragment):
                self._line.send(batch)
        except Broken as error:
            raise self._last_words() or error from None
        except BaseException:
            self.abort()
            raise

    def _last_words(self) -> Broken | None:
        """The A-ABORT of a peer that has stopped listening, if it can still be read; ends the association."""
        line, self._line = self._line, None
        found = None
        if line is not None:
            deadline = time.monotonic() + _LAST_WORDS
            try:
                while found is None:
                    kind, pdu = line.receive(deadline)
                    found = statuses.abortion(self.peer, pdu) if kind == _ABORT else None
            except (Broken, Silence):
                log.debug("%s: hung up without a reason", self.peer)
            line.close()
        return found

    def _answer(self, number: int, field: int) -> Message:
        """The response to one message; requests of the peer that come in between are kept for `incoming`."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                message = self._next(deadline)
            except Silence:
                raise self._broken(f"{self.peer} gave no answer within {self._timeout:g} seconds") from None
            if message.is_request:
                self._requests.append(message)
                continue
            about = commands.number(message.command, "MessageIDBeingRespondedTo")
            if (message.field, about) != (field | ANSWER, number):
                wrong = f"{message.field:04X} to message {about}"
                raise self._broken(f"{self.peer} answered {wrong}, but was asked {field:04X} in message {number}")
            if message.status < 0:
                raise self._broken(f"{self.peer} answered without a status")
            return message

    def _next(self, deadline: float) -> Message:
        """The next message; raises Silence (nothing is lost) or Broken (the association has ended)."""
        while not self._inbox:
            if self._line is None:
                raise Broken(f"the association with {self.peer} has ended")
            try:
                kind, pdu = self._line.receive(deadline)
            except Broken:
                self._hang_up()
                raise
            if kind == _ABORT:
                self._hang_up()
                raise statuses.abortion(self.peer, pdu)
            if kind == _RELEASE_RQ:
                with suppress(Broken):
                    self._line.send([A_RELEASE_RP().encode()])
                self._hang_up()
                raise Broken(f"{self.peer} ended the association instead of answering")
            if kind != _DATA:
                raise self._broken(f"{self.peer} sent PDU type {kind:02X} in mid-conversation")
            try:
                self._inbox += self._assembly.take(pdu)
            except ValueError as error:
                raise self._broken(f"{self.peer} sent nonsense: {error}") from error
        message = self._inbox.popleft()
        log.debug("%s: got %s, %d bytes", self.peer, message.command, len(message.payload))
        return message

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _broken(self, what: str) -> Broken:
        """End the association because of the peer; returns the error to raise."""
        self.abort()
        return Broken(what)
