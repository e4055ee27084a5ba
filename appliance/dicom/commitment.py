"""Storage commitment in facts: the request for a promise, and the archive's report (PS3.4 J.3, PS3.3 C.14)."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from appliance.clinic.order import Reference
from appliance.errors import InputError

SOP_CLASS = "1.2.840.10008.1.20.1"
SOP_INSTANCE = "1.2.840.10008.1.20.1.1"  # the well-known instance, not the class: J.3.1
REQUEST = 1  # Action Type ID
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type ID, J.3.3

# Failure Reason (0008,1197), PS3.3 C.14.1.1
FAILURE_REASONS = {
    0x0110: "the archive could not process it",
    0x0112: "the archive does not have it",
    0x0119: "the archive has it under another SOP class",
    0x0122: "the archive does not promise this kind of object",
    0x0131: "the archive knows this transaction already",
    0x0213: "the archive has no room",
}


@dataclass(frozen=True)
class Commitment:
    """What an archive promises about one transaction.

    `committed` are the SOP Instance UIDs it keeps; `failed` are those it does not: (UID, Failure Reason (0008,1197),
    the reason in words).
    """

    transaction_uid: str
    committed: tuple[str, ...]
    failed: tuple[tuple[str, int, str], ...] = ()


def request(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    """The Action Information of the N-ACTION (PS3.4 table J.3-1)."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    items = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    dataset.ReferencedSOPSequence = items
    return dataset


def report_from(event_type: int, dataset: Dataset) -> Commitment:
    """The Event Information of the N-EVENT-REPORT (PS3.4 table J.3-2) as a fact.

    An object named as both kept and failed counts as failed. Raises InputError for a report that cannot be read, names
    no transaction, or is of an unknown Event Type.
    """
    try:
        transaction = str(dataset.get("TransactionUID") or "")
        committed = tuple(_uid(item) for item in dataset.get("ReferencedSOPSequence") or ())
        failed = tuple((_uid(item), _reason(item)) for item in dataset.get("FailedSOPSequence") or ())
    except Exception as error:  # pydicom lets many classes through for garbage
        raise InputError(f"a commitment report that cannot be read: {error}") from error
    if not transaction or event_type not in (ALL_COMMITTED, SOME_FAILED):
        raise InputError(f"a commitment report of type {event_type} for transaction {transaction or '(none)'}")
    bad = {uid for uid, _ in failed}  # who says both is not believed
    return Commitment(
        transaction,
        tuple(uid for uid in committed if uid and uid not in bad),
        tuple((uid, reason, words_of(reason)) for uid, reason in failed if uid),
    )


def words_of(reason: int) -> str:
    """A Failure Reason in words."""
    return FAILURE_REASONS.get(reason, f"the archive gives reason {reason:04X}")


def _uid(item: Dataset) -> str:
    return str(item.get("ReferencedSOPInstanceUID") or "").strip()


def _reason(item: Dataset) -> int:
    value = item.get("FailureReason")
    return value if isinstance(value, int) else 0x0110
