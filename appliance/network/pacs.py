"""The archive: echo, store (the fast data phase), ask for commitment."""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.uid import UID

from appliance.clinic.order import Reference
from appliance.dicom import commitment
from appliance.dicom.commitment import Commitment as Commitment  # what ask_commitment and the listener report
from appliance.errors import ApplianceError, InputError, NeedsTranscoding, Refused
from appliance.network import commands, statuses
from appliance.network.association import Association, Caller
from appliance.network.commands import C_ECHO, C_STORE, N_ACTION, N_EVENT_REPORT
from appliance.network.messages import Message
from appliance.network.negotiation import MOST_CONTEXTS, PLAIN
from appliance.network.payload import FilePayload
from appliance.settings import Address

log = logging.getLogger("dicap.network")

VERIFICATION = "1.2.840.10008.1.1"
_UID = re.compile(r"[0-9.]{1,64}")  # what can be sent at all; whether it is legal, the check has said
_MOST_BREAKS = 3  # associations in a row that break on an object before the rest is left for later


@dataclass(frozen=True)
class Item:
    """One object to be stored: a Part 10 file, what it says it is, and what else it could be transcoded to.

    Each syntax becomes a presentation context of its own, so that the peer's answer tells which it takes. Nothing is
    proposed that is not named here: give Explicit and Implicit VR Little Endian where the object can become that.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    syntax_uid: str
    other_syntaxes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """How one object fared: it is stored when `error` is None.

    `words` say what there is to say, `status` is the peer's, or 0 where it gave none. `warning` marks an object that
    was stored with a remark (Bxxx, or 0111: the archive had it already). `error.retry` says whether it is tried again
    without a person.
    """

    item: Item
    status: int
    words: str = ""
    error: ApplianceError | None = None
    warning: bool = False


def echo(caller: Caller, address: Address) -> float:
    """C-ECHO (PS3.4 A): the seconds of one round trip on an open association; raises PeerError."""
    with caller.call(address, [(VERIFICATION, PLAIN)]) as association:
        context = association.context(VERIFICATION)
        begin = time.perf_counter()
        answer = association.request({"AffectedSOPClassUID": VERIFICATION, "CommandField": C_ECHO}, context)
        seconds = time.perf_counter() - begin
        if answer.status != statuses.SUCCESS:
            raise statuses.refusal(association.peer, C_ECHO, answer.command)
    return seconds


def store(caller: Caller, address: Address, items: Iterable[Item]) -> Iterator[Result]:
    """C-STORE (PS3.4 B) every object, one association for all; yields a result for each, in order, and raises nothing.

    A refused object stops no other, nor does a file that cannot be read. Where the association breaks on an object,
    that one gets a Broken, to be tried again later, and the rest goes on over a new association; after three such
    breaks in a row the rest gets the same. A peer that cannot be reached says so for every object. More than 128 pairs
    of SOP class and syntax are spread over several associations. The files are streamed; memory stays at about 1 MiB.
    """
    for burst in _bursts(items):
        waiting = deque(burst)
        breaks = 0
        while waiting:
            contexts = _proposed(waiting)
            if not contexts:
                yield from (_nameless(item) for item in waiting)
                break
            try:
                association = caller.call(address, contexts)
                with association:
                    while waiting and association.is_open:
                        result = _store(association, waiting.popleft())
                        breaks = breaks + 1 if not association.is_open else 0
                        yield result
            except ApplianceError as error:
                yield from (Result(item, 0, str(error), error) for item in waiting)
                break
            if breaks >= _MOST_BREAKS:
                yield from (replace(result, item=item) for item in waiting)
                break


def ask_commitment(
    caller: Caller,
    address: Address,
    transaction_uid: str,
    references: Sequence[Reference],
    wait: float,
    on_other: Callable[[Commitment], object] | None = None,
) -> Commitment | None:
    """Ask the archive to promise (N-ACTION, PS3.4 J.3.2); returns its report if that comes here within `wait` seconds.

    None means that it was asked, and that the report will come on another association: to the listener. A report about
    another transaction goes to `on_other`; without that the archive is told to send it again. Raises Unreachable,
    Rejected, Broken, Busy (later again) or Refused.
    """
    with caller.call(address, [(commitment.SOP_CLASS, PLAIN)]) as association:
        context = association.context(commitment.SOP_CLASS)
        answer = association.request(
            {
                "RequestedSOPClassUID": commitment.SOP_CLASS,
                "CommandField": N_ACTION,
                "RequestedSOPInstanceUID": commitment.SOP_INSTANCE,
                "ActionTypeID": commitment.REQUEST,
            },
            context,
            commitment.request(transaction_uid, references),
        )
        status = answer.status
        # a duplicate transaction is our own, of an attempt whose answer was lost
        if status not in (statuses.SUCCESS, statuses.DUPLICATE_TRANSACTION) and not statuses.is_warning(status):
            raise statuses.refusal(association.peer, N_ACTION, answer.command)
        deadline = time.monotonic() + wait
        while message := association.incoming(max(0.0, deadline - time.monotonic())):
            report = _report(association, message)
            if report and report.transaction_uid == transaction_uid:
                association.respond(message, statuses.SUCCESS)
                return report
            if report and on_other:
                on_other(report)
            association.respond(message, statuses.SUCCESS if report and on_other else statuses.PROCESSING_FAILURE)
    return None


def _report(association: Association, message: Message) -> Commitment | None:
    if message.field != N_EVENT_REPORT:
        return None
    try:
        return commitment.report_from(commands.number(message.command, "EventTypeID"), message.dataset())
    except InputError as error:
        log.warning("%s: %s", association.peer, error)
        return None


def _store(association: Association, item: Item) -> Result:
    """One object on an open association; every error becomes its result."""
    if not _pairs(item):
        return _nameless(item)
    try:
        payload = FilePayload(item.path)
    except InputError as error:
        return Result(item, 0, str(error), error)
    try:
        if payload.syntax_uid != item.syntax_uid:  # its bytes would be read as something else
            raise InputError(f"{item.path} is in transfer syntax {payload.syntax_uid or '(none)'}, not {item.syntax_uid}")
        command: commands.Command = {
            "AffectedSOPClassUID": item.sop_class_uid,
            "CommandField": C_STORE,
            "Priority": 0,
            "AffectedSOPInstanceUID": item.sop_instance_uid,
        }
        try:
            context = association.context(item.sop_class_uid, item.syntax_uid)
        except Refused as error:
            others = [syntax for syntax in association.accepted(item.sop_class_uid) if syntax in item.other_syntaxes]
            if others:
                names = " or ".join(UID(other).name for other in others)
                raise NeedsTranscoding(f"{error}; it takes {names}", accepted=others) from error
            raise
        return _judge(association, item, association.request(command, context, payload))
    except ApplianceError as error:
        return Result(item, getattr(error, "status", 0), str(error), error)
    finally:
        payload.close()


def _judge(association: Association, item: Item, answer: Message) -> Result:
    """PS3.4 B.2.3. Many archives answer 'duplicate' when they have the object already: that is stored, too."""
    status = answer.status
    words = statuses.words(C_STORE, answer.command)
    if status == statuses.DUPLICATE_INSTANCE:
        return Result(item, status, f"{association.peer} had it already: {words}", warning=True)
    if status == statuses.SUCCESS or statuses.is_warning(status):
        return Result(item, status, words, warning=status != statuses.SUCCESS)
    error = statuses.refusal(association.peer, C_STORE, answer.command)
    return Result(item, status, str(error), error)


def _nameless(item: Item) -> Result:
    words = f"{item.path}: {item.sop_class_uid!r} in {item.syntax_uid!r} is no kind of object that could be offered"
    return Result(item, 0, words, InputError(words))


def _pairs(item: Item) -> list[tuple[str, str]]:
    if not (_UID.fullmatch(item.sop_class_uid) and _UID.fullmatch(item.syntax_uid)):
        return []
    return [(item.sop_class_uid, syntax) for syntax in dict.fromkeys((item.syntax_uid, *item.other_syntaxes))]


def _bursts(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut where an association's 128 presentation contexts would not do."""
    burst: list[Item] = []
    pairs: set[tuple[str, str]] = set()
    for item in items:
        mine = set(_pairs(item)[:MOST_CONTEXTS])
        if burst and len(pairs | mine) > MOST_CONTEXTS:
            yield burst
            burst, pairs = [], set()
        burst.append(item)
        pairs |= mine
    if burst:
        yield burst


def _proposed(items: Iterable[Item]) -> list[tuple[str, tuple[str]]]:
    """One context for each SOP class and syntax, so that each answer says what is taken; own syntaxes first."""
    ordered = sorted((place, pair) for item in items for place, pair in enumerate(_pairs(item)))
    return [(abstract, (syntax,)) for abstract, syntax in dict.fromkeys(pair for _, pair in ordered)][:MOST_CONTEXTS]
