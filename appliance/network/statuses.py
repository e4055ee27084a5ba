"""What a peer's answer means, in words, and who can mend it: DIMSE statuses, rejections and aborts."""

from pydicom.datadict import keyword_for_tag
from pynetdicom.status import (
    GENERAL_STATUS,
    MODALITY_WORKLIST_SERVICE_CLASS_STATUS,
    PROCEDURE_STEP_STATUS,
    STORAGE_COMMITMENT_SERVICE_CLASS_STATUS,
    STORAGE_SERVICE_CLASS_STATUS,
)

from appliance.errors import Broken, Busy, Refused, Rejected
from appliance.network import commands
from appliance.network.commands import C_FIND, C_STORE, N_ACTION, N_CREATE, N_SET, Command

SUCCESS = 0x0000
DUPLICATE_INSTANCE = 0x0111
DUPLICATE_TRANSACTION = 0x0131
PROCESSING_FAILURE = 0x0110
CANCELLED = 0xFE00
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124
NO_LONGER_UPDATED = 0xA710  # Error ID beside 0110 (PS3.4 F.7.2.2.2)
PENDING = frozenset({0xFF00, 0xFF01})
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
_PASSING = frozenset({PROCESSING_FAILURE, 0x0210, 0x0213})

_TABLES = {
    C_STORE: STORAGE_SERVICE_CLASS_STATUS,
    C_FIND: MODALITY_WORKLIST_SERVICE_CLASS_STATUS,
    N_ACTION: STORAGE_COMMITMENT_SERVICE_CLASS_STATUS,
    N_CREATE: PROCEDURE_STEP_STATUS,
    N_SET: PROCEDURE_STEP_STATUS,
}


def is_warning(status: int) -> bool:
    """Whether the thing was done, with something to say about it (PS3.7 C.3, C.4)."""
    return status in _WARNINGS or 0xB000 <= status <= 0xBFFF


def words(request: int, answer: Command) -> str:
    """The status of an answer to a request (its Command Field) in words; empty for success.

    With it what the peer added: Error Comment, and the attributes it complains about by keyword.
    """
    status = commands.number(answer, "Status")
    if status == SUCCESS:
        return ""
    meaning = _TABLES.get(request, {}).get(status) or GENERAL_STATUS.get(status) or ("", "")
    parts = [f"{meaning[1] or 'a status of its own'} ({status:04X})"]
    comment = commands.text(answer, "ErrorComment")
    if comment:
        parts.append(f"it says: {comment}")
    tags: list[int] = []
    for keyword in ("OffendingElement", "AttributeIdentifierList"):
        value = answer.get(keyword)
        tags += value if isinstance(value, tuple) else ()
    if tags:
        parts.append("about " + ", ".join(keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in tags))
    return "; ".join(parts)


def refusal(peer: str, request: int, answer: Command) -> Refused:
    """The error for an answer that is neither success nor warning: Busy or Refused, with status and advice."""
    status = commands.number(answer, "Status")
    what = f"{peer} answered: {words(request, answer)}"
    if status in _PASSING or 0xA700 <= status <= 0xA7FF:
        return Busy(what, status=status)
    return Refused(what, _advice(request, status), status)


def _advice(request: int, status: int) -> str:
    if status in (SOP_CLASS_NOT_SUPPORTED, 0x0118):
        mend = "The peer's administrator must permit this service or kind of object"
    elif status == NOT_AUTHORISED:
        mend = "The peer's administrator must give our AE title the right to do this"
    elif 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF:
        check = ": `dicap check` says whether the object is right" if request == C_STORE else ""
        mend = f"The peer does not like or understand what it was sent{check}. Its own log says more"
    elif status in (0x0105, 0x0106, 0x0115, 0x0120, 0x0121):
        mend = "The peer wants an attribute otherwise than we send it: its administrator can say why"
    elif status == 0x0112:
        mend = "The peer does not know it: was it told the beginning, or has it been restored from a backup?"
    else:
        mend = "The peer's own log says more"
    return f"Nothing is lost: it stays in the spool. {mend}; then retry by hand."


def rejection(peer: str, calling: str, pdu: bytes) -> Rejected:
    """An A-ASSOCIATE-RJ in words (PS3.8 9.3.4): result, source and reason are its bytes 7 to 9.

    It is always tried again: what is refused for good is mended at the other end, where nobody can tell us.
    """
    result, source, reason = (*pdu[7:10], 0, 0, 0)[:3]
    called = peer.partition("@")[0]
    safe = "Everything stays in the spool and is tried again"
    ask = f"{safe}, slowly, until it is mended. Ask the administrator of {called}"
    reasons = {
        (1, 1): ("gives no reason", f"{ask} whether {calling}, with our address and port, is entered there."),
        (1, 2): ("does not know DICOM's application context", f"{ask} for its conformance statement."),
        (1, 3): (f"does not know us: {calling}", f"{ask} to enter our AE title {calling} with our address and port."),
        (1, 7): (f"says that it is not called {called}", f"{safe}. Correct the AE title in peers.*.address."),
        (2, 1): ("gives no reason", f"{ask} to look into its log."),
        (2, 2): ("does not know this version of the protocol", f"{ask} for its conformance statement."),
        (3, 1): ("is busy just now", f"{safe} soon."),
        (3, 2): ("has no association left for us", f"{safe} soon. If it lasts, {called} needs more of them."),
    }
    why, advice = reasons.get((source, reason), (f"for reason {reason} of source {source}", f"{ask} to look into its log."))
    manner = {1: "for good", 2: "for now"}.get(result, f"with result {result}")
    return Rejected(f"{peer} refused the association {manner}: it {why}", advice)


def abortion(peer: str, pdu: bytes) -> Broken:
    """An A-ABORT in words (PS3.8 9.3.8): source and reason are its bytes 8 and 9."""
    source, reason = (*pdu[8:10], 0, 0)[:2]
    if source != 2:
        return Broken(f"{peer} broke the association off and gives no reason (A-ABORT)")
    why = {
        1: "an unrecognised PDU",
        2: "an unexpected PDU",
        4: "an unrecognised parameter",
        5: "an unexpected parameter",
        6: "an invalid parameter",
    }.get(reason)
    return Broken(f"{peer} broke the association off" + (f": it complains of {why} (A-ABORT)" if why else " (A-ABORT)"))
